//! What is left of a caller's rates, in the headers that its SDK knows.
//!
//! OpenAI: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
//! Anthropic: https://docs.anthropic.com/en/api/rate-limits#response-headers

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    clock,
    domain::Dialect,
    limit::{Left, Standing},
};

/// One rate's three headers: limit, remaining, reset.
type Names = [HeaderName; 3];

const OPENAI_REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const OPENAI_TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];
const ANTHROPIC_REQUESTS: Names = [
    HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    HeaderName::from_static("anthropic-ratelimit-requests-reset"),
];
const ANTHROPIC_TOKENS: Names = [
    HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
];

/// Nothing where nothing is limited.
pub(super) fn write(headers: &mut HeaderMap, dialect: Dialect, standing: &Standing) {
    let is_anthropic = dialect == Dialect::AnthropicMessages;
    let (requests, tokens) =
        if is_anthropic { (ANTHROPIC_REQUESTS, ANTHROPIC_TOKENS) } else { (OPENAI_REQUESTS, OPENAI_TOKENS) };
    for (names, left) in [(requests, standing.requests), (tokens, standing.tokens)] {
        let Some(Left { limit, remaining, resets_unix_ms }) = left else { continue };
        let reset = if is_anthropic { moment(resets_unix_ms) } else { span(resets_unix_ms - clock::unix_ms()) };
        let [limit_name, remaining_name, reset_name] = names;
        headers.insert(limit_name, HeaderValue::from(limit));
        headers.insert(remaining_name, HeaderValue::from(remaining));
        // Digits, letters and colons: always a header's value.
        if let Ok(reset) = HeaderValue::from_str(&reset) {
            headers.insert(reset_name, reset);
        }
    }
}

/// As OpenAI writes spans: `0s`, `120ms`, `59.5s` rounded up to `1m0s`, `23h59m0s`.
fn span(ms: i64) -> String {
    if ms <= 0 {
        return "0s".to_owned();
    }
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let seconds = (ms + 999) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// RFC 3339 in UTC, to the second, not before it is so.
fn moment(unix_ms: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp((unix_ms + 999).div_euclid(1000));
    moment.ok().and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_openai_does() {
        for (ms, text) in [(-5, "0s"), (120, "120ms"), (1000, "1s"), (59_001, "1m0s"), (86_340_000, "23h59m0s")] {
            assert_eq!(span(ms), text);
        }
        assert_eq!(moment(1_795_000_000_001), "2026-11-18T11:06:41Z");
    }
}
