//! One region: how each of its targets fares, and the breaker that opens when several fail together.

use std::{collections::HashMap, time::Instant};

use super::{OutagePolicy, after_an_outage};
use crate::{
    domain::TargetId,
    route::{
        Breaker, BreakerStanding, Ticket, Verdict,
        window::{Tally, Window},
    },
};

#[derive(Debug, Clone)]
pub(super) struct Region {
    pub(super) breaker: Breaker,
    targets: HashMap<TargetId, Window>,
}

impl Region {
    pub(super) fn new(policy: &OutagePolicy) -> Self {
        Self { breaker: Breaker::new(policy.breaker), targets: HashMap::new() }
    }

    /// Takes a call's verdict; true when the region went out because of it. A failed probe is no news in that sense.
    pub(super) fn record(
        &mut self,
        now: Instant,
        (target, ticket): (&TargetId, Ticket),
        verdict: Verdict,
        policy: &OutagePolicy,
        jitter: f64,
    ) -> bool {
        if !self.breaker.is_current(&ticket) {
            return false;
        }
        let was_out = self.is_out(now);
        self.breaker.record(now, ticket, after_an_outage(&self.breaker, now, verdict), jitter);
        if !was_out {
            self.count(now, target, verdict, policy);
            if !self.is_out(now) && self.fails_together(now, policy) {
                self.breaker.trip(now, jitter);
            }
        }
        let went_out = !was_out && self.is_out(now);
        if went_out {
            // The window outlives a first cooldown; what it holds must not open the region again after it.
            self.targets.clear();
        }
        went_out
    }

    /// Open or half open.
    pub(super) fn is_out(&self, now: Instant) -> bool {
        matches!(self.breaker.standing(now), BreakerStanding::Open { .. } | BreakerStanding::HalfOpen { .. })
    }

    pub(super) fn had_traffic(&self, now: Instant) -> bool {
        self.targets.values().any(|window| window.tally(now).calls > 0)
    }

    fn count(&mut self, now: Instant, target: &TargetId, verdict: Verdict, policy: &OutagePolicy) {
        let add = match verdict {
            Verdict::Neutral => return,
            Verdict::Success => Window::success,
            Verdict::Failure => Window::failure,
        };
        if !self.targets.contains_key(target) {
            self.targets.insert(target.clone(), Window::new(policy.breaker.window));
        }
        self.targets.get_mut(target).into_iter().for_each(|window| add(window, now));
    }

    fn fails_together(&self, now: Instant, policy: &OutagePolicy) -> bool {
        let tallies = || self.targets.values().map(|window| window.tally(now));
        let failing = tallies().filter(|tally| tally.failures >= policy.failures_each.max(1)).count();
        failing >= policy.targets.max(2)
            && tallies().fold(Tally::default(), Tally::plus).failure_rate() >= policy.failure_rate
    }
}
