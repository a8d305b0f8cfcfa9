//! Is the new model as good as the one it would replace, on the same items? The score interval of a paired difference.
//!
//! Only items that exactly one of the two answers right say anything about the difference; the others say how rare such
//! items are, and enter by their number alone.

/// The 0.95-quantile of the standard normal distribution: one-sided 95 %, the normal counterpart of [`super::ALPHA`].
pub(super) const NORMAL_95: f64 = 1.644_853_626_951_472_7;

/// The one-sided 95 % lower bound of p_new − p_old by Tango's score interval, from the numbers of items that both models,
/// only the new one, only the old one, and neither answered right. −1 when there are no items.
///
/// It is the difference δ at which the score statistic of "p_new − p_old = δ" equals the normal quantile:
/// (b − c − nδ) / √(n (2q + δ(1 − δ))) with b = `only_new`, c = `only_old`, n all items, and q the share of only-old items
/// that is most likely under that δ. q is the larger root of 2n q² + (−b − c + (2n − b + c) δ) q − c δ (1 − δ) = 0. Source:
/// T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
/// Statistics in Medicine 17 (1998), 891–908. Unlike Wald's interval it stays within −1 and 1 and does not shrink to a point
/// when no item tells the models apart: with n such items the bound is −z²/(n + z²).
///
/// The statistic is normal only in the limit, and the bound somewhat too high where few items tell the models apart: by
/// exact computation for 20 to 500 items, a model that is worse by just the margin passes with up to 8 % instead of 5 %
/// probability, most when no item is won by the new model alone (the tests hold this figure). A gate that must not err in
/// more than 5 % needs the exact absolute bound, [`super::lower_bound`], beside this one.
pub fn paired_lower_bound(both: usize, only_new: usize, only_old: usize, neither: usize) -> f64 {
    lower_limit(only_new, only_old, both + only_new + only_old + neither, NORMAL_95)
}

/// The δ at which the score statistic is `z`: the lower limit for z > 0, by halving between −1 and the estimate.
pub(super) fn lower_limit(only_new: usize, only_old: usize, items: usize, z: f64) -> f64 {
    if items == 0 || only_old == items {
        return -1.0;
    }
    let estimate = (only_new as f64 - only_old as f64) / items as f64;
    let (mut low, mut high) = (-1.0_f64, estimate);
    // The statistic falls from +∞ at −1 to 0 at the estimate; 60 halvings are below one f64 step at 1.
    for _ in 0..60 {
        let middle = low.midpoint(high);
        if score(only_new, only_old, items, middle) >= z { low = middle } else { high = middle }
    }
    // The lower end: rounding must never lift a bound over a threshold.
    low
}

/// Tango's score statistic of "p_new − p_old = `difference`", for −1 < `difference` < 1.
pub(super) fn score(only_new: usize, only_old: usize, items: usize, difference: f64) -> f64 {
    let (b, c, n) = (only_new as f64, only_old as f64, items as f64);
    let share = restricted_share(b, c, n, difference);
    let variance = n * (2.0 * share + difference * (1.0 - difference));
    let deviation = b - c - n * difference;
    if variance > 0.0 {
        return deviation / variance.sqrt();
    }
    // Without variance every item must show the difference: any deviation rules it out, and none is no evidence.
    if deviation == 0.0 { 0.0 } else { deviation * f64::INFINITY }
}

/// The most likely share of only-old items when p_new − p_old is `difference`.
fn restricted_share(b: f64, c: f64, n: f64, difference: f64) -> f64 {
    let linear = -b - c + (2.0 * n - b + c) * difference;
    let constant = -c * difference * (1.0 - difference);
    // Rounding can take a discriminant of 0 below it.
    let root = (linear * linear - 8.0 * n * constant).max(0.0).sqrt();
    // Of the two forms of the larger root the one without cancellation.
    let share = if linear > 0.0 { -2.0 * constant / (linear + root) } else { (root - linear) / (4.0 * n) };
    // No share may be negative, neither this one nor the only-new one, which is larger by the difference.
    share.max(0.0).max(-difference)
}

#[cfg(test)]
mod tests;
