//! Keys, values, queries and weights as integers of 16 bits.

use crate::kernel::float::leveled;
use crate::kernel::level::Level;
use crate::kernel::ops::ROUND;

use super::BLOCK;

/// The largest integers: a sum of products of them stays within 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) struct Most {
    pub(in crate::kernel) query: i16,
    pub(in crate::kernel) key: i16,
    pub(in crate::kernel) value: i16,
    pub(in crate::kernel) weight: i16,
}

impl Most {
    /// Of heads of `width`.
    pub(in crate::kernel) const fn of(width: usize) -> Self {
        // A sum of that many products; the two factors share the digits evenly.
        let (query, mut digits) = (if width <= 128 { 4095 } else { 2047 }, 0);
        let room = i32::MAX as i64 / (query as i64 * width as i64);
        while (1i64 << (digits + 1)) - 1 <= room && digits < 14 {
            digits += 1;
        }
        let weight = 8191;
        assert!(weight as i64 * weight as i64 * (BLOCK as i64) < i32::MAX as i64, "a block's weights and values");
        Self { query, key: ((1i32 << digits) - 1) as i16, value: weight, weight }
    }
}

/// What the integers of `row` are to be multiples of so that none is above `most`, and the inverse of it. Where a number is none,
/// so is the first.
pub(super) fn unit(level: Level, row: &[f32], most: i16) -> (f32, f32) {
    let mut bits = 0;
    find_largest(level, row, &mut bits);
    of_largest(f32::from_bits(bits), most)
}

/// As [`unit`], of numbers of which `largest` is farthest from zero.
#[inline(always)]
pub(in crate::kernel) fn of_largest(largest: f32, most: i16) -> (f32, f32) {
    match f32::from(most) {
        // It must not vanish in an integer.
        _ if !largest.is_finite() => (f32::NAN, 0.0),
        _ if largest < SMALLEST => (0.0, 0.0),
        most => (largest / most, most / largest),
    }
}

/// Below, an inverse would be infinite.
const SMALLEST: f32 = 1e-30;

/// Each of `row` times `inverse` to the nearest integer.
pub(super) fn round(level: Level, row: &[f32], inverse: f32, integers: &mut [i16]) {
    round_all(level, row, inverse, integers);
}

leveled! {
    fn find_largest(row: &[f32], bits: &mut u32) = find_largest_plainly
}
leveled! {
    fn round_all(row: &[f32], inverse: f32, integers: &mut [i16]) = round_plainly
}

/// The bits of what is not negative are in the order of the values, and those of no number are above all.
#[inline(always)]
fn find_largest_plainly<const FUSED: bool>(row: &[f32], bits: &mut u32) {
    let bits_of = |x: &f32| x.to_bits() & !(1 << 31);
    *bits = row.iter().map(bits_of).fold(*bits, u32::max);
}

#[inline(always)]
fn round_plainly<const FUSED: bool>(row: &[f32], inverse: f32, integers: &mut [i16]) {
    for (x, integer) in row.iter().zip(integers) {
        *integer = nearest(x * inverse);
    }
}

/// Of at most 15 bits; of what is no number, anything.
#[inline(always)]
pub(super) fn nearest(x: f32) -> i16 {
    (x + ROUND).to_bits() as i16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sums_of_the_largest_fit_and_leave_no_digit_unused() {
        for width in (16..=512).step_by(16) {
            let Most { query, key, .. } = Most::of(width);
            let sum = |key: i64| i64::from(query) * key * width as i64;
            assert!(sum(key.into()) <= i32::MAX.into(), "{width}");
            assert!(key >= 2047 && (key == 16_383 || sum(2 * i64::from(key) + 1) > i32::MAX.into()), "{width}: {key}");
        }
    }

    proptest! {
        #[test]
        fn integers_are_within_half_a_unit(row in prop::collection::vec(-1e3f32..1e3, 1..100), most in 100i16..16_383) {
            for level in Level::all().into_iter().filter(|level| level.is_here()) {
                let (one, inverse) = unit(level, &row, most);
                let mut integers = vec![0; row.len()];
                round(level, &row, inverse, &mut integers);
                for (x, integer) in row.iter().zip(integers) {
                    prop_assert!(integer.abs() <= most);
                    prop_assert!((f32::from(integer) * one - x).abs() <= one * 0.502);
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_so_and_next_to_nothing_is_nothing() {
        for level in Level::all().into_iter().filter(|level| level.is_here()) {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut row = [1.0; 40];
                row[37] = bad;
                assert!(unit(level, &row, 4095).0.is_nan());
            }
            assert_eq!(unit(level, &[0.0, -1e-38, 1e-40], 4095), (0.0, 0.0));
        }
    }
}
