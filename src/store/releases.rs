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
