//! Spans of time on the command line: `--since`, `--until`, `--month`.

use std::time::Duration;

use clap::Args;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    clock,
    domain::{Period, parse_day},
};

/// Which calls, by when they began.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Span {
    /// Only calls that began since then: a span up to now (24h, 7d), a day (2026-11-01, UTC), or a moment (RFC 3339)
    #[arg(long, value_parser = moment, value_name = "WHEN")]
    since: Option<Moment>,
    /// Only calls that began before then, in the same forms
    #[arg(long, value_parser = moment, value_name = "WHEN")]
    until: Option<Moment>,
    /// Only calls of a calendar month (UTC): 2026-10, `this` or `last`
    #[arg(long, value_parser = month, value_name = "MONTH", conflicts_with_all = ["since", "until"])]
    month: Option<Month>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Ago(Duration),
    At(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Month {
    This,
    Last,
    Of(i64),
}

impl Span {
    /// Its beginning, inclusive, and its end, exclusive, in ms since 1970-01-01.
    pub(super) fn bounds(&self) -> (Option<i64>, Option<i64>) {
        self.bounds_at(clock::unix_ms())
    }

    fn bounds_at(&self, now_ms: i64) -> (Option<i64>, Option<i64>) {
        if let Some(month) = self.month {
            let within = match month {
                Month::This => now_ms,
                Month::Last => Period::Month.start_ms(now_ms) - 1,
                Month::Of(first) => first,
            };
            return (Some(Period::Month.start_ms(within)), Some(Period::Month.end_ms(within)));
        }
        let at = |moment: Moment| match moment {
            Moment::At(unix_ms) => unix_ms,
            Moment::Ago(span) => now_ms.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        };
        (self.since.map(at), self.until.map(at))
    }
}

/// A moment on the command line that is none of the past: a day or RFC 3339.
pub(super) fn instant(text: &str) -> Result<i64, String> {
    match moment(text) {
        Ok(Moment::At(unix_ms)) => Ok(unix_ms),
        _ => Err("write a day (2026-11-01) or a moment (2026-11-01T12:00:00Z)".to_owned()),
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Some(day) = parse_day(text) {
        return Ok(Moment::At(day));
    }
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(Moment::At(i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)));
    }
    humantime::parse_duration(text)
        .map(Moment::Ago)
        .map_err(|_| "write a span (24h, 7d), a day (2026-11-01) or a moment (2026-11-01T12:00:00Z)".to_owned())
}

fn month(text: &str) -> Result<Month, String> {
    match text {
        "this" => Ok(Month::This),
        "last" => Ok(Month::Last),
        text => {
            parse_day(&format!("{text}-01")).map(Month::Of).ok_or_else(|| "write 2026-10, `this` or `last`".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_what_people_write() {
        let now = parse_day("2026-01-15").expect("a day") + 3_600_000;
        let of = |since: Option<&str>, until: Option<&str>, named: Option<&str>| {
            let read = |text: &str| moment(text).expect(text);
            let span = Span {
                since: since.map(read),
                until: until.map(read),
                month: named.map(|text| month(text).expect(text)),
            };
            span.bounds_at(now)
        };
        let day = |text: &str| parse_day(text);
        assert_eq!(of(Some("1h"), None, None), (day("2026-01-15"), None));
        assert_eq!(of(Some("2026-01-01"), Some("2026-01-02T00:00:00Z"), None), (day("2026-01-01"), day("2026-01-02")));
        assert_eq!(of(None, None, Some("last")), (day("2025-12-01"), day("2026-01-01")));
        assert_eq!(of(None, None, Some("this")), (day("2026-01-01"), day("2026-02-01")));
        assert_eq!(of(None, None, Some("2024-02")), (day("2024-02-01"), day("2024-03-01")));
        assert!(moment("yesterday").is_err() && month("13").is_err() && instant("7d").is_err());
    }
}
