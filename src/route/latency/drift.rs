//! A quantile on its way: from where it was towards an aim, by no more than a factor a day.
//!
//! As a function of time it is continuous and its logarithm's slope is bounded, across any number of new aims; so no
//! sequence of samples moves it faster. In whole nanoseconds, rounded towards where it was: what is stored is what is read.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Quantile;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drift {
    from_ns: u64,
    aim_ns: u64,
}

const DAY_MS: f64 = 86_400_000.0;

impl Drift {
    pub(super) fn still(at: Duration) -> Self {
        Self { from_ns: nanos(at), aim_ns: nanos(at) }
    }

    /// From `from` to what the samples say. A lower bound is an aim only above where it is.
    pub(super) fn towards(from: Duration, quantile: Quantile) -> Self {
        let aim = match quantile {
            Quantile::Unknown => from,
            Quantile::Known(aim) => aim,
            Quantile::AtLeast(bound) => bound.max(from),
        };
        Self { from_ns: nanos(from), aim_ns: nanos(aim) }
    }

    /// Where it is `age_ms` after it was at its start.
    pub(super) fn ruling(self, age_ms: i64, max_per_day: f64) -> Duration {
        let per_day = if max_per_day.is_nan() { 1.0 } else { max_per_day.max(1.0) };
        let reach = per_day.powf(age_ms as f64 / DAY_MS);
        let from = self.from_ns as f64;
        // A float that is out of range becomes the nearest u64.
        let highest = ((from * reach).floor() as u64).max(self.from_ns);
        let lowest = ((from / reach).ceil() as u64).min(self.from_ns);
        Duration::from_nanos(self.aim_ns.clamp(lowest, highest))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_moves_by_the_factor_a_day_and_stops_at_its_aim() {
        let rising = Drift::towards(second(2), Quantile::Known(second(4)));
        assert_eq!(rising.ruling(0, 1.5), second(2));
        assert_eq!(rising.ruling(DAY, 1.5), second(3));
        assert_eq!(rising.ruling(2 * DAY, 1.5), second(4));
        let falling = Drift::towards(second(3), Quantile::Known(second(1)));
        assert_eq!(falling.ruling(DAY, 1.5), second(2));
        assert_eq!(falling.ruling(9 * DAY, 1.5), second(1));
    }

    #[test]
    fn a_lower_bound_never_pulls_it_down() {
        let still = Drift::towards(second(3), Quantile::AtLeast(second(1)));
        assert_eq!(still.ruling(9 * DAY, 1.5), second(3));
        let rising = Drift::towards(second(2), Quantile::AtLeast(second(4)));
        assert_eq!(rising.ruling(DAY, 1.5), second(3));
    }

    #[test]
    fn absurd_factors_hold_it_still_or_let_it_go() {
        let drift = Drift::towards(second(2), Quantile::Known(second(4)));
        assert_eq!(drift.ruling(DAY, 0.0), second(2));
        assert_eq!(drift.ruling(DAY, f64::NAN), second(2));
        assert_eq!(drift.ruling(i64::MAX, f64::INFINITY), second(4));
        assert_eq!(Drift::still(Duration::ZERO).ruling(i64::MAX, 1.5), Duration::ZERO);
    }
}
