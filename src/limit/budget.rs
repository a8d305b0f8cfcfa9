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

/// The three periods under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    periods: [Spent; 3],
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
        Self { periods: Period::ALL.map(unknown) }
    }
}

impl Spending {
    /// The periods as they are at `now`.
    pub fn at(&mut self, now_unix_ms: i64) -> [Spent; 3] {
        self.roll(now_unix_ms);
        self.periods
    }

    /// Sets `more` aside for a call that began at `at`, in all periods; or says which hard budget it does not fit in, and
    /// changes nothing.
    pub fn reserve(&mut self, limits: &Limits, at_unix_ms: i64, more: Money) -> Result<(), (Spent, Money)> {
        self.roll(at_unix_ms);
        if limits.has_hard_budget() {
            for spent in &self.periods {
                let Some(limit) = limits.budget(spent.period) else { continue };
                if spent.spent + spent.reserved + more > limit {
                    return Err((*spent, limit));
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

    /// What a call that began at `at` has cost.
    pub fn spend(&mut self, at_unix_ms: i64, cost: Money) {
        self.roll(at_unix_ms);
        for spent in self.of(at_unix_ms) {
            spent.spent = spent.spent + cost;
        }
    }

    /// The budgets that have reached a higher mark than was told before.
    pub fn marks(&mut self, limits: &Limits) -> Vec<Reached> {
        let mut reached = Vec::new();
        for spent in &mut self.periods {
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
        self.periods.iter_mut().filter(move |spent| spent.holds(at_unix_ms))
    }

    fn roll(&mut self, now_unix_ms: i64) {
        for spent in &mut self.periods {
            if now_unix_ms >= spent.resets_unix_ms {
                *spent = Spent {
                    period: spent.period,
                    starts_unix_ms: spent.period.start_ms(now_unix_ms),
                    resets_unix_ms: spent.period.end_ms(now_unix_ms),
                    spent: Money::ZERO,
                    reserved: Money::ZERO,
                    told: 0,
                };
            }
        }
    }
}

impl Spent {
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
            told.extend(spending.marks(&limits).iter().map(|reached| reached.percent));
        }
        assert_eq!(told, [50, 80, 95].map(|mark| if mark == 95 { 100 } else { mark }));
    }
}
