//! The bounds against published values and against the binomial sum they are defined by.

use proptest::prelude::*;

use super::*;

fn close(found: f64, published: f64, tolerance: f64) -> bool {
    (found - published).abs() <= tolerance
}

/// P(X ≥ k) for X binomial: the definition, summed term by term.
fn upper_tail(k: usize, n: usize, p: f64) -> f64 {
    let log_choose = |i: usize| (1..=i).map(|j| ((n - i + j) as f64 / j as f64).ln()).sum::<f64>();
    (k..=n).map(|i| (log_choose(i) + i as f64 * p.ln() + (n - i) as f64 * (-p).ln_1p()).exp()).sum()
}

/// "Rule of three" sizes: 59 of 59 show 95 %, 299 of 299 show 99 %, and one fewer does not.
#[test]
fn zero_failures_need_59_and_299_items() {
    assert!(lower_bound(59, 59) >= 0.95 && lower_bound(58, 58) < 0.95);
    assert!(lower_bound(299, 299) >= 0.99 && lower_bound(298, 298) < 0.99);
    assert!(close(lower_bound(20, 20), 0.05_f64.powf(1.0 / 20.0), 1e-12));
}

/// One-sided 95 % limits are the lower ends of two-sided 90 % intervals: R's `binom.test(8, 10, conf.level = 0.9)` gives
/// 0.4930987, `binom.test(5, 10, conf.level = 0.9)` 0.2224411.
#[test]
fn bounds_agree_with_published_ones() {
    assert!(close(lower_bound(8, 10), 0.493_098_7, 1e-7), "{}", lower_bound(8, 10));
    assert!(close(lower_bound(5, 10), 0.222_441_1, 1e-7), "{}", lower_bound(5, 10));
    assert_eq!(lower_bound(0, 10), 0.0);
    assert_eq!(lower_bound(0, 0), 0.0);
}

/// The example of R's manual page of `binom.test` (Mendel's peas, 682 of 925, two-sided 95 %: lower end 0.7076683), which is
/// the 0.025-quantile of Beta(682, 244).
#[test]
fn the_logarithm_of_gamma_is_that_of_factorials_and_of_one_half() {
    assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-11);
    assert!((ln_gamma(11.0) - 3_628_800_f64.ln()).abs() < 1e-11);
    assert!((ln_beta(0.5, 0.5) - std::f64::consts::PI.ln()).abs() < 1e-11);
}

#[test]
fn incomplete_beta_agrees_with_published_values() {
    assert!(close(incomplete_beta(0.707_668_3, 682.0, 244.0), 0.025, 1e-6));
    // I_x(1, 1) = x, I_x(a, 1) = x^a, I_1/2(a, a) = 1/2 (DLMF 8.17).
    assert!(close(incomplete_beta(0.3, 1.0, 1.0), 0.3, 1e-14));
    assert!(close(incomplete_beta(0.9, 7.0, 1.0), 0.9_f64.powi(7), 1e-14));
    assert!(close(incomplete_beta(0.5, 12.5, 12.5), 0.5, 1e-13));
    assert_eq!((incomplete_beta(0.0, 2.0, 3.0), incomplete_beta(1.0, 2.0, 3.0)), (0.0, 1.0));
}

#[test]
fn needed_is_the_first_count_that_reaches_the_threshold() {
    assert_eq!(needed(59, 0.95), Some(59));
    assert_eq!(needed(58, 0.95), None);
    let k = needed(20, 0.5).expect("20 items can show one half");
    assert!(lower_bound(k, 20) >= 0.5 && lower_bound(k - 1, 20) < 0.5);
}

proptest! {
    #[test]
    fn the_bound_is_where_the_tail_is_five_percent(n in 1_usize..400, part in 0.0_f64..=1.0) {
        let k = ((n as f64 * part) as usize).max(1);
        let bound = lower_bound(k, n);
        prop_assert!(bound < k as f64 / n as f64);
        prop_assert!(close(upper_tail(k, n, bound), ALPHA, 1e-9), "k {k} n {n} bound {bound}");
    }

    #[test]
    fn more_right_answers_never_lower_the_bound(n in 1_usize..300, k in 0_usize..300) {
        let k = k % n;
        prop_assert!(lower_bound(k, n) <= lower_bound(k + 1, n));
    }
}
