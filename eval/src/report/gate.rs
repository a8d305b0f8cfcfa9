//! One gate of a run: what was counted, what that shows, and the verdict that follows from nothing but these numbers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Against, ItemResult, Verdict};
use crate::{
    statistics::{FEWEST_CLUSTERS, cluster_lower_bound, lower_bound, paired_lower_bound},
    suite::{Draw, Gate},
};

/// Of the cluster bootstrap: fixed, so that a report can be judged again.
const BOOTSTRAP_SEED: u64 = 7;
const BOOTSTRAP_DRAWS: usize = 10_000;

/// One gate's counts and what they show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateResult {
    pub id: String,
    /// Draws whose every item passed. A draw is a cluster, or an item that is in none.
    pub k: usize,
    /// Draws that were judged.
    pub n: usize,
    /// k / n.
    pub estimate: f64,
    /// The one-sided 95 % lower bound of the true share; see [`lower_bound`].
    pub bound: f64,
    /// τ, which `bound` must reach.
    pub threshold: f64,
    /// Items that were judged.
    pub items: usize,
    pub items_passed: usize,
    pub min_items: usize,
    /// No item may miss.
    pub zero_tolerance: bool,
    /// By the name of the slice.
    pub slices: Vec<SliceResult>,
    /// Beside the incumbent, where there is one.
    pub paired: Option<PairedResult>,
    pub verdict: Verdict,
}

/// The items of one slice, each counted for itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceResult {
    pub slice: String,
    pub k: usize,
    pub n: usize,
    pub estimate: f64,
    /// The one-sided 95 % lower bound, for reading: floors are compared with the estimate.
    pub bound: f64,
    /// What `estimate` must reach.
    pub floor: Option<f64>,
}

/// Draw by draw beside an incumbent that was asked the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedResult {
    /// Draws that both pass.
    pub both: usize,
    pub only_new: usize,
    pub only_old: usize,
    pub neither: usize,
    /// The share of the new less that of the old.
    pub estimate: f64,
    /// The one-sided 95 % lower bound of that difference: Tango's over the draws, or where clusters hold several items and that is
    /// lower, the cluster bootstrap's over the items.
    pub bound: f64,
    /// The cluster bootstrap's bound, where clusters hold several items.
    pub bootstrap: Option<f64>,
    /// δ: `bound` must lie above −δ. `None`: nothing is decided.
    pub margin: Option<f64>,
}

impl GateResult {
    pub(super) fn count(gate: &Gate, items: &[ItemResult], against: Option<&Against>) -> Self {
        let judged: Vec<(&ItemResult, bool)> =
            items.iter().filter_map(|item| Some((item, item.scores.get(&gate.id)?.passed))).collect();
        let draws = draws(judged.iter().copied());
        let (k, n) = (draws.values().filter(|passed| **passed).count(), draws.len());
        let mut result = Self {
            id: gate.id.clone(),
            k,
            n,
            estimate: share(k, n),
            bound: lower_bound(k, n),
            threshold: gate.threshold,
            items: judged.len(),
            items_passed: judged.iter().filter(|(_, passed)| *passed).count(),
            min_items: gate.min_items,
            zero_tolerance: gate.zero_tolerance,
            slices: slices(gate, &judged),
            paired: against.map(|against| PairedResult::count(gate, &judged, against)),
            verdict: Verdict::Inconclusive,
        };
        result.verdict = result.judge();
        result
    }

    /// The verdict that the numbers earn, whatever `verdict` says.
    pub fn judge(&self) -> Verdict {
        if self.items < self.min_items || self.n == 0 {
            return Verdict::Inconclusive;
        }
        let counts_are_sound = self.k <= self.n && self.n <= self.items && self.items_passed <= self.items;
        // A draw that missed has an item that missed.
        let draws_fit_items = self.items - self.items_passed.min(self.items) >= self.n - self.k.min(self.n);
        let tolerated = !self.zero_tolerance || self.items_passed == self.items;
        let passes = counts_are_sound
            && draws_fit_items
            && tolerated
            && self.threshold > 0.0
            && lower_bound(self.k.min(self.n), self.n) >= self.threshold
            && self.slices.iter().all(SliceResult::holds)
            && self.paired.as_ref().is_none_or(PairedResult::holds);
        if passes { Verdict::Pass } else { Verdict::Fail }
    }

    /// `carry: 25 of 26 pass, at least 83.0 % with 95 % confidence (80.0 % needed): PASS`
    pub fn describe(&self) -> String {
        let counted = match self.n == self.items {
            true => format!("{} of {} pass", self.k, self.n),
            false => {
                format!("{} of {} clusters ({} of {} items) pass", self.k, self.n, self.items_passed, self.items)
            }
        };
        let mut said = format!(
            "{}: {counted}, at least {:.1} % with 95 % confidence ({:.1} % needed)",
            self.id,
            self.bound * 100.0,
            self.threshold * 100.0,
        );
        if self.items < self.min_items {
            said.push_str(&format!(", {} items needed", self.min_items));
        }
        if self.zero_tolerance && self.items_passed < self.items {
            said.push_str(", none may miss");
        }
        for slice in self.slices.iter().filter(|slice| !slice.holds()) {
            let floor = slice.floor.unwrap_or_default() * 100.0;
            said.push_str(&format!(", {} {} of {} ({floor:.0} % needed)", slice.slice, slice.k, slice.n));
        }
        if let Some(PairedResult { estimate, bound, margin, .. }) = &self.paired {
            said.push_str(&format!(
                ", beside the incumbent {:+.1} %, at least {:+.1} %",
                estimate * 100.0,
                bound * 100.0
            ));
            if let Some(margin) = margin {
                said.push_str(&format!(" (above {:+.1} % needed)", -margin * 100.0));
            }
        }
        format!("{said}: {}", self.verdict)
    }
}

impl SliceResult {
    fn holds(&self) -> bool {
        self.floor.is_none_or(|floor| self.n > 0 && self.k <= self.n && share(self.k, self.n) >= floor)
    }
}

impl PairedResult {
    fn count(gate: &Gate, judged: &[(&ItemResult, bool)], against: &Against) -> Self {
        let nothing = BTreeSet::new();
        let passed = against.passed.get(&gate.id).unwrap_or(&nothing);
        let old: Vec<(&ItemResult, bool)> = judged.iter().map(|(item, _)| (*item, passed.contains(&item.id))).collect();
        let (new_draws, old_draws) = (draws(judged.iter().copied()), draws(old.iter().copied()));
        let count = |new: bool, old: bool| {
            new_draws.iter().filter(|(draw, passed)| **passed == new && old_draws.get(draw) == Some(&old)).count()
        };
        let (both, only_new, only_old, neither) =
            (count(true, true), count(true, false), count(false, true), count(false, false));
        let tango = paired_lower_bound(both, only_new, only_old, neither);
        let bootstrap = (judged.len() > new_draws.len() && new_draws.len() >= FEWEST_CLUSTERS).then(|| {
            let differences: Vec<(Draw<'_>, f64)> = judged
                .iter()
                .zip(&old)
                .map(|((item, new), (_, old))| (item.draw(), f64::from(u8::from(*new)) - f64::from(u8::from(*old))))
                .collect();
            cluster_lower_bound(&differences, BOOTSTRAP_SEED, BOOTSTRAP_DRAWS)
        });
        let draws = new_draws.len().max(1) as f64;
        Self {
            both,
            only_new,
            only_old,
            neither,
            estimate: (only_new as f64 - only_old as f64) / draws,
            bound: bootstrap.map_or(tango, |bootstrap| bootstrap.min(tango)),
            bootstrap,
            margin: gate.margin,
        }
    }

    fn holds(&self) -> bool {
        let tango = paired_lower_bound(self.both, self.only_new, self.only_old, self.neither);
        let bound = self.bootstrap.map_or(tango, |bootstrap| bootstrap.min(tango));
        self.margin.is_none_or(|margin| bound > -margin)
    }
}

/// By draw, whether all its items passed.
fn draws<'a>(judged: impl Iterator<Item = (&'a ItemResult, bool)>) -> BTreeMap<Draw<'a>, bool> {
    let mut draws = BTreeMap::new();
    for (item, passed) in judged {
        *draws.entry(item.draw()).or_insert(true) &= passed;
    }
    draws
}

fn slices(gate: &Gate, judged: &[(&ItemResult, bool)]) -> Vec<SliceResult> {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (item, passed) in judged {
        for slice in &item.slices {
            let (k, n) = counts.entry(slice).or_default();
            *k += usize::from(*passed);
            *n += 1;
        }
    }
    // A floor whose slice has no item left must be seen to be missed.
    for slice in gate.floors.keys() {
        counts.entry(slice).or_default();
    }
    let result = |(slice, (k, n)): (&str, (usize, usize))| SliceResult {
        slice: slice.to_owned(),
        k,
        n,
        estimate: share(k, n),
        bound: lower_bound(k, n),
        floor: gate.floors.get(slice).copied(),
    };
    counts.into_iter().map(result).collect()
}

fn share(k: usize, n: usize) -> f64 {
    if n == 0 { 0.0 } else { k as f64 / n as f64 }
}
