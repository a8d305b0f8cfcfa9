//! Log-spaced buckets of time: 32 to the octave, from 1 ms to 71 min, so that a bound is at most 3.2 % above the time.
//!
//! Integers only, so a stored bucket means the same everywhere. Shorter and longer times go to the first and last bucket.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Bucket(u16);

/// Buckets to the octave, as a power of two.
const SUB_BITS: u32 = 5;
/// The first octave begins at 2^10 µs.
const FIRST_OCTAVE: u32 = 10;
const LAST_OCTAVE: u32 = 31;

pub(super) const BUCKETS: u16 = ((LAST_OCTAVE - FIRST_OCTAVE + 1) << SUB_BITS) as u16;

impl Bucket {
    pub(super) fn of(took: Duration) -> Self {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let micros = micros.clamp(1 << FIRST_OCTAVE, (1 << (LAST_OCTAVE + 1)) - 1);
        let octave = micros.ilog2();
        let sub = (micros >> (octave - SUB_BITS)) & ((1 << SUB_BITS) - 1);
        // Below BUCKETS by the clamp above.
        Self((u64::from((octave - FIRST_OCTAVE) << SUB_BITS) + sub) as u16)
    }

    /// The bucket with this number; `None` when there is none.
    pub(super) fn numbered(number: u16) -> Option<Self> {
        (number < BUCKETS).then_some(Self(number))
    }

    pub(super) fn number(self) -> u16 {
        self.0
    }

    /// No time in the bucket is as long as this.
    pub(super) fn upper(self) -> Duration {
        let (octave, sub) = (u32::from(self.0 >> SUB_BITS) + FIRST_OCTAVE, u64::from(self.0 & ((1 << SUB_BITS) - 1)));
        Duration::from_micros(((1 << SUB_BITS) + sub + 1) << (octave - SUB_BITS))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_take_what_is_beyond_them() {
        assert_eq!(Bucket::of(Duration::ZERO), Bucket(0));
        assert_eq!(Bucket::of(Duration::MAX), Bucket(BUCKETS - 1));
        assert_eq!(Bucket(BUCKETS - 1).upper(), Duration::from_micros(1 << 32));
    }

    proptest! {
        #[test]
        fn a_bound_is_above_its_time_by_little(micros in 1_024_u64..(1 << 32)) {
            let upper = Bucket::of(Duration::from_micros(micros)).upper().as_micros() as f64;
            prop_assert!(upper > micros as f64 && upper <= micros as f64 * 1.032);
        }

        #[test]
        fn longer_times_are_in_later_buckets(left: u64, right: u64) {
            let bucket = |micros| Bucket::of(Duration::from_micros(micros));
            prop_assert!(bucket(left.min(right)) <= bucket(left.max(right)));
        }
    }
}
