//! What the database forgets: hourly sums that no window reaches back to. Calls and attempts are never forgotten by themselves.

use super::Answer;

/// The housekeeper's side of the database.
pub trait Tidy {
    /// Forgets the hourly sums of what callers have used, and of what vendors have served, before these moments, in small
    /// transactions; how many rows. The calls that they are sums of stay.
    fn forget_sums(&self, used_before_unix_ms: i64, served_before_unix_ms: i64) -> Answer<'_, u64>;
}
