//! How many items a gate needs before it is run: a suite too small fails good models, and no run can mend that.
//!
//! The powers are exact: the probability, over all outcomes, that the gate's own bound reaches its threshold. They go up in a
//! saw-tooth, since the number of misses a gate may allow is whole: one item more can lower the power until the next miss is
//! allowed (M. R. Chernick and C. Y. Liu, "The saw-toothed behavior of power versus sample size and software solutions", The
//! American Statistician 56 (2002), 149–155). A plan names the smallest number whose own power suffices; a larger suite may
//! have slightly less, which [`items_power`] and [`pairs_power`] tell.

use super::{
    ALPHA, incomplete_beta, lower_bound,
    paired::{NORMAL_95, score},
};

/// Suites beyond this many items are not planned.
pub const MOST_ITEMS: usize = 100_000;

/// Suites beyond this many pairs are not planned.
pub const MOST_PAIRS: usize = 10_000;

/// What an absolute gate needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The number of items.
    pub items: usize,
    /// The most of them that may be missed for the bound to reach the threshold.
    pub may_miss: usize,
    /// The probability that the model planned for passes.
    pub power: f64,
}

/// What a comparison with an incumbent needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairsPlan {
    /// The number of items that both models answer.
    pub pairs: usize,
    /// The probability that the model planned for passes.
    pub power: f64,
}

/// The smallest suite on which a model that is right with probability `true_rate` passes with probability `power` or more a
/// gate of "[`lower_bound`] ≥ `threshold`". `None` when no suite of up to [`MOST_ITEMS`] does, as always when the true rate
/// is not above the threshold.
///
/// # Panics
/// When `threshold` is not between 0 and 1, `true_rate` is not from 0 to 1, or `power` is not between [`ALPHA`] and 1.
pub fn items_needed(threshold: f64, true_rate: f64, power: f64) -> Option<Plan> {
    assert_rates(threshold, true_rate);
    assert_power(power);
    // At the threshold itself a model passes with ALPHA at most.
    if true_rate <= threshold {
        return None;
    }
    let mut may_miss = 0;
    for items in items_for_zero_misses(threshold)..=MOST_ITEMS {
        while passes(items, may_miss + 1, threshold) {
            may_miss += 1;
        }
        let found = incomplete_beta(true_rate, (items - may_miss) as f64, (may_miss + 1) as f64);
        if found >= power {
            return Some(Plan { items, may_miss, power: found });
        }
    }
    None
}

/// The probability that a model which is right with probability `true_rate` passes a gate of "[`lower_bound`] ≥ `threshold`"
/// on `items` items.
///
/// # Panics
/// When `threshold` is not between 0 and 1, or `true_rate` is not from 0 to 1.
pub fn items_power(items: usize, threshold: f64, true_rate: f64) -> f64 {
    assert_rates(threshold, true_rate);
    // More misses never raise the bound, so the numbers that pass come first.
    match (0..=items).take_while(|&misses| passes(items, misses, threshold)).last() {
        Some(misses) => incomplete_beta(true_rate, (items - misses) as f64, (misses + 1) as f64),
        None => 0.0,
    }
}

/// The fewest items that show `threshold` when all of them pass: 59 for 95 %, 299 for 99 %.
///
/// The smallest n with [`ALPHA`]^(1/n) ≥ `threshold`. With zero tolerance nothing else is planned for: one miss fails.
///
/// # Panics
/// When `threshold` is not between 0 and 1.
pub fn items_for_zero_misses(threshold: f64) -> usize {
    assert_rates(threshold, threshold);
    let near = (ALPHA.ln() / threshold.ln()) as usize;
    // The gate's own bound has the last word, so that rounding cannot make the two disagree.
    (near.max(1)..).find(|&items| lower_bound(items, items) >= threshold).unwrap_or(usize::MAX)
}

/// The smallest number of items on which a new model passes with probability `power` or more a gate of
/// "[`super::paired_lower_bound`] ≥ −`margin`", when the two models disagree (one right, one wrong) on a share
/// `discordant_rate` of the items and the new one is truly better by `true_difference` (worse, when negative). `None` when no
/// number of up to [`MOST_PAIRS`] does, as always when the true difference is not above −`margin`.
///
/// By enumeration of the outcomes, not by a normal approximation such as that of Y. Lu and J. A. Bean, "On the sample size
/// for one-sided equivalence of sensitivities based upon McNemar's test", Statistics in Medicine 14 (1995), 1831–1839, which
/// asks for the same two rates.
///
/// # Panics
/// When `margin` is not from 0 to below 1, `discordant_rate` is not from 0 to 1 or smaller than the true difference, or
/// `power` is not between [`ALPHA`] and 1.
pub fn pairs_needed(margin: f64, discordant_rate: f64, true_difference: f64, power: f64) -> Option<PairsPlan> {
    assert_paired(margin, discordant_rate, true_difference);
    assert_power(power);
    if true_difference <= -margin {
        return None;
    }
    (1..=MOST_PAIRS).find_map(|pairs| {
        let found = pairs_power(pairs, margin, discordant_rate, true_difference);
        (found >= power).then_some(PairsPlan { pairs, power: found })
    })
}

/// The probability that a new model passes a gate of "[`super::paired_lower_bound`] ≥ −`margin`" on `pairs` items; the rates
/// are those of [`pairs_needed`].
///
/// # Panics
/// When `margin` is not from 0 to below 1, or `discordant_rate` is not from 0 to 1 or smaller than the true difference.
pub fn pairs_power(pairs: usize, margin: f64, discordant_rate: f64, true_difference: f64) -> f64 {
    assert_paired(margin, discordant_rate, true_difference);
    paired_power(pairs, margin, discordant_rate, true_difference, NORMAL_95)
}

/// Sums, over the numbers c of items that only the old model answers, P(c) P(b ≥ the least b that passes beside c).
fn paired_power(pairs: usize, margin: f64, discordant_rate: f64, true_difference: f64, z: f64) -> f64 {
    // Halves of numbers written in decimals can miss 0 by a rounding error.
    let only_old = ((discordant_rate - true_difference) / 2.0).clamp(0.0, 1.0);
    let only_new = ((discordant_rate + true_difference) / 2.0).clamp(0.0, 1.0);
    let passes = |b: usize, c: usize| score(b, c, pairs, -margin) >= z;
    // Given c, the only-new items are binomial among the rest.
    let among_rest = if only_old < 1.0 { (only_new / (1.0 - only_old)).min(1.0) } else { 0.0 };
    let (first, last) = likely_counts(pairs, only_old);
    let (mut power, mut least) = (0.0, 0);
    let mut from_here = upper_tail(first, pairs, only_old);
    for c in first..=last {
        // The statistic falls with c and rises with b, so the least b only grows.
        while least <= pairs - c && !passes(least, c) {
            least += 1;
        }
        if least > pairs - c {
            break;
        }
        let beyond = upper_tail(c + 1, pairs, only_old);
        power += (from_here - beyond) * upper_tail(least, pairs - c, among_rest);
        from_here = beyond;
    }
    power
}

/// The counts outside which a binomial one falls with a probability below 1e-15 altogether, by Bernstein's inequality
/// (P(|X − np| ≥ t) ≤ 2 exp(−t² / (2 (np(1 − p) + t/3)))).
fn likely_counts(n: usize, p: f64) -> (usize, usize) {
    let (mean, variance) = (n as f64 * p, n as f64 * p * (1.0 - p));
    let exponent = (2e15_f64).ln();
    let reach = exponent / 3.0 + (exponent * exponent / 9.0 + 2.0 * exponent * variance).sqrt();
    ((mean - reach).max(0.0) as usize, ((mean + reach).ceil() as usize).min(n))
}

/// P(X ≥ k) for X binomial.
fn upper_tail(k: usize, n: usize, p: f64) -> f64 {
    match k {
        0 => 1.0,
        k if k > n => 0.0,
        k => incomplete_beta(p, k as f64, (n - k + 1) as f64),
    }
}

/// Whether `items` items of which `misses` are missed reach the threshold.
fn passes(items: usize, misses: usize, threshold: f64) -> bool {
    if misses >= items {
        return false;
    }
    // The tail decides at once; only at the edge is the bound, sixty times dearer, asked how it rounds.
    let tail = incomplete_beta(threshold, (items - misses) as f64, (misses + 1) as f64);
    if (tail - ALPHA).abs() > 1e-9 { tail < ALPHA } else { lower_bound(items - misses, items) >= threshold }
}

fn assert_rates(threshold: f64, true_rate: f64) {
    assert!(threshold > 0.0 && threshold < 1.0, "threshold {threshold} is not between 0 and 1");
    assert!((0.0..=1.0).contains(&true_rate), "true rate {true_rate} is not from 0 to 1");
}

fn assert_power(power: f64) {
    assert!(power > ALPHA && power < 1.0, "power {power} is not between {ALPHA} and 1");
}

fn assert_paired(margin: f64, discordant_rate: f64, true_difference: f64) {
    assert!((0.0..1.0).contains(&margin), "margin {margin} is not from 0 to below 1");
    assert!((0.0..=1.0).contains(&discordant_rate), "discordant rate {discordant_rate} is not from 0 to 1");
    assert!(
        true_difference.abs() <= discordant_rate,
        "true difference {true_difference} is larger than the discordant rate {discordant_rate}"
    );
}

#[cfg(test)]
mod tests;
