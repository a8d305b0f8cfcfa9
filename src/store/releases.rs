//! Acts on releases as the database keeps them: an append-only list, each in one transaction with its audit entry.

use serde::{Deserialize, Serialize};

use super::{Answer, Record};
use crate::domain::RouteId;

/// The release room's side of the database.
pub trait Releases {
    /// The number of the last act; 0: there is none.
    fn release_mark(&self) -> Answer<'_, i64>;

    /// All acts, in order.
    fn release_acts(&self) -> Answer<'_, Vec<ReleaseRow>>;

    /// Appends those that are not there yet together with their audit entry; all or none. `false` and nothing done when
    /// `after` is given and is not the last act's number any more.
    fn release_append(&self, rows: Vec<ReleaseRow>, after: Option<i64>, entry: Record) -> Answer<'_, bool>;

    /// Adds to what came of asking releases beside what serves.
    fn shadows_add(&self, rows: Vec<ShadowRow>) -> Answer<'_, ()>;

    /// All that came of it on a route, by release.
    fn shadows(&self, route: RouteId) -> Answer<'_, Vec<ShadowRow>>;
}

/// Sums over the calls that a release was asked beside what serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowRow {
    pub route: RouteId,
    pub release: u32,
    pub sums: ShadowSums,
}

/// See the table `shadows` for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShadowSums {
    pub asked: u64,
    pub failed: u64,
    pub dropped: u64,
    pub compared: u64,
    pub same_finish: u64,
    pub same_json: u64,
    pub same_tools: u64,
    pub refused: u64,
    pub served_refused: u64,
    pub bytes: u64,
    pub served_bytes: u64,
    pub took_us: u64,
    pub served_us: u64,
}

/// One stored act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRow {
    pub id: String,
    pub at_unix_ms: i64,
    pub route: RouteId,
    /// The audit entry's id.
    pub entry: String,
    /// What was done, as JSON.
    pub act: String,
}
