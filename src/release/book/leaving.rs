//! A vendor that is being left in steps: which come when, and what holds the next one up. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Deed, Line};
use crate::domain::VendorId;

/// The steps of one evacuation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leaving {
    /// Parts of a hundred calls, in order.
    pub steps: Vec<u8>,
    pub every_ms: i64,
    /// When it began: what rules look at is since then.
    pub began_unix_ms: i64,
    /// When the last step was made.
    pub since_unix_ms: i64,
    /// Why it goes no further by itself.
    pub halted: Option<String>,
}

impl Leaving {
    pub fn begun(steps: Vec<u8>, every_ms: i64, at_unix_ms: i64) -> Self {
        Self { steps, every_ms, began_unix_ms: at_unix_ms, since_unix_ms: at_unix_ms, halted: None }
    }

    /// The step after `pct`, while nothing has halted it.
    pub fn next(&self, pct: u8) -> Option<u8> {
        self.steps.iter().copied().find(|step| *step > pct).filter(|_| self.halted.is_none())
    }

    /// When that step is due.
    pub fn next_unix_ms(&self) -> i64 {
        self.since_unix_ms.saturating_add(self.every_ms)
    }
}

impl Line {
    /// What an act does to the vendors that the route is leaving.
    pub(super) fn steer(&mut self, deed: &Deed, at_unix_ms: i64) {
        match deed {
            Deed::Left { vendor, pct, .. } => {
                self.left.insert(vendor.clone(), (*pct).min(100));
                self.leaving.remove(vendor);
            }
            Deed::LeftInSteps { vendor, steps, every_ms, .. } => {
                self.left.insert(vendor.clone(), steps.first().copied().unwrap_or(100).min(100));
                self.leaving.insert(vendor.clone(), Leaving::begun(steps.clone(), *every_ms, at_unix_ms));
            }
            Deed::LeftFurther { vendor, pct } => self.leave_further(vendor, *pct, at_unix_ms),
            Deed::LeavingHalted { vendor, reason } => {
                let leaving = self.leaving.get_mut(vendor);
                leaving.into_iter().for_each(|leaving| leaving.halted = Some(reason.clone()));
            }
            Deed::Returned { vendor, .. } => {
                self.left.remove(vendor);
                self.leaving.remove(vendor);
            }
            _ => {}
        }
    }

    /// Only the step that is next: one that somebody has overtaken, or halted, is not made.
    fn leave_further(&mut self, vendor: &VendorId, pct: u8, at_unix_ms: i64) {
        let (Some(left), Some(leaving)) = (self.left.get_mut(vendor), self.leaving.get_mut(vendor)) else { return };
        if leaving.next(*left) == Some(pct) {
            (*left, leaving.since_unix_ms) = (pct, at_unix_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Step by step it comes to the last one, each once and in order; halted, it comes no further.
        #[test]
        fn every_step_is_made_once(mut steps in prop::collection::btree_set(1_u8..=100, 1..8), halt in 0_usize..8) {
            let mut leaving = Leaving::begun(steps.iter().copied().collect(), 1000, 0);
            let mut pct = leaving.steps[0];
            let mut made = vec![pct];
            while let Some(next) = leaving.next(pct) {
                prop_assert!(next > pct);
                (pct, leaving.since_unix_ms) = (next, leaving.next_unix_ms());
                made.push(pct);
                if made.len() == halt {
                    leaving.halted = Some("a rule".to_owned());
                }
            }
            if halt < 2 || made.len() < halt {
                prop_assert!(made.iter().all(|step| steps.remove(step)) && steps.is_empty());
            } else {
                prop_assert_eq!(made.len(), halt);
            }
        }
    }
}
