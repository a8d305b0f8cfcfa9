//! The counts of a rolling window, an hour to a slice, as they are stored.
//!
//! Stored as `[[hour, [bucket, done, cut short, bucket, …]], …]`, hours and buckets ascending. At most `KEPT` slices and
//! every bucket once in each: what is longer, out of order or out of range is refused while it is read, never trusted.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    Sample,
    bucket::{BUCKETS, Bucket},
};

const HOUR_MS: i64 = 3_600_000;

/// Two days, and the hour that has begun.
const KEPT: usize = 49;

/// What one bucket of a slice counts up to, so that no sum over all of them overflows.
const MOST: u64 = u32::MAX as u64;

/// A slice so far ahead is of a clock that has been set back by less than an hour, and still counts.
const AHEAD: i64 = 1;

/// The oldest hour first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slices(BTreeMap<i64, BTreeMap<Bucket, Count>>);

/// How many attempts of a bucket came, and how many were cut short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub done: u64,
    pub cut: u64,
}

impl Count {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { done: self.done + other.done, cut: self.cut + other.cut }
    }

    pub(super) fn all(self) -> u64 {
        self.done + self.cut
    }
}

impl Slices {
    pub(super) fn add(&mut self, now_unix_ms: i64, took: Duration, sample: Sample) {
        let hour = now_unix_ms.div_euclid(HOUR_MS);
        self.0.retain(|slice, _| (hour - KEPT as i64 + 1..=hour + AHEAD).contains(slice));
        // A clock that is set back and forth could leave one more.
        while self.0.len() >= KEPT && !self.0.contains_key(&hour) {
            self.0.pop_first();
        }
        let count = self.0.entry(hour).or_default().entry(Bucket::of(took)).or_default();
        match sample {
            Sample::Complete => count.done = (count.done + 1).min(MOST),
            Sample::CutShort => count.cut = (count.cut + 1).min(MOST),
        }
    }

    /// The buckets of the window that ends now, slice by slice.
    pub(super) fn within(&self, now_unix_ms: i64, window: Duration) -> impl Iterator<Item = (Bucket, Count)> {
        let hour = now_unix_ms.div_euclid(HOUR_MS);
        let hours = i64::try_from(window.as_secs() / 3_600).unwrap_or(i64::MAX).clamp(1, KEPT as i64 - 1);
        // The hour that has begun counts in addition to the whole ones, or the window would be short of up to one.
        self.0
            .range(hour - hours..=hour + AHEAD)
            .flat_map(|(_, slice)| slice.iter().map(|(bucket, count)| (*bucket, *count)))
    }

    /// The attempts of the window that came, and those that were cut short.
    pub(super) fn counts(&self, now_unix_ms: i64, window: Duration) -> (u64, u64) {
        let sum = self.within(now_unix_ms, window).fold(Count::default(), |sum, (_, count)| sum.plus(count));
        (sum.done, sum.cut)
    }
}

impl Serialize for Slices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(hour, slice)| (hour, Row::of(slice))))
    }
}

impl<'de> Deserialize<'de> for Slices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = read::bounded::<D, (i64, Row), KEPT>(deserializer)?;
        if !rows.is_sorted_by(|(left, _), (right, _)| left < right) {
            return Err(de::Error::custom("the hours are not in ascending order"));
        }
        let slices = rows.into_iter().map(|(hour, row)| Some((hour, row.into_slice()?)));
        let slices =
            slices.collect::<Option<_>>().ok_or_else(|| de::Error::custom("a slice is not a list of buckets"))?;
        Ok(Self(slices))
    }
}

/// One slice, flat: bucket, done, cut short, and so on.
struct Row(Vec<u64>);

impl Row {
    const LONGEST: usize = 3 * BUCKETS as usize;

    fn of(slice: &BTreeMap<Bucket, Count>) -> Self {
        Self(slice.iter().flat_map(|(bucket, count)| [u64::from(bucket.number()), count.done, count.cut]).collect())
    }

    fn into_slice(self) -> Option<BTreeMap<Bucket, Count>> {
        let (triples, []) = self.0.as_chunks::<3>() else { return None };
        if !triples.is_sorted_by(|[left, ..], [right, ..]| left < right) {
            return None;
        }
        let bounded = |count: u64| (count <= MOST).then_some(count);
        let entry = |[bucket, done, cut]: &[u64; 3]| {
            let bucket = Bucket::numbered(u16::try_from(*bucket).ok()?)?;
            Some((bucket, Count { done: bounded(*done)?, cut: bounded(*cut)? }))
        };
        triples.iter().map(entry).collect()
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read::bounded::<D, u64, { Self::LONGEST }>(deserializer).map(Self)
    }
}

/// Reading a list that may not be longer than it can rightly be.
mod read {
    use std::{fmt, marker::PhantomData};

    use serde::{
        Deserialize, Deserializer,
        de::{Error, SeqAccess, Visitor},
    };

    pub(super) fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(Bounded::<T, MOST>(PhantomData))
    }

    struct Bounded<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Bounded<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = list.next_element()? {
                if items.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                items.push(item);
            }
            Ok(items)
        }
    }
}
