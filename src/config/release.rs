//! How a route's order of targets is changed beside its file: what a promotion needs, and settings with another order.

use std::{collections::BTreeMap, time::Duration};

use super::{AuditSink, Criticality, Settings, Target, invariants, path::Path, prices};
use crate::domain::{Money, RouteId, TargetId, VendorId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSettings {
    /// How long a replaced release stays as a fallback, at least.
    pub retain: Duration,
    /// How certificates of retained releases are renewed; `None`: by hand.
    pub renew: Option<RenewSettings>,
    pub critical_persons: u32,
    pub standard_persons: u32,
    pub batch_persons: u32,
    /// Where model cards and release notes go.
    pub publish: Vec<AuditSink>,
}

/// How the gateway renews certificates by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewSettings {
    /// So long before their end, and after half of their time at the earliest.
    pub before: Duration,
    /// What the answers of one renewal may cost.
    pub max_cost: Money,
}

/// How long a replaced release is to stay, for one to be sure to find it.
pub(super) const USUAL_RETAIN: Duration = Duration::from_secs(30 * 24 * 3600);

impl Default for RenewSettings {
    /// A day before anybody is told that a certificate ends, so that people hear of those alone that are not renewed.
    fn default() -> Self {
        Self { before: Duration::from_secs(15 * 24 * 3600), max_cost: Money::from_micros(10_000_000) }
    }
}

impl Default for ReleaseSettings {
    fn default() -> Self {
        let (critical_persons, standard_persons, batch_persons) = (2, 1, 1);
        let (retain, renew) = (USUAL_RETAIN, Some(RenewSettings::default()));
        Self { retain, renew, critical_persons, standard_persons, batch_persons, publish: Vec::new() }
    }
}

impl ReleaseSettings {
    /// How many persons a promotion takes.
    pub fn persons(&self, criticality: Criticality) -> u32 {
        match criticality {
            Criticality::Critical => self.critical_persons,
            Criticality::Standard => self.standard_persons,
            Criticality::Batch => self.batch_persons,
        }
    }
}

/// A part of a route's calls that asks `vendor` last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steer {
    pub vendor: VendorId,
    /// 1 to 100.
    pub pct: u8,
}

/// Orders of targets, by route.
pub type Orders = BTreeMap<RouteId, Vec<TargetId>>;

impl Settings {
    /// Each route's targets, in order.
    pub fn orders(&self) -> Orders {
        let order = |targets: &[Target]| targets.iter().map(|target| target.id.clone()).collect();
        self.routes.iter().map(|(id, route)| (id.clone(), order(&route.targets))).collect()
    }

    /// The same with other targets on some routes; routes that there are not, and empty orders, change nothing.
    #[must_use]
    pub fn with_orders(&self, orders: &Orders) -> Self {
        let mut new = self.clone();
        for (id, order) in orders.iter().filter(|(_, order)| !order.is_empty()) {
            if let Some(route) = new.routes.get_mut(id) {
                route.targets = order.iter().cloned().map(Target::unlocated).collect();
            }
        }
        for target in new.routes.values_mut().flat_map(|route| &mut route.targets) {
            target.breach = None;
        }
        new.locate_targets();
        prices::fill_in(&mut new);
        invariants::mark(&mut new);
        new
    }

    /// The same with other steers on all routes.
    #[must_use]
    pub fn with_steers(mut self, steers: &BTreeMap<RouteId, Vec<Steer>>) -> Self {
        for (id, route) in &mut self.routes {
            route.steers = steers.get(id).cloned().unwrap_or_default();
        }
        self
    }

    /// Which of `targets` are of vendors that are not configured.
    pub fn unknown_vendors<'t>(&self, targets: &'t [TargetId]) -> Vec<&'t TargetId> {
        targets.iter().filter(|id| !id.is_local() && !self.vendors.contains_key(&id.vendor)).collect()
    }

    /// What breaks an invariant on `route`, or of all routes together.
    pub fn breaches(&self, route: &RouteId) -> Vec<String> {
        let (mut found, of_route) = (Vec::new(), Path::root().key("routes").key(route.as_str()));
        invariants::check(self, &mut |path, (message, help)| {
            let path = path.to_string();
            // Of another route whose name begins alike there would be more of a name behind it.
            let here = path.strip_prefix(&of_route.to_string()).is_some_and(|rest| rest.starts_with(['.', '[']));
            if here || !path.starts_with("routes") {
                found.push(format!("{message}; {help}"));
            }
        });
        found
    }
}
