//! The headers by which vendors tell their limits, read into one form. What cannot be read is as if it were not there.
//!
//! | vendor | names | reset |
//! |---|---|---|
//! | OpenAI, Groq, Azure and those like them | `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` | `6m0s`; Azure: seconds |
//! | Cerebras, SambaNova, Mistral | the same with `-minute`, `-hour`, `-day`; Mistral: `req-minute`, `ratelimitbysize-…` | seconds |
//! | Anthropic | `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}` | RFC 3339 |
//! | Fireworks | `x-ratelimit-{limit,remaining}-tokens-{prompt,generated}` | none |
//! | Together | `x-ratelimit-…`, `x-tokenlimit-…` | seconds |
//! | OpenRouter | `x-ratelimit-{limit,remaining,reset}` | ms since 1970 |
//! | IETF draft-ietf-httpapi-ratelimit-headers | `ratelimit-{limit,remaining,reset}`, or `ratelimit` with all three | seconds |
//!
//! Times of day are taken against the answer's own `date`, so that a skewed clock here does not lengthen a wait.

mod instant;

use std::time::Duration;

use instant::{When, retry_after};

/// What a vendor said of its limits in one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateHeaders {
    pub requests: MeterHeaders,
    /// Input and output together.
    pub tokens: MeterHeaders,
    pub input_tokens: MeterHeaders,
    pub output_tokens: MeterHeaders,
    /// At most an hour.
    pub retry_after: Option<Duration>,
}

/// What it said of one of them; where it has several windows, of the one with the least left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MeterHeaders {
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    /// From now, at most 31 days.
    pub reset: Option<Duration>,
    pub refill: Refill,
}

/// How what is spent comes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Refill {
    /// Evenly; the reset is when all of it is back. OpenAI and Anthropic: token buckets.
    Continuous,
    /// All at once.
    #[default]
    AtReset,
}

/// Whether [`read`] asks for a header of that name, in lower case; true of some others, too.
pub fn concerns(name: &str) -> bool {
    name == "date" || name.starts_with("retry-after") || name.contains("limit")
}

/// Reads an answer's headers. `header`: the value of a name in lower case; `now_unix_ms`: ms since 1970-01-01 UTC.
pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>, now_unix_ms: i64) -> RateHeaders {
    let now = header("date").and_then(instant::http_date).unwrap_or(now_unix_ms);
    let meter = |names: &[Names]| tightest(names.iter().map(|names| one(names, &header, now)));
    RateHeaders {
        requests: tightest([meter(&REQUESTS), header("ratelimit").map(combined).unwrap_or_default()]),
        tokens: meter(&TOKENS),
        input_tokens: meter(&INPUT_TOKENS),
        output_tokens: meter(&OUTPUT_TOKENS),
        retry_after: retry_after(header("retry-after-ms"), header("retry-after"), now),
    }
}

/// A limit's name, what remains of it, and its reset.
type Names = [&'static str; 3];

macro_rules! names {
    ($before:literal, $after:literal) => {
        [concat!($before, "limit", $after), concat!($before, "remaining", $after), concat!($before, "reset", $after)]
    };
}

const REQUESTS: [Names; 8] = [
    names!("x-ratelimit-", "-requests"),
    names!("x-ratelimit-", "-req-minute"),
    names!("x-ratelimit-", "-requests-minute"),
    names!("x-ratelimit-", "-requests-hour"),
    names!("x-ratelimit-", "-requests-day"),
    names!("anthropic-ratelimit-requests-", ""),
    names!("x-ratelimit-", ""),
    names!("ratelimit-", ""),
];

const TOKENS: [Names; 8] = [
    names!("x-ratelimit-", "-tokens"),
    names!("x-ratelimit-", "-tokens-minute"),
    names!("x-ratelimit-", "-tokens-hour"),
    names!("x-ratelimit-", "-tokens-day"),
    names!("anthropic-ratelimit-tokens-", ""),
    names!("ratelimitbysize-", ""),
    names!("x-ratelimitbysize-", "-minute"),
    names!("x-tokenlimit-", ""),
];

const INPUT_TOKENS: [Names; 2] =
    [names!("anthropic-ratelimit-input-tokens-", ""), names!("x-ratelimit-", "-tokens-prompt")];

const OUTPUT_TOKENS: [Names; 2] =
    [names!("anthropic-ratelimit-output-tokens-", ""), names!("x-ratelimit-", "-tokens-generated")];

fn one<'a>(
    [limit, remaining, reset]: &Names,
    header: impl Fn(&str) -> Option<&'a str>,
    now_unix_ms: i64,
) -> MeterHeaders {
    let reset = header(reset).and_then(When::parse);
    MeterHeaders {
        limit: header(limit).and_then(amount),
        remaining: header(remaining).and_then(amount),
        reset: reset.map(|when| when.from(now_unix_ms)),
        // Whoever tells a span or a time of day tells when a bucket is full; whoever tells seconds, when a window ends.
        refill: match reset {
            Some(When::Span(_) | When::Date(_)) => Refill::Continuous,
            Some(When::Seconds(_) | When::Unix(_)) | None => Refill::AtReset,
        },
    }
}

/// `limit=100, remaining=50, reset=5` of the older drafts, `"policy";r=50;t=5, …` of the newer ones.
fn combined(text: &str) -> MeterHeaders {
    let unquoted: String = text.split('"').step_by(2).collect();
    let one_policy = |policy: &str| {
        let mut meter = MeterHeaders::default();
        for (key, value) in policy.split([';', ',']).filter_map(|pair| pair.split_once('=')) {
            match key.trim() {
                "limit" => meter.limit = amount(value),
                "remaining" | "r" => meter.remaining = amount(value),
                "reset" | "t" => meter.reset = amount(value).map(|seconds| When::Seconds(seconds as f64).from(0)),
                _ => {}
            }
        }
        meter
    };
    if unquoted.contains("remaining") { one_policy(&unquoted) } else { tightest(unquoted.split(',').map(one_policy)) }
}

fn tightest(meters: impl IntoIterator<Item = MeterHeaders>) -> MeterHeaders {
    let told = meters.into_iter().filter(|meter| *meter != MeterHeaders::default());
    told.min_by_key(|meter| meter.remaining.unwrap_or(u64::MAX)).unwrap_or_default()
}

/// The leading number of `100` or `100, 100;w=60`. A negative one, which some send for `unlimited`, is none.
fn amount(text: &str) -> Option<u64> {
    let number = text.split([',', ';']).next()?.trim();
    number.parse().ok().or_else(|| {
        let float = number.parse::<f64>().ok()?;
        // A float that is out of range becomes the nearest u64.
        (float.is_finite() && float >= 0.0).then_some(float as u64)
    })
}
