//! The spans of the calendar that budgets run over, in UTC: a day, a week from Monday, a month.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::{Date, Duration, Month, OffsetDateTime, Time};

/// What a budget is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    Day,
    /// From Monday.
    Week,
    Month,
}

impl Period {
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// When the period that `unix_ms` lies in began, in ms since 1970-01-01 UTC.
    pub fn start_ms(self, unix_ms: i64) -> i64 {
        midnight_ms(self.first_day(day_of(unix_ms)))
    }

    /// When it ends and the next one begins.
    pub fn end_ms(self, unix_ms: i64) -> i64 {
        let first = self.first_day(day_of(unix_ms));
        let next = match self {
            Self::Day => first.saturating_add(Duration::DAY),
            Self::Week => first.saturating_add(Duration::WEEK),
            Self::Month => {
                let year = if first.month() == Month::December { first.year() + 1 } else { first.year() };
                Date::from_calendar_date(year, first.month().next(), 1).unwrap_or(Date::MAX)
            }
        };
        midnight_ms(next)
    }

    fn first_day(self, day: Date) -> Date {
        match self {
            Self::Day => day,
            Self::Week => day.saturating_sub(Duration::days(i64::from(day.weekday().number_days_from_monday()))),
            Self::Month => day.replace_day(1).unwrap_or(day),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Midnight UTC at which the day of `2026-01-31` begins, in ms since 1970-01-01.
pub fn parse_day(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Some(midnight_ms(Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?))
}

/// The day that `unix_ms` lies in, UTC: `2026-01-31`.
pub fn day_text(unix_ms: i64) -> String {
    let day = day_of(unix_ms);
    format!("{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day())
}

fn day_of(unix_ms: i64) -> Date {
    OffsetDateTime::from_unix_timestamp(unix_ms.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH).date()
}

fn midnight_ms(day: Date) -> i64 {
    day.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp().saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn ms(moment: OffsetDateTime) -> i64 {
        moment.unix_timestamp() * 1000
    }

    #[test]
    fn periods_begin_at_midnight_on_monday_and_on_the_first() {
        let now = ms(datetime!(2026-12-31 23:59:59 UTC));
        for (period, start, end) in [
            (Period::Day, datetime!(2026-12-31 0:00 UTC), datetime!(2027-01-01 0:00 UTC)),
            (Period::Week, datetime!(2026-12-28 0:00 UTC), datetime!(2027-01-04 0:00 UTC)),
            (Period::Month, datetime!(2026-12-01 0:00 UTC), datetime!(2027-01-01 0:00 UTC)),
        ] {
            assert_eq!((period.start_ms(now), period.end_ms(now)), (ms(start), ms(end)), "{period}");
            assert_eq!(period.start_ms(ms(end)), ms(end), "{period}");
        }
    }

    #[test]
    fn days_are_read_and_written() {
        assert_eq!(parse_day("2026-12-31"), Some(ms(datetime!(2026-12-31 0:00 UTC))));
        assert_eq!(day_text(ms(datetime!(2026-12-31 23:59:59 UTC))), "2026-12-31");
        for text in ["2026-02-30", "2026-1-01", "26-01-01", "2026-01-01T00", "", "2026-01-01-01"] {
            assert_eq!(parse_day(text), None, "{text}");
        }
    }

    #[test]
    fn a_leap_years_february_has_its_last_day() {
        let now = ms(datetime!(2028-02-29 12:00 UTC));
        assert_eq!(Period::Month.end_ms(now), ms(datetime!(2028-03-01 0:00 UTC)));
    }
}
