//! `route + standings + need + health → plan`: every target of the route, to be attempted or passed over for a reason.
//!
//! The steps stand in the order in which they are tried. That is the route's own order, but for an outage of a region:
//! then the other regions of the same vendor come before other vendors.

use std::{collections::BTreeSet, sync::Arc};

use super::{Need, Standings};
use crate::{
    config::{Enforcement, Route, Steer, Target},
    domain::{Fault, FaultKind, TargetId, Task, VendorId},
};

/// What will be tried, printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The target's place in the route.
    pub index: usize,
    pub target: TargetId,
    pub decision: Decision,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Attempt,
    /// Warn enforcement: attempted, though strict would not.
    AttemptDespite {
        reason: Arc<str>,
    },
    /// It fails often, but not always, and nobody else is left.
    LastResort {
        reason: Arc<str>,
    },
    Skip(Fault),
}

impl Decision {
    pub fn is_attempted(&self) -> bool {
        !matches!(self, Self::Skip(_))
    }
}

/// How a target is at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetHealth {
    /// Why it is left alone now.
    pub objection: Option<Fault>,
    /// It has answered of late, beside its failures: better than nobody.
    pub answers_at_times: bool,
}

/// What the gate and the config say of a route's targets. The first needs no certificate unless it is the local tier; all
/// later ones do, but for those that are declared to make the route's own embeddings: they answer nothing that a suite
/// could examine, see [`is_declared_equal`].
pub fn plan(route: &Route, standings: &Standings, enforcement: Enforcement) -> Plan {
    let steps = route
        .targets
        .iter()
        .enumerate()
        .map(|(index, target)| {
            let objection = match &target.breach {
                Some(breach) => Some((FaultKind::BreaksInvariant, Arc::from(breach.as_str()))),
                None if index == 0 && !target.id.is_local() => None,
                None if is_declared_equal(route, target) => None,
                None => standings.objection(&target.id, route).map(|why| (FaultKind::Uncertified, why)),
            };
            let decision = match (objection, enforcement) {
                (None, _) => Decision::Attempt,
                (Some((_, reason)), Enforcement::Warn) => Decision::AttemptDespite { reason },
                (Some((kind, reason)), Enforcement::Strict) => Decision::Skip(Fault::new(kind, &*reason)),
            };
            Step { index, target: target.id.clone(), decision }
        })
        .collect();
    Plan { steps }
}

/// Whether an operator has declared a vendor's embeddings to be of the route's space. Then nothing is left that a
/// certificate could vouch for: such a target makes those embeddings and no answers. Of a model of our own the gate knows
/// more: whether its files are here, and whether it makes embeddings at all.
fn is_declared_equal(route: &Route, target: &Target) -> bool {
    let embeds_only = target.declared_space.is_some() && target.can.embeddings && !target.can.answers;
    embeds_only && !target.id.is_local() && route.embedding_space() == Some(target.space())
}

/// Embeddings of another space cannot be compared with what the route gave before.
fn elsewhere(route: &Route, target: &Target, need: &Need) -> Option<Fault> {
    let space = route.embedding_space().filter(|space| need.task == Task::Embed && *space != target.space())?;
    let detail = format!(
        "its embeddings are of the space `{}` and the route's are of `{space}`: vectors of two spaces cannot be compared",
        target.space()
    );
    Some(Fault::new(FaultKind::Unsupported, detail).with_code("other_embedding_space"))
}

/// A target of the same name is left out for want of a certificate that embeddings cannot have: what helps is said.
fn hint_at_declaration(step: &mut Step, route: &Route, need: &Need) {
    let target = &route.targets[step.index];
    let Decision::Skip(fault) = &mut step.decision else { return };
    if need.task == Task::Embed && fault.kind == FaultKind::Uncertified && target.can.embeddings {
        if let Some(other) = elsewhere(route, target, need) {
            *fault = other;
        } else if target.declared_space.is_none() {
            let detail = format!("the config does not declare that its `embedding_space` is `{}`", target.space());
            *fault = Fault::new(FaultKind::Uncertified, detail);
        }
    }
}

impl Plan {
    /// The plan for one question at one moment. `health`: by the targets' places in the route; what is not there is well.
    pub fn narrowed(mut self, route: &Route, need: &Need, health: &[TargetHealth]) -> Self {
        for step in &mut self.steps {
            if !step.decision.is_attempted() {
                hint_at_declaration(step, route, need);
                continue;
            }
            let target = &route.targets[step.index];
            let unable = need.objection(&target.can).or_else(|| elsewhere(route, target, need));
            let unwell = || health.get(step.index).and_then(|health| health.objection.clone());
            if let Some(fault) = unable.or_else(unwell) {
                step.decision = Decision::Skip(fault);
            }
        }
        self.take_the_last_resort(health);
        self.prefer_other_regions(route);
        self
    }

    /// Vendors that `drill` has down are passed over. Who is passed over already keeps that reason.
    #[must_use]
    pub fn drilled(mut self, drill: &str, down: &BTreeSet<VendorId>) -> Self {
        let of_drill = |step: &&mut Step| step.decision.is_attempted() && down.contains(&step.target.vendor);
        for step in self.steps.iter_mut().filter(of_drill) {
            step.decision = Decision::Skip(Fault::new(FaultKind::Drill, format!("seen as down by the drill {drill}")));
        }
        self
    }

    /// Vendors that are being left come last, behind our own hardware too, for their part of the calls: they are asked when nobody else can
    /// answer. `draw`: from 0 to 1, this call's own.
    #[must_use]
    pub fn steered(mut self, route: &Route, draw: f64) -> Self {
        let left = |step: &Step| {
            let leaves = |steer: &Steer| steer.vendor == step.target.vendor && draw * 100.0 < f64::from(steer.pct);
            route.steers.iter().any(leaves)
        };
        let (last, mut first): (Vec<Step>, Vec<Step>) = self.steps.into_iter().partition(left);
        first.extend(last);
        self.steps = first;
        self
    }

    /// Where everybody is left alone, those that answer at times are asked after all.
    fn take_the_last_resort(&mut self, health: &[TargetHealth]) {
        if self.steps.iter().any(|step| step.decision.is_attempted()) {
            return;
        }
        for step in &mut self.steps {
            let Decision::Skip(fault) = &step.decision else { continue };
            let answers = health.get(step.index).is_some_and(|health| health.answers_at_times);
            if answers && fault.kind == FaultKind::BreakerOpen {
                step.decision = Decision::LastResort { reason: Arc::from(fault.detail.as_str()) };
            }
        }
    }

    /// Behind a target whose region is out come the other regions of its vendor. A breaker of its own is reason enough: a
    /// region of one target is out when that is.
    fn prefer_other_regions(&mut self, route: &Route) {
        let mut at = 0;
        while at < self.steps.len() {
            let is_out = |kind| matches!(kind, FaultKind::RegionOpen | FaultKind::BreakerOpen);
            let out = matches!(&self.steps[at].decision, Decision::Skip(fault) if is_out(fault.kind));
            if out {
                let place = &route.targets[self.steps[at].index].place;
                let other_region = |step: &Step| {
                    let other = &route.targets[step.index].place;
                    step.decision.is_attempted() && other.hosting == place.hosting && other.region != place.region
                };
                let (near, rest): (Vec<Step>, Vec<Step>) =
                    self.steps.split_off(at + 1).into_iter().partition(other_region);
                self.steps.extend(near);
                self.steps.extend(rest);
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
