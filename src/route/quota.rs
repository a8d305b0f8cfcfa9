//! What a target's vendor still lets us ask, learnt from its headers, so that a limit is seen coming.
//!
//! - The vendor's word replaces what was counted here; between two words each call is taken off.
//! - What is known expires at its reset, and after an hour at the latest: a wrong word costs an hour, never a target.
//! - A wait the vendor asked for is never shortened by a later, shorter one.
//! - Calls that are out at once may overshoot by their number; the vendor's 429 then says so.
//! - Pure: time is an argument, and a time that goes back is harmless.

mod headers;
mod meter;

use std::time::{Duration, Instant};

pub use headers::{MeterHeaders, RateHeaders, Refill, concerns, read};

use meter::Meter;

/// What a call is expected to take, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    pub input: u64,
    pub output: u64,
}

/// Why a target should not be asked yet, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    pub for_: Duration,
    pub why: &'static str,
}

/// One target's limits.
#[derive(Debug, Clone, Default)]
pub struct Quota {
    /// Of requests, tokens, input tokens and output tokens, as `demands` has them.
    meters: [Option<Meter>; 4],
    limited: Option<Limited>,
}

/// The vendor said no.
#[derive(Debug, Clone, Copy)]
struct Limited {
    until: Instant,
    /// How often in a row it said so without saying for how long.
    guesses: u32,
}

/// The longest that anything a vendor says is believed.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The first wait after a limit that does not say how long it lasts; doubles up to the second.
const FIRST_GUESS: Duration = Duration::from_secs(1);
const LONGEST_GUESS: Duration = Duration::from_secs(60);

/// A limit so long after the end of the last one begins a new row.
const CALM: Duration = Duration::from_secs(60);

impl Quota {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the vendor's word, from any answer. Its `retry_after` is for `limited`, since some vendors send one always.
    pub fn observe(&mut self, now: Instant, headers: &RateHeaders) {
        let said = [&headers.requests, &headers.tokens, &headers.input_tokens, &headers.output_tokens];
        for (meter, said) in self.meters.iter_mut().zip(said) {
            *meter = Meter::new(now, said).or(*meter);
        }
    }

    /// The vendor refused a call for a limit: a 429, or an error that speaks of a quota. Without `retry_after` (or with
    /// none to speak of) a wait is guessed: a second, doubled each time it is refused again, up to a minute.
    pub fn limited(&mut self, now: Instant, retry_after: Option<Duration>) {
        let before = self.limited.filter(|limited| now.saturating_duration_since(limited.until) < CALM);
        let guesses = before.map_or(0, |limited| limited.guesses);
        let (wait, guesses) = match (retry_after.filter(|wait| !wait.is_zero()), before) {
            (Some(wait), _) => (wait.min(LONGEST), guesses),
            // Calls that were out together are refused together: that is one refusal.
            (None, Some(limited)) if now < limited.until => return,
            (None, _) => (
                FIRST_GUESS.saturating_mul(2_u32.saturating_pow(guesses)).min(LONGEST_GUESS),
                guesses.saturating_add(1),
            ),
        };
        let until = before.map_or(now + wait, |limited| limited.until.max(now + wait));
        self.limited = Some(Limited { until, guesses });
    }

    /// A call is sent: takes it off until the vendor's next word.
    pub fn spend(&mut self, now: Instant, estimate: Estimate) {
        for (meter, (amount, _)) in self.meters.iter_mut().zip(demands(estimate)) {
            *meter = meter.filter(|meter| meter.holds(now)).map(|meter| meter.less(now, amount));
        }
    }

    /// Why a call of this size should go elsewhere now; the longest wait where several meters object. After that wait,
    /// with nothing else spent or learnt, there is no objection.
    pub fn objection(&self, now: Instant, estimate: Estimate) -> Option<Wait> {
        let asked = self.limited.map(|limited| limited.until.saturating_duration_since(now));
        let asked = asked.filter(|wait| !wait.is_zero()).map(|for_| Wait { for_, why: "the vendor limits us" });
        let metered = self.meters.iter().zip(demands(estimate)).filter_map(|(meter, (amount, why))| {
            let for_ = meter.filter(|meter| meter.holds(now))?.wait(now, amount)?;
            Some(Wait { for_, why })
        });
        metered.chain(asked).max_by_key(|wait| wait.for_)
    }
}

/// What a call takes of each meter, and the objection when there is less.
fn demands(estimate: Estimate) -> [(u64, &'static str); 4] {
    let Estimate { input, output } = estimate;
    [
        (1, "no requests are left until the vendor's limit resets"),
        (input.saturating_add(output), "too few tokens are left until the vendor's limit resets"),
        (input, "too few input tokens are left until the vendor's limit resets"),
        (output, "too few output tokens are left until the vendor's limit resets"),
    ]
}

#[cfg(test)]
mod tests;
