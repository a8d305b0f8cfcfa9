//! What a gate asks of a model before it is run: how many items must be right, and how likely a model of a given true rate is
//! to pass. And how many items a gate that is still to be written needs.
//!
//! Draws are what counts: a cluster of items is one, and it is right when all its items are. The formulas are in
//! [`crate::statistics`].

use serde::Serialize;

pub use crate::statistics::{MOST_ITEMS as MOST_DRAWS, MOST_PAIRS as MOST_PAIRED_DRAWS};
use crate::{
    statistics::{items_for_zero_misses, items_needed, items_power, needed, pairs_needed, pairs_power},
    suite::{Gate, Suite},
};

/// What is wished for. Checked: see [`Wish::new`].
#[derive(Debug, Clone)]
pub struct Wish {
    /// The probability with which a good model shall pass.
    power: f64,
    /// True shares of right draws, or of none to choose some.
    rates: Vec<f64>,
    /// Shares of draws on which two models disagree.
    discordant: Vec<f64>,
}

/// A wish that no plan can meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadWish(String);

/// A gate of a suite.
#[derive(Debug, Clone, Serialize)]
pub struct GatePlan {
    pub gate: String,
    pub threshold: f64,
    pub items: usize,
    /// Clusters, and items in none.
    pub draws: usize,
    pub zero_tolerance: bool,
    /// The fewest right draws that pass.
    pub must_be_right: Option<usize>,
    /// The least true share with which a model passes with the wished power; `None` where not even 1 does.
    pub rate_for_power: Option<f64>,
    pub rates: Vec<RatePlan>,
    pub floors: Vec<FloorPlan>,
    /// Beside an incumbent.
    pub margin: Option<MarginPlan>,
}

/// A model of one true rate, at one threshold.
#[derive(Debug, Clone, Serialize)]
pub struct RatePlan {
    pub rate: f64,
    /// The probability that it passes the gate as it is; `None` for a gate that is still to be written.
    pub power: Option<f64>,
    /// The fewest draws that give the wished power, with what may be missed of them and the power they give.
    pub needed: Option<Needed>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Needed {
    pub draws: usize,
    pub may_miss: usize,
    pub power: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct FloorPlan {
    pub slice: String,
    pub floor: f64,
    pub items: usize,
    pub must_be_right: usize,
}

/// Beside an incumbent that is truly as good.
#[derive(Debug, Clone, Serialize)]
pub struct MarginPlan {
    pub margin: f64,
    pub by_discordance: Vec<PairsRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PairsRow {
    /// The share of draws that exactly one of the two models passes.
    pub discordant: f64,
    /// The new model's true share less the old one's.
    pub difference: f64,
    /// On the draws that there are; `None` for a gate that is still to be written.
    pub power: Option<f64>,
    /// The fewest draws that give the wished power; `None`: more than [`MOST_PAIRED_DRAWS`].
    pub needed: Option<usize>,
}

/// A threshold without a suite.
#[derive(Debug, Clone, Serialize)]
pub struct ThresholdPlan {
    pub threshold: f64,
    /// The fewest draws that show it when all are right.
    pub without_a_miss: usize,
    pub rates: Vec<RatePlan>,
}

impl Wish {
    /// `rates` and `discordant` may be empty: then some that are usual are taken.
    pub fn new(power: f64, rates: Vec<f64>, discordant: Vec<f64>) -> Result<Self, BadWish> {
        // Past this the search takes minutes, and the plan means nothing: the rates are not known that well.
        if !(0.1..=0.999).contains(&power) {
            return Err(BadWish(format!("the power {power} must be from 0.1 to 0.999; 0.8 is usual")));
        }
        if let Some(rate) = rates.iter().find(|rate| !(0.0..=1.0).contains(*rate)) {
            return Err(BadWish(format!("the rate {rate} must be from 0 to 1, such as 0.95")));
        }
        if let Some(rate) = discordant.iter().find(|rate| !(0.0..=1.0).contains(*rate)) {
            return Err(BadWish(format!("the discordant rate {rate} must be from 0 to 1, such as 0.1")));
        }
        Ok(Self { power, rates, discordant })
    }

    pub fn power(&self) -> f64 {
        self.power
    }

    /// What a gate of this threshold needs.
    pub fn threshold(&self, threshold: f64) -> Result<ThresholdPlan, BadWish> {
        // Nearer to 1 not even the largest suite without a miss suffices.
        if !(0.0..1.0).contains(&threshold) || threshold == 0.0 {
            return Err(BadWish(format!("the threshold {threshold} must lie between 0 and 1, such as 0.9")));
        }
        if threshold > 0.9999 {
            return Err(BadWish(format!(
                "the threshold {threshold} needs more items than any suite has; 0.9999 is the most"
            )));
        }
        let rates = self.rates_above(threshold).into_iter().map(|rate| RatePlan {
            rate,
            power: None,
            needed: self.needed(threshold, rate),
        });
        let rates = rates.collect();
        Ok(ThresholdPlan { threshold, without_a_miss: items_for_zero_misses(threshold), rates })
    }

    /// What a gate of this margin needs, where the new model is truly better by `difference`.
    pub fn margin(&self, margin: f64, difference: f64) -> Result<MarginPlan, BadWish> {
        if !(0.0..1.0).contains(&margin) || margin == 0.0 {
            return Err(BadWish(format!("the margin {margin} must lie between 0 and 1, such as 0.05")));
        }
        let mut rates = self.discordances();
        if self.discordant.is_empty() {
            rates.retain(|rate| difference.abs() <= *rate);
        }
        if rates.is_empty() {
            return Err(BadWish(format!("a difference of {difference} needs a discordant rate that is as large")));
        }
        if let Some(rate) = rates.iter().find(|rate| difference.is_nan() || difference.abs() > **rate) {
            return Err(BadWish(format!(
                "the difference {difference} cannot be larger than the discordant rate {rate}: models differ only where they disagree"
            )));
        }
        let row = |discordant| PairsRow {
            discordant,
            difference,
            power: None,
            needed: pairs_needed(margin, discordant, difference, self.power).map(|plan| plan.pairs),
        };
        Ok(MarginPlan { margin, by_discordance: rates.into_iter().map(row).collect() })
    }

    /// A gate of `suite`, with the items that are there.
    pub fn gate(&self, suite: &Suite, gate: &Gate) -> GatePlan {
        let (items, draws) = (suite.items_of(&gate.id), suite.draws_of(&gate.id));
        let power = |rate: f64| match gate.zero_tolerance {
            true => rate.powi(i32::try_from(draws).unwrap_or(i32::MAX)),
            false => items_power(draws, gate.threshold, rate),
        };
        let rate = |rate: f64| RatePlan {
            rate,
            power: Some(power(rate)),
            needed: if gate.zero_tolerance { None } else { self.needed(gate.threshold, rate) },
        };
        let must_be_right = if gate.zero_tolerance { Some(draws) } else { needed(draws, gate.threshold) };
        GatePlan {
            gate: gate.id.clone(),
            threshold: gate.threshold,
            items,
            draws,
            zero_tolerance: gate.zero_tolerance,
            must_be_right,
            rate_for_power: least_rate(self.power, power),
            rates: self.rates_above(gate.threshold).into_iter().map(rate).collect(),
            floors: floors(suite, gate),
            margin: gate.margin.map(|margin| self.margin_of(margin, draws)),
        }
    }

    fn margin_of(&self, margin: f64, draws: usize) -> MarginPlan {
        let row = |discordant| PairsRow {
            discordant,
            difference: 0.0,
            power: Some(pairs_power(draws, margin, discordant, 0.0)),
            needed: pairs_needed(margin, discordant, 0.0, self.power).map(|plan| plan.pairs),
        };
        MarginPlan { margin, by_discordance: self.discordances().into_iter().map(row).collect() }
    }

    fn needed(&self, threshold: f64, rate: f64) -> Option<Needed> {
        let plan = items_needed(threshold, rate, self.power)?;
        Some(Needed { draws: plan.items, may_miss: plan.may_miss, power: plan.power })
    }

    /// The rates asked for, or five between the threshold and 1.
    fn rates_above(&self, threshold: f64) -> Vec<f64> {
        if !self.rates.is_empty() {
            return self.rates.clone();
        }
        let left = 1.0 - threshold;
        // To a tenth of a per cent where that is fine enough.
        let rounded = |rate: f64| if left > 0.02 { (rate * 1000.0).round() / 1000.0 } else { rate };
        [0.1, 0.3, 0.5, 0.7, 0.9].map(|part| rounded(threshold + part * left)).to_vec()
    }

    fn discordances(&self) -> Vec<f64> {
        if self.discordant.is_empty() { vec![0.02, 0.05, 0.1, 0.2] } else { self.discordant.clone() }
    }
}

/// Upwards to a hundredth of a per cent; the power grows with the rate.
fn least_rate(wished: f64, power: impl Fn(f64) -> f64) -> Option<f64> {
    let (mut low, mut high) = (0_u32, 10_000_u32);
    let at = |step: u32| power(f64::from(step) / 10_000.0);
    if at(high) < wished {
        return None;
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if at(middle) >= wished { high = middle } else { low = middle }
    }
    Some(f64::from(high) / 10_000.0)
}

fn floors(suite: &Suite, gate: &Gate) -> Vec<FloorPlan> {
    let plan = |(slice, &floor): (&String, &f64)| {
        let counts = |item: &&crate::suite::Item| {
            item.slices.contains(slice) && item.checks.iter().any(|(id, _)| *id == gate.id)
        };
        let items = suite.items.iter().filter(counts).count();
        let must_be_right = (0..=items).find(|&right| right as f64 / items.max(1) as f64 >= floor).unwrap_or(items);
        FloorPlan { slice: slice.clone(), floor, items, must_be_right }
    };
    gate.floors.iter().map(plan).collect()
}

#[cfg(test)]
mod tests;
