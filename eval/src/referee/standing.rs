//! How far a judge can be relied on: how often it agrees with people, and with itself when the order is turned.
//!
//! A judge whose word changes with the order in which answers stand, or that people would not agree with, measures nothing.
//! It is no failure of the model under test: what hangs on it is inconclusive.

use serde::{Deserialize, Serialize};

use super::{JudgeRecord, Outcome, families_of, outcome_of, verdict_on};
use crate::{
    report::AnswerRecord,
    statistics::{agreement, interval, lower_bound},
    suite::JudgeRules,
};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeStanding {
    /// `None`: the suite has no labels.
    pub labels: Option<LabelAgreement>,
    /// `None`: nothing was compared in pairs.
    pub orders: Option<OrderAgreement>,
    /// It is not who it was said to be.
    pub strange: Option<String>,
}

/// Beside human labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelAgreement {
    pub n: usize,
    pub equal: usize,
    /// equal / n.
    pub share: f64,
    /// The two-sided 95 % Clopper–Pearson interval of the share, for reading.
    pub low: f64,
    pub high: f64,
    /// The one-sided 95 % lower bound, which decides.
    pub bound: f64,
    /// Cohen's; `None` where one label is all there is.
    pub kappa: Option<f64>,
    /// What `bound` must reach.
    pub min_agreement: f64,
    /// What `kappa` must reach.
    pub min_kappa: Option<f64>,
}

/// Of pairs judged in both orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderAgreement {
    pub n: usize,
    pub equal: usize,
    pub share: f64,
    pub low: f64,
    pub high: f64,
    /// What `share` must reach.
    pub min_share: f64,
}

impl JudgeStanding {
    /// By what it said of the labels, and of `judged` items.
    pub(super) fn of(
        rules: &JudgeRules,
        judge: &JudgeRecord,
        judged: &[&[AnswerRecord]],
        subject_names: &[String],
    ) -> Self {
        let pairs: Vec<(&'static str, &'static str)> = rules
            .labels
            .iter()
            .map(|label| {
                let record = judge.labels.iter().find(|record| record.id == label.id);
                let said = record.and_then(|record| verdict_on(rules, label, &record.answers));
                (label.verdict.name(), said.map_or("none", |verdict| verdict.name()))
            })
            .collect();
        let labels = (!pairs.is_empty()).then(|| {
            let found = agreement(&pairs);
            let equal = pairs.iter().filter(|(human, judge)| human == judge).count();
            let (low, high) = interval(equal, pairs.len());
            LabelAgreement {
                n: pairs.len(),
                equal,
                share: found.share,
                low,
                high,
                bound: found.lower_bound,
                kappa: found.kappa,
                min_agreement: rules.min_agreement,
                min_kappa: rules.min_kappa,
            }
        });
        let of_labels = judge.labels.iter().map(|label| label.answers.as_slice());
        let outcomes: Vec<Outcome> = judged
            .iter()
            .copied()
            .chain(of_labels)
            .filter(|answers| answers.len() == 2)
            .filter_map(outcome_of)
            .collect();
        let orders = (!outcomes.is_empty()).then(|| {
            let (n, turned) = (outcomes.len(), Outcome::Tie { turned: true });
            let equal = outcomes.iter().filter(|outcome| **outcome != turned).count();
            let (low, high) = interval(equal, n);
            let share = equal as f64 / n as f64;
            OrderAgreement { n, equal, share, low, high, min_share: rules.min_order_agreement }
        });
        Self { labels, orders, strange: strange(judge, subject_names) }
    }

    /// Why it cannot be relied on, by its own numbers.
    pub fn doubts(&self) -> Vec<String> {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let mut doubts: Vec<String> = self.strange.iter().cloned().collect();
        match &self.labels {
            None => doubts.push(
                "the suite has no labels of people to compare the judge with; add a file of them under `judge: { labels }`"
                    .to_owned(),
            ),
            Some(LabelAgreement { n, equal, min_agreement, kappa, min_kappa, .. }) => {
                let bound = if equal <= n { lower_bound(*equal, *n) } else { 0.0 };
                if bound < *min_agreement {
                    doubts.push(format!(
                        "the judge agrees with people on {equal} of {n}, at least {} with 95 % confidence ({} needed)",
                        percent(bound),
                        percent(*min_agreement)
                    ));
                }
                if let Some(least) = min_kappa
                    && kappa.is_none_or(|kappa| kappa < *least)
                {
                    let kappa = kappa.map_or("undefined".to_owned(), |kappa| format!("{kappa:.2}"));
                    doubts.push(format!("the judge's kappa with people is {kappa} ({least} needed)"));
                }
            }
        }
        if let Some(OrderAgreement { n, equal, min_share, .. }) = &self.orders
            && (equal > n || (*equal as f64) < *min_share * *n as f64)
        {
            doubts.push(format!(
                "the judge says the same in both orders for {equal} of {n} pairs ({} needed)",
                percent(*min_share)
            ));
        }
        doubts
    }

    /// `agrees with people on 27 of 30 (73.5 % to 97.9 %), kappa 0.80; the same in both orders for 18 of 20`
    pub fn describe(&self) -> String {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let mut said = match &self.labels {
            None => "no labels to compare it with".to_owned(),
            Some(LabelAgreement { n, equal, low, high, kappa, .. }) => {
                let kappa = kappa.map(|kappa| format!(", kappa {kappa:.2}")).unwrap_or_default();
                format!("agrees with people on {equal} of {n} ({} to {}){kappa}", percent(*low), percent(*high))
            }
        };
        if let Some(OrderAgreement { n, equal, low, high, .. }) = &self.orders {
            said.push_str(&format!(
                "; the same in both orders for {equal} of {n} ({} to {})",
                percent(*low),
                percent(*high)
            ));
        }
        said
    }
}

/// Behind a name may be another model than the one that was chosen.
fn strange(judge: &JudgeRecord, subject_names: &[String]) -> Option<String> {
    if let [first, second, ..] = judge.answered_as.as_slice() {
        return Some(format!("the judge answered as {first} and as {second}; pin one model by its dated name"));
    }
    let name = judge.answered_as.first()?;
    if subject_names.contains(name) {
        return Some(format!("the judge answers as {name}, and so does the model under test"));
    }
    let families = families_of(name);
    let shared = families.iter().find(|family| judge.identity.subject_families.iter().any(|other| other == *family))?;
    Some(format!("the judge answers as {name}, of the family {shared}, which the model under test is of"))
}
