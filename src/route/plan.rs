//! `route + standings → plan`: every target of the route in order, each to be attempted or skipped for a reason.

use std::sync::Arc;

use super::Standings;
use crate::{
    config::{Enforcement, Route},
    domain::{FaultKind, TargetId},
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
    Skip {
        kind: FaultKind,
        reason: Arc<str>,
    },
}

/// The plan for one call. A route's first target needs no certificate unless it is the local tier; all later ones do.
pub fn plan(route: &Route, standings: &Standings, enforcement: Enforcement) -> Plan {
    let steps = route
        .targets
        .iter()
        .enumerate()
        .map(|(index, target)| {
            let objection = match &target.breach {
                Some(breach) => Some((FaultKind::BreaksInvariant, Arc::from(breach.as_str()))),
                None if index == 0 && !target.id.is_local() => None,
                None => standings.objection(&target.id, &route.suite).map(|why| (FaultKind::Uncertified, why)),
            };
            let decision = match (objection, enforcement) {
                (None, _) => Decision::Attempt,
                (Some((_, reason)), Enforcement::Warn) => Decision::AttemptDespite { reason },
                (Some((kind, reason)), Enforcement::Strict) => Decision::Skip { kind, reason },
            };
            Step { index, target: target.id.clone(), decision }
        })
        .collect();
    Plan { steps }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::{Criticality, Deadlines, MidStream, OnCallerFault, Target},
        domain::RouteId,
        route::Standing,
    };

    fn route(targets: &[&str]) -> Route {
        let second = Duration::from_secs(1);
        Route {
            id: RouteId::new("r"),
            criticality: Criticality::Critical,
            targets: targets.iter().map(|id| Target::unlocated(TargetId::parse(id).expect("a target"))).collect(),
            suite: "s".into(),
            deadlines: Deadlines { connect: second, first_token: second, idle: second, attempt: second, total: second },
            mid_stream: MidStream::Error,
            hedge: None,
            on_context_length: OnCallerFault::Refuse,
            on_content_policy: OnCallerFault::Refuse,
            log_content: false,
        }
    }

    fn decisions(plan: &Plan) -> Vec<&Decision> {
        plan.steps.iter().map(|step| &step.decision).collect()
    }

    #[test]
    fn a_fallback_without_a_certificate_is_skipped_and_a_primary_needs_none() {
        let mut standings = Standings::default();
        standings.set(TargetId::parse("b/y").expect("a target"), "s", Standing::Certified);
        standings.set(TargetId::parse("b/y").expect("a target"), "other", Standing::Certified);
        let plan = plan(&route(&["a/x", "b/y", "local/z"]), &standings, Enforcement::Strict);
        assert!(matches!(
            decisions(&plan)[..],
            [Decision::Attempt, Decision::Attempt, Decision::Skip { kind: FaultKind::Uncertified, .. }]
        ));
    }

    #[test]
    fn a_certificate_of_another_suite_does_not_count() {
        let mut standings = Standings::default();
        standings.set(TargetId::parse("b/y").expect("a target"), "other", Standing::Certified);
        let plan = plan(&route(&["a/x", "b/y"]), &standings, Enforcement::Strict);
        assert!(matches!(decisions(&plan)[..], [Decision::Attempt, Decision::Skip { .. }]));
    }

    #[test]
    fn the_local_tier_needs_a_certificate_even_as_a_primary() {
        let plan = plan(&route(&["local/z"]), &Standings::default(), Enforcement::Strict);
        assert!(matches!(decisions(&plan)[..], [Decision::Skip { kind: FaultKind::Uncertified, .. }]));
    }

    #[test]
    fn warn_attempts_what_strict_skips_and_says_so() {
        let plan = plan(&route(&["a/x", "local/z"]), &Standings::default(), Enforcement::Warn);
        assert!(matches!(decisions(&plan)[..], [Decision::Attempt, Decision::AttemptDespite { .. }]));
    }
}
