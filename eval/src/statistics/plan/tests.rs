//! Plans against published sizes, and powers against sums over every outcome of the gate's own bounds.

use proptest::prelude::*;

use super::*;
use crate::statistics::{needed, paired_lower_bound};

fn close(found: f64, published: f64, tolerance: f64) -> bool {
    (found - published).abs() <= tolerance
}

fn log_choose(n: usize, k: usize) -> f64 {
    (1..=k).map(|j| ((n - k + j) as f64 / j as f64).ln()).sum()
}

/// P(X = k) for X binomial, with 0⁰ = 1.
fn binomial(k: usize, n: usize, p: f64) -> f64 {
    log_choose(n, k).exp() * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
}

/// Power of the absolute gate: the probabilities of all counts whose bound passes.
fn summed_power(n: usize, threshold: f64, rate: f64) -> f64 {
    (0..=n).filter(|&k| lower_bound(k, n) >= threshold).map(|k| binomial(k, n, rate)).sum()
}

/// Power of the paired gate: the probabilities of all outcomes whose bound passes.
fn summed_paired_power(n: usize, margin: f64, only_new: f64, only_old: f64) -> f64 {
    let outcomes = (0..=n).flat_map(|c| (0..=n - c).map(move |b| (b, c)));
    outcomes
        .filter(|&(b, c)| paired_lower_bound(0, b, c, n - b - c) >= -margin)
        .map(|(b, c)| {
            let rest = if only_old < 1.0 { (only_new / (1.0 - only_old)).min(1.0) } else { 0.0 };
            binomial(c, n, only_old) * binomial(b, n - c, rest)
        })
        .sum()
}

/// H. Chu and S. R. Cole, "Sample size calculation using exact methods in diagnostic test studies", Journal of Clinical
/// Epidemiology 60 (2007), 1201–1202, on page 1201: a sensitivity of 0.95 is shown to be above 0.85 (one-sided 95 %) with
/// power 0.957 by 93 cases, and with 0.968 by 102.
#[test]
fn sizes_agree_with_chu_and_cole() {
    let plan = items_needed(0.85, 0.95, 0.95).expect("the true rate is above the threshold");
    assert_eq!((plan.items, plan.may_miss), (93, 8));
    assert!(close(plan.power, 0.957, 5e-4), "{}", plan.power);
    assert!(close(items_power(102, 0.85, 0.95), 0.968, 5e-4));
}

/// The same paper, n2 on page 1202: the sizes from which on the power stays at 0.95 or more (also the examples of
/// `power.diagnostic.test` of the R package MKpower).
#[test]
fn sizes_without_a_later_dip_agree_with_chu_and_cole() {
    for (rate, below, size) in
        [(0.99, 0.14, 40), (0.99, 0.13, 43), (0.99, 0.12, 47), (0.98, 0.13, 50), (0.98, 0.11, 58)]
    {
        let enough = |items: usize| items_power(items, rate - below, rate) >= 0.95;
        assert!(!enough(size - 1) && (size..size + 200).all(enough), "{size}");
        let plan = items_needed(rate - below, rate, 0.95).expect("the true rate is above the threshold");
        assert!(plan.items <= size, "{plan:?}");
    }
}

/// I. Khan, S.-J. Sarker and A. Hackshaw, "Smaller sample sizes for phase II trials based on exact tests with actual error
/// rates by trading-off their nominal levels of significance and power", British Journal of Cancer 107 (2012), 1801–1809,
/// abstract: 0.2 is shown to be above 0.1 with power 0.8 by 78 patients (exact α 4.53 %, power 80.81 %).
#[test]
fn sizes_agree_with_khan_sarker_and_hackshaw() {
    let plan = items_needed(0.1, 0.2, 0.8).expect("the true rate is above the threshold");
    assert_eq!(plan.items, 78);
    assert!(close(plan.power, 0.8081, 1e-4), "{}", plan.power);
    assert!(close(items_power(78, 0.1, 0.1), 0.0453, 5e-5));
}

#[test]
fn zero_misses_need_59_and_299_items() {
    assert_eq!((items_for_zero_misses(0.95), items_for_zero_misses(0.99)), (59, 299));
    // 0.05^(1/5) = 0.549 and 0.05^(1/4) = 0.473; one item shows 0.05.
    assert_eq!((items_for_zero_misses(0.5), items_for_zero_misses(0.04)), (5, 1));
    assert_eq!(items_for_zero_misses(0.999), 2995);
}

#[test]
fn the_power_is_a_saw_tooth() {
    // One item more than 93 costs power, since a ninth miss is still not allowed.
    assert!(items_power(94, 0.85, 0.95) < items_power(93, 0.85, 0.95));
    assert!((93..102).any(|items| items_power(items, 0.85, 0.95) < 0.95));
}

#[test]
fn what_is_not_true_cannot_be_planned_for() {
    assert_eq!(items_needed(0.95, 0.95, 0.8), None);
    assert_eq!(items_needed(0.95, 0.5, 0.8), None);
    assert_eq!(pairs_needed(0.05, 0.1, -0.05, 0.8), None);
    // A millionth above the threshold takes more items than any suite has.
    assert_eq!(items_needed(0.95, 0.950_001, 0.8), None);
}

#[test]
fn a_perfect_model_needs_the_items_of_zero_misses() {
    assert_eq!(items_needed(0.95, 1.0, 0.99), Some(Plan { items: 59, may_miss: 0, power: 1.0 }));
}

/// S.-C. Chow, J. Shao and H. Wang, "Sample Size Calculations in Clinical Research", 2nd ed. (2008), §6.4: McNemar's test,
/// shifts of 0.5 and 0.2, two-sided 5 % and power 0.8 take 59 pairs by Connor's normal approximation. The exact power there
/// is near that.
#[test]
fn the_power_without_margin_is_near_the_textbook() {
    let found = paired_power(59, 0.0, 0.7, 0.3, 1.959_963_984_540_054);
    assert!(close(found, 0.8, 0.02), "{found}");
}

/// Where no item tells the models apart the bound is −z²/(n + z²), so 52 items show −0.05 and 51 do not.
#[test]
fn equal_models_need_the_items_of_the_bound_alone() {
    assert_eq!(pairs_needed(0.05, 0.0, 0.0, 0.8), Some(PairsPlan { pairs: 52, power: 1.0 }));
    assert!(paired_lower_bound(52, 0, 0, 0) >= -0.05 && paired_lower_bound(51, 0, 0, 0) < -0.05);
    // Without a margin equal models cannot show that one is better.
    assert_eq!(pairs_power(1_000, 0.0, 0.0, 0.0), 0.0);
}

/// For equal models and a small margin Δ the normal approximation is n Δ² = (1.645 + 0.842)² × discordant rate, since the
/// discordant rate is then the variance of one item's difference.
#[test]
fn the_pairs_needed_are_near_the_normal_approximation() {
    for (margin, discordant) in [(0.05, 0.1), (0.05, 0.2), (0.02, 0.05)] {
        let plan = pairs_needed(margin, discordant, 0.0, 0.8).expect("equal models pass sooner or later");
        let approximate = (NORMAL_95 + 0.841_621).powi(2) * discordant / (margin * margin);
        assert!((0.95..1.1).contains(&(plan.pairs as f64 / approximate)), "{plan:?}, about {approximate}");
        assert!(plan.power >= 0.8 && pairs_power(plan.pairs - 1, margin, discordant, 0.0) < 0.8);
    }
}

#[test]
#[should_panic(expected = "threshold 1 is not between 0 and 1")]
fn a_threshold_of_one_is_refused() {
    items_needed(1.0, 1.0, 0.8);
}

#[test]
#[should_panic(expected = "power 1 is not between")]
fn a_power_of_one_is_refused() {
    items_needed(0.9, 0.95, 1.0);
}

#[test]
#[should_panic(expected = "larger than the discordant rate")]
fn a_difference_that_the_disagreement_cannot_hold_is_refused() {
    pairs_needed(0.05, 0.1, 0.2, 0.8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_power_is_the_sum_over_all_counts_that_pass(items in 1_usize..120, threshold in 0.01_f64..0.99, rate in 0.0_f64..=1.0) {
        let (found, summed) = (items_power(items, threshold, rate), summed_power(items, threshold, rate));
        prop_assert!(close(found, summed, 1e-9), "{} {}", found, summed);
    }

    /// No smaller suite has the power, and one miss more than planned fails the gate.
    #[test]
    fn a_plan_is_the_smallest_that_works(threshold in 0.5_f64..0.9, better in 0.3_f64..0.9, power in 0.5_f64..0.95) {
        let rate = threshold + (1.0 - threshold) * better;
        let plan = items_needed(threshold, rate, power).expect("the true rate is well above the threshold");
        prop_assert_eq!(needed(plan.items, threshold), Some(plan.items - plan.may_miss));
        prop_assert!(close(plan.power, items_power(plan.items, threshold, rate), 1e-12) && plan.power >= power);
        prop_assert!((1..plan.items).all(|items| items_power(items, threshold, rate) < power));
    }

    #[test]
    fn the_items_of_zero_misses_are_the_fewest(threshold in 0.001_f64..0.9999) {
        let items = items_for_zero_misses(threshold);
        prop_assert!(lower_bound(items, items) >= threshold);
        prop_assert!(items == 1 || lower_bound(items - 1, items - 1) < threshold);
    }

    #[test]
    fn the_paired_power_is_the_sum_over_all_outcomes_that_pass(
        pairs in 1_usize..40, margin in prop_oneof![Just(0.0), 0.0_f64..0.5], discordant in 0.0_f64..=1.0, part in -1.0_f64..=1.0,
    ) {
        let difference = discordant * part;
        let found = pairs_power(pairs, margin, discordant, difference);
        let summed = summed_paired_power(pairs, margin, (discordant + difference) / 2.0, (discordant - difference) / 2.0);
        prop_assert!(close(found, summed, 1e-9), "{} {}", found, summed);
    }
}
