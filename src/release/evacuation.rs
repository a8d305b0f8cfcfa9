//! Getting away from a vendor: what would serve in its place, and the one act that moves calls, in steps or back.
//!
//! Like a rollback the act is a synced file with its audit entry first, so it needs no database. The vendor is not removed: for its
//! part of the calls it is asked last, when nobody else can answer.

pub mod steps;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Gate,
    book::Deed,
    change::dollars,
    desk::{self, DeskError},
    shelf::{Shelf, ShelfError},
};
use crate::{
    clock,
    config::{Enforcement, Settings},
    domain::{Act, Action, Actor, RouteId, TargetId, VendorId},
    relay::health::HealthView,
    route::{CallKind, Quantile, Standings, plan},
};

/// What becomes of one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Instead {
    pub route: RouteId,
    /// What of the vendor it has, in order.
    pub leaves: Vec<TargetId>,
    /// What would serve; `None`: nothing may, so leaving the vendor ends the route's answers.
    pub serves: Option<TargetId>,
    /// Why its certificate does not count; `None`: it does, or it needs none.
    pub objection: Option<String>,
    /// Until when its certificate holds, where it has one.
    pub certified_until_unix_ms: Option<i64>,
    /// Dollars per million tokens, in and out, before and then.
    pub usd_per_mtok: [Option<(f64, f64)>; 2],
    /// The median time to the first token, as the gateway has measured it, before and then.
    pub median_first_token_ms: (Option<f64>, Option<f64>),
    /// The part of all volume in the share cap's window that its operator would have, were it so; 0 to 1.
    pub share: Option<f64>,
    /// Whether that is more than the cap.
    pub over_cap: bool,
}

/// How calls are moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// So many of a hundred.
    Off(u8),
    /// The first step now, each next one so many ms after the last.
    InSteps {
        steps: Vec<u8>,
        every_ms: i64,
    },
    Back,
}

/// What would serve instead of `vendor`, by route. `volumes`: by route and operator. `settings`: those in force.
pub fn instead(
    settings: &Settings,
    standings: &Standings,
    (health, volumes): (&HealthView, &BTreeMap<(RouteId, String), u64>),
    vendor: &VendorId,
) -> Vec<Instead> {
    let leaves = |route: &crate::config::Route| -> Vec<TargetId> {
        route.targets.iter().filter(|one| one.id.vendor == *vendor).map(|one| one.id.clone()).collect()
    };
    let chosen = |route: &crate::config::Route| {
        let steps = plan(route, standings, settings.enforcement).steps;
        steps
            .into_iter()
            .find(|step| step.target.vendor != *vendor && step.decision.is_attempted())
            .map(|step| step.target)
    };
    let leaving = settings.routes.values().filter(|route| !leaves(route).is_empty());
    // Where all volume would be then.
    let mut then: BTreeMap<String, u64> = BTreeMap::new();
    for ((route, operator), volume) in volumes {
        let route = settings.routes.get(route);
        let moves = settings.vendors.get(vendor).is_some_and(|one| one.operator() == operator);
        let to = route.filter(|_| moves).and_then(chosen).map(|target| settings.operator(&target).to_owned());
        *then.entry(to.unwrap_or_else(|| operator.clone())).or_default() += volume;
    }
    let total: u64 = then.values().sum();
    let median = |target: Option<&TargetId>| {
        let seen = target.and_then(|target| health.targets.get(target))?;
        let policy = &settings.latency;
        let first = seen.baselines.iter().find(|(kind, _)| *kind == CallKind::FirstContent);
        match first?.1.observed(clock::unix_ms(), policy).p50 {
            Quantile::Known(time) => Some(time.as_secs_f64() * 1e3),
            Quantile::Unknown | Quantile::AtLeast(_) => None,
        }
    };
    leaving
        .map(|route| {
            let (leaves, serves) = (leaves(route), chosen(route));
            // One that was not looked at is a first target at a vendor, which needs none.
            let looked_at = serves.as_ref().filter(|target| standings.has_looked_at(target, route));
            let objection = looked_at.and_then(|target| standings.objection(target, route));
            let own = serves.as_ref().is_some_and(|target| settings.is_own_hardware(target));
            let share = serves
                .as_ref()
                .filter(|_| total > 0)
                .map(|target| then.get(settings.operator(target)).copied().unwrap_or(0) as f64 / total as f64);
            Instead {
                route: route.id.clone(),
                objection: objection.filter(|_| settings.enforcement == Enforcement::Warn).map(|why| why.to_string()),
                certified_until_unix_ms: None,
                usd_per_mtok: [dollars(settings, &leaves[0]), serves.as_ref().and_then(|one| dollars(settings, one))],
                median_first_token_ms: (median(leaves.first()), median(serves.as_ref())),
                over_cap: !own
                    && total >= settings.share_cap.min_volume
                    && share.is_some_and(|share| share > settings.share_cap.max),
                share,
                leaves,
                serves,
            }
        })
        .collect()
}

/// Looks up until when those who would serve are certified. Blocks on files.
pub fn date_certificates(then: &mut [Instead], settings: &Settings, gate: &Gate) {
    for one in then {
        let suite = settings.routes.get(&one.route).map(|route| route.suite.as_str());
        let (Some(target), Some(suite)) = (&one.serves, suite) else { continue };
        let found = gate.certificate(settings, target, suite);
        let ends = found.map(|certificate| certificate.predicate().expires_at.unix_timestamp());
        one.certified_until_unix_ms = ends.map(|seconds| seconds.saturating_mul(1000));
    }
}

/// Moves calls off `vendor` on every route that has it, or back, as one act; the routes.
pub async fn move_calls(
    (shelf, settings): (&Shelf, &Settings),
    vendor: &VendorId,
    (how, reason): (&Move, &str),
    actor: Actor,
) -> Result<Vec<RouteId>, DeskError> {
    let known = match shelf.read().await {
        Ok(known) => known,
        Err(_) => shelf.read_now()?,
    };
    let mut deeds = Vec::new();
    let (mut routes, mut before) = (Vec::new(), serde_json::Map::new());
    for (id, targets) in settings.orders() {
        let line = known.book.line(&id);
        let left = line.and_then(|line| line.left.get(vendor)).copied();
        let has = targets.iter().any(|target| target.vendor == *vendor);
        let back = *how == Move::Back;
        if (back && left.is_none()) || (!back && !has) {
            continue;
        }
        if line.is_none() {
            deeds.extend(desk::following(&known, &id, targets).map(|deed| (id.clone(), deed)));
        }
        before.insert(id.to_string(), json!(left.unwrap_or(0)));
        let (vendor, reason) = (vendor.clone(), Some(reason.to_owned()));
        let deed = match how {
            Move::Back => Deed::Returned { vendor, reason },
            Move::Off(pct) => Deed::Left { vendor, pct: *pct, reason },
            Move::InSteps { steps, every_ms } => {
                Deed::LeftInSteps { vendor, steps: steps.clone(), every_ms: *every_ms, reason }
            }
        };
        deeds.push((id.clone(), deed));
        routes.push(id);
    }
    if routes.is_empty() {
        let why = match how {
            Move::Back => format!("no route is leaving `{vendor}`"),
            Move::Off(_) | Move::InSteps { .. } => format!("no route has a target of `{vendor}`"),
        };
        return Err(DeskError::Refused(why));
    }
    let action = if *how == Move::Back { Action::VendorReturn } else { Action::VendorEvacuate };
    let after = match how {
        Move::Back => json!({ "pct": 0, "routes": routes }),
        Move::Off(pct) => json!({ "pct": pct, "routes": routes }),
        Move::InSteps { steps, every_ms } => {
            json!({ "pct": steps.first(), "steps": steps, "every_ms": every_ms, "routes": routes })
        }
    };
    let act = Act::new(actor, action, ("vendor", vendor.to_string()))
        .before(json!({ "pct": before }))
        .after(after)
        .reason(reason);
    shelf.keep_now(deeds, &act)?;
    Ok(routes)
}

/// Volume by route and operator in the share cap's window.
pub async fn volumes(
    store: &crate::store::Store,
    settings: &Settings,
) -> Result<BTreeMap<(RouteId, String), u64>, ShelfError> {
    use crate::store::{Dimension, UsageFilter};
    let window = i64::try_from(settings.share_cap.window.as_millis()).unwrap_or(i64::MAX);
    let filter = UsageFilter { since_unix_ms: Some(clock::unix_ms().saturating_sub(window)), ..UsageFilter::default() };
    let rows = store.usage(&filter, &[Dimension::Route, Dimension::Vendor]).await?;
    let mut volumes = BTreeMap::new();
    for row in rows {
        let [Some(route), Some(vendor)] = row.group.as_slice() else { continue };
        let vendor = VendorId::new(vendor.as_str());
        let operator = settings.vendors.get(&vendor).map_or(vendor.as_str(), |one| one.operator()).to_owned();
        *volumes.entry((RouteId::new(route.as_str()), operator)).or_default() +=
            super::needs::volume(settings, &row.totals);
    }
    Ok(volumes)
}
