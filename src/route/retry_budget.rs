//! How often a target may be asked again: at most one retry per ten first attempts, whatever happens.
//!
//! The budget starts with one retry, which the first ten attempts pay for: over any stretch from the start retries are at
//! most a tenth of the first attempts, or one. A thousand calls against a dead target are at most eleven hundred attempts. What is saved up is bounded, so that a long calm does not pay for
//! a storm. Pure: the random number is an argument.

use std::time::Duration;

/// In tenths of a retry, which are exact.
const DEPOSIT: u32 = 1;
const RETRY: u32 = 10;
const CAPACITY: u32 = 10 * RETRY;

const BACKOFF_BASE: Duration = Duration::from_millis(100);
const BACKOFF_CAP: Duration = Duration::from_secs(2);

/// A target's token bucket of retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBudget {
    tenths: u32,
    /// What is still to be paid for the retry that it started with.
    owed: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tenths: RETRY, owed: RETRY }
    }
}

impl RetryBudget {
    pub fn new() -> Self {
        Self::default()
    }

    /// A call asks the target for the first time: a tenth of a retry is earned.
    pub fn deposit(&mut self) {
        match self.owed.checked_sub(DEPOSIT) {
            Some(less) => self.owed = less,
            None => self.tenths = (self.tenths + DEPOSIT).min(CAPACITY),
        }
    }

    /// Takes one retry; `false` when there is none to take, and then the call must not ask this target again.
    #[must_use = "without the budget's word there is no retry"]
    pub fn withdraw(&mut self) -> bool {
        let Some(left) = self.tenths.checked_sub(RETRY) else { return false };
        self.tenths = left;
        true
    }

    /// How many retries could be taken now.
    pub fn available(&self) -> u32 {
        self.tenths / RETRY
    }
}

/// How long to wait before retry `attempt` (the first is 0): anything up to 100 ms doubled each time, at most 2 s.
/// `roll`: uniform in 0..1. Full jitter, after <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
pub fn backoff(attempt: u32, roll: f64) -> Duration {
    let doubled = BACKOFF_BASE.saturating_mul(2_u32.saturating_pow(attempt));
    let roll = if roll.is_nan() { 0.0 } else { roll.clamp(0.0, 1.0) };
    doubled.min(BACKOFF_CAP).mul_f64(roll)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_thousand_calls_against_a_dead_target_are_at_most_eleven_hundred_attempts() {
        let mut budget = RetryBudget::new();
        let mut attempts = 0;
        for _ in 0..1_000 {
            budget.deposit();
            attempts += 1;
            while budget.withdraw() {
                attempts += 1;
            }
        }
        assert_eq!(attempts, 1_100);
    }

    #[test]
    fn a_calm_saves_up_ten_retries_and_no_more() {
        let mut budget = RetryBudget::new();
        (0..100_000).for_each(|_| budget.deposit());
        assert_eq!(budget.available(), 10);
        assert_eq!((0..100).filter(|_| budget.withdraw()).count(), 10);
    }

    #[test]
    fn the_backoff_doubles_up_to_its_cap() {
        let longest: Vec<_> = (0..7).map(|attempt| backoff(attempt, 1.0).as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert_eq!(backoff(3, 0.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn retries_are_at_most_a_tenth_of_first_attempts(retries in proptest::collection::vec(any::<bool>(), 0..2_000)) {
            let mut budget = RetryBudget::new();
            let (mut first, mut again) = (0_u32, 0_u32);
            for retry in retries {
                if retry {
                    again += u32::from(budget.withdraw());
                } else {
                    first += 1;
                    budget.deposit();
                }
                prop_assert!(again <= 1.max(first / 10));
            }
        }

        #[test]
        fn a_backoff_stays_within_its_bounds(attempt: u32, roll: f64) {
            prop_assert!(backoff(attempt, roll) <= BACKOFF_CAP);
        }
    }
}
