//! Attention with AVX-512: up to eight queries against a block, so that each vector of keys or values that is read meets
//! all of them. A block that meets no more than eight is read as it lies, in half precision.

use std::arch::x86_64::{
    __m512, _mm256_loadu_si256, _mm512_add_epi32, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_cvtph_ps, _mm512_cvtss_f32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_loadu_ps, _mm512_maskz_mul_ps,
    _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_reduce_max_ps, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_sub_ps,
};
use std::ops::Range;

use crate::kernel::attention::BLOCK;
use crate::kernel::avx2::hint;
use crate::kernel::matrix::TILE;
use crate::kernel::ops::{E_TO, ROUND};

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
pub(in crate::kernel) unsafe fn score<S: Stored>(queries: &[f32], keys: &[S], next: &[S], scores: &mut [f32]) {
    let width = keys.len() / BLOCK;
    let count = scores.len() / BLOCK;
    assert!(queries.len() == count * width && keys.len() == width * BLOCK, "shapes fit");
    // SAFETY: shapes fit.
    unsafe {
        by_count!(count, score_some(queries.as_ptr(), [keys, next].map(<[S]>::as_ptr), width, scores.as_mut_ptr()))
    }
}

/// # Safety
/// The machine has AVX-512 F; there are `M` queries and as many rows of scores.
#[target_feature(enable = "avx512f")]
unsafe fn score_some<const M: usize, S: Stored>(
    queries: *const f32,
    [keys, next]: [*const S; 2],
    width: usize,
    scores: *mut f32,
) {
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    for i in 0..width {
        hint(next.wrapping_add(BLOCK * i));
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

/// Makes weights of the scores of some queries against a block whose first token stands at `first`, and brings `sums` to the
/// new maxima.
///
/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(in crate::kernel) unsafe fn soften(
    scores: &mut [f32],
    first: usize,
    sees: &[Range<usize>],
    (highest, weight): (&mut [f32], &mut [f32]),
    sums: &mut [f32],
) {
    let width = sums.len() / sees.len();
    let state = highest.iter_mut().zip(weight).zip(sums.chunks_exact_mut(width));
    for ((scores, sees), ((highest, weight), sums)) in scores.as_chunks_mut::<BLOCK>().0.iter_mut().zip(sees).zip(state)
    {
        let below =
            |position: usize| u32::MAX.checked_shl(position.saturating_sub(first).min(BLOCK) as u32).unwrap_or(0);
        let seen = below(sees.start) & !below(sees.end);
        if seen == 0 {
            scores.fill(0.0);
            continue;
        }
        let seen = [seen as u16, (seen >> TILE) as u16];
        let places = [scores.as_mut_ptr(), scores[TILE..].as_mut_ptr()];
        let hidden = _mm512_set1_ps(f32::NEG_INFINITY);
        // SAFETY: 32 scores.
        let (low, high) = unsafe {
            (_mm512_mask_loadu_ps(hidden, seen[0], places[0]), _mm512_mask_loadu_ps(hidden, seen[1], places[1]))
        };
        let most = _mm512_reduce_max_ps(_mm512_max_ps(low, high));
        if most > *highest {
            let factor = exp(_mm512_set1_ps(*highest - most), u16::MAX);
            *weight *= _mm512_cvtss_f32(factor);
            for sums in sums.as_chunks_mut::<TILE>().0 {
                // SAFETY: 16 sums.
                unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_mul_ps(_mm512_loadu_ps(sums.as_ptr()), factor)) };
            }
            *highest = most;
        }
        let most = _mm512_set1_ps(*highest);
        let powers = [exp(_mm512_sub_ps(low, most), seen[0]), exp(_mm512_sub_ps(high, most), seen[1])];
        let mut lanes = [0f32; TILE];
        // SAFETY: 16 sums, 32 scores.
        unsafe {
            _mm512_storeu_ps(lanes.as_mut_ptr(), _mm512_add_ps(powers[0], powers[1]));
            _mm512_storeu_ps(places[0], powers[0]);
            _mm512_storeu_ps(places[1], powers[1]);
        }
        // One after the other, as all levels add them.
        *weight += lanes.iter().sum::<f32>();
    }
}

/// [`crate::kernel::ops::exp`] of what the mask has, and zero: what is masked has no weight at all, not just next to none.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp(x: __m512, mask: u16) -> __m512 {
    let all = |x: f32| _mm512_set1_ps(x);
    // What is no number stays that: of two, these give the second when they cannot tell.
    let within = _mm512_min_ps(all(E_TO.most), _mm512_max_ps(all(-E_TO.most), x));
    let shifted = _mm512_fmadd_ps(within, all(std::f32::consts::LOG2_E), all(ROUND));
    let n = _mm512_sub_ps(shifted, all(ROUND));
    let r = _mm512_fmadd_ps(n, all(E_TO.ln_2[0]), within);
    let r = _mm512_fmadd_ps(n, all(E_TO.ln_2[1]), r);
    let mut y = all(E_TO.first);
    for coefficient in E_TO.coefficients {
        y = _mm512_fmadd_ps(y, r, all(coefficient));
    }
    let y = _mm512_fmadd_ps(y, _mm512_mul_ps(r, r), _mm512_add_ps(r, all(1.0)));
    let power = _mm512_slli_epi32::<23>(_mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127)));
    _mm512_maskz_mul_ps(mask, y, _mm512_castsi512_ps(power))
}

/// `sums += weights · values`, up to eight queries against a block of 32 values, whose width is a multiple of 16.
///
/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(in crate::kernel) unsafe fn weigh<S: Stored>(weights: &[f32], values: &[S], next: &[S], sums: &mut [f32]) {
    let width = values.len() / BLOCK;
    let count = weights.len() / BLOCK;
    assert!(sums.len() == count * width && values.len() == width * BLOCK && width.is_multiple_of(TILE), "shapes fit");
    // SAFETY: shapes fit.
    unsafe {
        by_count!(count, weigh_some(weights.as_ptr(), [values, next].map(<[S]>::as_ptr), width, sums.as_mut_ptr()))
    }
}

/// # Safety
/// The machine has AVX-512 F; there are `M` rows of weights and of sums, of whole vectors.
#[target_feature(enable = "avx512f")]
unsafe fn weigh_some<const M: usize, S: Stored>(
    weights: *const f32,
    values: [*const S; 2],
    width: usize,
    sums: *mut f32,
) {
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
    [values, next]: [*const S; 2],
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
        hint(next.wrapping_add(token * width + at));
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
