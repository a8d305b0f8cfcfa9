//! `breaker:` and `latency:`: each figure over its default, each within what makes sense.

use std::time::Duration;

use super::Resolver;
use crate::config::{BreakerPolicy, LatencyPolicy, path::Path, raw};

impl Resolver<'_, '_> {
    pub(super) fn breaker(&mut self, raw: Option<&raw::Breaker>) -> BreakerPolicy {
        let mut policy = BreakerPolicy::default();
        let Some(raw) = raw else { return policy };
        let path = Path::root().key("breaker");
        self.span(&path.key("window"), raw.window.as_ref(), &mut policy.window);
        self.span(&path.key("cooldown"), raw.cooldown.as_ref(), &mut policy.cooldown);
        policy.max_cooldown = policy.max_cooldown.max(policy.cooldown);
        self.span(&path.key("max_cooldown"), raw.max_cooldown.as_ref(), &mut policy.max_cooldown);
        self.span(&path.key("recovery"), raw.recovery.as_ref(), &mut policy.recovery);
        policy.min_calls = raw.min_calls.unwrap_or(policy.min_calls);
        policy.consecutive = raw.consecutive.unwrap_or(policy.consecutive);
        for (key, number) in [("min_calls", policy.min_calls), ("consecutive", policy.consecutive)] {
            if number == 0 {
                self.error(&path.key(key), "must be at least 1", "");
            }
        }
        if let Some(rate) = raw.failure_rate {
            if !(rate > 0.0 && rate <= 1.0) {
                self.error(&path.key("failure_rate"), format!("{rate} is not more than 0 and at most 1"), "");
            }
            policy.failure_rate = rate;
        }
        if policy.max_cooldown < policy.cooldown {
            self.error(&path.key("max_cooldown"), "is shorter than `cooldown`", "");
        }
        policy
    }

    pub(super) fn latency(&mut self, raw: Option<&raw::Latency>) -> LatencyPolicy {
        let mut policy = LatencyPolicy::default();
        let Some(raw) = raw else { return policy };
        let path = Path::root().key("latency");
        self.span(&path.key("floor"), raw.floor.as_ref(), &mut policy.floor);
        policy.ceiling = policy.ceiling.max(policy.floor);
        self.span(&path.key("ceiling"), raw.ceiling.as_ref(), &mut policy.ceiling);
        self.span(&path.key("window"), raw.window.as_ref(), &mut policy.window);
        policy.min_samples = raw.min_samples.unwrap_or(policy.min_samples);
        if policy.min_samples == 0 {
            self.error(&path.key("min_samples"), "must be at least 1", "");
        }
        for (key, given, target) in [
            ("factor", raw.factor, &mut policy.factor),
            ("max_drift_per_day", raw.max_drift_per_day, &mut policy.max_drift_per_day),
        ] {
            let Some(number) = given else { continue };
            if !(number >= 1.0 && number.is_finite()) {
                self.error(&path.key(key), format!("{number} is not a factor of at least 1"), "");
            }
            *target = number;
        }
        if policy.ceiling < policy.floor {
            self.error(&path.key("ceiling"), "is shorter than `floor`", "");
        }
        policy
    }

    /// A span that is not nothing.
    fn span(&mut self, path: &Path, text: Option<&raw::DurationText>, to: &mut Duration) {
        let Some(span) = text.and_then(|text| self.duration(path, text)) else { return };
        if span.is_zero() {
            self.error(path, "must be longer than nothing", "");
        }
        *to = span;
    }
}
