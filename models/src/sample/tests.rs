//! Properties of the draw, and parameters that make no sense.

use proptest::prelude::*;

use super::*;
use crate::chat::Sampling;

fn sampler(asked: &Sampling, seed: u64) -> Sampler {
    Sampler::new(Parameters::check(asked, 1000).expect("sane parameters"), seed)
}

fn draws(asked: &Sampling, seed: u64, logits: &[f32], count: usize) -> Vec<u32> {
    let mut sampler = sampler(asked, seed);
    (0..count).map(|_| sampler.draw(&mut logits.to_vec()).expect("drawable")).collect()
}

proptest! {
    #[test]
    fn the_same_seed_draws_the_same_tokens(
        logits in prop::collection::vec(-20f32..20.0, 2..300), seed: u64, temperature in 0f64..2.0, top_p in 0f64..1.0,
    ) {
        let asked = Sampling { temperature: Some(temperature), top_p: Some(top_p), ..Sampling::default() };
        prop_assert_eq!(draws(&asked, seed, &logits, 8), draws(&asked, seed, &logits, 8));
    }

    #[test]
    fn a_forbidden_token_is_never_drawn(
        mut logits in prop::collection::vec(-20f32..20.0, 4..200), seed: u64, temperature in 0f64..2.0, forbidden in 0usize..3,
    ) {
        logits[forbidden] = f32::NEG_INFINITY;
        let asked = Sampling { temperature: Some(temperature), ..Sampling::default() };
        prop_assert!(draws(&asked, seed, &logits, 8).iter().all(|token| *token as usize != forbidden));
    }

    #[test]
    fn the_nucleus_is_the_fewest_likeliest(weights in prop::collection::vec(0.001f32..1.0, 1..3000), top_p in 0.05f32..0.99) {
        let mut likely: Vec<(f32, u32)> = weights.iter().copied().zip(0..).collect();
        keep_nucleus(&mut likely, top_p);
        let kept: f64 = likely.iter().map(|(weight, _)| f64::from(*weight)).sum();
        let goal = weights.iter().map(|weight| f64::from(*weight)).sum::<f64>() * f64::from(top_p);
        prop_assert!(kept >= goal * 0.999_999);
        prop_assert!(kept - f64::from(likely.last().expect("never empty").0) < goal);
    }

    #[test]
    fn greedy_takes_the_likeliest(logits in prop::collection::vec(-20f32..20.0, 1..300)) {
        let asked = Sampling { temperature: Some(0.0), ..Sampling::default() };
        let token = draws(&asked, 0, &logits, 1)[0];
        prop_assert!(logits.iter().all(|logit| *logit <= logits[token as usize]));
    }
}

#[test]
fn temperature_one_follows_the_distribution() {
    let logits = [0.7f32.ln(), 0.2f32.ln(), 0.1f32.ln()];
    let asked = Sampling { temperature: Some(1.0), ..Sampling::default() };
    let drawn = draws(&asked, 7, &logits, 20_000);
    for (token, share) in [(0, 0.7), (1, 0.2), (2, 0.1)] {
        let seen = drawn.iter().filter(|t| **t == token).count() as f64 / drawn.len() as f64;
        assert!((seen - share).abs() < 0.02, "token {token}: {seen} instead of {share}");
    }
}

#[test]
fn top_k_and_min_p_leave_out_the_unlikely() {
    let logits = [3.0, 2.9, 0.0, -1.0];
    let k = Sampling { temperature: Some(2.0), top_k: Some(2), ..Sampling::default() };
    assert!(draws(&k, 1, &logits, 500).iter().all(|token| *token < 2));
    let p = Sampling { temperature: Some(1.0), min_p: Some(0.5), ..Sampling::default() };
    assert!(draws(&p, 1, &logits, 500).iter().all(|token| *token < 2));
}

#[test]
fn penalties_and_bias_move_the_choice() {
    let greedy = |asked: Sampling| draws(&Sampling { temperature: Some(0.0), ..asked }, 0, &[2.0, 1.5, 1.0], 3);
    assert_eq!(greedy(Sampling::default()), [0, 0, 0]);
    assert_eq!(greedy(Sampling { presence_penalty: Some(1.0), ..Sampling::default() }), [0, 1, 0]);
    assert_eq!(greedy(Sampling { frequency_penalty: Some(2.0), ..Sampling::default() }), [0, 1, 2]);
    assert_eq!(greedy(Sampling { logit_bias: vec![(2, 5.0), (0, -100.0)], ..Sampling::default() }), [2, 2, 2]);
}

#[test]
fn logits_that_are_no_numbers_are_an_error() {
    let mut sampler = sampler(&Sampling::default(), 0);
    assert_eq!(sampler.draw(&mut [0.0, f32::NAN]), Err(SampleError::NotANumber));
    assert_eq!(sampler.draw(&mut [0.0, f32::INFINITY]), Err(SampleError::NotANumber));
    assert_eq!(sampler.draw(&mut [f32::NEG_INFINITY; 3]), Err(SampleError::NothingAllowed));
    assert_eq!(sampler.draw(&mut []), Err(SampleError::NothingAllowed));
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (asked, field) in [
        (Sampling { temperature: Some(-0.1), ..Sampling::default() }, "temperature"),
        (Sampling { temperature: Some(f64::NAN), ..Sampling::default() }, "temperature"),
        (Sampling { top_p: Some(1.1), ..Sampling::default() }, "top_p"),
        (Sampling { min_p: Some(-1.0), ..Sampling::default() }, "min_p"),
        (Sampling { frequency_penalty: Some(3.0), ..Sampling::default() }, "frequency_penalty"),
        (Sampling { presence_penalty: Some(-3.0), ..Sampling::default() }, "presence_penalty"),
        (Sampling { logit_bias: vec![(1000, 1.0)], ..Sampling::default() }, "logit_bias"),
    ] {
        assert_eq!(Parameters::check(&asked, 1000).expect_err("senseless").field, field);
    }
}
