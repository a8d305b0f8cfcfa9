//! Attention with AVX2: `vpmaddwd`, some queries against a block.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_storeu_ps, _mm256_storeu_si256,
};

use super::hint;
use crate::kernel::attention::BLOCK;

/// Numbers of a vector.
const LANES: usize = 8;

/// `scores = queries · keys`, some queries against a block, whose next is asked for.
///
/// # Safety
/// The machine has AVX2; there are `scores.len() / 32` queries as wide as the keys, and both blocks are of one size.
#[target_feature(enable = "avx2")]
pub(in crate::kernel) unsafe fn score(queries: &[i16], (keys, next): (&[i16], &[i16]), scores: &mut [i32]) {
    let width = keys.len() / BLOCK;
    next.chunks(4 * LANES).for_each(|line| hint(line.as_ptr()));
    let rows = queries.chunks(2 * width).zip(scores.chunks_mut(2 * BLOCK));
    for (queries, scores) in rows {
        // SAFETY: the caller's; one row or two.
        unsafe {
            match scores.len() / BLOCK {
                1 => score_some::<1>(queries.as_ptr(), keys.as_ptr(), width, scores.as_mut_ptr()),
                _ => score_some::<2>(queries.as_ptr(), keys.as_ptr(), width, scores.as_mut_ptr()),
            }
        }
    }
}

/// # Safety
/// As [`score`]; there are `M` queries and as many rows of scores.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn score_some<const M: usize>(queries: *const i16, keys: *const i16, width: usize, scores: *mut i32) {
    let mut sums = [[_mm256_setzero_si256(); BLOCK / LANES]; M];
    for i in (0..width).step_by(2) {
        for part in 0..BLOCK / LANES {
            // SAFETY: `width / 2` rows of 32 pairs of keys.
            let keys = unsafe { pairs(keys.add(BLOCK * i + 2 * LANES * part)) };
            for (m, sums) in sums.iter_mut().enumerate() {
                // SAFETY: `M` rows of `width / 2` pairs of queries.
                let query = unsafe { one_pair(queries.add(m * width + i)) };
                sums[part] = _mm256_add_epi32(sums[part], _mm256_madd_epi16(keys, query));
            }
        }
    }
    for (m, sums) in sums.iter().enumerate() {
        for (part, sum) in sums.iter().enumerate() {
            // SAFETY: `M` rows of 32 scores.
            unsafe { _mm256_storeu_si256(scores.add(BLOCK * m + LANES * part).cast(), *sum) };
        }
    }
}

/// `sums += weights · values`, some queries against a block, whose next is asked for. Widths are multiples of 16.
///
/// # Safety
/// The machine has AVX2 and FMA; there are as many rows of weights and of sums as units, and both blocks are of one size.
#[target_feature(enable = "avx2,fma")]
pub(in crate::kernel) unsafe fn weigh(
    (weights, units): (&[i16], &[f32]),
    (values, next): (&[i16], &[i16]),
    sums: &mut [f32],
) {
    let width = values.len() / BLOCK;
    next.chunks(4 * LANES).for_each(|line| hint(line.as_ptr()));
    let rows = weights.chunks(2 * BLOCK).zip(units.chunks(2)).zip(sums.chunks_mut(2 * width));
    for ((weights, units), sums) in rows {
        let weights = (weights.as_ptr(), units);
        for at in (0..width).step_by(2 * LANES) {
            // SAFETY: the caller's; one row or two, of two vectors and two more, as long as there are some.
            unsafe {
                match units.len() {
                    1 => weigh_some::<1>(weights, values.as_ptr(), (at, width), sums.as_mut_ptr()),
                    _ => weigh_some::<2>(weights, values.as_ptr(), (at, width), sums.as_mut_ptr()),
                }
            }
        }
    }
}

/// Two vectors of each row of sums, from `at` on.
///
/// # Safety
/// As [`weigh`]; there are `M` rows of weights and of sums, and the vectors are within `width`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn weigh_some<const M: usize>(
    (weights, units): (*const i16, &[f32]),
    values: *const i16,
    (at, width): (usize, usize),
    sums: *mut f32,
) {
    let mut totals = [[_mm256_setzero_si256(); 2]; M];
    for token in (0..BLOCK).step_by(2) {
        for half in 0..2 {
            // SAFETY: 16 rows of `width` pairs of values.
            let values = unsafe { pairs(values.add(token * width + 2 * (at + LANES * half))) };
            for (m, totals) in totals.iter_mut().enumerate() {
                // SAFETY: `M` rows of 16 pairs of weights.
                let weight = unsafe { one_pair(weights.add(m * BLOCK + token)) };
                totals[half] = _mm256_add_epi32(totals[half], _mm256_madd_epi16(values, weight));
            }
        }
    }
    for (m, (totals, unit)) in totals.iter().zip(units).enumerate() {
        for (half, total) in totals.iter().enumerate() {
            // SAFETY: `M` rows of `width` sums.
            unsafe {
                let place = sums.add(m * width + at + LANES * half);
                let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(*total), _mm256_set1_ps(*unit), _mm256_loadu_ps(place));
                _mm256_storeu_ps(place, sum);
            }
        }
    }
}

/// Eight pairs of integers from `at` on.
///
/// # Safety
/// All can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pairs(at: *const i16) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

/// Eight times the pair at `at`.
///
/// # Safety
/// It can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn one_pair(at: *const i16) -> __m256i {
    // SAFETY: the caller's.
    _mm256_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() })
}
