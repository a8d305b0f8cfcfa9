//! Shares for people to look at: now, in the last day, and the day on which a share would reach its cap. Pure.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    hours::{HOUR_MS, Hours, hour_of},
    rule::Rule,
};
use crate::domain::Volume;

const DAY_HOURS: i64 = 24;
/// How many of the last days say what the coming ones are like.
const LIKE_DAYS: i64 = 7;
/// Nobody plans further than that, however long the window is.
const MOST_DAYS: i64 = 3660;

/// All shares at one moment, as `backstop share --json` prints them. Volumes are in the unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShareView {
    pub at_unix_ms: i64,
    pub unit: Cow<'static, str>,
    pub window_hours: i64,
    pub max: f64,
    pub soft: f64,
    pub min_volume: u64,
    /// `off` (there is no cap), `warming_up` (less than the least volume: nothing is refused), `in_force`.
    pub state: Cow<'static, str>,
    pub total: u64,
    /// By name; own hardware, which has no cap, is `null` and last.
    pub vendors: Vec<OperatorShare>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorShare {
    /// Who runs the models; `null`: our own hardware.
    pub vendor: Option<String>,
    pub served: u64,
    /// What calls under way have set aside; only a gateway that runs knows it.
    pub reserved: u64,
    /// 0 to 1.
    pub share: f64,
    /// Of the last 24 hours' volume; `null`: there was none.
    pub share_of_last_day: Option<f64>,
    /// `ok`, `steered` (past the soft mark), `capped`, `own`.
    pub state: Cow<'static, str>,
    /// When the share reaches the cap if all coming days are like the mean of the last seven; `null`: never so, or not within
    /// one window; now where it is reached.
    pub reaches_max_unix_ms: Option<i64>,
}

impl ShareView {
    pub(super) fn of(rule: Rule, volumes: &BTreeMap<Option<Arc<str>>, (Hours, Volume)>, now_unix_ms: i64) -> Self {
        let now = hour_of(now_unix_ms);
        let mut all = Hours::default();
        volumes.values().flat_map(|(hours, _)| hours.iter()).for_each(|(hour, volume)| all.add(hour, volume));
        let total = rule.count(all.total());
        let of_last_day = |hours: &Hours| rule.count(hours.between(now + 1 - DAY_HOURS, now + 1));
        let mut vendors: Vec<OperatorShare> = volumes
            .iter()
            .map(|(name, (hours, reserved))| {
                let served = rule.count(hours.total());
                let last_day = of_last_day(&all);
                let share = served as f64 / total.max(1) as f64;
                let is_vendor = name.is_some() && rule.binds();
                let state = match name {
                    None => "own",
                    _ if !rule.binds() || total < rule.min_volume => "ok",
                    _ if !rule.allows(served.saturating_add(1), total.saturating_add(1)) => "capped",
                    _ if share > rule.soft => "steered",
                    _ => "ok",
                };
                let reaches = || reaches(rule, (hours, &all), now);
                OperatorShare {
                    vendor: name.as_deref().map(str::to_owned),
                    served,
                    reserved: rule.count(*reserved),
                    share,
                    share_of_last_day: (last_day > 0).then(|| of_last_day(hours) as f64 / last_day as f64),
                    state: state.into(),
                    reaches_max_unix_ms: is_vendor
                        .then(reaches)
                        .flatten()
                        .map(|days| now_unix_ms.saturating_add(days.saturating_mul(DAY_HOURS).saturating_mul(HOUR_MS))),
                }
            })
            .collect();
        vendors.sort_by_key(|share| share.vendor.is_none());
        let state = match () {
            () if !rule.binds() => "off",
            () if total < rule.min_volume => "warming_up",
            () => "in_force",
        };
        Self {
            at_unix_ms: now_unix_ms,
            unit: rule.unit.as_str().into(),
            window_hours: rule.hours,
            max: rule.max,
            soft: rule.soft,
            min_volume: rule.min_volume,
            state: state.into(),
            total,
            vendors,
        }
    }
}

/// In how many days `hours` is more than its part of `all`. Each coming day adds the mean of the last seven (or of as many as
/// there are) and takes the oldest one out of the window.
fn reaches(rule: Rule, (hours, all): (&Hours, &Hours), now: i64) -> Option<i64> {
    let (served, total) = (rule.count(hours.total()), rule.count(all.total()));
    let first = all.iter().next().map(|(hour, _)| hour)?;
    let seen_hours = (now + 1 - first).clamp(1, LIKE_DAYS * DAY_HOURS);
    let a_day = |hours: &Hours| {
        let recent = rule.count(hours.between(now + 1 - seen_hours, now + 1));
        recent as f64 * DAY_HOURS as f64 / seen_hours as f64
    };
    let (more, more_of_all) = (a_day(hours), a_day(all));
    let oldest = now - rule.hours;
    for day in 0..=(rule.hours / DAY_HOURS).clamp(1, MOST_DAYS) {
        let gone = |hours: &Hours| rule.count(hours.between(oldest, oldest + day * DAY_HOURS)) as f64;
        let served = served as f64 - gone(hours) + day as f64 * more;
        let total = total as f64 - gone(all) + day as f64 * more_of_all;
        if total >= rule.min_volume as f64 && total > 0.0 && served >= rule.max * total {
            return Some(day);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ShareUnit;

    fn day(hours: &mut Hours, day: i64, tokens: u64) {
        hours.add(day * DAY_HOURS, Volume { tokens, ..Volume::ZERO });
    }

    #[test]
    fn a_share_that_grows_reaches_its_cap_on_the_day_that_the_sum_says() {
        let rule = Rule { max: 0.7, soft: 0.65, unit: ShareUnit::Tokens, hours: 30 * DAY_HOURS, min_volume: 100 };
        // Half each for 20 days, then a week of 100 to 0: from 1350 of 2700 a day each adds 100 to both.
        let (mut a, mut b) = (Hours::default(), Hours::default());
        for number in 1000..1020 {
            day(&mut a, number, 100);
            day(&mut b, number, 100);
        }
        (1020..1027).for_each(|number| day(&mut a, number, 100));
        let now = 1026 * DAY_HOURS + 23;
        let volumes =
            BTreeMap::from([(Some(Arc::from("a")), (a, Volume::ZERO)), (Some(Arc::from("b")), (b, Volume::ZERO))]);
        let view = ShareView::of(rule, &volumes, now * HOUR_MS);
        let share =
            |name: &str| view.vendors.iter().find(|share| share.vendor.as_deref() == Some(name)).expect("there");
        assert!((share("a").share - 2700.0 / 4700.0).abs() < 1e-9);
        assert_eq!((share("a").share_of_last_day, share("b").share_of_last_day), (Some(1.0), Some(0.0)));
        // On day n: (2700 + 100 n) / (4700 + 100 n), and from the fourth day on the oldest days go: 2000 of b are left at 6667.
        let days = (share("a").reaches_max_unix_ms.expect("it grows") - now * HOUR_MS) / (DAY_HOURS * HOUR_MS);
        let of = |n: i64| {
            let gone = (n - 3).max(0) * 100;
            (2700 + 100 * n - gone) as f64 / (4700 + 100 * n - 2 * gone) as f64
        };
        assert!(of(days) >= 0.7 && of(days - 1) < 0.7, "{days}: {} {}", of(days), of(days - 1));
        assert_eq!(share("b").reaches_max_unix_ms, None);
        assert_eq!(view.state, "in_force");
    }
}
