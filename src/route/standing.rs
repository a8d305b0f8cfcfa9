//! What the gate said of each fallback target: certified for what its route demands, or why not.
//!
//! Fail closed: what is not in the table is not certified.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::{Criticality, Route},
    domain::TargetId,
};

/// What a route wants of its fallbacks' certificates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Demand {
    pub suite: String,
    pub tier: Criticality,
    /// What the route is for, where it says so.
    pub use_case: Option<String>,
}

/// One target's standing before one demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Certified,
    /// Its certificate has ended; the grace that the config gives has not.
    InGrace {
        notice: Arc<str>,
    },
    Uncertified {
        reason: Arc<str>,
    },
}

/// A snapshot of every standing, by target and demand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standings {
    table: HashMap<TargetId, Vec<(Demand, Standing)>>,
}

impl Demand {
    pub fn of(route: &Route) -> Self {
        Self { suite: route.suite.clone(), tier: route.criticality, use_case: route.use_case.clone() }
    }

    fn is_of(&self, route: &Route) -> bool {
        self.tier == route.criticality && self.suite == route.suite && self.use_case == route.use_case
    }
}

impl std::fmt::Display for Demand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, tier {}", self.suite, self.tier.as_str())?;
        self.use_case.as_ref().map_or(Ok(()), |case| write!(f, ", use case {case}"))
    }
}

impl Standings {
    pub fn set(&mut self, target: TargetId, demand: Demand, standing: Standing) {
        let known = self.table.entry(target).or_default();
        known.retain(|(other, _)| *other != demand);
        known.push((demand, standing));
    }

    /// Why `target` may not serve as a fallback of `route`; `None` when it may.
    pub fn objection(&self, target: &TargetId, route: &Route) -> Option<Arc<str>> {
        Self::against(self.find(target, |demand| demand.is_of(route)))
    }

    /// What is to be said of a certificate that has ended and goes on in its grace.
    pub fn grace(&self, target: &TargetId, route: &Route) -> Option<Arc<str>> {
        match self.find(target, |demand| demand.is_of(route)) {
            Some(Standing::InGrace { notice }) => Some(Arc::clone(notice)),
            Some(Standing::Certified | Standing::Uncertified { .. }) | None => None,
        }
    }

    /// As [`Self::objection`], for a demand.
    pub fn objection_to(&self, target: &TargetId, demand: &Demand) -> Option<Arc<str>> {
        Self::against(self.find(target, |other| other == demand))
    }

    /// Whether the gate looked at `target` for `route`: a first target at a vendor needs no certificate, so it does not.
    pub fn has_looked_at(&self, target: &TargetId, route: &Route) -> bool {
        self.find(target, |demand| demand.is_of(route)).is_some()
    }

    /// Whatever was said before: `target` may not serve by a certificate for `suite`.
    pub fn close(&mut self, target: &TargetId, suite: &str, why: &str) {
        let all = self.table.get_mut(target).into_iter().flatten();
        for (_, standing) in all.filter(|(demand, _)| demand.suite == suite) {
            *standing = Standing::Uncertified { reason: why.into() };
        }
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TargetId, &Demand, &Standing)> {
        self.table.iter().flat_map(|(target, all)| all.iter().map(move |(demand, standing)| (target, demand, standing)))
    }

    fn find(&self, target: &TargetId, is_wanted: impl Fn(&Demand) -> bool) -> Option<&Standing> {
        self.table.get(target)?.iter().find(|(demand, _)| is_wanted(demand)).map(|(_, standing)| standing)
    }

    fn against(standing: Option<&Standing>) -> Option<Arc<str>> {
        match standing {
            Some(Standing::Certified | Standing::InGrace { .. }) => None,
            Some(Standing::Uncertified { reason }) => Some(Arc::clone(reason)),
            None => Some(Arc::from("its certificate has not been checked yet")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(tier: Criticality, use_case: Option<&str>) -> Demand {
        Demand { suite: "s".into(), tier, use_case: use_case.map(str::to_owned) }
    }

    #[test]
    fn what_was_said_of_one_demand_says_nothing_of_another() {
        let target = TargetId::parse("b/y").expect("a target");
        let mut standings = Standings::default();
        standings.set(target.clone(), demand(Criticality::Standard, None), Standing::Certified);
        let against = |tier, use_case| standings.objection_to(&target, &demand(tier, use_case));
        assert_eq!(against(Criticality::Standard, None), None);
        for (tier, use_case) in [(Criticality::Critical, None), (Criticality::Standard, Some("paying"))] {
            assert!(against(tier, use_case).is_some_and(|why| why.contains("has not been checked")));
        }
    }

    #[test]
    fn a_grace_is_no_objection_and_can_be_taken_back() {
        let target = TargetId::parse("b/y").expect("a target");
        let mut standings = Standings::default();
        let both = [demand(Criticality::Standard, None), demand(Criticality::Batch, None)];
        for demand in &both {
            standings.set(target.clone(), demand.clone(), Standing::InGrace { notice: "until noon".into() });
            assert_eq!(standings.objection_to(&target, demand), None);
        }
        standings.close(&target, "other", "no");
        assert_eq!(standings.objection_to(&target, &both[0]), None);
        standings.close(&target, "s", "it cannot be recorded");
        for demand in &both {
            assert_eq!(standings.objection_to(&target, demand).as_deref(), Some("it cannot be recorded"));
        }
    }
}
