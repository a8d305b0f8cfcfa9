//! Game days: for some calls vendors are seen as down, so that "we have a fallback" becomes a measurement with a date.
//!
//! What is asked for is a [`DrillPlan`], put down with its audit entry; the running gateway's [`Conductor`] takes it up, asks questions of the
//! route's suite itself (`synthetic`) or lets a part of the callers' calls see it (`live`), ends it, and writes the [`Report`]. Who is
//! seen as down is never asked, so nothing that is known of vendors changes.

mod asking;
mod conductor;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use conductor::{Conductor, ConductorParts};
pub use report::{Certified, NotAnswered, Quality, Report, RouteReport, Served, Times, Trouble};

use crate::{
    config::{Criticality, Route, Settings},
    domain::{RouteId, TargetId, VendorId},
    route::{Standings, plan},
    store::DrillRow,
};

/// A drill that no gateway has taken up within so many ms is none.
pub const TAKEN_WITHIN_MS: i64 = 10_000;
/// The longest drill.
pub const LONGEST_MS: i64 = 24 * 3600 * 1000;

/// Whose calls see the vendors as down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The gateway's own questions alone.
    Synthetic,
    /// A part of the callers'.
    Live,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrillPlan {
    pub mode: Mode,
    /// So many of a hundred calls of callers; 0 in a synthetic drill.
    pub live_pct: u8,
    pub routes: Vec<RouteId>,
    /// Who is seen as down.
    pub vendors: Vec<VendorId>,
    /// How long it may take.
    pub duration_ms: i64,
    /// Of its suite each route is asked so many; 0 in a live drill.
    pub questions: usize,
    pub reason: Option<String>,
}

/// What a plan is for one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prospect {
    /// It has no target of those vendors: nothing would be down.
    Untouched,
    /// Nobody is left who may serve.
    Nobody,
    /// This one would serve, as far as certificates and the config say.
    Serves(TargetId),
}

/// When a route was last drilled so that somebody served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Last {
    pub drill: String,
    pub ended_unix_ms: i64,
}

/// Every vendor but our own hardware.
pub fn all_vendors(settings: &Settings) -> Vec<VendorId> {
    settings.vendors.values().filter(|vendor| !vendor.self_hosted).map(|vendor| vendor.id.clone()).collect()
}

/// What becomes of `route` while the vendors are seen as down.
pub fn prospect(settings: &Settings, standings: &Standings, route: &Route, down: &BTreeSet<VendorId>) -> Prospect {
    if !route.targets.iter().any(|target| down.contains(&target.id.vendor)) {
        return Prospect::Untouched;
    }
    let steps = plan(route, standings, settings.enforcement).drilled("", down).steps;
    let serves = steps.into_iter().find(|step| step.decision.is_attempted());
    serves.map_or(Prospect::Nobody, |step| Prospect::Serves(step.target))
}

/// By route, the last drill in which somebody served. What cannot be read says nothing.
pub fn last_by_route(rows: &[DrillRow]) -> BTreeMap<RouteId, Last> {
    let mut last: BTreeMap<RouteId, Last> = BTreeMap::new();
    for row in rows {
        let Some(report) = row.report.as_deref().and_then(|json| serde_json::from_str::<Report>(json).ok()) else {
            continue;
        };
        let (Some(ended_unix_ms), served) = (row.ended_unix_ms, |route: &&RouteReport| route.answered > 0) else {
            continue;
        };
        for route in report.routes.iter().filter(served) {
            let known = last.get(&route.route).is_some_and(|known| known.ended_unix_ms >= ended_unix_ms);
            if !known {
                last.insert(route.route.clone(), Last { drill: row.id.clone(), ended_unix_ms });
            }
        }
    }
    last
}

/// Whether a route that should have been drilled was not for too long. `since_unix_ms`: of its last drill, or since it is known.
pub fn is_overdue(settings: &Settings, route: &Route, since_unix_ms: i64, now_unix_ms: i64) -> bool {
    let age = u128::try_from(now_unix_ms.saturating_sub(since_unix_ms)).unwrap_or(0);
    route.criticality == Criticality::Critical && age > settings.drill.warn_after.as_millis()
}

impl DrillPlan {
    pub fn of(row: &DrillRow) -> Option<Self> {
        serde_json::from_str(&row.plan).ok()
    }

    pub fn down(&self) -> BTreeSet<VendorId> {
        self.vendors.iter().cloned().collect()
    }
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synthetic => "synthetic",
            Self::Live => "live",
        }
    }
}
