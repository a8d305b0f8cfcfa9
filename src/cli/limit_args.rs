//! Limits on the command line: the same names as in the config, as changes to what is stored.

use clap::Args;
use serde_json::{Map, Value};

use crate::{
    config::{BudgetKind, Limits},
    domain::Money,
};

/// Every limit that a tenant, a feature, a model or a key may have; what is not given stays, `none` lifts one.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LimitArgs {
    /// Requests per minute, or `none`
    #[arg(long, value_parser = count, value_name = "COUNT")]
    rpm: Option<Change<u64>>,
    /// Requests per day, or `none`
    #[arg(long, value_parser = count, value_name = "COUNT")]
    rpd: Option<Change<u64>>,
    /// Tokens per minute, or `none`
    #[arg(long, value_parser = count, value_name = "TOKENS")]
    tpm: Option<Change<u64>>,
    /// Tokens per day, or `none`
    #[arg(long, value_parser = count, value_name = "TOKENS")]
    tpd: Option<Change<u64>>,
    /// Calls that are answered at once, or `none`
    #[arg(long, value_parser = count, value_name = "CALLS")]
    concurrency: Option<Change<u64>>,
    /// The largest request body in bytes, or `none`
    #[arg(long, value_parser = count, value_name = "BYTES")]
    max_body: Option<Change<u64>>,
    /// The most that a caller may ask for as `max_tokens`, or `none`
    #[arg(long, value_parser = count, value_name = "TOKENS")]
    max_tokens: Option<Change<u64>>,
    /// The most that one call may cost at worst, in US dollars, or `none`
    #[arg(long, value_parser = amount, value_name = "USD")]
    max_usd_per_call: Option<Change<Money>>,
    /// US dollars per day (UTC), or `none`
    #[arg(long, value_parser = amount, value_name = "USD")]
    budget_usd_per_day: Option<Change<Money>>,
    /// US dollars per week (UTC, from Monday), or `none`
    #[arg(long, value_parser = amount, value_name = "USD")]
    budget_usd_per_week: Option<Change<Money>>,
    /// US dollars per month (UTC), or `none`
    #[arg(long, value_parser = amount, value_name = "USD")]
    budget_usd_per_month: Option<Change<Money>>,
    /// Whether calls that could overspend a budget are refused, or people are only told [default: hard]
    #[arg(long, value_enum)]
    budget_kind: Option<BudgetKind>,
}

/// What becomes of a limit.
#[derive(Debug, Clone, Copy)]
enum Change<T> {
    Lift,
    Set(T),
}

impl LimitArgs {
    /// Whether nothing was given.
    pub(super) fn is_empty(&self) -> bool {
        let after = |limits| self.applied_to(limits);
        after(Limits::NONE).is_none() && after(full()) == full()
    }

    /// What is set, and the names of what is lifted.
    pub(super) fn for_the_api(&self) -> (Map<String, Value>, Vec<String>) {
        let lifted = self.applied_to(full()).named_with_nulls().into_iter().filter(|(_, value)| value.is_null());
        let lifted = lifted.map(|(name, _)| name).filter(|name| name != "budget_kind");
        (self.applied_to(Limits::NONE).for_the_api(), lifted.collect())
    }

    pub(super) fn applied_to(&self, before: Limits) -> Limits {
        Limits {
            requests_per_minute: changed(before.requests_per_minute, self.rpm),
            requests_per_day: changed(before.requests_per_day, self.rpd),
            tokens_per_minute: changed(before.tokens_per_minute, self.tpm),
            tokens_per_day: changed(before.tokens_per_day, self.tpd),
            concurrency: changed(before.concurrency, self.concurrency),
            body_bytes: changed(before.body_bytes, self.max_body),
            answer_tokens: changed(before.answer_tokens, self.max_tokens),
            cost_per_call: changed(before.cost_per_call, self.max_usd_per_call),
            budget_per_day: changed(before.budget_per_day, self.budget_usd_per_day),
            budget_per_week: changed(before.budget_per_week, self.budget_usd_per_week),
            budget_per_month: changed(before.budget_per_month, self.budget_usd_per_month),
            budget_kind: self.budget_kind.or(before.budget_kind),
        }
    }
}

/// The limits that are set, by the config's names: `rpm 600, tpm 200000`.
pub(super) fn named_in_words(limits: &Map<String, Value>) -> String {
    let set = limits.iter().filter(|(_, value)| !value.is_null());
    let words: Vec<String> =
        set.map(|(name, value)| format!("{name} {}", value.to_string().trim_matches('"'))).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

/// One in which every change shows.
fn full() -> Limits {
    let (count, money) = (Some(u64::MAX), Some(Money::from_micros(i64::MAX)));
    Limits {
        requests_per_minute: count,
        requests_per_day: count,
        tokens_per_minute: count,
        tokens_per_day: count,
        concurrency: count,
        body_bytes: count,
        answer_tokens: count,
        cost_per_call: money,
        budget_per_day: money,
        budget_per_week: money,
        budget_per_month: money,
        budget_kind: None,
    }
}

fn changed<T>(before: Option<T>, change: Option<Change<T>>) -> Option<T> {
    match change {
        None => before,
        Some(Change::Lift) => None,
        Some(Change::Set(limit)) => Some(limit),
    }
}

fn amount(text: &str) -> Result<Change<Money>, String> {
    if text == "none" {
        return Ok(Change::Lift);
    }
    let usd = text.parse::<f64>().ok();
    usd.and_then(Money::limit_from_usd)
        .map(Change::Set)
        .ok_or_else(|| "write dollars, such as 500 or 0.5 (0.000001 at least), or `none`".to_owned())
}

fn count(text: &str) -> Result<Change<u64>, String> {
    if text == "none" {
        return Ok(Change::Lift);
    }
    let most = 1 << 53;
    text.parse()
        .ok()
        .filter(|count| (1..=most).contains(count))
        .map(Change::Set)
        .ok_or_else(|| "write a whole number above 0, or `none`".to_owned())
}
