//! How far a judge's labels can stand in for human ones.
//!
//! A judge decides nothing here: the share of equal labels has an exact lower bound to gate on, and kappa says how much of
//! that share chance would have given anyway.

use std::collections::BTreeMap;

use super::lower_bound;

/// Two raters' labels of the same items, compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// The share of items with equal labels; 0 when there are no items.
    pub share: f64,
    /// The one-sided 95 % Clopper–Pearson lower bound of that share.
    pub lower_bound: f64,
    /// Cohen's kappa; `None` when both raters give one and the same label throughout (or there are no items), since then
    /// chance alone explains every match and kappa is 0/0.
    pub kappa: Option<f64>,
}

/// Compares two raters item by item, for example an LLM judge with a human.
///
/// Kappa = (p_o − p_e) / (1 − p_e), with p_o the share of equal labels and p_e the share that raters who label at random,
/// each with his own label frequencies, would reach. Source: J. Cohen, "A coefficient of agreement for nominal scales",
/// Educational and Psychological Measurement 20 (1960), 37–46. It has no bound here on purpose: its large-sample standard
/// error (J. L. Fleiss, J. Cohen and B. S. Everitt, Psychological Bulletin 72 (1969), 323–327) is 0 whenever all labels
/// agree, so that three items would "prove" perfect agreement. Gate on [`Agreement::lower_bound`], which is exact, and read
/// kappa beside it: when both raters put 95 % of the items in one class, chance alone makes them agree on 90 %.
pub fn agreement<L: Ord>(pairs: &[(L, L)]) -> Agreement {
    let n = pairs.len();
    let equal = pairs.iter().filter(|(first, second)| first == second).count();
    let mut labels: BTreeMap<&L, (usize, usize)> = BTreeMap::new();
    for (first, second) in pairs {
        labels.entry(first).or_default().0 += 1;
        labels.entry(second).or_default().1 += 1;
    }
    // In whole numbers: n² p_e is exact, so that "both raters constant" is noticed exactly.
    let by_chance: usize = labels.values().map(|&(first, second)| first * second).sum();
    let share = if n == 0 { 0.0 } else { equal as f64 / n as f64 };
    let kappa = (by_chance < n * n).then(|| ((equal * n) as f64 - by_chance as f64) / (n * n - by_chance) as f64);
    Agreement { share, lower_bound: lower_bound(equal, n), kappa }
}

#[cfg(test)]
mod tests;
