//! How fast calls are served, for admission and an honest Retry-After. Pure: time comes in as an argument.

use std::time::Duration;

/// A newer step weighs this much.
const NEWEST: f64 = 0.2;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(120);
/// Steps of fewer tokens say nothing of how fast prompts are read.
const TELLING: usize = 16;

/// What was measured of steps and calls so far.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Tokens of prompts per second.
    reads: Option<f64>,
    /// Seconds from a call's place to its end.
    call: Option<f64>,
}

/// What stands before a new call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ahead {
    /// Tokens to be read before its last, its own included.
    pub tokens: usize,
    /// Calls that get a place before it.
    pub calls: usize,
    /// Places, and how many of them are free.
    pub places: usize,
    pub free: usize,
}

impl Pace {
    /// A step computed `tokens` in `took`.
    pub(super) fn step(&mut self, tokens: usize, took: Duration) {
        if tokens >= TELLING && !took.is_zero() {
            blend(&mut self.reads, tokens as f64 / took.as_secs_f64());
        }
    }

    /// A call ended `took` after it got its place.
    pub(super) fn call(&mut self, took: Duration) {
        blend(&mut self.call, took.as_secs_f64());
    }

    /// How long a new call would wait for its first token. `None`: nothing was measured yet.
    pub(super) fn first_token(&self, ahead: Ahead) -> Option<Duration> {
        let reading = ahead.tokens as f64 / self.reads?;
        let waiting_for_place = match (ahead.calls + 1).checked_sub(ahead.free) {
            None | Some(0) => 0.0,
            Some(before) => before as f64 / ahead.places.max(1) as f64 * self.call.unwrap_or(0.0),
        };
        Some(Duration::from_secs_f64((reading + waiting_for_place).min(86_400.0)))
    }

    /// When so many of those that wait are likely to have left the line.
    pub(super) fn retry_after(&self, before: usize, places: usize) -> Duration {
        let rounds = before as f64 / places.max(1) as f64;
        Duration::from_secs_f64(self.call.unwrap_or(1.0) * rounds).clamp(SHORTEST, LONGEST)
    }
}

/// How long to wait with a call that would come `late` after the time it may take.
pub(super) fn later(late: Duration) -> Duration {
    late.clamp(SHORTEST, LONGEST)
}

fn blend(mean: &mut Option<f64>, newest: f64) {
    *mean = Some(mean.map_or(newest, |mean| mean * (1.0 - NEWEST) + newest * NEWEST));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_token_waits_for_what_is_read_before_it_and_for_a_place() {
        let mut pace = Pace::default();
        let ahead = Ahead { tokens: 500, calls: 0, places: 4, free: 4 };
        assert_eq!(pace.first_token(ahead), None);
        pace.step(100, Duration::from_secs(1));
        pace.step(3, Duration::from_secs(1));
        assert_eq!(pace.first_token(ahead), Some(Duration::from_secs(5)));
        pace.call(Duration::from_secs(8));
        assert_eq!(pace.first_token(ahead), Some(Duration::from_secs(5)), "a place is free");
        let full = Ahead { calls: 3, free: 0, ..ahead };
        assert_eq!(pace.first_token(full), Some(Duration::from_secs(13)), "four calls over four places");
        assert_eq!(pace.retry_after(1, 4), Duration::from_secs(2));
        assert_eq!(pace.retry_after(33, 4), Duration::from_secs(66), "who matters less waits for more to leave");
        assert_eq!(later(Duration::ZERO), SHORTEST);
        assert_eq!(later(Duration::from_secs(1000)), LONGEST);
    }
}
