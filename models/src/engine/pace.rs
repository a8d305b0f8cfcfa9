//! How fast calls are served, for an honest Retry-After. Pure: time comes in as an argument.

use std::time::{Duration, Instant};

/// Recent calls weigh most; an older one counts half after about three more.
const NEWEST: f64 = 0.2;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(120);

/// The mean time that a call takes, and since when one is being served.
#[derive(Debug, Default)]
pub(super) struct Pace {
    mean: Option<Duration>,
    serving_since: Option<Instant>,
}

impl Pace {
    pub(super) fn begin(&mut self, now: Instant) {
        self.serving_since = Some(now);
    }

    pub(super) fn end(&mut self, now: Instant) {
        let Some(since) = self.serving_since.take() else { return };
        let took = now.saturating_duration_since(since);
        self.mean = Some(match self.mean {
            None => took,
            Some(mean) => mean.mul_f64(1.0 - NEWEST) + took.mul_f64(NEWEST),
        });
    }

    /// When the call that is being served is likely to be done, and a place in the line free.
    pub(super) fn retry_after(&self, now: Instant) -> Duration {
        let running = self.serving_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        // Nothing was served yet: what has run so long is likely to run as long again.
        let expected = self.mean.unwrap_or(running * 2).saturating_sub(running);
        // One that takes longer than usual is likely to take longer still.
        expected.max(running / 4).clamp(SHORTEST, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_what_is_left_of_a_usual_call() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.retry_after(start), SHORTEST);
        pace.begin(start);
        pace.end(at(20));
        pace.begin(at(20));
        assert_eq!(pace.retry_after(at(25)), Duration::from_secs(15));
        assert_eq!(pace.retry_after(at(100)), Duration::from_secs(20), "it takes longer than usual");
        assert_eq!(pace.retry_after(at(100_000)), LONGEST);
    }
}
