//! What a run found: every answer, every check, every gate, and the verdict that follows from them.
//!
//! Plain data that survives as JSON. [`Report::judge`] is the only place where a verdict is made, and it can be made again from the
//! items at any time: [`Report::recheck`] finds a report whose counts or verdicts do not follow from its own items. An error
//! counts against every gate of its item, so hiding a wrong answer behind an error gains nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    statistics::lower_bound,
    suite::{Gate, Suite, SuiteId},
};

/// A whole run. `PASS` only when every gate passed, with enough items and few enough errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// This package's version.
    pub harness: String,
    /// `vendor/model`.
    pub target: String,
    pub engine: Option<String>,
    pub suite: SuiteId,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub finished_at: OffsetDateTime,
    pub verdict: Verdict,
    /// Why it is not a pass: for people.
    pub why: Vec<String>,
    pub errors: usize,
    pub errors_allowed: usize,
    pub gates: Vec<GateResult>,
    pub items: Vec<ItemResult>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    Pass,
    Fail,
    /// Too few items or too many errors to say; never a pass.
    Inconclusive,
}

/// One gate's count and what it shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateResult {
    pub id: String,
    /// Items that passed.
    pub k: usize,
    /// Items that were judged.
    pub n: usize,
    /// k / n.
    pub estimate: f64,
    /// The one-sided 95 % lower bound of the true share; see [`lower_bound`].
    pub bound: f64,
    /// τ, which `bound` must reach.
    pub threshold: f64,
    pub min_items: usize,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemResult {
    pub id: String,
    pub slices: Vec<String>,
    /// One for each ask that was answered.
    pub answers: Vec<AnswerRecord>,
    /// By gate.
    pub scores: BTreeMap<String, Score>,
    /// Why an ask got no answer.
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRecord {
    pub text: String,
    /// `stop`, `stop_sequence`, `length`, `tool_calls` or `content_filter`.
    pub finish: String,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub latency_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    pub passed: bool,
    /// The checks that were missed.
    pub why: Vec<String>,
}

/// A report that does not follow from its own items: it was edited, or made by a broken tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the report contradicts itself: {0}; run the suite again")]
pub struct Inconsistent(String);

impl Inconsistent {
    pub(crate) fn because(what: String) -> Self {
        Self(what)
    }
}

impl Report {
    /// The verdict that `items` earn by the suite's gates; everything of the report but times and names.
    pub fn judge(suite: &Suite, items: &[ItemResult]) -> (Verdict, Vec<String>, Vec<GateResult>) {
        let gates: Vec<GateResult> = suite.gates.iter().map(|gate| GateResult::count(gate, items)).collect();
        let errors = errors_in(items);
        let (verdict, why) = conclude(&gates, errors, suite.errors_allowed);
        (verdict, why, gates)
    }

    /// Whether it is a report of exactly this suite, and every count, bound and verdict follows from its items.
    pub fn recheck(&self, suite: &Suite) -> Result<(), Inconsistent> {
        let fail = |what: String| Err(Inconsistent(what));
        if self.suite != *suite.id() {
            return fail(format!("it is of suite {} {}, not {}", self.suite.name, self.suite.digest, suite.digest()));
        }
        if !self.items.iter().map(|item| &item.id).eq(suite.items.iter().map(|item| &item.id)) {
            return fail("its items are not the suite's".into());
        }
        for (item, result) in suite.items.iter().zip(&self.items) {
            let judged = item.checks.iter().filter(|(gate, _)| result.scores.contains_key(gate)).count();
            if judged != item.checks.len() || judged != result.scores.len() {
                return fail(format!("item {} is not judged by its gates", item.id));
            }
            if result.error.is_some() && result.scores.values().any(|score| score.passed) {
                return fail(format!("item {} has an error and passes", item.id));
            }
        }
        let (verdict, _, gates) = Self::judge(suite, &self.items);
        if gates != self.gates || errors_in(&self.items) != self.errors || self.errors_allowed != suite.errors_allowed {
            return fail("its counts are not those of its items".into());
        }
        if verdict != self.verdict {
            return fail(format!("its verdict is {}, its items say {verdict}", self.verdict));
        }
        Ok(())
    }
}

impl GateResult {
    fn count(gate: &Gate, items: &[ItemResult]) -> Self {
        let scores: Vec<&Score> = items.iter().filter_map(|item| item.scores.get(&gate.id)).collect();
        let (k, n) = (scores.iter().filter(|score| score.passed).count(), scores.len());
        let bound = lower_bound(k, n);
        let verdict = match bound >= gate.threshold {
            _ if n < gate.min_items => Verdict::Inconclusive,
            true => Verdict::Pass,
            false => Verdict::Fail,
        };
        let estimate = if n == 0 { 0.0 } else { k as f64 / n as f64 };
        Self {
            id: gate.id.clone(),
            k,
            n,
            estimate,
            bound,
            threshold: gate.threshold,
            min_items: gate.min_items,
            verdict,
        }
    }

    /// `carry: 25 of 26 pass, at least 83.0 % with 95 % confidence (80.0 % needed): PASS`
    pub fn describe(&self) -> String {
        format!(
            "{}: {} of {} pass, at least {:.1} % with 95 % confidence ({:.1} % needed): {}",
            self.id,
            self.k,
            self.n,
            self.bound * 100.0,
            self.threshold * 100.0,
            self.verdict
        )
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        })
    }
}

fn errors_in(items: &[ItemResult]) -> usize {
    items.iter().filter(|item| item.error.is_some()).count()
}

fn conclude(gates: &[GateResult], errors: usize, allowed: usize) -> (Verdict, Vec<String>) {
    if errors > allowed {
        return (Verdict::Inconclusive, vec![format!("{errors} items ended in an error, {allowed} may")]);
    }
    let of = |verdict| {
        gates.iter().filter(move |gate| gate.verdict == verdict).map(GateResult::describe).collect::<Vec<_>>()
    };
    let (few, failed) = (of(Verdict::Inconclusive), of(Verdict::Fail));
    if !failed.is_empty() {
        return (Verdict::Fail, failed);
    }
    if !few.is_empty() || gates.is_empty() {
        return (Verdict::Inconclusive, few);
    }
    (Verdict::Pass, Vec::new())
}
