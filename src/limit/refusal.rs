//! Why a call is not made: whose limit, what it is, and when another try makes sense.

use std::{fmt, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    account::{Ask, Denied, Rate, Standing},
    budget::Spent,
    subject::Subject,
};
use crate::domain::Money;

/// What a call waits for when others hold what it needs, and nobody knows how long.
const SOON: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub subject: Subject,
    pub why: Why,
    /// `None`: waiting does not help.
    pub retry_after: Option<Duration>,
    /// What is left of the rate that refused.
    pub standing: Standing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    Rate {
        rate: Rate,
        limit: u64,
        asked: u64,
        fits: bool,
    },
    Concurrency {
        limit: u64,
    },
    /// Too many bodies are not here yet.
    Bodies {
        limit: u64,
    },
    /// The bodies of calls under way are too large together.
    Memory {
        limit_mib: u64,
    },
    /// `needs`: what the call may cost at worst.
    Budget {
        spent: Spent,
        limit: Money,
        needs: Money,
    },
    /// The call may cost more than any call may.
    CostPerCall {
        limit: Money,
        needs: Money,
    },
    AnswerTokens {
        limit: u64,
        asked: u64,
    },
    Body {
        limit: u64,
        bytes: u64,
    },
    /// No target of the route has a known price, and a hard budget applies.
    NoPrice,
    /// No target could answer without a tool of that kind, whose price nobody here knows.
    ToolWithoutPrice {
        kind: String,
    },
}

impl Refusal {
    pub fn new(subject: Subject, why: Why, now_unix_ms: i64) -> Self {
        let until = |unix_ms: i64| Duration::from_millis(u64::try_from(unix_ms - now_unix_ms).unwrap_or(0));
        let retry_after = match why {
            Why::Concurrency { .. } | Why::Bodies { .. } | Why::Memory { .. } => Some(SOON),
            // What others have set aside is mostly given back.
            Why::Budget { spent, limit, needs } if spent.spent + needs <= limit => Some(SOON),
            Why::Budget { spent, limit, needs } if needs <= limit => Some(until(spent.resets_unix_ms)),
            _ => None,
        };
        Self { subject, why, retry_after, standing: Standing::default() }
    }

    pub(super) fn of(subject: &Subject, denied: Denied, ask: &Ask) -> Self {
        let now = ask.at_unix_ms;
        match denied {
            Denied::Concurrency { limit } => Self::new(subject.clone(), Why::Concurrency { limit }, now),
            Denied::Rate { rate, limit, fits_unix_ms } => {
                let asked = if rate.is_of_tokens() { ask.tokens } else { ask.requests };
                let why = Why::Rate { rate, limit, asked, fits: fits_unix_ms.is_some() };
                let wait = fits_unix_ms.and_then(|fits| u64::try_from(fits - now).ok()).map(Duration::from_millis);
                let standing = Standing::of_refusal(rate, limit, fits_unix_ms.unwrap_or(now));
                Self { subject: subject.clone(), why, retry_after: wait, standing }
            }
        }
    }

    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self.why {
            Why::Rate { rate: Rate::RequestsPerMinute | Rate::RequestsPerDay, .. } => "request_rate",
            Why::Rate { .. } => "token_rate",
            Why::Concurrency { .. } | Why::Bodies { .. } | Why::Memory { .. } => "concurrency",
            Why::Budget { .. } | Why::NoPrice | Why::ToolWithoutPrice { .. } => "budget",
            Why::CostPerCall { .. } => "cost_per_call",
            Why::AnswerTokens { .. } => "max_tokens",
            Why::Body { .. } => "too_large",
        }
    }
}

/// For the caller: what, whose, and what to do.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match &self.why {
            Why::Rate { rate, limit, asked, fits: false } => write!(
                f,
                "this call alone counts as {asked} {}, and {subject} has {limit}; send less, or ask for a shorter answer",
                rate.words()
            ),
            Why::Rate { rate, limit, .. } => {
                write!(f, "{subject} has {limit} {}, and they are used up", rate.words())?;
                self.retry_after.map_or(Ok(()), |wait| write!(f, "; try again in {} s", wait.as_secs_f64().ceil()))
            }
            Why::Concurrency { limit } => {
                write!(f, "{subject} may have {limit} calls answered at once, and has; try again when one is over")
            }
            Why::Bodies { limit } => {
                write!(f, "{subject} may be sending {limit} bodies at once, and is; try again when one has arrived")
            }
            Why::Memory { limit_mib } => {
                write!(
                    f,
                    "the bodies of {subject}'s calls under way have {limit_mib} MiB together; try again when some are over"
                )
            }
            Why::Budget { spent, limit, needs } => {
                let (period, reset) = (spent.period, moment(spent.resets_unix_ms));
                let used = spent.spent;
                if used >= *limit {
                    write!(
                        f,
                        "the budget of {subject} for this {period} ({limit} USD) is used up; it begins anew at {reset}"
                    )
                } else if used + *needs <= *limit {
                    write!(
                        f,
                        "what is left of the budget of {subject} for this {period} ({limit} USD) is set aside for calls under \
                         way; try again when they are over"
                    )
                } else {
                    let left = Money::from_micros(limit.micros - used.micros);
                    write!(
                        f,
                        "this call may cost up to {needs} USD, and {left} USD are left of the budget of {subject} for this \
                         {period} ({limit} USD); ask for a shorter answer (`max_tokens`), or wait: it begins anew at {reset}"
                    )
                }
            }
            Why::CostPerCall { limit, needs } => write!(
                f,
                "this call may cost up to {needs} USD, and a call of {subject} may cost {limit} USD; ask for a shorter answer \
                 (`max_tokens`)"
            ),
            Why::AnswerTokens { limit, asked } => {
                write!(f, "{subject} may ask for answers of at most {limit} tokens, not {asked}")
            }
            Why::Body { limit, bytes } => {
                write!(f, "the body has {bytes} bytes, and {subject} may send {limit}")
            }
            Why::NoPrice => write!(
                f,
                "{subject} has a hard budget, and no target that could answer has a known price; the gateway's config gives \
                 prices under `models:`"
            ),
            Why::ToolWithoutPrice { kind } => write!(
                f,
                "{subject} has a hard budget, or a bound on what a call may cost, and what the tool `{kind}` costs is not known here; ask without it"
            ),
        }
    }
}

/// RFC 3339 in UTC, to the second.
fn moment(unix_ms: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(unix_ms.div_euclid(1000));
    moment.ok().and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| unix_ms.to_string())
}
