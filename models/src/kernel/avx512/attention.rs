//! Attention with AVX-512: up to eight queries against a block, so that each vector of keys or values that is read meets
//! all of them. A block that meets no more than eight is read as it lies, in half precision.

use std::arch::x86_64::{
    __m512, _mm256_loadu_si256, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

use crate::kernel::attention::BLOCK;
use crate::kernel::matrix::TILE;

/// Queries that go through a block together: two vectors of sums of each fill half of the registers.
pub(in crate::kernel) const TOGETHER: usize = 8;

/// Calls a function with the number of queries as its type parameter.
macro_rules! by_count {
    ($count:expr, $call:ident($($argument:expr),*)) => {
        match $count {
            1 => $call::<1, _>($($argument),*),
            2 => $call::<2, _>($($argument),*),
            3 => $call::<3, _>($($argument),*),
            4 => $call::<4, _>($($argument),*),
            5 => $call::<5, _>($($argument),*),
            6 => $call::<6, _>($($argument),*),
            7 => $call::<7, _>($($argument),*),
            8 => $call::<8, _>($($argument),*),
            _ => unreachable!("one to eight queries"),
        }
    };
}

/// How keys and values lie: floats, or the bits of halves.
pub(in crate::kernel) trait Stored: Copy {
    /// Sixteen from `at` on.
    ///
    /// # Safety
    /// The machine has AVX-512 F, and all sixteen can be read.
    unsafe fn sixteen(at: *const Self) -> __m512;
}

impl Stored for f32 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn sixteen(at: *const Self) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_ps(at) }
    }
}

impl Stored for u16 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn sixteen(at: *const Self) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
    }
}

/// `scores = queries · keys`, up to eight queries of any width against a block of 32 keys, which lie across.
///
/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(in crate::kernel) unsafe fn score<S: Stored>(queries: &[f32], keys: &[S], scores: &mut [f32]) {
    let width = keys.len() / BLOCK;
    let count = scores.len() / BLOCK;
    assert!(queries.len() == count * width && keys.len() == width * BLOCK, "shapes fit");
    // SAFETY: shapes fit.
    unsafe { by_count!(count, score_some(queries.as_ptr(), keys.as_ptr(), width, scores.as_mut_ptr())) }
}

/// # Safety
/// The machine has AVX-512 F; there are `M` queries and as many rows of scores.
#[target_feature(enable = "avx512f")]
unsafe fn score_some<const M: usize, S: Stored>(queries: *const f32, keys: *const S, width: usize, scores: *mut f32) {
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    for i in 0..width {
        // SAFETY: `width` rows of 32 keys, `M` rows of `width` queries.
        unsafe {
            let keys = [S::sixteen(keys.add(BLOCK * i)), S::sixteen(keys.add(BLOCK * i + TILE))];
            for (m, sums) in sums.iter_mut().enumerate() {
                let query = _mm512_set1_ps(*queries.add(m * width + i));
                sums[0] = _mm512_fmadd_ps(query, keys[0], sums[0]);
                sums[1] = _mm512_fmadd_ps(query, keys[1], sums[1]);
            }
        }
    }
    for (m, sums) in sums.iter().enumerate() {
        // SAFETY: `M` rows of 32 scores.
        unsafe {
            _mm512_storeu_ps(scores.add(BLOCK * m), sums[0]);
            _mm512_storeu_ps(scores.add(BLOCK * m + TILE), sums[1]);
        }
    }
}

/// `sums += weights · values`, up to eight queries against a block of 32 values, whose width is a multiple of 16.
///
/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(in crate::kernel) unsafe fn weigh<S: Stored>(weights: &[f32], values: &[S], sums: &mut [f32]) {
    let width = values.len() / BLOCK;
    let count = weights.len() / BLOCK;
    assert!(sums.len() == count * width && values.len() == width * BLOCK && width.is_multiple_of(TILE), "shapes fit");
    // SAFETY: shapes fit.
    unsafe { by_count!(count, weigh_some(weights.as_ptr(), values.as_ptr(), width, sums.as_mut_ptr())) }
}

/// # Safety
/// The machine has AVX-512 F; there are `M` rows of weights and of sums, of whole vectors.
#[target_feature(enable = "avx512f")]
unsafe fn weigh_some<const M: usize, S: Stored>(weights: *const f32, values: *const S, width: usize, sums: *mut f32) {
    let mut at = 0;
    while at + 2 * TILE <= width {
        // SAFETY: two vectors are left.
        unsafe { weigh_part::<M, 2, S>(weights, values, (at, width), sums) };
        at += 2 * TILE;
    }
    if at < width {
        // SAFETY: one is.
        unsafe { weigh_part::<M, 1, S>(weights, values, (at, width), sums) };
    }
}

/// `V` vectors of each row of sums, from `at` on.
///
/// # Safety
/// As [`weigh_some`]; the vectors are within `width`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn weigh_part<const M: usize, const V: usize, S: Stored>(
    weights: *const f32,
    values: *const S,
    (at, width): (usize, usize),
    sums: *mut f32,
) {
    let mut totals = [[_mm512_setzero_ps(); V]; M];
    for (m, totals) in totals.iter_mut().enumerate() {
        for (v, total) in totals.iter_mut().enumerate() {
            // SAFETY: `M` rows of `width` sums.
            *total = unsafe { _mm512_loadu_ps(sums.add(m * width + at + v * TILE)) };
        }
    }
    for token in 0..BLOCK {
        let mut row = [_mm512_setzero_ps(); V];
        for (v, value) in row.iter_mut().enumerate() {
            // SAFETY: 32 rows of `width` values.
            *value = unsafe { S::sixteen(values.add(token * width + at + v * TILE)) };
        }
        for (m, totals) in totals.iter_mut().enumerate() {
            // SAFETY: `M` rows of 32 weights.
            let weight = unsafe { _mm512_set1_ps(*weights.add(m * BLOCK + token)) };
            for (total, value) in totals.iter_mut().zip(row) {
                *total = _mm512_fmadd_ps(weight, value, *total);
            }
        }
    }
    for (m, totals) in totals.iter().enumerate() {
        for (v, total) in totals.iter().enumerate() {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(sums.add(m * width + at + v * TILE), *total) };
        }
    }
}
