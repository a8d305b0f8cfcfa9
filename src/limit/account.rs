//! What one subject has used: calls under way, four windows, three periods of spending. One short lock for each subject.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{
    budget::{Reached, Spending, Spent},
    subject::Subject,
    window::{Span, Window},
};
use crate::{config::Limits, domain::Money};

/// The most that one call is counted with, so that no absurd figure can overflow a sum.
const MOST: u64 = 1 << 40;

/// What is limited over a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    RequestsPerMinute,
    TokensPerMinute,
    RequestsPerDay,
    TokensPerDay,
}

/// What one call asks for, and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ask {
    pub at_unix_ms: i64,
    pub requests: u64,
    /// As estimated.
    pub tokens: u64,
    /// Calls that it is, of those that are answered at once.
    pub in_flight: u64,
}

/// How much of a rate is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub limit: u64,
    pub remaining: u64,
    /// When all of it is there again, in ms since 1970-01-01 UTC.
    pub resets_unix_ms: i64,
}

/// What is left for a caller: the scarcest of all that apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    pub requests: Option<Left>,
    pub tokens: Option<Left>,
}

/// Why an account does not take a call on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    Rate {
        rate: Rate,
        limit: u64,
        /// When the call fits again; `None`: never, it is too large by itself.
        fits_unix_ms: Option<i64>,
    },
    Concurrency {
        limit: u64,
    },
}

#[derive(Debug)]
pub struct Account {
    subject: Subject,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: u64,
    /// In the order of [`Rate::ALL`]; made when something counts in them.
    windows: [Option<Window>; 4],
    spending: Spending,
}

/// An account at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    pub in_flight: u64,
    /// What the windows hold, in the order of [`Rate::ALL`], and when they are empty again.
    pub used: [(u64, i64); 4],
    pub spent: [Spent; 3],
}

impl Rate {
    pub const ALL: [Self; 4] =
        [Self::RequestsPerMinute, Self::TokensPerMinute, Self::RequestsPerDay, Self::TokensPerDay];

    pub fn of(self, limits: &Limits) -> Option<u64> {
        match self {
            Self::RequestsPerMinute => limits.requests_per_minute,
            Self::TokensPerMinute => limits.tokens_per_minute,
            Self::RequestsPerDay => limits.requests_per_day,
            Self::TokensPerDay => limits.tokens_per_day,
        }
    }

    /// `requests per minute`
    pub fn words(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests per minute",
            Self::TokensPerMinute => "tokens per minute",
            Self::RequestsPerDay => "requests per day",
            Self::TokensPerDay => "tokens per day",
        }
    }

    pub fn span(self) -> Span {
        match self {
            Self::RequestsPerMinute | Self::TokensPerMinute => Span::MINUTE,
            Self::RequestsPerDay | Self::TokensPerDay => Span::DAY,
        }
    }

    pub fn is_of_tokens(self) -> bool {
        matches!(self, Self::TokensPerMinute | Self::TokensPerDay)
    }

    fn amount(self, ask: &Ask) -> u64 {
        if self.is_of_tokens() { ask.tokens.min(MOST) } else { ask.requests }
    }
}

impl Account {
    pub fn new(subject: Subject) -> Self {
        Self { subject, state: Mutex::default() }
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Takes a call on, or says why not and changes nothing.
    pub fn take(&self, limits: &Limits, ask: &Ask) -> Result<Standing, Denied> {
        let mut state = self.state();
        let at = ask.at_unix_ms;
        state.check(limits, ask)?;
        state.in_flight += ask.in_flight;
        let mut standing = Standing::default();
        for (rate, window) in state.windows_for(limits, self.subject.pays()) {
            window.add(at, rate.amount(ask));
            if let Some(limit) = rate.of(limits) {
                standing.see(rate, Left::of(window, limit, at));
            }
        }
        Ok(standing)
    }

    /// As [`Self::take`], and takes nothing.
    pub fn check(&self, limits: &Limits, ask: &Ask) -> Result<(), Denied> {
        self.state().check(limits, ask)
    }

    /// The call was not made after all.
    pub fn give_back(&self, ask: &Ask) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(ask.in_flight);
        for (rate, window) in state.windows() {
            window.take_back(ask.at_unix_ms, rate.amount(ask));
        }
    }

    /// The call is over and has used `tokens`: what was estimated too high was never used, and what was estimated too low
    /// counts from now on.
    pub fn finish(&self, ask: &Ask, tokens: u64, now_unix_ms: i64) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(ask.in_flight);
        let (estimated, tokens) = (ask.tokens.min(MOST), tokens.min(MOST));
        for (_, window) in state.windows().filter(|(rate, _)| rate.is_of_tokens()) {
            window.take_back(ask.at_unix_ms, estimated.saturating_sub(tokens));
            window.add(now_unix_ms, tokens.saturating_sub(estimated));
        }
    }

    /// When a call that began at `at` counts as begun, see [`Spending::counts_at`]; what money is set aside and spent by.
    pub fn counts_at(&self, at_unix_ms: i64) -> i64 {
        self.state().spending.counts_at(at_unix_ms)
    }

    /// Sets `more` aside for a call that counts at `at`, or says which budget it does not fit in.
    pub fn reserve(&self, limits: &Limits, at_unix_ms: i64, more: Money) -> Result<(), (Spent, Money)> {
        self.state().spending.reserve(limits, at_unix_ms, more)
    }

    pub fn release(&self, at_unix_ms: i64, reserved: Money) {
        self.state().spending.release(at_unix_ms, reserved);
    }

    /// What was set aside is given back, and what was spent instead is counted. The marks that it reached.
    pub fn spend(&self, limits: &Limits, at_unix_ms: i64, (reserved, cost): (Money, Money)) -> Vec<Reached> {
        let mut state = self.state();
        state.spending.release(at_unix_ms, reserved);
        state.spending.spend(at_unix_ms, cost);
        if limits.has_budget() { state.spending.marks(limits, at_unix_ms) } else { Vec::new() }
    }

    /// Counts what was used before this process began.
    pub fn restore(&self, at_unix_ms: i64, (calls, tokens): (u64, u64), rates: &[Rate]) {
        let mut state = self.state();
        for rate in rates {
            let amount = if rate.is_of_tokens() { tokens } else { calls };
            state.window(*rate).restore(at_unix_ms, amount.min(MOST));
        }
    }

    /// Counts what was spent before this process began.
    pub fn restore_spent(&self, at_unix_ms: i64, cost: Money, now_unix_ms: i64) {
        self.state().spending.restore(at_unix_ms, cost, now_unix_ms);
    }

    pub fn balance(&self, now_unix_ms: i64) -> Balance {
        let mut state = self.state();
        let mut used = [(0, now_unix_ms); 4];
        for (rate, window) in state.windows() {
            used[rate as usize] = (window.total(now_unix_ms), window.empty_at(now_unix_ms));
        }
        Balance { in_flight: state.in_flight, used, spent: state.spending.at(now_unix_ms) }
    }

    /// Whether nothing of it needs to be known.
    pub fn is_idle(&self, now_unix_ms: i64) -> bool {
        let balance = self.balance(now_unix_ms);
        balance.in_flight == 0
            && balance.used.iter().all(|(used, _)| *used == 0)
            && balance.spent.iter().all(|spent| spent.spent == Money::ZERO && spent.reserved == Money::ZERO)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&mut self, limits: &Limits, ask: &Ask) -> Result<(), Denied> {
        if let Some(limit) = limits.concurrency.filter(|limit| self.in_flight + ask.in_flight > *limit)
            && ask.in_flight > 0
        {
            return Err(Denied::Concurrency { limit });
        }
        for rate in Rate::ALL {
            // What asks for nothing is not held up by what others have used.
            let (Some(limit), amount @ 1..) = (rate.of(limits), rate.amount(ask)) else { continue };
            let fits = self.window(rate).fits_at(ask.at_unix_ms, amount, limit);
            // A clock that was set back sees the same.
            if fits.is_none_or(|at| at > ask.at_unix_ms) {
                return Err(Denied::Rate { rate, limit, fits_unix_ms: fits });
            }
        }
        Ok(())
    }

    fn window(&mut self, rate: Rate) -> &mut Window {
        self.windows[rate as usize].get_or_insert_with(|| Window::new(rate.span()))
    }

    fn windows(&mut self) -> impl Iterator<Item = (Rate, &mut Window)> {
        Rate::ALL.into_iter().zip(&mut self.windows).filter_map(|(rate, window)| Some((rate, window.as_mut()?)))
    }

    /// Every window that `limits` need. Days of those who pay are kept in any case: a limit that is set later counts them.
    fn windows_for(&mut self, limits: &Limits, pays: bool) -> impl Iterator<Item = (Rate, &mut Window)> {
        for rate in Rate::ALL {
            if rate.of(limits).is_some() || (pays && rate.span() == Span::DAY) {
                self.window(rate);
            }
        }
        self.windows()
    }
}

impl Left {
    fn of(window: &mut Window, limit: u64, now_unix_ms: i64) -> Self {
        let remaining = limit.saturating_sub(window.total(now_unix_ms));
        Self { limit, remaining, resets_unix_ms: window.empty_at(now_unix_ms) }
    }

    /// Whether less of it is left than of `other`, in proportion.
    fn is_scarcer_than(&self, other: &Self) -> bool {
        u128::from(self.remaining) * u128::from(other.limit) < u128::from(other.remaining) * u128::from(self.limit)
    }
}

impl Standing {
    fn see(&mut self, rate: Rate, left: Left) {
        let place = if rate.is_of_tokens() { &mut self.tokens } else { &mut self.requests };
        if place.is_none_or(|known| left.is_scarcer_than(&known)) {
            *place = Some(left);
        }
    }

    /// The scarcer of both.
    pub fn and(mut self, other: Self) -> Self {
        for (place, left) in [(&mut self.requests, other.requests), (&mut self.tokens, other.tokens)] {
            if let Some(left) = left
                && place.is_none_or(|known| left.is_scarcer_than(&known))
            {
                *place = Some(left);
            }
        }
        self
    }

    /// What is left where `rate` has just refused a call.
    pub fn of_refusal(rate: Rate, limit: u64, fits_unix_ms: i64) -> Self {
        let mut standing = Self::default();
        standing.see(rate, Left { limit, remaining: 0, resets_unix_ms: fits_unix_ms });
        standing
    }
}
