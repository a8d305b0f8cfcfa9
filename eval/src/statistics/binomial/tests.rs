//! The report's bounds against published values and against the tails they are defined by.

use proptest::prelude::*;

use super::*;
use crate::statistics::incomplete_beta;

fn close(found: f64, published: f64, tolerance: f64) -> bool {
    (found - published).abs() <= tolerance
}

/// R's `binom.test(5, 10)` prints 0.187086 and 0.812914; its manual page, Mendel's peas (682 of 925), 0.7076683 and
/// 0.7654066. One-sided 95 % limits are the ends of two-sided 90 % intervals: `binom.test(5, 10, conf.level = 0.9)` gives
/// 0.2224411 and 0.7775589.
#[test]
fn intervals_agree_with_published_ones() {
    let (low, high) = interval(5, 10);
    assert!(close(low, 0.187_086, 1e-6) && close(high, 0.812_914, 1e-6), "{low} {high}");
    let (low, high) = interval(682, 925);
    assert!(close(low, 0.707_668_3, 1e-7) && close(high, 0.765_406_6, 1e-7), "{low} {high}");
    assert!(close(upper_bound(5, 10), 0.777_558_9, 1e-7));
}

/// J. A. Hanley and A. Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249 (1983): no event in n leaves
/// up to about 3/n.
#[test]
fn no_success_leaves_the_rule_of_three() {
    assert!(close(upper_bound(0, 300), 3.0 / 300.0, 1e-4));
    assert!(upper_bound(0, 59) <= 0.05 && upper_bound(0, 58) > 0.05);
}

#[test]
fn the_ends_are_vacuous() {
    assert_eq!(upper_bound(10, 10), 1.0);
    assert_eq!(interval(0, 0), (0.0, 1.0));
    assert_eq!(upper_bound(0, 0), 1.0);
    assert_eq!((interval(0, 10).0, interval(10, 10).1), (0.0, 1.0));
}

#[test]
#[should_panic(expected = "11 successes in 10 trials")]
fn more_successes_than_trials_are_refused() {
    interval(11, 10);
}

proptest! {
    #[test]
    fn the_upper_bound_is_where_the_lower_tail_is_five_percent(n in 1_usize..400, part in 0.0_f64..1.0) {
        let k = (n as f64 * part) as usize;
        let bound = upper_bound(k, n);
        prop_assert!(bound > k as f64 / n as f64);
        // P(X ≤ k) = 1 − I_p(k + 1, n − k).
        prop_assert!(close(1.0 - incomplete_beta(bound, (k + 1) as f64, (n - k) as f64), ALPHA, 1e-9));
    }

    #[test]
    fn two_sides_at_95_percent_are_wider_than_either_side_alone(n in 1_usize..400, part in 0.0_f64..=1.0) {
        let k = (n as f64 * part) as usize;
        let (low, high) = interval(k, n);
        prop_assert!(low <= lower_bound(k, n) && upper_bound(k, n) <= high);
        prop_assert!(low <= k as f64 / n as f64 && k as f64 / n as f64 <= high);
    }
}
