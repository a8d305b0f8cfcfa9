//! How many calls of the last while failed: counts in time slices, so that an old failure is forgotten without a timer.
//!
//! Never holds more than `SLICES + 1` slices, whatever the times are. A time that goes back counts as the newest one known.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

const SLICES: u32 = 10;

/// The finest slice; it bounds their number for a window of no length.
const FINEST: Duration = Duration::from_millis(1);

#[derive(Debug, Clone)]
pub(super) struct Window {
    length: Duration,
    /// The oldest first.
    slices: VecDeque<Slice>,
}

#[derive(Debug, Clone)]
struct Slice {
    begun: Instant,
    tally: Tally,
}

/// Calls, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub calls: u32,
    pub failures: u32,
}

impl Tally {
    /// From 0 to 1; 0 when there were no calls.
    pub(super) fn failure_rate(self) -> f64 {
        if self.calls == 0 { 0.0 } else { f64::from(self.failures) / f64::from(self.calls) }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { calls: self.calls.saturating_add(other.calls), failures: self.failures.saturating_add(other.failures) }
    }
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self { length: length.max(FINEST), slices: VecDeque::new() }
    }

    pub(super) fn success(&mut self, now: Instant) {
        self.add(now, Tally { calls: 1, failures: 0 });
    }

    pub(super) fn failure(&mut self, now: Instant) {
        self.add(now, Tally { calls: 1, failures: 1 });
    }

    /// What happened within the window that ends now.
    pub(super) fn tally(&self, now: Instant) -> Tally {
        let recent = self.slices.iter().filter(|slice| self.holds(slice, now));
        recent.fold(Tally::default(), |sum, slice| sum.plus(slice.tally))
    }

    pub(super) fn clear(&mut self) {
        self.slices.clear();
    }

    fn add(&mut self, now: Instant, tally: Tally) {
        while self.slices.front().is_some_and(|slice| !self.holds(slice, now)) {
            self.slices.pop_front();
        }
        let span = (self.length / SLICES).max(FINEST);
        match self.slices.back_mut() {
            Some(newest) if now.saturating_duration_since(newest.begun) < span => {
                newest.tally = newest.tally.plus(tally)
            }
            _ => self.slices.push_back(Slice { begun: now, tally }),
        }
    }

    fn holds(&self, slice: &Slice, now: Instant) -> bool {
        now.saturating_duration_since(slice.begun) < self.length
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forgets_what_is_older_than_the_window() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(10));
        window.failure(start);
        window.success(start + Duration::from_secs(6));
        assert_eq!(window.tally(start + Duration::from_secs(9)), Tally { calls: 2, failures: 1 });
        assert_eq!(window.tally(start + Duration::from_secs(11)), Tally { calls: 1, failures: 0 });
    }

    proptest! {
        #[test]
        fn holds_few_slices_and_every_recent_call(
            length_ms in 0_u64..5_000,
            at_ms in proptest::collection::vec(0_u64..20_000, 1..200),
        ) {
            let start = Instant::now();
            let length = Duration::from_millis(length_ms);
            let mut window = Window::new(length);
            for at in &at_ms {
                window.failure(start + Duration::from_millis(*at));
                prop_assert!(window.slices.len() <= SLICES as usize + 1);
            }
            let newest = start + Duration::from_millis(at_ms.iter().copied().max().unwrap_or(0));
            let tally = window.tally(newest);
            prop_assert!(tally.calls >= 1 && tally.calls as usize <= at_ms.len());
            prop_assert_eq!(tally.calls, tally.failures);
            prop_assert_eq!(window.tally(newest + length.max(FINEST)), Tally::default());
        }
    }
}
