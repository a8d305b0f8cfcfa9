//! The only source of time and randomness: everything else takes `now` or a number as an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::domain::CallId;

/// Wall time in ms since 1970-01-01 UTC.
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Monotonic time, for durations and deadlines.
pub fn now() -> Instant {
    Instant::now()
}

/// A new call's id.
pub fn call_id() -> CallId {
    CallId(Uuid::now_v7())
}

/// A new audit entry's id: ids made by one process sort as they were made.
pub fn entry_id() -> String {
    Uuid::now_v7().to_string()
}

/// Bytes that nobody can guess, for keys and nonces.
///
/// # Panics
/// When the operating system has no randomness to give; nothing safe can be done then.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    use rand::TryRngCore as _;
    let mut bytes = [0; N];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives randomness");
    bytes
}
