//! Hours of the day in which a row's rates are multiplied: vendors that are dearer at peak times, or cheaper at night.

use super::Factor;

const DAY_MIN: i64 = 24 * 60;

/// A span of every day, in minutes from midnight UTC; one that ends before it begins goes over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    pub from_min: u16,
    /// The first minute that is no more in it.
    pub until_min: u16,
    pub factor: Factor,
}

impl Hours {
    pub fn holds(&self, unix_ms: i64) -> bool {
        let now = unix_ms.div_euclid(60_000).rem_euclid(DAY_MIN);
        let (from, until) = (i64::from(self.from_min), i64::from(self.until_min));
        if from < until { (from..until).contains(&now) } else { now >= from || now < until }
    }

    /// Whether both hold at some minute.
    pub fn overlaps(&self, other: &Self) -> bool {
        let at = |minute: u16| i64::from(minute) * 60_000;
        self.holds(at(other.from_min)) || other.holds(at(self.from_min))
    }
}

/// `08:30` as minutes from midnight; `24:00` is the day's end.
pub fn parse_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two =
        |text: &str| (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?;
    let (hours, minutes): (u16, u16) = (two(hours)?, two(minutes)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && i64::from(all) <= DAY_MIN).then_some(all)
}

/// As [`parse_time`] reads it.
pub fn time_text(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_the_day_is_in_utc_and_may_go_over_midnight() {
        let at = |hour: i64, minute: i64| 1_795_478_400_000 + (hour * 60 + minute) * 60_000;
        assert_eq!(at(0, 0) % 86_400_000, 0, "midnight");
        let span = |from: &str, until: &str| Hours {
            from_min: parse_time(from).expect("is a time"),
            until_min: parse_time(until).expect("is a time"),
            factor: Factor::ONE,
        };
        let morning = span("01:00", "04:00");
        assert_eq!(
            [at(0, 59), at(1, 0), at(3, 59), at(4, 0)].map(|now| morning.holds(now)),
            [false, true, true, false]
        );
        let night = span("22:30", "01:15");
        assert_eq!(
            [at(22, 29), at(22, 30), at(1, 14), at(1, 15)].map(|now| night.holds(now)),
            [false, true, true, false]
        );
        assert!(span("16:00", "24:00").holds(at(23, 59)) && !span("16:00", "24:00").holds(at(0, 0)));
        assert!(night.overlaps(&morning) && morning.overlaps(&night) && !morning.overlaps(&span("04:00", "05:00")));
        for wrong in ["8:30", "25:00", "24:01", "08:60", "0830", "+1:00", ""] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }
}
