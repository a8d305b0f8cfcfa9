//! Acts that were overtaken by nothing that matters to them are done again.

use super::{Desk, DeskError};
use crate::{clock, domain::RouteId, release::shelf::ShelfError};

/// So often at most.
const TIMES: u32 = 3;

/// How often an act was tried.
#[derive(Debug)]
pub(super) struct Tries {
    begun_unix_ms: i64,
    left: u32,
}

impl Tries {
    pub(super) fn begin() -> Self {
        Self { begun_unix_ms: clock::unix_ms(), left: TIMES - 1 }
    }
}

impl Desk<'_> {
    /// Whether the act failed only because another one came into the database meanwhile that was decided before this one began (a rollback
    /// that was carried over, say: it was known), or that is another route's. What was decided on this route meanwhile is for a person to
    /// look at.
    pub(super) async fn may_try_again(&self, tries: &mut Tries, route: &RouteId, error: &DeskError) -> bool {
        if !matches!(error, DeskError::Shelf(ShelfError::Overtaken)) || tries.left == 0 {
            return false;
        }
        tries.left -= 1;
        let Ok(known) = self.shelf.read().await else { return false };
        let last = known.book.line(route).and_then(|line| line.history.last());
        last.is_none_or(|last| last.at_unix_ms < tries.begun_unix_ms)
    }
}
