//! A release that is tried on a part of a route's calls: which calls are on its side, and settings that have it. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Orders, Route, Settings, Target};
use crate::domain::{RouteId, TargetId};

/// By what a call comes to be on the canary's side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum CanaryBy {
    /// A client key's calls are all on the same side.
    #[default]
    Key,
    /// Each call by itself.
    Call,
}

/// What the canary does with the calls on its side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CanaryMode {
    /// It answers them.
    #[default]
    Serve,
    /// It is asked beside what serves; its answers are compared and thrown away.
    Shadow,
}

/// A share of a route's calls for one release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CanaryShare {
    pub release: u32,
    /// So many of a hundred; 1 to 100.
    pub pct: u8,
    pub by: CanaryBy,
    pub mode: CanaryMode,
}

/// A route's canary.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    pub share: CanaryShare,
    /// In order; what serves comes behind what the release has of its own.
    pub targets: Vec<Target>,
}

/// What is known of a route's releases beside the order that serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbered {
    /// The release that serves; `None`: it is not on record yet.
    pub release: Option<u32>,
    pub canary: Option<(CanaryShare, Vec<TargetId>)>,
}

pub type Numbering = BTreeMap<RouteId, Numbered>;

impl CanaryShare {
    /// Whether the call is on the canary's side: the same for the same key (or call), route and release, whoever asks. A larger share
    /// takes in whom a smaller one had.
    pub fn takes(&self, route: &RouteId, key: &str, call: &str) -> bool {
        let who = match self.by {
            CanaryBy::Key => key,
            CanaryBy::Call => call,
        };
        let mut hash = Sha256::new();
        for part in [who.as_bytes(), route.as_str().as_bytes(), &self.release.to_be_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let place = digest.iter().take(4).fold(0_u64, |place, byte| place << 8 | u64::from(*byte));
        // Of a hundred parts of 2^32.
        place * 100 < u64::from(self.pct) << 32
    }
}

impl Route {
    /// The route as the calls on its canary's side see it.
    pub fn as_canary(&self) -> Option<Self> {
        let canary = self.canary.as_ref()?;
        let (targets, release) = (canary.targets.clone(), Some(canary.share.release));
        Some(Self { targets, release, canary: None, ..self.clone() })
    }

    /// Every target that calls may go to, some twice.
    pub fn every_target(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().chain(self.canary.iter().flat_map(|canary| &canary.targets))
    }
}

impl Settings {
    /// Every order of targets that calls may be given to: each route, and behind it as its canary's calls see it.
    pub fn ways(&self) -> Vec<Route> {
        self.routes.values().flat_map(|route| std::iter::once(route.clone()).chain(route.as_canary())).collect()
    }

    /// The same with these numbers and canaries; a route that is not there has neither. Last of all: other orders make another canary.
    #[must_use]
    pub fn with_numbering(&self, numbering: &Numbering) -> Self {
        let mut new = self.clone();
        for (id, route) in &mut new.routes {
            let numbered = numbering.get(id);
            route.release = numbered.and_then(|numbered| numbered.release);
            route.canary = None;
        }
        for (id, numbered) in numbering {
            let Some((share, order)) = numbered.canary.as_ref().filter(|(_, order)| !order.is_empty()) else {
                continue;
            };
            // Its targets are judged as if it served.
            let candidate = self.with_orders(&Orders::from([(id.clone(), order.clone())]));
            let targets = candidate.routes.get(id).map(|route| route.targets.clone());
            if let (Some(route), Some(targets)) = (new.routes.get_mut(id), targets) {
                route.canary = Some(Canary { share: *share, targets });
                for (target, prices) in candidate.prices {
                    new.prices.entry(target).or_insert(prices);
                }
            }
        }
        new
    }

    /// What [`Self::with_numbering`] was given, as far as there are such routes.
    pub fn numbering(&self) -> Numbering {
        let ids = |targets: &[Target]| targets.iter().map(|target| target.id.clone()).collect();
        let canary = |route: &Route| route.canary.as_ref().map(|canary| (canary.share, ids(&canary.targets)));
        let of =
            |(id, route): (&RouteId, &Route)| (id.clone(), Numbered { release: route.release, canary: canary(route) });
        self.routes.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(pct: u8, by: CanaryBy) -> CanaryShare {
        CanaryShare { release: 2, pct, by, mode: CanaryMode::Serve }
    }

    #[test]
    fn of_many_keys_as_many_are_taken_as_was_asked() {
        let route = RouteId::new("chat");
        for pct in [1_u8, 10, 50, 99, 100] {
            let share = share(pct, CanaryBy::Key);
            let taken = (0..10_000).filter(|key| share.takes(&route, &format!("sk-bs-{key}"), "")).count();
            let wanted = usize::from(pct) * 100;
            // Six standard deviations of 10,000 draws are 300 at most.
            assert!(taken.abs_diff(wanted) <= 300, "{taken} of 10000 where {wanted} were asked");
            assert!(pct < 100 || taken == 10_000, "all of them");
        }
    }

    proptest! {
        #[test]
        fn a_key_stays_on_its_side_and_a_larger_share_keeps_whom_a_smaller_had(
            key in "[a-zA-Z0-9]{1,20}", calls in prop::collection::vec("[a-z0-9]{8}", 2..5), less in 1..=100_u8, more in 1..=100_u8
        ) {
            let route = RouteId::new("chat");
            let (less, more) = (less.min(more), less.max(more));
            let sides: Vec<bool> = calls.iter().map(|call| share(less, CanaryBy::Key).takes(&route, &key, call)).collect();
            prop_assert!(sides.iter().all(|side| *side == sides[0]));
            for call in &calls {
                for by in [CanaryBy::Key, CanaryBy::Call] {
                    prop_assert!(!share(less, by).takes(&route, &key, call) || share(more, by).takes(&route, &key, call));
                }
            }
        }
    }
}
