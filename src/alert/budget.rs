//! Budgets that reach a mark, as incidents: one per payer, period and mark, which ends when the period does. Pure.

use serde::{Deserialize, Serialize};

use super::{
    ladder::{Ladder, blank},
    message::{Alert, DedupKey, Event, State, moment},
};
use crate::{
    config::AlertSeverity,
    domain::{Money, Period, RouteId},
    limit::BudgetMark,
};

/// From here on people should act.
const URGENT_PERCENT: u8 = 95;

/// What an alert says of a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetNote {
    /// ``tenant `acme` ``
    pub of: String,
    pub period: Period,
    /// The mark that was reached.
    pub percent: u8,
    pub spent: Money,
    pub budget: Money,
    /// When the budget begins anew, in ms since 1970-01-01 UTC.
    pub resets_unix_ms: i64,
}

impl Ladder {
    /// What is to be told of a budget that has reached a mark.
    pub fn budget_reached(&mut self, mark: &BudgetMark, now_unix_ms: i64) -> Vec<Alert> {
        let (of, reached) = (mark.subject.to_string(), &mark.reached);
        let (period, percent) = (reached.of.period, reached.percent);
        let event = Event::BudgetReached;
        let percent_word = percent.to_string();
        // A new period is a new incident, also where the end of the old one was not seen.
        let since = reached.of.starts_unix_ms.to_string();
        let key = DedupKey::of(&[event.as_str(), &of, period.as_str(), &percent_word, &since]);
        // A budget is no route's matter.
        let about = (RouteId::new("-"), format!("budget_{percent_word}_percent"));
        let severity = if percent >= URGENT_PERCENT { AlertSeverity::Error } else { AlertSeverity::Warning };
        let note = BudgetNote {
            of,
            period,
            percent,
            spent: reached.of.spent,
            budget: reached.limit,
            resets_unix_ms: reached.of.resets_unix_ms,
        };
        let mut told = Vec::new();
        let alert = Alert { severity, budget: Some(note), ..blank(key, event, about, now_unix_ms) };
        self.meet(alert, now_unix_ms, &mut told);
        told
    }
}

impl BudgetNote {
    /// Whether its period is still under way.
    pub(super) fn stands(&self, now_unix_ms: i64) -> bool {
        now_unix_ms < self.resets_unix_ms
    }

    pub(super) fn summary(&self, state: State) -> String {
        let Self { of, period, percent, spent, budget, resets_unix_ms } = self;
        match state {
            State::Firing => format!(
                "{of} has spent {percent} % of its budget for this {period}: {spent} of {budget} USD; it begins anew at {}",
                moment(*resets_unix_ms)
            ),
            State::Resolved => format!("{of}: the {period} is over, its budget has begun anew"),
        }
    }
}
