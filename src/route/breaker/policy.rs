//! When a breaker opens, for how long, and in which steps calls come back. Pure arithmetic; bounds what a config may say.

use std::time::{Duration, Instant};

use crate::config::BreakerPolicy;

/// The shares of the calls that go to a place that recovers, each for the same part of `recovery`.
const STEPS: [f64; 4] = [0.10, 0.25, 0.50, 1.0];

/// A cooldown is lengthened by up to this share of it, so that gateways which saw the same outage do not probe together.
const COOLDOWN_JITTER: f64 = 0.25;

/// The return begins up to this share of `recovery` late, for the same reason.
const RECOVERY_JITTER: f64 = 0.25;

impl BreakerPolicy {
    pub(super) fn first_cooldown(&self) -> Duration {
        self.cooldown.min(self.max_cooldown)
    }

    /// Leaves room for the jitter below the bound, or all gateways at the bound would probe at once.
    pub(super) fn doubled(&self, cooldown: Duration) -> Duration {
        let bound = self.max_cooldown.div_f64(1.0 + COOLDOWN_JITTER);
        cooldown.saturating_mul(2).min(bound).max(self.first_cooldown())
    }

    /// Never shorter than `cooldown` itself.
    pub(super) fn jittered(&self, cooldown: Duration, jitter: f64) -> Duration {
        scaled(cooldown, 1.0 + COOLDOWN_JITTER * unit(jitter)).min(self.max_cooldown).max(cooldown)
    }

    pub(super) fn recovery_delay(&self, jitter: f64) -> Duration {
        scaled(self.recovery, RECOVERY_JITTER * unit(jitter))
    }

    /// The share of a recovery that begins at `since`; none of the calls before that, `None` when it is over.
    pub(super) fn share(&self, now: Instant, since: Instant) -> Option<f64> {
        if now < since {
            return Some(0.0);
        }
        STEPS.get(self.step(now, since)).copied()
    }

    /// How long until more calls are let through.
    pub(super) fn next_step(&self, now: Instant, since: Instant) -> Duration {
        if now < since {
            return since - now;
        }
        // At most four, so the cast is exact.
        let end = scaled(self.step_length(), (self.step(now, since) + 1) as f64);
        end.saturating_sub(now.saturating_duration_since(since))
    }

    /// Calls and failures in a row that decide while only a share of the calls goes there: half of what else is needed,
    /// since the place has just been down.
    pub(super) fn evidence_in_recovery(&self) -> (u32, u32) {
        (self.min_calls.div_ceil(2), self.consecutive.div_ceil(2))
    }

    fn step(&self, now: Instant, since: Instant) -> usize {
        let length = self.step_length();
        let passed = now.saturating_duration_since(since);
        if length.is_zero() { STEPS.len() } else { (passed.div_duration_f64(length) as usize).min(STEPS.len()) }
    }

    fn step_length(&self) -> Duration {
        self.recovery / 4
    }
}

/// A random number as it should be: within 0 and 1.
fn unit(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number.clamp(0.0, 1.0) }
}

/// `factor` is finite and not negative; what no `Duration` holds becomes the longest one.
fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_come_back_in_steps() {
        let policy = BreakerPolicy::default();
        let since = Instant::now();
        let at = |seconds| policy.share(since + Duration::from_secs(seconds), since);
        let shares: Vec<_> = [0, 4, 5, 10, 15, 19, 20].into_iter().map(at).collect();
        assert_eq!(shares, [Some(0.10), Some(0.10), Some(0.25), Some(0.50), Some(1.0), Some(1.0), None]);
        assert_eq!(policy.next_step(since + Duration::from_secs(4), since), Duration::from_secs(1));
    }

    #[test]
    fn cooldowns_double_up_to_a_bound_that_leaves_room_for_jitter() {
        let policy = BreakerPolicy::default();
        let mut cooldown = policy.first_cooldown();
        let mut seconds = Vec::new();
        for _ in 0..7 {
            seconds.push(cooldown.as_secs());
            cooldown = policy.doubled(cooldown);
        }
        assert_eq!(seconds, [5, 10, 20, 40, 80, 96, 96]);
        assert_eq!(policy.jittered(cooldown, 1.0), policy.max_cooldown);
        assert_eq!(policy.jittered(cooldown, 0.0), cooldown);
    }

    #[test]
    fn absurd_settings_do_not_panic() {
        let policy = BreakerPolicy {
            cooldown: Duration::MAX,
            max_cooldown: Duration::MAX,
            recovery: Duration::MAX,
            ..BreakerPolicy::default()
        };
        assert_eq!(policy.jittered(Duration::MAX, f64::NAN), Duration::MAX);
        assert_eq!(policy.doubled(policy.cooldown), Duration::MAX);
        let now = Instant::now();
        assert_eq!(policy.share(now, now), Some(0.10));
        assert!(policy.next_step(now, now) > Duration::from_secs(1));
    }
}
