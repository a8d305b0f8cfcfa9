//! Tests that hold at every moment, however often they are looked at: the evidence against "no worse than the bound" is a process that
//! under that hypothesis passes 1/α with probability α at most, over all of time (Ville's inequality). Pure.
//!
//! Rates: the likelihood ratio of a mixture of all worse rates (uniform between the bound and 1) against the bound itself, for
//! Bernoulli trials. Its expectation is at most 1 for every rate up to the bound, exactly and at any sample size: Robbins, "Statistical
//! methods related to the law of the iterated logarithm", Ann. Math. Statist. 41 (1970); as always-valid inference: Johari, Koomen,
//! Pekelis, Walsh, "Always Valid Inference", Operations Research 70 (2022).
//!
//! Means: the normal mixture (mSPRT) of the same works with the variance that was seen, so it holds asymptotically: Waudby-Smith,
//! Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory", Ann. Statist. 52 (2024). Two-sided, and only the worse side counts.
//!
//! A baseline that was measured itself enters by the end of its confidence interval that is kinder to the new version.

use backstop_eval::statistics::{incomplete_beta, ln_beta, ln_incomplete_beta};

/// How spread the mixture over a mean's drift is, in variances of one sample: drifts of about a third of a deviation.
const SPREAD: f64 = 0.1;

/// Samples of a number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Seen {
    pub count: u64,
    pub sum: f64,
    pub sum_of_squares: f64,
}

impl Seen {
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    /// Unbiased; 0 for one sample.
    pub fn variance(&self) -> f64 {
        let n = self.count as f64;
        if self.count < 2 {
            return 0.0;
        }
        ((self.sum_of_squares - self.sum * self.sum / n) / (n - 1.0)).max(0.0)
    }
}

/// ln of the evidence that `hits` of `n` come from a rate above `bound` (0 to 1).
pub fn evidence_of_rate(hits: u64, n: u64, bound: f64) -> f64 {
    if n == 0 || bound >= 1.0 {
        return 0.0;
    }
    if bound <= 0.0 {
        // A single hit refutes a rate of 0.
        return if hits > 0 { f64::INFINITY } else { 0.0 };
    }
    let (k, m) = (hits as f64, (n - hits.min(n)) as f64);
    // By symmetry, not as 1 − I, and as a logarithm: where little is left above the bound, that difference would be rounding alone, and
    // so would a number that is as small.
    let worse = ln_incomplete_beta(1.0 - bound, m + 1.0, k + 1.0);
    ln_beta(k + 1.0, m + 1.0) + worse - (1.0 - bound).ln() - k * bound.ln() - m * (1.0 - bound).ln()
}

/// ln of the evidence that the mean of what was seen is above `bound`.
pub fn evidence_of_mean(seen: &Seen, bound: f64) -> f64 {
    let (n, excess) = (seen.count as f64, seen.mean() - bound);
    // What never varies says nothing of how surely it is known.
    let variance = seen.variance();
    if seen.count < 2 || excess <= 0.0 || variance <= 0.0 {
        return 0.0;
    }
    let z2 = n * excess * excess / variance;
    let spread = n * SPREAD;
    z2 * spread / (2.0 * (1.0 + spread)) - 0.5 * (1.0 + spread).ln()
}

/// The upper end of an exact interval (Clopper–Pearson) for a rate of which `hits` of `n` were seen; it is passed with probability `alpha`.
pub(super) fn rate_at_most(hits: u64, n: u64, alpha: f64) -> f64 {
    if hits >= n {
        return 1.0;
    }
    let (k, m) = (hits as f64 + 1.0, (n - hits) as f64);
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if incomplete_beta(1.0 - middle, m, k) > alpha {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// As [`rate_at_most`], at every moment while more is seen: the largest rate that the evidence has never refuted (a confidence sequence).
pub(super) fn rate_at_most_always(hits: u64, n: u64, alpha: f64) -> f64 {
    if hits >= n {
        return 1.0;
    }
    let enough = (1.0 / alpha).ln();
    let (mut low, mut high) = (hits as f64 / n as f64, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        // That there are fewer hits than so many is that there are more of the others.
        if evidence_of_rate(n - hits, n, 1.0 - middle) < enough {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// As [`mean_within`], at every moment while more is seen.
pub(super) fn mean_within_always(seen: &Seen, alpha: f64) -> f64 {
    if seen.count < 2 {
        return f64::INFINITY;
    }
    let (n, enough) = (seen.count as f64, (1.0 / alpha).ln());
    let spread = n * SPREAD;
    let z2 = 2.0 * (1.0 + spread) / spread * (enough + 0.5 * (1.0 + spread).ln());
    (z2 * seen.variance() / n).sqrt()
}

/// As [`place_above`], at every moment while more is seen.
pub(super) fn place_above_always(n: u64, share: f64, alpha: f64) -> Option<u64> {
    let enough = (1.0 / alpha).ln();
    // Were the quantile above the sample in that place, fewer than `place` samples would lie above it: so few that it is refuted.
    let fits = |place: u64| evidence_of_rate(n - (place - 1), n, 1.0 - share) >= enough;
    (1..=n).take_while(|place| fits(*place)).last()
}

/// How far from its mean what was seen may be taken to be, with probability `alpha` on one side.
pub(super) fn mean_within(seen: &Seen, alpha: f64) -> f64 {
    if seen.count < 2 {
        return f64::INFINITY;
    }
    // The tail of a normal is at most exp(-z²/2)/2.
    let z = (2.0 * (0.5 / alpha).ln()).max(0.0).sqrt();
    z * (seen.variance() / seen.count as f64).sqrt()
}

/// The largest place from the top at which, of `n` samples, one still is at or above the quantile that `share` of all pass, but for a
/// probability of `alpha`; `None`: there are too few samples.
pub(super) fn place_above(n: u64, share: f64, alpha: f64) -> Option<u64> {
    // At least `place` samples lie above the quantile, but for P(Bin(n, share) < place).
    let fits = |place: u64| incomplete_beta(1.0 - share, (n - place + 1) as f64, place as f64) <= alpha;
    let (mut found, mut place) = (None, 1);
    while place <= n && fits(place) {
        found = Some(place);
        place += 1;
    }
    found
}

#[cfg(test)]
mod always;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn it_is_the_integral_that_it_says() {
        // 3 of 4 against at most one half: ∫ over (1/2, 1) of 2 p³(1-p) dp, by (1/2)⁴.
        let integral: f64 = 2.0 * ((1.0 / 4.0 - 1.0 / 5.0) - (1.0 / 64.0 - 1.0 / 160.0));
        assert!((evidence_of_rate(3, 4, 0.5) - (integral * 16.0).ln()).abs() < 1e-9);
    }

    /// Looked at after every single call for 2000 calls, at the very bound, it must not cry wolf more often than α.
    #[test]
    fn looking_at_every_call_does_not_make_false_alarms() {
        let (alpha, runs) = (0.05_f64, 400);
        let mut rng = StdRng::seed_from_u64(7);
        let mut alarms = 0;
        for _ in 0..runs {
            let mut hits = 0;
            alarms += u32::from((1..=2000).any(|n| {
                hits += u64::from(rng.random_bool(0.05));
                evidence_of_rate(hits, n, 0.05) >= (1.0 / alpha).ln()
            }));
        }
        // 20 expected at the most; 35 have a probability below 0.001.
        assert!(alarms <= 35, "{alarms} of {runs}");
    }

    #[test]
    fn a_mean_makes_few_false_alarms_and_sees_a_drift() {
        let mut rng = StdRng::seed_from_u64(11);
        let mut run = |drift: f64| {
            let mut seen = Seen::default();
            (1..=1000_u64).any(|n| {
                let value: f64 = rng.random_range(-1.0..1.0) + drift;
                seen = Seen { count: n, sum: seen.sum + value, sum_of_squares: seen.sum_of_squares + value * value };
                n >= 30 && evidence_of_mean(&seen, 0.0) >= 20_f64.ln()
            })
        };
        assert!((0..200).filter(|_| run(0.0)).count() <= 20);
        assert_eq!((0..50).filter(|_| run(0.3)).count(), 50);
    }

    #[test]
    fn a_rate_twice_the_bound_is_found_in_hundreds_of_calls() {
        assert!(evidence_of_rate(30, 200, 0.05) > 100_f64.ln());
        assert!(evidence_of_rate(10, 200, 0.05) < 1.0);
    }

    /// Where next to nothing is left above the bound, it still is a number that means something.
    #[test]
    fn far_below_the_bound_one_more_hit_is_more_evidence() {
        let (fewer, more) =
            (evidence_of_rate(1538, 2945, 0.594_585_573_8), evidence_of_rate(1539, 2945, 0.594_585_573_8));
        assert!(more > fewer && fewer > -7.0, "{fewer} {more}");
        // Of what is above the bound 2e-323 is left there, and 2e-15004. Worked out with 80 digits.
        for (hits, n, bound, expected) in [
            (2035, 4101, 0.771_968_834_321_611_3, -7.290_574_876),
            (2036, 4101, 0.771_968_834_321_611_3, -7.289_691_610),
            (0, 5000, 0.999, -8.517_393_171),
        ] {
            let evidence = evidence_of_rate(hits, n, bound);
            assert!((evidence - expected).abs() < 1e-7, "{hits} of {n}: {evidence}");
        }
    }

    #[test]
    fn a_quantile_needs_samples_above_it() {
        assert_eq!(place_above(100, 0.01, 0.005), None);
        assert_eq!(place_above(600, 0.01, 0.005), Some(1));
        assert!(place_above(10_000, 0.01, 0.005).is_some_and(|place| (60..100).contains(&place)));
    }

    proptest! {
        #[test]
        fn more_hits_are_more_evidence(n in 1_u64..5000, share in 0.0_f64..1.0, bound in 0.001_f64..0.999) {
            let hits = ((n - 1) as f64 * share) as u64;
            let (fewer, more) = (evidence_of_rate(hits, n, bound), evidence_of_rate(hits + 1, n, bound));
            prop_assert!(!fewer.is_nan() && more >= fewer - 1e-6, "{fewer} {more}");
        }

        #[test]
        fn a_kinder_bound_is_less_evidence(n in 1_u64..5000, share in 0.0_f64..1.0, bound in 0.001_f64..0.5) {
            let hits = (n as f64 * share) as u64;
            let (strict, kind) = (evidence_of_rate(hits, n, bound), evidence_of_rate(hits, n, bound * 1.9));
            prop_assert!(kind <= strict.max(0.0) + 1e-6, "{strict} {kind}");
        }

        #[test]
        fn an_upper_end_is_above_what_was_seen(n in 1_u64..5000, share in 0.0_f64..1.0) {
            let hits = (n as f64 * share) as u64;
            let end = rate_at_most(hits, n, 0.005);
            prop_assert!(end >= hits as f64 / n as f64 && end <= 1.0);
        }
    }
}
