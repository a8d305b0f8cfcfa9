//! When something is over, in all the ways that vendors write it: seconds, `6m0s`, RFC 3339, HTTP dates, Unix times.

use std::time::{Duration, UNIX_EPOCH};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::LONGEST;

/// A point in time, as it was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    /// So many from now.
    Seconds(f64),
    /// The same, written with units.
    Span(f64),
    /// In ms since 1970-01-01 UTC, written as a number.
    Unix(i64),
    /// The same, written as a date.
    Date(i64),
}

/// A bare number from here on is a time of day in seconds, then in ms.
const FIRST_UNIX_SECOND: f64 = 1e9;
const FIRST_UNIX_MS: f64 = 1e12;

const MONTH: Duration = Duration::from_secs(31 * 86_400);

impl When {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse::<f64>() {
            return Self::number(number);
        }
        span(text).map(Self::Span).or_else(|| rfc3339(text).or_else(|| http_date(text)).map(Self::Date))
    }

    /// How long until then, none if it is over; at most 31 days.
    pub(super) fn from(self, now_unix_ms: i64) -> Duration {
        let wait = match self {
            Self::Seconds(seconds) | Self::Span(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(MONTH),
            Self::Unix(at) | Self::Date(at) => {
                Duration::from_millis(u64::try_from(at.saturating_sub(now_unix_ms)).unwrap_or(0))
            }
        };
        wait.min(MONTH)
    }

    fn number(number: f64) -> Option<Self> {
        if !number.is_finite() || number < 0.0 {
            return None;
        }
        // A float that is out of range becomes the nearest i64.
        Some(match number {
            FIRST_UNIX_MS.. => Self::Unix(number as i64),
            FIRST_UNIX_SECOND.. => Self::Unix((number * 1_000.0) as i64),
            _ => Self::Seconds(number),
        })
    }
}

/// How long a refused call should wait, at most an hour: `retry-after-ms`, else `retry-after` in seconds or as a date.
pub(super) fn retry_after(ms: Option<&str>, seconds_or_date: Option<&str>, now_unix_ms: i64) -> Option<Duration> {
    let ms = ms.and_then(|text| text.trim().parse::<f64>().ok()).filter(|ms| ms.is_finite() && *ms >= 0.0);
    let ms = ms.map(|ms| Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or(LONGEST));
    let wait = ms.or_else(|| seconds_or_date.and_then(When::parse).map(|when| when.from(now_unix_ms)));
    wait.map(|wait| wait.min(LONGEST))
}

/// An HTTP date (RFC 9110 §5.6.7, all three forms) in ms since 1970-01-01 UTC.
pub(super) fn http_date(text: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

fn rfc3339(text: &str) -> Option<i64> {
    let ns = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from(ns / 1_000_000).ok()
}

/// Seconds in `1h2m3.5s`, `20ms` and the like.
fn span(text: &str) -> Option<f64> {
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let next = rest[unit..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |next| unit + next);
        let number: f64 = rest[..unit].parse().ok()?;
        seconds += number * unit_seconds(&rest[unit..next])?;
        rest = &rest[next..];
    }
    (!text.is_empty()).then_some(seconds)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "d" => 86_400.0,
        "h" => 3_600.0,
        "m" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" | "μs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1994-11-06 08:49:00 UTC.
    const NOW: i64 = 784_111_740_000;

    fn wait(text: &str) -> Option<f64> {
        When::parse(text).map(|when| when.from(NOW).as_secs_f64())
    }

    #[test]
    fn every_way_to_write_it_is_read() {
        for (text, seconds) in [
            ("7", 7.0),
            ("0.25", 0.25),
            ("6m0s", 360.0),
            ("1.5s", 1.5),
            ("20ms", 0.02),
            ("2m59.56s", 179.56),
            ("4h17m", 15_420.0),
            ("1d", 86_400.0),
            ("1994-11-06T08:49:37Z", 37.0),
            ("1994-11-06T09:49:37.5+01:00", 37.5),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 37.0),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 37.0),
            ("Sun Nov  6 08:49:37 1994", 37.0),
            ("1994-11-06T08:00:00Z", 0.0),
            ("1e300", 2_678_400.0),
        ] {
            assert_eq!(wait(text), Some(seconds), "{text}");
        }
        let unix = |text| When::parse(text).map(|when| when.from(1_800_000_000_000).as_secs());
        assert_eq!([unix("1800000030"), unix("1800000030000")], [Some(30), Some(30)]);
        for text in ["", "soon", "-1", "NaN", "inf", "1x", "m", "1.2.3s", "s1"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }

    #[test]
    fn a_retry_after_is_at_most_an_hour() {
        assert_eq!(retry_after(Some("1500"), Some("9"), NOW), Some(Duration::from_millis(1_500)));
        assert_eq!(retry_after(Some("x"), Some("1.5"), NOW), Some(Duration::from_millis(1_500)));
        assert_eq!(retry_after(None, Some("Sun, 06 Nov 1994 08:49:37 GMT"), NOW), Some(Duration::from_secs(37)));
        assert_eq!(retry_after(None, Some("86400"), NOW), Some(LONGEST));
        assert_eq!(retry_after(Some("1e300"), None, NOW), Some(LONGEST));
        assert_eq!(retry_after(None, Some("soon"), NOW), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r"\PC{0,30}|[0-9.dhmsµTZ:+-]{0,30}", now: i64) {
            if let Some(when) = When::parse(&text) {
                prop_assert!(when.from(now) <= MONTH);
            }
            prop_assert!(retry_after(Some(&text), Some(&text), now) <= Some(LONGEST));
        }
    }
}
