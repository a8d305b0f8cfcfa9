//! What one payer has spent and reserved in the day, the week and the month under way. Pure: time is an argument.
//!
//! A call counts in the periods in which it began, as its row in the ledger does, also when it ends in the next ones.

use serde::{Deserialize, Serialize};

use crate::{
    config::Limits,
    domain::{Money, Period},
};

/// Shares of a budget, in percent, that are told of once each.
const MARKS: [u8; 4] = [50, 80, 95, 100];

/// The three periods under way, and for each the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    /// In the order of [`Period::ALL`], the shortest first: what lies in a day that is known lies in a known week and month.
    courses: [Course; 3],
}

/// Periods of one kind. They are opened forward only, so that a clock which is set back gives nobody a budget anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Course {
    newest: Spent,
    last: Option<Spent>,
}

/// One period under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    pub period: Period,
    /// In ms since 1970-01-01 UTC.
    pub starts_unix_ms: i64,
    pub resets_unix_ms: i64,
    pub spent: Money,
    /// What calls under way may cost at worst.
    pub reserved: Money,
    /// The highest of [`MARKS`] that was told.
    #[serde(skip)]
    told: u8,
}

/// A budget that has reached a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    pub percent: u8,
    pub of: Spent,
    pub limit: Money,
}

impl Default for Spending {
    fn default() -> Self {
        let unknown = |period| Spent {
            period,
            starts_unix_ms: i64::MIN,
            resets_unix_ms: i64::MIN,
            spent: Money::ZERO,
            reserved: Money::ZERO,
            told: 0,
        };
        Self { courses: Period::ALL.map(|period| Course { newest: unknown(period), last: None }) }
    }
}

impl Spending {
    /// The periods as they are at `now`; where a clock was set back, those that its calls count in.
    pub fn at(&mut self, now_unix_ms: i64) -> [Spent; 3] {
        let at = self.counts_at(now_unix_ms);
        self.courses.map(|course| course.at(at))
    }

    /// When a call that begins at `at` counts as begun: then, unless the clock was set back to before the periods that are known.
    /// So what it costs is looked for in a budget that has been there.
    pub fn counts_at(&mut self, at_unix_ms: i64) -> i64 {
        self.roll(at_unix_ms);
        let [Course { newest, last }, ..] = &self.courses;
        match last {
            _ if at_unix_ms >= newest.starts_unix_ms => at_unix_ms,
            Some(last) => at_unix_ms.clamp(last.starts_unix_ms, last.resets_unix_ms - 1),
            None => newest.starts_unix_ms,
        }
    }

    /// Sets `more` aside for a call that [counts](Self::counts_at) at `at`, in all periods; or says which hard budget it does not
    /// fit in, and changes nothing.
    pub fn reserve(&mut self, limits: &Limits, at_unix_ms: i64, more: Money) -> Result<(), (Spent, Money)> {
        self.roll(at_unix_ms);
        if limits.has_hard_budget() {
            for spent in self.courses.iter().map(|course| course.at(at_unix_ms)) {
                let Some(limit) = limits.budget(spent.period) else { continue };
                if spent.spent + spent.reserved + more > limit {
                    return Err((spent, limit));
                }
            }
        }
        for spent in self.of(at_unix_ms) {
            spent.reserved = spent.reserved + more;
        }
        Ok(())
    }

    /// Takes back what was set aside.
    pub fn release(&mut self, at_unix_ms: i64, reserved: Money) {
        for spent in self.of(at_unix_ms) {
            spent.reserved = Money::from_micros((spent.reserved.micros - reserved.micros).max(0));
        }
    }

    /// What a call that counts at `at` has cost.
    pub fn spend(&mut self, at_unix_ms: i64, cost: Money) {
        self.roll(at_unix_ms);
        for spent in self.of(at_unix_ms) {
            spent.spent = spent.spent + cost;
        }
    }

    /// What a call of an earlier process, which began at `at`, has cost; it is `now`. Where rows are of the future, the clock was
    /// set back since: the newest of their periods is known, and the one that it is now.
    pub fn restore(&mut self, at_unix_ms: i64, cost: Money, now_unix_ms: i64) {
        self.roll(now_unix_ms);
        for course in &mut self.courses {
            let Course { newest, last } = course;
            let last = last.get_or_insert(Spent::unspent(newest.period, newest.starts_unix_ms - 1));
            if at_unix_ms >= newest.resets_unix_ms {
                if !last.holds(now_unix_ms) {
                    *last = *newest;
                }
                *newest = Spent::unspent(newest.period, at_unix_ms);
            }
        }
        for spent in self.of(at_unix_ms) {
            spent.spent = spent.spent + cost;
        }
    }

    /// The budgets that have reached a higher mark than was told before, among those that a call at `at` counts in.
    pub fn marks(&mut self, limits: &Limits, at_unix_ms: i64) -> Vec<Reached> {
        let mut reached = Vec::new();
        for spent in self.of(at_unix_ms) {
            let Some(limit) = limits.budget(spent.period) else { continue };
            let is_past =
                |percent: u8| i128::from(spent.spent.micros) * 100 >= i128::from(limit.micros) * i128::from(percent);
            let percent = MARKS.into_iter().rev().find(|percent| is_past(*percent)).unwrap_or(0);
            if percent > spent.told && spent.spent > Money::ZERO {
                spent.told = percent;
                reached.push(Reached { percent, of: *spent, limit });
            }
        }
        reached
    }

    fn of(&mut self, at_unix_ms: i64) -> impl Iterator<Item = &mut Spent> {
        let both = self.courses.iter_mut().flat_map(|course| course.last.iter_mut().chain([&mut course.newest]));
        both.filter(move |spent| spent.holds(at_unix_ms))
    }

    fn roll(&mut self, now_unix_ms: i64) {
        for Course { newest, last } in &mut self.courses {
            if now_unix_ms >= newest.resets_unix_ms {
                *last = (newest.resets_unix_ms > i64::MIN).then_some(*newest);
                *newest = Spent::unspent(newest.period, now_unix_ms);
            }
        }
    }
}

impl Course {
    /// The period that holds `at`, else the newest.
    fn at(&self, at_unix_ms: i64) -> Spent {
        self.last.filter(|last| last.holds(at_unix_ms)).unwrap_or(self.newest)
    }
}

impl Spent {
    /// The period in which `at` lies.
    fn unspent(period: Period, at_unix_ms: i64) -> Self {
        Self {
            period,
            starts_unix_ms: period.start_ms(at_unix_ms),
            resets_unix_ms: period.end_ms(at_unix_ms),
            spent: Money::ZERO,
            reserved: Money::ZERO,
            told: 0,
        }
    }

    fn holds(&self, at_unix_ms: i64) -> bool {
        (self.starts_unix_ms..self.resets_unix_ms).contains(&at_unix_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    fn usd(micros: i64) -> Money {
        Money::from_micros(micros)
    }

    fn daily(micros: i64) -> Limits {
        Limits { budget_per_day: Some(usd(micros)), ..Limits::NONE }
    }

    proptest! {
        /// In any order of reserving and settling: what is spent never passes a hard budget, if no call costs more than
        /// was set aside for it.
        #[test]
        fn a_hard_budget_is_never_overspent(
            limit in 1i64..500,
            calls in proptest::collection::vec((0i64..60, 0i64..=60, any::<bool>()), 1..200),
        ) {
            let (mut spending, limits, now) = (Spending::default(), daily(limit), 1_795_000_000_000);
            let mut open = std::collections::VecDeque::new();
            let settle = |spending: &mut Spending, (bound, cost): (i64, i64)| {
                spending.release(now, usd(bound));
                spending.spend(now, usd(cost));
            };
            for (bound, cost, ends) in calls {
                if spending.reserve(&limits, now, usd(bound)).is_ok() {
                    open.push_back((bound, cost.min(bound)));
                }
                if ends && let Some(call) = open.pop_front() {
                    settle(&mut spending, call);
                }
                prop_assert!(spending.at(now)[0].spent.micros <= limit);
            }
            open.into_iter().for_each(|call| settle(&mut spending, call));
            let left = spending.at(now)[0];
            prop_assert!(left.spent.micros <= limit && left.reserved == Money::ZERO);
        }
    }

    #[test]
    fn a_call_counts_in_the_day_in_which_it_began() {
        let evening = datetime!(2026-11-25 23:59:59 UTC).unix_timestamp() * 1000;
        let mut spending = Spending::default();
        spending.reserve(&daily(10), evening, usd(10)).expect("fits");
        assert!(spending.reserve(&daily(10), evening, usd(1)).is_err());
        let morning = evening + 2000;
        spending.reserve(&daily(10), morning, usd(10)).expect("a new day has a new budget");
        spending.release(evening, usd(10));
        spending.spend(evening, usd(10));
        let [day, week, month] = spending.at(morning);
        assert_eq!((day.spent, day.reserved), (usd(0), usd(10)));
        assert_eq!((week.spent, month.spent), (usd(10), usd(10)));
    }

    #[test]
    fn each_mark_is_told_once_and_a_soft_budget_refuses_nothing() {
        let limits = Limits { budget_kind: Some(crate::config::BudgetKind::Soft), ..daily(100) };
        let (mut spending, now) = (Spending::default(), 1_795_000_000_000);
        let mut told = Vec::new();
        for _ in 0..12 {
            spending.reserve(&limits, now, usd(10)).expect("is soft");
            spending.release(now, usd(10));
            spending.spend(now, usd(10));
            told.extend(spending.marks(&limits, now).iter().map(|reached| reached.percent));
        }
        assert_eq!(told, [50, 80, 95].map(|mark| if mark == 95 { 100 } else { mark }));
    }

    #[test]
    fn rows_of_the_future_are_known_after_a_start_and_so_are_those_of_now() {
        let day = 86_400_000;
        let now = datetime!(2026-11-25 12:00 UTC).unix_timestamp() * 1000;
        let mut spending = Spending::default();
        for (days, cost) in [(-1, 1), (0, 4), (1, 2), (2, 3), (-9, 50)] {
            spending.restore(now + days * day, usd(cost), now);
        }
        assert_eq!(spending.at(now)[0].spent, usd(4));
        spending.reserve(&daily(10), now, usd(6)).expect("fits");
        assert!(spending.reserve(&daily(10), now, usd(1)).is_err());
        assert_eq!(spending.at(now + 2 * day)[0].spent, usd(3));
        // Without such rows, what is known of yesterday is there for a clock that is set back.
        let mut spending = Spending::default();
        spending.restore(now - day, usd(9), now);
        let at = spending.counts_at(now - day);
        assert!(spending.reserve(&daily(10), at, usd(2)).is_err());
        spending.reserve(&daily(10), at, usd(1)).expect("fits");
    }
}
