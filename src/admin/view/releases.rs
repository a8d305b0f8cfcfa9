//! A route's releases: what serves, is retained, is tried; what was done; what differs between two.

use std::collections::BTreeMap;

use backstop_eval::certificate::Certificate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DrillOn;
use crate::{
    domain::{RouteId, TargetId, VendorId},
    release::{
        book::{CameBy, Done, Lease, Leaving, Release, Running},
        desk::Moved,
        shadows::ShadowView,
    },
    store::{RenewalOutcome, RenewalRow},
};

/// A route's releases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleasesView {
    pub route: RouteId,
    /// The number of the one that serves.
    pub serving: u32,
    pub since_unix_ms: i64,
    pub came_by: CameBy,
    /// Of the one that serves, in order.
    pub targets: Vec<TargetId>,
    /// The latest first: that is what a rollback goes back to.
    pub retained: Vec<RetainedView>,
    /// Somebody acted on the route's releases: the config file changes them no more by itself.
    pub governed: bool,
    /// Vendors that are being left, and by how many of a hundred calls.
    pub left: BTreeMap<VendorId, u8>,
    pub leaving: BTreeMap<VendorId, Leaving>,
    /// What is tried on a part of the calls.
    pub canary: Option<Running>,
    /// The config file has another order: `release import` takes it over.
    pub file_differs: bool,
    pub releases: Vec<ReleaseView>,
    /// What is asked, one after the other: what serves, then what is retained.
    pub order: Vec<TargetId>,
    /// Acts that the database does not have yet.
    pub waiting_for_database: usize,
    pub drill: Option<DrillOn>,
    /// What came of renewing certificates of retained releases, the last of each.
    #[serde(default)]
    pub renewals: Vec<RenewalView>,
    /// What came of asking releases beside what serves.
    pub shadows: Vec<ShadowView>,
}

/// One release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseView {
    /// Its number.
    pub release: u32,
    #[serde(flatten)]
    pub what: Release,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetainedView {
    /// Its number.
    pub release: u32,
    #[serde(flatten)]
    pub lease: Lease,
}

/// A renewal of a certificate by the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenewalView {
    pub target: TargetId,
    pub suite: String,
    /// `renewed`, `unsigned` (it passed and lacks signatures), `failed`; `running`: the first try is under way.
    pub outcome: String,
    pub why: Option<String>,
    /// When the last try began, or ended.
    pub at_unix_ms: i64,
    /// That came to an end.
    pub tries: u32,
    /// No other try begins before.
    pub next_unix_ms: Option<i64>,
    /// One is under way.
    pub running: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoneView {
    #[serde(flatten)]
    pub done: Done,
    /// When the gateway had shifted the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_shifted_unix_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_to_traffic_ms: Option<i64>,
}

/// What changes from one release to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DiffView {
    pub route: RouteId,
    pub old: u32,
    pub new: u32,
    pub removed: Vec<TargetId>,
    pub added: Vec<TargetId>,
    /// The same targets in another order.
    pub reordered: bool,
    pub old_targets: Vec<PricedTarget>,
    pub new_targets: Vec<PricedTarget>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PricedTarget {
    pub target: TargetId,
    /// Dollars per million tokens, in and out.
    pub prices: Option<(f64, f64)>,
}

/// A release that was put down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Proposed {
    pub route: RouteId,
    pub release: u32,
    pub targets: Vec<TargetId>,
}

/// A rollback that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolledBack {
    #[serde(flatten)]
    pub moved: Moved,
    pub from_version: u32,
    pub to_version: u32,
    /// What serves first now.
    pub primary: Option<TargetId>,
}

/// A canary that was ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CanaryEnded {
    pub route: RouteId,
    pub release: u32,
    /// Of the calls it has now.
    pub pct: u8,
}

/// Release notes or a model card, in both forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaperView {
    pub markdown: String,
    pub json: Value,
}

/// The model card of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CardView {
    pub target: TargetId,
    pub markdown: String,
    /// With Hugging Face's field names.
    pub card: Value,
}

impl From<&Release> for ReleaseView {
    fn from(release: &Release) -> Self {
        Self { release: release.number, what: release.clone() }
    }
}

impl From<&Lease> for RetainedView {
    fn from(lease: &Lease) -> Self {
        Self { release: lease.number, lease: *lease }
    }
}

impl RenewalView {
    /// `filed`: the certificate that there is now. `None`: it is neither what the renewal is of nor what came of it.
    pub fn of(row: RenewalRow, filed: Option<&Certificate>, now_unix_ms: i64) -> Option<Self> {
        let is_of = filed.is_some_and(|filed| filed.digest() == row.certificate);
        let came_of_it = filed.is_some_and(|filed| filed.predicate().supersedes.as_ref() == Some(&row.certificate));
        let outcome = match row.outcome {
            // The last signature puts it in force, and tells nobody else.
            Some(RenewalOutcome::Renewed) => "renewed",
            Some(RenewalOutcome::Unsigned) if came_of_it => "renewed",
            outcome if is_of => outcome.map_or("running", RenewalOutcome::as_str),
            _ => return None,
        };
        Some(Self {
            target: row.target,
            suite: row.suite,
            outcome: outcome.to_owned(),
            why: row.why,
            at_unix_ms: row.at_unix_ms,
            tries: row.tries,
            next_unix_ms: row.next_unix_ms,
            running: row.held_until_unix_ms.is_some_and(|until| until > now_unix_ms),
        })
    }
}

impl From<Moved> for RolledBack {
    fn from(moved: Moved) -> Self {
        let (from_version, to_version, primary) = (moved.from, moved.to, moved.targets.first().cloned());
        Self { moved, from_version, to_version, primary }
    }
}
