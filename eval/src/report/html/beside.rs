//! The part of the page that compares: per gate the paired counts, and every item that was won, lost or changed with both
//! answers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::{Comparison, GateComparison, ItemDifference, ItemResult, Report};
use super::{moment, transcript::Answer};

/// Items that are judged alike but answered differently are shown up to here, and counted beyond.
const MOST_CHANGED: usize = 100;

#[derive(Serialize)]
pub(super) struct Beside<'a> {
    comparison: &'a Comparison,
    old_verdict: Option<String>,
    old_finished: Option<String>,
    gates: Vec<Gate<'a>>,
    changed: Vec<Pair<'a>>,
    changed_in_all: usize,
}

#[derive(Serialize)]
struct Gate<'a> {
    id: &'a str,
    /// The paired bound lies above the margin; `None` without a margin.
    holds: Option<bool>,
    won: Vec<Pair<'a>>,
    lost: Vec<Pair<'a>>,
}

/// An item with both answers.
#[derive(Serialize)]
struct Pair<'a> {
    id: &'a str,
    severity: &'static str,
    why: &'a [String],
    new: Vec<Answer>,
    /// Empty where the old run is not at hand.
    old: Vec<Answer>,
}

struct Answers<'a> {
    new: BTreeMap<&'a str, &'a ItemResult>,
    old: BTreeMap<&'a str, &'a ItemResult>,
}

impl<'a> Beside<'a> {
    pub(super) fn of(comparison: &'a Comparison, new: &'a Report, old: Option<&'a Report>) -> Self {
        let by_id = |report: &'a Report| report.items.iter().map(|item| (item.id.as_str(), item));
        let answers = Answers { new: by_id(new).collect(), old: old.into_iter().flat_map(by_id).collect() };
        let pairs = |differences: &'a [ItemDifference]| -> Vec<Pair<'a>> {
            differences.iter().map(|item| answers.pair(&item.id, item.severity.name(), &item.why)).collect()
        };
        let gate = |gate: &'a GateComparison| Gate {
            id: &gate.id,
            holds: gate.paired.margin.map(|margin| gate.paired.bound > -margin),
            won: pairs(&gate.won),
            lost: pairs(&gate.lost),
        };
        let changed = comparison.changed.iter().take(MOST_CHANGED).map(|id| {
            let severity = answers.new.get(id.as_str()).map_or("", |item| item.severity.name());
            answers.pair(id, severity, &[])
        });
        let run = comparison.old.run.as_ref();
        Self {
            old_verdict: run.map(|run| run.verdict.to_string()),
            old_finished: run.map(|run| moment(run.finished_at)),
            gates: comparison.gates.iter().map(gate).collect(),
            changed: changed.collect(),
            changed_in_all: comparison.changed.len(),
            comparison,
        }
    }
}

impl<'a> Answers<'a> {
    fn pair(&self, id: &'a str, severity: &'static str, why: &'a [String]) -> Pair<'a> {
        let said = |items: &BTreeMap<&str, &ItemResult>| {
            items.get(id).map_or_else(Vec::new, |item| item.answers.iter().map(Answer::of).collect())
        };
        Pair { id, severity, why, new: said(&self.new), old: said(&self.old) }
    }
}
