//! What a run found: every answer, every check, every gate, and the verdict that follows from them.
//!
//! Plain data that survives as JSON. [`Report::judge`] is the only place where a verdict is made, and it can be made again from the
//! items at any time: [`Report::recheck`] finds a report whose scores do not follow from its answers, or whose counts and verdicts
//! do not follow from its scores. An error counts against every gate of its item, so hiding a wrong answer behind an error gains
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    referee::{Court, Evidence, Measured, Referees},
    score::{Asked, Check},
    suite::{Draw, Item, Severity, Split, Suite, SuiteId},
};

mod comparison;
mod gate;
mod html;
mod print;
mod record;
mod runs;

pub use comparison::{Comparison, GateComparison, GateCount, Incomparable, ItemDifference, Side, SideRun};
pub use gate::{GateResult, PairedResult, SliceResult};
pub use html::Page;
pub use record::{AnswerRecord, RecordedFinish, RecordedPart};
pub(crate) use runs::MAX_REPORT_BYTES;
pub use runs::{AgainstName, ListedRun, RunSummary, Runs, RunsError, StoredRun};

/// A whole run. `PASS` only when every gate passed, with enough items and few enough errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// This package's version.
    pub harness: String,
    /// `vendor/model`.
    pub target: String,
    pub engine: Option<String>,
    /// A digest over everything of the target that an answer depends on: see `Binding::key`.
    pub subject: String,
    /// What the answers say the model is, where that is not what it was asked as: the dated name behind an alias.
    pub answered_as: Vec<String>,
    /// What the answers say of what stands behind that name (OpenAI's `system_fingerprint`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fingerprints: Vec<String>,
    pub suite: SuiteId,
    /// Only a run of `gate` can be certified.
    pub split: Split,
    /// Which run of this target over exactly this suite and split it is, counted from 1.
    pub attempt: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub finished_at: OffsetDateTime,
    /// How many questions were asked side by side.
    pub concurrency: usize,
    /// Answers taken over from an earlier, finished run.
    pub reused: usize,
    /// Answers that this run gave before it was interrupted.
    pub resumed: usize,
    /// What the answers cost, in millionths of a dollar, where the target has a price.
    pub cost_micros: Option<u64>,
    pub verdict: Verdict,
    /// Why it is not a pass: for people.
    pub why: Vec<String>,
    pub errors: usize,
    pub errors_allowed: usize,
    /// Whom it is compared with.
    pub against: Option<Against>,
    /// Who had a say besides the target.
    #[serde(default, skip_serializing_if = "Referees::is_empty")]
    pub referees: Referees,
    pub gates: Vec<GateResult>,
    pub items: Vec<ItemResult>,
}

/// The incumbent, and what it passed of the same items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Against {
    pub target: String,
    pub engine: Option<String>,
    /// Of its own report.
    pub report_sha256: String,
    /// By gate, the ids of the items.
    pub passed: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    Pass,
    Fail,
    /// Too few items or too many errors to say; never a pass.
    Inconclusive,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemResult {
    pub id: String,
    pub slices: Vec<String>,
    pub cluster: Option<String>,
    pub severity: Severity,
    /// One for each ask that was answered.
    pub answers: Vec<AnswerRecord>,
    /// What referees said of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Measured>,
    /// By gate.
    pub scores: BTreeMap<String, Score>,
    /// Why an ask got no answer: it counts as an error of the run.
    pub error: Option<String>,
    /// Why the target cannot be asked this at all, tools it does not know, say: a miss, and no error.
    pub refused: Option<String>,
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
    pub fn judge(
        suite: &Suite,
        items: &[ItemResult],
        against: Option<&Against>,
        referees: &Referees,
    ) -> (Verdict, Vec<String>, Vec<GateResult>) {
        let mut gates: Vec<GateResult> =
            suite.gates.iter().map(|gate| GateResult::count(gate, items, against)).collect();
        if let Some(item) = recited(suite, items) {
            let why = format!(
                "the answer to {item} has the suite's canary in it: the model has seen the suite, and its score says nothing"
            );
            return (Verdict::Inconclusive, vec![why], gates);
        }
        let doubts = referees.doubts(suite);
        for gate in gates.iter_mut().filter(|gate| doubts.contains_key(&gate.id)) {
            gate.verdict = Verdict::Inconclusive;
        }
        let errors = errors_in(items);
        let (verdict, mut why) = conclude(&gates, errors, suite.errors_allowed);
        if verdict != Verdict::Pass {
            let mut said: Vec<String> = doubts.into_values().flatten().collect();
            said.sort();
            said.dedup();
            why.extend(said);
        }
        (verdict, why, gates)
    }

    /// What a later run that is compared with this one needs to know. `report_sha256` is of this report's file.
    pub fn as_incumbent(&self, report_sha256: String) -> Against {
        let mut passed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for item in &self.items {
            for (gate, _) in item.scores.iter().filter(|(_, score)| score.passed) {
                passed.entry(gate.clone()).or_default().insert(item.id.clone());
            }
        }
        Against { target: self.target.clone(), engine: self.engine.clone(), report_sha256, passed }
    }

    /// What the answers say the model is, and of what stands behind that name: each once, sorted.
    pub(crate) fn said_by(items: &[ItemResult]) -> (Vec<String>, Vec<String>) {
        let said = |what: fn(&AnswerRecord) -> Option<&String>| -> Vec<String> {
            let all: BTreeSet<&String> = items.iter().flat_map(|item| &item.answers).filter_map(what).collect();
            all.into_iter().cloned().collect()
        };
        (said(|answer| answer.model.as_ref()), said(|answer| answer.fingerprint.as_ref()))
    }

    /// Whether it is a report of exactly this suite, and every score, count, bound and verdict follows from its answers.
    pub fn recheck(&self, suite: &Suite) -> Result<(), Inconsistent> {
        let fail = |what: String| Err(Inconsistent(what));
        if self.suite != *suite.id() {
            return fail(format!("it is of suite {} {}, not {}", self.suite.name, self.suite.digest, suite.digest()));
        }
        if self.split != suite.split() {
            return fail(format!("it is of the split {:?}, not {:?}", self.split, suite.split()));
        }
        if !self.items.iter().map(|item| &item.id).eq(suite.items.iter().map(|item| &item.id)) {
            return fail("its items are not the suite's".into());
        }
        self.referees.check(suite, &self.target, &self.subject).map_err(Inconsistent)?;
        for (item, result) in suite.items.iter().zip(&self.items) {
            result.recheck(suite, item, &self.referees)?;
        }
        if Self::said_by(&self.items) != (self.answered_as.clone(), self.fingerprints.clone()) {
            return fail("the names that it gives the model are not those of its answers".into());
        }
        if self.referees.settled(suite, &self.items, &self.answered_as) != self.referees {
            return fail("what it says of its judge does not follow from what the judge said".into());
        }
        let (verdict, _, gates) = Self::judge(suite, &self.items, self.against.as_ref(), &self.referees);
        if gates != self.gates || errors_in(&self.items) != self.errors || self.errors_allowed != suite.errors_allowed {
            return fail("its counts are not those of its items".into());
        }
        if verdict != self.verdict {
            return fail(format!("its verdict is {}, its items say {verdict}", self.verdict));
        }
        Ok(())
    }
}

impl ItemResult {
    /// What the item's checks say of its answers; those that need a referee are missed.
    pub fn judged(suite: &Suite, item: &Item, answers: Vec<AnswerRecord>) -> Self {
        Self::judged_by(suite, item, answers, Vec::new(), &Referees::default())
    }

    /// What the item's checks say of its answers, and of what `referees` said of them.
    pub fn judged_by(
        suite: &Suite,
        item: &Item,
        answers: Vec<AnswerRecord>,
        measured: Vec<Measured>,
        referees: &Referees,
    ) -> Self {
        let chat = item.chat(&suite.sampling);
        // Judged by what is kept of them, so that anyone can do it again.
        let kept: Vec<_> = answers.iter().map(AnswerRecord::to_answer).collect();
        let court = Court { suite, item, referees };
        let evidence = Some(Evidence { records: &answers, measured: &measured, court });
        let asked = Asked { chat: &chat, answers: &kept, evidence };
        let score = |(gate, checks): &(String, Vec<Check>)| {
            let why: Vec<String> =
                checks.iter().filter_map(|check| check.judge(asked).err()).map(|miss| miss.0).collect();
            (gate.clone(), Score { passed: why.is_empty(), why })
        };
        let scores = item.checks.iter().map(score).collect();
        Self { scores, measured, answers, error: None, ..Self::blank(item) }
    }

    /// An item without an answer misses all its gates.
    pub fn failed(item: &Item, error: String, answers: Vec<AnswerRecord>) -> Self {
        let miss = Score { passed: false, why: vec![error.clone()] };
        let scores = item.checks.iter().map(|(gate, _)| (gate.clone(), miss.clone())).collect();
        Self { scores, answers, error: Some(error), ..Self::blank(item) }
    }

    /// An item that the target cannot be asked is missed by what the target is, whatever the network does.
    pub fn refused(item: &Item, why: String) -> Self {
        Self { error: None, refused: Some(why.clone()), ..Self::failed(item, why, Vec::new()) }
    }

    /// What counts as one draw: see [`Item::draw`].
    pub fn draw(&self) -> Draw<'_> {
        match &self.cluster {
            Some(cluster) => Draw::Cluster(cluster),
            None => Draw::Item(&self.id),
        }
    }

    pub fn passed(&self) -> bool {
        self.scores.values().all(|score| score.passed)
    }

    fn blank(item: &Item) -> Self {
        Self {
            id: item.id.clone(),
            slices: item.slices.clone(),
            cluster: item.cluster.clone(),
            severity: item.severity,
            answers: Vec::new(),
            measured: Vec::new(),
            scores: BTreeMap::new(),
            error: None,
            refused: None,
        }
    }

    fn recheck(&self, suite: &Suite, item: &Item, referees: &Referees) -> Result<(), Inconsistent> {
        let fail = |what: &str| Err(Inconsistent(format!("item {} {what}", item.id)));
        if self.slices != item.slices || self.cluster != item.cluster || self.severity != item.severity {
            return fail("has other slices, another cluster or another severity than in the suite");
        }
        let earned = match self.error.as_ref().or(self.refused.as_ref()) {
            Some(why) => Self::failed(item, why.clone(), Vec::new()),
            None if self.answers.len() != item.asks => return fail("has more or fewer answers than it was asked for"),
            None => Self::judged_by(suite, item, self.answers.clone(), self.measured.clone(), referees),
        };
        if !earned.scores.keys().eq(self.scores.keys()) {
            return fail("is not judged by its gates");
        }
        match earned.scores.iter().find(|(gate, score)| self.scores[*gate].passed != score.passed) {
            Some((gate, score)) if score.passed => fail(&format!("misses `{gate}`, but its answers pass it")),
            Some((gate, _)) => fail(&format!("passes `{gate}`, but its answers do not")),
            None => Ok(()),
        }
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

/// The first item whose answer has in it what stands in no question.
fn recited<'a>(suite: &Suite, items: &'a [ItemResult]) -> Option<&'a str> {
    let canary = suite.canary.as_ref()?;
    let recites = |item: &&ItemResult| item.answers.iter().any(|answer| answer.says(canary));
    items.iter().find(recites).map(|item| item.id.as_str())
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

#[cfg(test)]
mod tests;
