//! Two runs of one suite side by side: what each gate counts for both, and which items were won and lost, and why.
//!
//! "Old" is the run that is compared with, "new" the one that is asked about; an item is won when only the new run passes
//! it. Runs over different bytes cannot be compared: the difference would be the suite's as much as the model's.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use time::OffsetDateTime;

use super::{Against, ItemResult, PairedResult, Report, Verdict};
use crate::{
    statistics::lower_bound,
    suite::{Severity, Split, Suite, SuiteId},
};

/// See the module.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    pub suite: SuiteId,
    pub split: Split,
    pub old: Side,
    pub new: Side,
    /// In the order of the suite.
    pub gates: Vec<GateComparison>,
    /// Items that both runs pass or miss alike, with different answers. Empty where the old answers are not at hand.
    pub changed: Vec<String>,
    /// Items with the same answers.
    pub same: usize,
}

/// One of the two runs.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    pub target: String,
    pub engine: Option<String>,
    /// Of the report's file.
    pub digest: String,
    /// `None` where only what it passed is known, not the run itself.
    pub run: Option<SideRun>,
}

#[derive(Debug, Clone, Serialize)]
pub struct SideRun {
    pub attempt: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub finished_at: OffsetDateTime,
    pub verdict: Verdict,
    pub errors: usize,
    pub cost_micros: Option<u64>,
    /// Of the middle answer.
    pub median_latency_ms: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct GateComparison {
    pub id: String,
    pub old: GateCount,
    pub new: GateCount,
    pub paired: PairedResult,
    /// Items that only the new run passes.
    pub won: Vec<ItemDifference>,
    /// Items that only the old run passes.
    pub lost: Vec<ItemDifference>,
}

/// What one run passed of a gate.
#[derive(Debug, Clone, Serialize)]
pub struct GateCount {
    /// Draws, see [`super::GateResult`].
    pub k: usize,
    pub n: usize,
    pub items_passed: usize,
    pub items: usize,
    /// The one-sided 95 % lower bound of the true share.
    pub bound: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct ItemDifference {
    pub id: String,
    pub severity: Severity,
    pub slices: Vec<String>,
    /// What the run that misses it missed. Empty where its answers are not at hand.
    pub why: Vec<String>,
}

/// Why two runs cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incomparable {
    #[error(
        "the runs are of different suites: {} by {old_target}, {} by {new_target}; only runs over the same bytes can be compared, so run both targets over one suite",
        named(old),
        named(new)
    )]
    Suites { old: Box<SuiteId>, old_target: String, new: Box<SuiteId>, new_target: String },
    #[error(
        "the runs are of different splits, `{}` by {old_target} and `{}` by {new_target}; run both with the same --split",
        old.name(), new.name()
    )]
    Splits { old: Split, old_target: String, new: Split, new_target: String },
    #[error("the runs have different items; one of the reports was edited, so run the suite again")]
    Items,
}

impl Comparison {
    /// Two whole runs, each with the digest of its file. `suite` gives the margins, where it is at hand.
    pub fn between(
        (old, old_digest): (&Report, &str),
        (new, new_digest): (&Report, &str),
        suite: Option<&Suite>,
    ) -> Result<Self, Incomparable> {
        let (old_target, new_target) = (old.target.clone(), new.target.clone());
        if old.suite != new.suite {
            let (old, new) = (Box::new(old.suite.clone()), Box::new(new.suite.clone()));
            return Err(Incomparable::Suites { old, old_target, new, new_target });
        }
        if old.split != new.split {
            return Err(Incomparable::Splits { old: old.split, old_target, new: new.split, new_target });
        }
        if !old.items.iter().map(|item| &item.id).eq(new.items.iter().map(|item| &item.id)) {
            return Err(Incomparable::Items);
        }
        Ok(Self::of((new, new_digest), &old.as_incumbent(old_digest.to_owned()), Some(old), suite))
    }

    /// A run beside the incumbent that its report names. `old` is the incumbent's own report, if it is still kept.
    pub fn with_incumbent((new, digest): (&Report, &str), old: Option<&Report>, suite: Option<&Suite>) -> Option<Self> {
        let against = new.against.as_ref()?;
        let fits = |old: &&Report| old.suite == new.suite && old.split == new.split;
        Some(Self::of((new, digest), against, old.filter(fits), suite))
    }

    fn of((new, digest): (&Report, &str), against: &Against, old: Option<&Report>, suite: Option<&Suite>) -> Self {
        let olds: BTreeMap<&str, &ItemResult> =
            old.into_iter().flat_map(|old| &old.items).map(|item| (item.id.as_str(), item)).collect();
        let gates: Vec<GateComparison> = new
            .gates
            .iter()
            .map(|gate| {
                let stored = gate.paired.as_ref().and_then(|paired| paired.margin);
                let margin = suite.and_then(|suite| suite.gates.iter().find(|known| known.id == gate.id));
                GateComparison::of(&gate.id, margin.map_or(stored, |gate| gate.margin), (new, &olds), against)
            })
            .collect();
        let told: BTreeSet<&str> =
            gates.iter().flat_map(|gate| gate.won.iter().chain(&gate.lost)).map(|item| item.id.as_str()).collect();
        let alike: Vec<(&ItemResult, &ItemResult)> = new
            .items
            .iter()
            .filter(|item| !told.contains(item.id.as_str()))
            .filter_map(|item| Some((item, *olds.get(item.id.as_str())?)))
            .collect();
        let changed = alike.iter().filter(|(new, old)| !says_the_same(new, old)).map(|(new, _)| new.id.clone());
        let changed: Vec<String> = changed.collect();
        Self {
            suite: new.suite.clone(),
            split: new.split,
            old: Side {
                target: against.target.clone(),
                engine: against.engine.clone(),
                digest: against.report_sha256.clone(),
                run: old.map(SideRun::of),
            },
            new: Side {
                target: new.target.clone(),
                engine: new.engine.clone(),
                digest: digest.to_owned(),
                run: Some(SideRun::of(new)),
            },
            same: alike.len() - changed.len(),
            changed,
            gates,
        }
    }
}

impl GateComparison {
    fn of(
        gate: &str,
        margin: Option<f64>,
        (new, olds): (&Report, &BTreeMap<&str, &ItemResult>),
        against: &Against,
    ) -> Self {
        let paired = PairedResult::count(gate, margin, &new.items, against);
        let (mut won, mut lost) = (Vec::new(), Vec::new());
        let (mut items, mut new_passed, mut old_passed) = (0, 0, 0);
        let passed = against.passed.get(gate);
        for item in &new.items {
            let Some(score) = item.scores.get(gate) else { continue };
            let old = passed.is_some_and(|passed| passed.contains(&item.id));
            items += 1;
            new_passed += usize::from(score.passed);
            old_passed += usize::from(old);
            let old_why = || olds.get(item.id.as_str()).and_then(|old| old.scores.get(gate)).map(|old| old.why.clone());
            match (score.passed, old) {
                (true, false) => won.push(ItemDifference::of(item, old_why().unwrap_or_default())),
                (false, true) => lost.push(ItemDifference::of(item, score.why.clone())),
                _ => {}
            }
        }
        let n = paired.both + paired.only_new + paired.only_old + paired.neither;
        let count = |k, items_passed| GateCount { k, n, items_passed, items, bound: lower_bound(k, n) };
        Self {
            id: gate.to_owned(),
            old: count(paired.both + paired.only_old, old_passed),
            new: count(paired.both + paired.only_new, new_passed),
            paired,
            won,
            lost,
        }
    }
}

impl ItemDifference {
    fn of(item: &ItemResult, why: Vec<String>) -> Self {
        Self { id: item.id.clone(), severity: item.severity, slices: item.slices.clone(), why }
    }
}

impl SideRun {
    fn of(report: &Report) -> Self {
        Self {
            attempt: report.attempt,
            finished_at: report.finished_at,
            verdict: report.verdict,
            errors: report.errors,
            cost_micros: report.cost_micros,
            median_latency_ms: report.latency_ms(0.5),
        }
    }
}

impl Report {
    /// The latency that a `share` of the answers does not exceed; `None` without answers.
    pub fn latency_ms(&self, share: f64) -> Option<u64> {
        let answers = self.items.iter().flat_map(|item| &item.answers);
        let mut latencies: Vec<u64> = answers.map(|answer| answer.latency_ms).collect();
        latencies.sort_unstable();
        let rank = (share * latencies.len() as f64).ceil() as usize;
        latencies.get(rank.saturating_sub(1)).copied()
    }
}

/// Latency and price apart.
fn says_the_same(new: &ItemResult, old: &ItemResult) -> bool {
    let said = |item: &ItemResult| -> Vec<_> {
        item.answers.iter().map(|answer| (answer.content.clone(), answer.finish)).collect()
    };
    said(new) == said(old) && new.error == old.error
}

fn named(suite: &SuiteId) -> String {
    format!("{} {} (digest {})", suite.name, suite.version, suite.digest.get(..12).unwrap_or(&suite.digest))
}
