//! Calls as the database keeps and finds them: put in batches, never twice.

use std::sync::Arc;

use super::Answer;
use crate::domain::{CallId, Ending, Outcome, RouteId, TenantId};

/// The ledger's side of the database.
pub trait Calls {
    /// Stores calls, all or none. One that is there already is left alone, except that a final row takes the place of
    /// one that was still [`Ending::Open`].
    fn put_calls(&self, calls: Vec<Journaled>) -> Answer<'_, ()>;

    /// Marks what `journal` left open as [`Ending::Interrupted`]; how many there were.
    fn interrupt_open<'a>(&'a self, journal: &'a str) -> Answer<'a, u64>;

    /// The latest first.
    fn list_calls(&self, filter: CallFilter) -> Answer<'_, Vec<Outcome>>;

    fn find_call(&self, id: CallId) -> Answer<'_, Option<Outcome>>;

    /// Sums, grouped and ordered by `group_by`; without dimensions one row, or none when there are no calls.
    fn usage<'a>(
        &'a self,
        filter: &'a super::UsageFilter,
        group_by: &'a [super::Dimension],
    ) -> Answer<'a, Vec<super::UsageRow>>;

    /// The attempts behind such sums, one by one, in order of time: from one on, and at most so many.
    fn spent<'a>(
        &'a self,
        filter: &'a super::UsageFilter,
        group_by: &'a [super::Dimension],
        page: (Option<&'a super::Cursor>, u32),
    ) -> Answer<'a, Vec<super::SpentRow>>;
}

/// A call and the journal that it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Journaled {
    pub outcome: Outcome,
    pub journal: Arc<str>,
}

/// Which calls to list; `None`: all.
#[derive(Debug, Clone, PartialEq)]
pub struct CallFilter {
    pub tenant: Option<TenantId>,
    pub route: Option<RouteId>,
    pub ending: Option<Ending>,
    pub limit: u32,
}
