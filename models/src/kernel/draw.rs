//! What drawing a token asks of a row of logits, which is as wide as the vocabulary: this runs for each token of each call.

use super::float::leveled;
use super::level::Level;
use super::ops::exp;

/// `out = e^((x − highest) · factor)` of each `x`, none of which is above `highest`. What is less than e^−87 is 0.
pub(crate) fn exponentials(input: &[f32], highest: f32, factor: f32, out: &mut Vec<f32>) {
    out.resize(input.len(), 0.0);
    powers(Level::detect(), input, highest, factor, out);
}

/// The highest of `values`, and whether each of them is below infinity, as −∞ is and what is no number is not.
pub(crate) fn highest(values: &[f32]) -> (f32, bool) {
    let mut found = (f32::NEG_INFINITY, true);
    find_highest(Level::detect(), values, &mut found);
    found
}

/// Adds where `values` are at least `least`, in their order.
pub(crate) fn at_least(values: &[f32], least: f32, places: &mut Vec<u32>) {
    find_at_least(Level::detect(), values, least, places);
}

leveled! {
    fn powers(input: &[f32], highest: f32, factor: f32, out: &mut [f32]) = powers_plainly
}
leveled! {
    fn find_highest(values: &[f32], found: &mut (f32, bool)) = find_highest_plainly
}
leveled! {
    fn find_at_least(values: &[f32], least: f32, places: &mut Vec<u32>) = find_at_least_plainly
}

#[inline(always)]
fn powers_plainly<const FUSED: bool>(input: &[f32], highest: f32, factor: f32, out: &mut [f32]) {
    for (x, out) in input.iter().zip(out) {
        let power = (x - highest) * factor;
        *out = if power > -87.0 { exp::<FUSED>(power) } else { 0.0 };
    }
}

/// Without an early exit, so that it is computed in vectors.
#[inline(always)]
fn find_highest_plainly<const FUSED: bool>(values: &[f32], (highest, sound): &mut (f32, bool)) {
    let mut lanes = [f32::NEG_INFINITY; 64];
    let mut below = [1u32; 64];
    let chunks = values.as_chunks::<64>();
    for chunk in chunks.0 {
        for ((lane, below), value) in lanes.iter_mut().zip(&mut below).zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
            *below &= u32::from(*value < f32::INFINITY);
        }
    }
    *highest = lanes.iter().chain(chunks.1).copied().fold(*highest, f32::max);
    *sound &= below == [1; 64] && chunks.1.iter().all(|value| *value < f32::INFINITY);
}

#[inline(always)]
fn find_at_least_plainly<const FUSED: bool>(values: &[f32], least: f32, places: &mut Vec<u32>) {
    for (chunk, first) in values.chunks(64).zip((0u32..).step_by(64)) {
        if chunk.iter().fold(false, |any, value| any | (*value >= least)) {
            places.extend(chunk.iter().zip(first..).filter(|(value, _)| **value >= least).map(|(_, place)| place));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exponentials_are_what_they_are_called(x in -40f32..0.0, factor in 0.01f32..10.0) {
            let mut out = Vec::new();
            exponentials(&[x, 0.0, f32::NEG_INFINITY], 0.0, factor, &mut out);
            let exact = (x * factor).exp();
            prop_assert!((out[0] - exact).abs() <= exact * 1e-6 + 2e-38, "{} {exact}", out[0]);
            prop_assert_eq!(&out[1..], &[1.0, 0.0]);
        }

        #[test]
        fn the_highest_and_those_like_it_are_found(values in prop::collection::vec(-9i8..9, 1..300), least in -9i8..9) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(highest(&values), (most, true));
            let mut places = Vec::new();
            at_least(&values, least.into(), &mut places);
            let these = (0u32..).zip(&values).filter(|(_, value)| **value >= least.into()).map(|(place, _)| place);
            prop_assert_eq!(places, these.collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_no_logit_is_noticed_wherever_it_is() {
        for bad in [f32::NAN, f32::INFINITY] {
            for place in [0, 63, 64, 99] {
                let mut values = [f32::NEG_INFINITY; 100];
                assert_eq!(highest(&values), (f32::NEG_INFINITY, true));
                values[place] = bad;
                assert!(!highest(&values).1, "{bad} at {place}");
            }
        }
    }
}
