//! Quantiles of times of which some were cut short, after Kaplan and Meier.
//!
//! The chance to last beyond a bucket is the product, over all buckets up to it, of the share of those still waiting that
//! were not done in it. A censored time counts as waiting through its own bucket and then leaves. So one more censored
//! sample never lowers a quantile.

use std::{collections::BTreeMap, time::Duration};

use super::{
    bucket::Bucket,
    slices::{Count, Slices},
};

/// A quantile of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantile {
    /// There are no samples.
    Unknown,
    Known(Duration),
    /// Too many were cut short: it is no less than the longest time seen.
    AtLeast(Duration),
}

impl Quantile {
    /// The time, known or at least.
    pub fn bound(self) -> Option<Duration> {
        match self {
            Self::Unknown => None,
            Self::Known(time) | Self::AtLeast(time) => Some(time),
        }
    }
}

/// The buckets of a window, merged.
pub(super) struct Estimate {
    buckets: BTreeMap<Bucket, Count>,
    total: u64,
}

/// What a product of many factors may be off by.
const ROUNDING: f64 = 1e-9;

impl Estimate {
    pub(super) fn of(slices: &Slices, now_unix_ms: i64, window: Duration) -> Self {
        let mut buckets = BTreeMap::<Bucket, Count>::new();
        for (bucket, count) in slices.within(now_unix_ms, window) {
            let sum = buckets.entry(bucket).or_default();
            *sum = sum.plus(count);
        }
        let total = buckets.values().map(|count| count.all()).sum();
        Self { buckets, total }
    }

    /// The shortest bound that at least `share` (0 to 1) of the calls are expected to keep.
    pub(super) fn quantile(&self, share: f64) -> Quantile {
        let (mut waiting, mut lasting) = (self.total, 1.0);
        for (bucket, count) in &self.buckets {
            lasting *= 1.0 - count.done as f64 / waiting.max(1) as f64;
            if lasting <= 1.0 - share + ROUNDING {
                return Quantile::Known(bucket.upper());
            }
            waiting -= count.all();
        }
        let longest = self.buckets.last_key_value();
        longest.map_or(Quantile::Unknown, |(bucket, _)| Quantile::AtLeast(bucket.upper()))
    }
}
