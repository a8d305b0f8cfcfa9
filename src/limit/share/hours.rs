//! Volume by the hour, and its sum. Pure; hours are numbered from 1970-01-01 UTC.

use std::collections::BTreeMap;

use crate::domain::Volume;

pub const HOUR_MS: i64 = 3_600_000;

/// The hour that a moment lies in.
pub fn hour_of(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(HOUR_MS)
}

/// Only hours in which something happened take room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hours {
    sums: BTreeMap<i64, Volume>,
    total: Volume,
}

impl Hours {
    pub fn add(&mut self, hour: i64, volume: Volume) {
        if volume != Volume::ZERO {
            *self.sums.entry(hour).or_default() += volume;
            self.total += volume;
        }
    }

    /// Forgets what is before `hour`.
    pub fn forget_before(&mut self, hour: i64) {
        while let Some(first) = self.sums.first_entry().filter(|first| *first.key() < hour) {
            self.total = self.total.less(first.remove());
        }
    }

    pub fn total(&self) -> Volume {
        self.total
    }

    /// What is in the hours from `from` on and before `until`.
    pub fn between(&self, from: i64, until: i64) -> Volume {
        let mut sum = Volume::ZERO;
        if from < until {
            self.sums.range(from..until).for_each(|(_, volume)| sum += *volume);
        }
        sum
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Volume)> {
        self.sums.iter().map(|(hour, volume)| (*hour, *volume))
    }
}
