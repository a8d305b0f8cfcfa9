//! The score interval against published ones, and against an inversion of the score test that shares no formula with it.

use proptest::prelude::*;

use super::*;
use crate::statistics::pairs_power;

/// The 0.975-quantile of the standard normal distribution, of two-sided 95 % intervals.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// A published interval: (both, only new, only old, neither), the quantile, the limits, half a unit of their last digit.
type Row = ([usize; 4], f64, f64, f64, f64);

/// Score intervals as printed in:
/// - Tango 1998, table V, soft contact lenses, 90 %, and table VII, 95 %;
/// - A. Agresti and Y. Min, Statistics in Medicine 24 (2005), 729–740, example, 95 %;
/// - M. W. Fagerland, S. Lydersen and P. Laake, Statistics in Medicine 33 (2014), 2850–2875, airway hyper-responsiveness
///   (Bentur 2009), 95 %;
/// - M.-L. Tang et al. 2010, example, 95 % (this and the four before also in the tests of the R package ratesci);
/// - Fagerland, Lydersen and Laake, "Statistical Analysis of Contingency Tables" (2017), chapter 8, complete response (Cavo
///   2012), 95 %, in the tests of the R package contingencytables;
/// - P. Chang et al., paired score interval with continuity correction (2024), table 3, without correction, 95 %.
const PUBLISHED: [Row; 7] = [
    ([43, 0, 1, 0], NORMAL_95, -0.096, 0.037, 5e-4),
    ([4, 9, 3, 16], NORMAL_975, -0.027, 0.390, 5e-4),
    ([53, 16, 8, 9], NORMAL_975, -0.020, 0.207, 5e-4),
    ([1, 1, 7, 12], NORMAL_975, -0.517, -0.026, 5e-4),
    ([8, 3, 1, 2], NORMAL_975, -0.1670, 0.4327, 5e-5),
    ([59, 6, 16, 80], NORMAL_975, -0.1240, -0.0054, 5e-5),
    ([7, 25, 2, 68], NORMAL_975, 0.139, 0.321, 5e-4),
];

#[test]
fn limits_agree_with_published_ones() {
    for ([both, only_new, only_old, neither], z, low, high, half) in PUBLISHED {
        let items = both + only_new + only_old + neither;
        let lower = lower_limit(only_new, only_old, items, z);
        // The upper limit is the lower one of the models exchanged.
        let upper = -lower_limit(only_old, only_new, items, z);
        assert!((lower - low).abs() <= half && (upper - high).abs() <= half, "{items}: {lower} {upper}");
    }
    // One-sided 95 % is the lower end of two-sided 90 %: the contact lenses again.
    assert!((paired_lower_bound(43, 0, 1, 0) + 0.096).abs() <= 5e-4);
}

/// With no difference assumed the statistic is McNemar's (b − c)/√(b + c), Q. McNemar, Psychometrika 12 (1947), 153–157.
#[test]
fn the_bound_is_above_zero_exactly_when_mcnemar_says_so() {
    for only_new in 0..40_usize {
        for only_old in 0..40_usize {
            let (b, c) = (only_new as f64, only_old as f64);
            let better = b + c > 0.0 && (b - c) / (b + c).sqrt() > NORMAL_95;
            assert_eq!(paired_lower_bound(10, only_new, only_old, 5) > 0.0, better, "{only_new} {only_old}");
        }
    }
}

#[test]
fn items_that_tell_the_models_apart_nowhere_still_leave_doubt() {
    for items in [1_usize, 44, 1000] {
        let (z2, n) = (NORMAL_95 * NORMAL_95, items as f64);
        let found = paired_lower_bound(items, 0, 0, 0);
        assert!((found + z2 / (n + z2)).abs() < 1e-12, "{found}");
        assert_eq!(found, paired_lower_bound(0, 0, 0, items));
        // All won: 1 − δ grows against √(1 − δ²).
        let won = paired_lower_bound(0, items, 0, 0);
        assert!((won - (n - z2) / (n + z2)).abs() < 1e-12, "{won}");
    }
}

#[test]
fn no_items_and_items_that_are_all_lost_bound_nothing() {
    assert_eq!(paired_lower_bound(0, 0, 0, 0), -1.0);
    assert_eq!(paired_lower_bound(0, 0, 17, 0), -1.0);
}

/// How often a model that is worse by exactly the margin passes: the figure in the docs. It is worst at margins that just
/// no disagreement at all can show, where only the new model's losses tell the two apart; where many items do, it is 5 %.
#[test]
fn a_model_worse_by_the_margin_passes_with_little_more_than_five_percent() {
    let mut most = 0.0_f64;
    for pairs in 20..=500 {
        for margin in [0.02, 0.05, 0.1, -paired_lower_bound(pairs, 0, 0, 0)] {
            for discordant in [margin, 1.5 * margin, 2.0 * margin, 0.3, 0.6] {
                most = most.max(pairs_power(pairs, margin, discordant, -margin));
            }
        }
    }
    assert!((0.079..0.08).contains(&most), "{most}");
    let usual = pairs_power(500, 0.05, 0.3, -0.05);
    assert!((0.047..0.052).contains(&usual), "{usual}");
}

/// The most likely only-old share when the difference is `difference`, by climbing the trinomial likelihood itself.
fn likeliest_share(b: f64, c: f64, n: f64, difference: f64) -> f64 {
    let part = |count: f64, share: f64| if count == 0.0 { 0.0 } else { count * share.max(1e-300).ln() };
    let log_likelihood = |q: f64| part(b, q + difference) + part(c, q) + part(n - b - c, 1.0 - 2.0 * q - difference);
    let (mut low, mut high) = ((-difference).max(0.0), (1.0 - difference) / 2.0);
    for _ in 0..200 {
        let (left, right) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if log_likelihood(left) < log_likelihood(right) { low = left } else { high = right }
    }
    low.midpoint(high)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Tests every difference on a grid by the score test and looks which are accepted: they must be one piece, and the
    /// bound must lie just below it.
    #[test]
    fn the_bound_is_where_the_score_test_starts_to_accept(cells in prop::array::uniform4(0_usize..30)) {
        let [both, only_new, only_old, neither] = cells;
        let items = both + only_new + only_old + neither;
        prop_assume!(items > 0 && only_old < items);
        let (b, c, n) = (only_new as f64, only_old as f64, items as f64);
        let bound = paired_lower_bound(both, only_new, only_old, neither);
        let estimate = (b - c) / n;
        prop_assert!((-1.0..estimate).contains(&bound));
        for step in 1..2000 {
            let difference = -1.0 + f64::from(step) / 1000.0;
            let share = likeliest_share(b, c, n, difference);
            let variance = n * (2.0 * share + difference - difference * difference);
            let accepted = (b - c - n * difference) / variance.sqrt() < NORMAL_95;
            // Too near for the climb to tell.
            if (difference - bound).abs() > 1e-5 {
                prop_assert_eq!(accepted, difference > bound, "at {} with bound {}", difference, bound);
            }
        }
    }

    #[test]
    fn an_item_won_raises_and_an_item_lost_lowers_the_bound(cells in prop::array::uniform4(0_usize..300)) {
        let [both, only_new, only_old, neither] = cells;
        let bound = paired_lower_bound(both, only_new, only_old, neither + 1);
        prop_assert!(paired_lower_bound(both, only_new + 1, only_old, neither) > bound);
        prop_assert!(paired_lower_bound(both, only_new, only_old + 1, neither) < bound);
    }
}
