//! A baseline that grows while it is looked at is never taken to be better than it is, but for the probability that was allowed.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;

const ALPHA: f64 = 0.05;
const RUNS: u64 = 200;
const SAMPLES: u64 = 1000;

/// How many of the runs are wrong at any of their looks; at most a part of [`ALPHA`] may be, and a little luck is allowed for.
fn wrong(mut run: impl FnMut(&mut StdRng) -> bool) {
    let wrong = (0..RUNS).filter(|seed| run(&mut StdRng::seed_from_u64(*seed))).count() as f64;
    let luck = 3.0 * (RUNS as f64 * ALPHA * (1.0 - ALPHA)).sqrt();
    assert!(wrong <= RUNS as f64 * ALPHA + luck, "{wrong} of {RUNS} runs were wrong at some look");
}

#[test]
fn the_end_of_a_rate_holds_at_every_look() {
    for rate in [0.02, 0.3] {
        wrong(|dice| {
            let mut hits = 0;
            (1..=SAMPLES).any(|n| {
                hits += u64::from(dice.random_bool(rate));
                n % 10 == 0 && rate_at_most_always(hits, n, ALPHA) < rate
            })
        });
    }
}

#[test]
fn the_end_of_a_mean_holds_at_every_look() {
    wrong(|dice| {
        let mut seen = Seen::default();
        (1..=SAMPLES).any(|n| {
            let value: f64 = dice.random();
            seen = Seen { count: n, sum: seen.sum + value, sum_of_squares: seen.sum_of_squares + value * value };
            n >= 50 && n % 10 == 0 && (seen.mean() - 0.5).abs() > mean_within_always(&seen, ALPHA)
        })
    });
}

#[test]
fn the_place_of_a_quantile_holds_at_every_look() {
    let share = 0.1;
    wrong(|dice| {
        let mut above = 0;
        (1..=SAMPLES).any(|n| {
            above += u64::from(dice.random_bool(share));
            // The sample in that place lies below the quantile when fewer are above that.
            n % 10 == 0 && place_above_always(n, share, ALPHA).is_some_and(|place| above < place)
        })
    });
}

#[test]
fn it_comes_to_the_rate_with_more_samples() {
    let at = |n: u64| rate_at_most_always(n / 10, n, ALPHA);
    assert!(at(100) > at(1000) && at(1000) > at(100_000) && at(100_000) < 0.105 && at(100_000) > 0.1);
    assert_eq!((place_above_always(20, 0.01, ALPHA), rate_at_most_always(0, 0, ALPHA)), (None, 1.0));
    assert!(place_above_always(100_000, 0.01, ALPHA).is_some_and(|place| (500..1000).contains(&place)));
}
