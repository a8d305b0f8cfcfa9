//! One breaker: counts how a place's calls end, keeps calls away from it while it fails, and lets them back in steps.
//!
//! ```text
//! Closed ──too many failures──▶ Open ──cooldown──▶ HalfOpen ──probe succeeds──▶ Recovering ──time──▶ Closed
//!                                ▲                  │                             │
//!                                └──probe fails─────┴────────too many failures────┘
//! ```
//!
//! - At most one probe is out at a time, and only its own verdict closes or reopens what is half open.
//! - What was asked before the breaker opened tells nothing of how the place is now: such verdicts are dropped.
//! - A cooldown is never shortened by a later failure; each failed probe doubles it, up to the policy's bound.
//! - Pure: time and randomness are arguments. A time that goes back is harmless.

mod policy;

use std::time::{Duration, Instant};

use super::window::Window;
use crate::config::BreakerPolicy;

/// What the breaker would say now; for plans and for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BreakerStanding {
    Closed,
    /// The place answers again; `share` of the calls (0 to 1) go to it.
    Recovering {
        share: f64,
    },
    /// No call before `until`.
    Open {
        until: Instant,
    },
    /// The cooldown is over: one call at a time may try the place. `probing`: one is doing so.
    HalfOpen {
        probing: bool,
    },
}

/// How a call ended, as far as the place's health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Success,
    Failure,
    /// Says nothing of the place: the caller hung up, or the call was never sent.
    Neutral,
}

/// The right to ask once. Whoever holds it must hand it back with `record`, if only as `Neutral`: a probe that is never
/// handed back keeps the breaker half open for ever.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "hand it back with `record`; a lost probe keeps the breaker half open"]
pub struct Ticket {
    /// How often the breaker had opened when the ticket was given.
    openings: u64,
    errand: Errand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    Call,
    Probe,
}

/// Not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// When a next try makes sense.
    pub retry_after: Duration,
}

#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
    openings: u64,
    /// The verdicts since the breaker last opened.
    recent: Window,
    failures_in_a_row: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    /// Open before `until`, half open from then on.
    Open {
        until: Instant,
        cooldown: Duration,
        probe: Probe,
    },
    Recovering {
        /// When the first step begins.
        since: Instant,
        /// The last cooldown, from which the next one doubles.
        cooldown: Duration,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Home,
    Out,
}

impl Ticket {
    /// Whether this call decides if the place is well again.
    pub fn is_probe(&self) -> bool {
        self.errand == Errand::Probe
    }
}

impl BreakerStanding {
    /// Whether a call with this roll of the dice (0 to 1) would be let through.
    pub fn admits(self, roll: f64) -> bool {
        match self {
            Self::Closed => true,
            Self::Recovering { share } => roll < share || share >= 1.0,
            Self::Open { .. } => false,
            Self::HalfOpen { probing } => !probing,
        }
    }
}

impl Breaker {
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { recent: Window::new(policy.window), policy, state: State::Closed, openings: 0, failures_in_a_row: 0 }
    }

    pub fn standing(&self, now: Instant) -> BreakerStanding {
        match self.state {
            State::Closed => BreakerStanding::Closed,
            State::Open { until, .. } if now < until => BreakerStanding::Open { until },
            State::Open { probe, .. } => BreakerStanding::HalfOpen { probing: probe == Probe::Out },
            State::Recovering { since, .. } => match self.policy.share(now, since) {
                Some(share) => BreakerStanding::Recovering { share },
                None => BreakerStanding::Closed,
            },
        }
    }

    /// Lets one call through, or says when to come back. `roll`: uniform in 0..1, decides who goes during recovery.
    pub fn admit(&mut self, now: Instant, roll: f64) -> Result<Ticket, Refused> {
        let standing = self.standing(now);
        if !standing.admits(roll) {
            return Err(Refused { retry_after: self.wait(now) });
        }
        let errand = match &mut self.state {
            State::Open { probe, .. } => {
                *probe = Probe::Out;
                Errand::Probe
            }
            State::Closed | State::Recovering { .. } => Errand::Call,
        };
        Ok(Ticket { openings: self.openings, errand })
    }

    /// Takes a ticket back with how its call ended. `jitter`: uniform in 0..1, spreads cooldowns and recoveries.
    pub fn record(&mut self, now: Instant, ticket: Ticket, verdict: Verdict, jitter: f64) {
        if !self.is_current(&ticket) {
            return;
        }
        match (self.state, ticket.errand, verdict) {
            (State::Open { until, cooldown, .. }, Errand::Probe, verdict) => {
                self.state = State::Open { until, cooldown, probe: Probe::Home };
                match verdict {
                    Verdict::Neutral => {}
                    Verdict::Success => self.recover(now, cooldown, jitter),
                    Verdict::Failure => self.open(now, self.policy.doubled(cooldown), jitter),
                }
            }
            // No such ticket is given out, but nothing follows from one.
            (State::Open { .. }, Errand::Call, _) | (_, Errand::Probe, _) | (_, _, Verdict::Neutral) => {}
            (State::Closed | State::Recovering { .. }, Errand::Call, Verdict::Success) => {
                self.close_when_recovered(now);
                self.failures_in_a_row = 0;
                self.recent.success(now);
            }
            (State::Closed | State::Recovering { .. }, Errand::Call, Verdict::Failure) => {
                self.close_when_recovered(now);
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.recent.failure(now);
                if self.fails_too_often(now) {
                    self.trip(now, jitter);
                }
            }
        }
    }

    /// Opens it on someone else's evidence. One that is open already stays so for at least its cooldown from now.
    pub fn trip(&mut self, now: Instant, jitter: f64) {
        self.close_when_recovered(now);
        let cooldown = match self.state {
            State::Closed => self.policy.first_cooldown(),
            State::Open { cooldown, .. } => cooldown,
            State::Recovering { cooldown, .. } => self.policy.doubled(cooldown),
        };
        self.open(now, cooldown, jitter);
    }

    /// Whether the ticket was given since the breaker last opened, so that its verdict counts.
    pub fn is_current(&self, ticket: &Ticket) -> bool {
        ticket.openings == self.openings
    }

    fn open(&mut self, now: Instant, cooldown: Duration, jitter: f64) {
        let until = later(now, self.policy.jittered(cooldown, jitter));
        self.state = match self.state {
            State::Open { until: before, probe, .. } => State::Open { until: before.max(until), cooldown, probe },
            State::Closed | State::Recovering { .. } => {
                self.openings += 1;
                self.forget();
                State::Open { until, cooldown, probe: Probe::Home }
            }
        };
    }

    fn recover(&mut self, now: Instant, cooldown: Duration, jitter: f64) {
        self.forget();
        let since = later(now, self.policy.recovery_delay(jitter));
        self.state = State::Recovering { since, cooldown };
    }

    fn close_when_recovered(&mut self, now: Instant) {
        if let State::Recovering { since, .. } = self.state
            && self.policy.share(now, since).is_none()
        {
            self.state = State::Closed;
        }
    }

    fn forget(&mut self) {
        self.recent.clear();
        self.failures_in_a_row = 0;
    }

    fn fails_too_often(&self, now: Instant) -> bool {
        let (min_calls, consecutive) = match self.state {
            State::Recovering { .. } => self.policy.evidence_in_recovery(),
            State::Closed | State::Open { .. } => (self.policy.min_calls, self.policy.consecutive),
        };
        let tally = self.recent.tally(now);
        self.failures_in_a_row >= consecutive.max(1)
            || (tally.calls >= min_calls.max(1) && tally.failure_rate() >= self.policy.failure_rate)
    }

    /// How long a refused call should stay away.
    fn wait(&self, now: Instant) -> Duration {
        match self.state {
            State::Closed => Duration::ZERO,
            State::Open { until, .. } if now < until => until - now,
            // The probe that is out will tell; nobody knows when.
            State::Open { .. } => self.policy.first_cooldown(),
            State::Recovering { since, .. } => self.policy.next_step(now, since),
        }
    }
}

/// `by` after `now`; a time that no clock can hold is a century from now.
fn later(now: Instant, by: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    now.checked_add(by).unwrap_or(now + CENTURY)
}

#[cfg(test)]
mod tests;
