//! The product with AVX-512 VNNI: `vpdpbusd` on 16 rows × 4 columns at a time, exact in 32 bits.

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _mm512_and_si512, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_dpbusd_epi32,
    _mm512_fmadd_ps, _mm512_load_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi16, _mm512_store_ps,
    _mm512_storeu_ps,
};

use super::activations::{GROUP, GROUP_LINES};
use super::attention::BLOCK;
use super::avx2::ahead;
use super::matrix::{Integer, Line, TILE};
use super::multiply::{Inputs, Piece, Sums};

/// As [`super::portable::dot`], of up to four rows of one group, or all rows of two or four groups.
///
/// # Safety
/// The machine has AVX-512 F, BW and VNNI; the piece has all its lines and scales, and the inputs reach as far.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn dot<const PACKED: bool>(
    integer: &Integer,
    piece: Piece<'_>,
    groups: &[Inputs<'_>],
    sums: &mut [Sums],
) {
    // SAFETY: the caller's, in each case.
    unsafe {
        match (sums.len(), groups) {
            (1, [a]) => rows::<1, 1, PACKED>(integer, piece, &[*a], sums),
            (2, [a]) => rows::<2, 1, PACKED>(integer, piece, &[*a], sums),
            (3, [a]) => rows::<3, 1, PACKED>(integer, piece, &[*a], sums),
            (4, [a]) => rows::<4, 1, PACKED>(integer, piece, &[*a], sums),
            (8, [a, b]) => rows::<8, 2, PACKED>(integer, piece, &[*a, *b], sums),
            (16, [a, b, c, d]) => rows::<16, 4, PACKED>(integer, piece, &[*a, *b, *c, *d], sums),
            _ => unreachable!("some rows of one group, or whole groups"),
        }
    }
}

/// # Safety
/// As [`dot`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn rows<const M: usize, const G: usize, const PACKED: bool>(
    integer: &Integer,
    piece: Piece<'_>,
    groups: &[Inputs<'_>; G],
    sums: &mut [Sums],
) {
    let Ok(sums) = <&mut [Sums; M]>::try_from(sums) else { unreachable!("a place for each row") };
    // SAFETY: the caller's, in each case.
    unsafe {
        match (integer.nibbles && PACKED, integer.halves) {
            (true, _) => blocks::<M, G, false, PACKED, true>(piece, groups, sums),
            (false, false) => blocks::<M, G, false, PACKED, false>(piece, groups, sums),
            (false, true) => blocks::<M, G, true, PACKED, false>(piece, groups, sums),
        }
    }
}

/// `HALVES`: each 16 columns have a scale. `NIBBLES`: a line has two of weights.
///
/// # Safety
/// As [`dot`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn blocks<const M: usize, const G: usize, const HALVES: bool, const PACKED: bool, const NIBBLES: bool>(
    piece: Piece<'_>,
    groups: &[Inputs<'_>; G],
    sums: &mut [Sums; M],
) {
    let (parts, count) = if HALVES { (2, 4) } else { (1, 8) };
    let body = if NIBBLES { 4 } else { 8 };
    let mask = _mm512_set1_epi8(15);
    for block in 0..piece.blocks {
        // SAFETY: a block has so many lines, packed or expanded.
        let lines = unsafe { piece.lines.as_ptr().add(block * if PACKED { body + parts } else { 8 }) };
        let mut q = [std::ptr::null::<i32>(); G];
        for (q, group) in q.iter_mut().zip(groups) {
            // SAFETY: two lines of inputs for each block.
            *q = unsafe { group.q.as_ptr().add(block * GROUP_LINES).cast() };
        }
        for part in 0..parts {
            let mut products = [_mm512_setzero_si512(); M];
            let mut add = |line: usize, w: __m512i| {
                for (m, product) in products.iter_mut().enumerate() {
                    // SAFETY: four inputs for each line and row of a group.
                    let a = unsafe { *q[m / GROUP].add(GROUP * line + m % GROUP) };
                    *product = _mm512_dpbusd_epi32(*product, w, _mm512_set1_epi32(a));
                }
            };
            if NIBBLES {
                for line in 0..4 {
                    // SAFETY: the block's lines, aligned as they are.
                    let w = unsafe { _mm512_load_si512(lines.add(line).cast()) };
                    ahead(lines.wrapping_add(line));
                    add(line, _mm512_and_si512(w, mask));
                    add(line + 4, _mm512_and_si512(_mm512_srli_epi16::<4>(w), mask));
                }
            } else {
                for line in part * count..(part + 1) * count {
                    if PACKED {
                        ahead(lines.wrapping_add(line));
                    }
                    // SAFETY: as above.
                    add(line, unsafe { _mm512_load_si512(lines.add(line).cast()) });
                }
            }
            let [d, offset] = if PACKED {
                // SAFETY: a line for each part after the weights.
                unsafe { halves(lines.add(body + part)) }
            } else {
                // SAFETY: an expanded block has two pairs of scales.
                unsafe { floats(piece.scales.as_ptr().add(2 * block + part)) }
            };
            for m in 0..M {
                // SAFETY: scales for each block.
                let inputs = unsafe { &*groups[m / GROUP].scales.as_ptr().add(block) };
                let sum = if HALVES { &inputs.half_sum[part] } else { &inputs.sum };
                let place = sums[m].0.as_mut_ptr();
                let product = _mm512_cvtepi32_ps(products[m]);
                let d = _mm512_mul_ps(d, _mm512_set1_ps(inputs.scale[m % GROUP]));
                // SAFETY: 16 aligned values.
                unsafe {
                    let total = _mm512_fmadd_ps(product, d, _mm512_load_ps(place));
                    _mm512_store_ps(place, _mm512_fmadd_ps(offset, _mm512_set1_ps(sum[m % GROUP]), total));
                }
            }
        }
    }
}

/// A line of 16 scales and 16 offsets in half precision.
///
/// # Safety
/// `line` can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn halves(line: *const Line) -> [__m512; 2] {
    let line = line.cast::<__m256i>();
    // SAFETY: two times 32 bytes of an aligned line.
    let [scales, offsets] = unsafe { [*line, *line.add(1)] };
    [_mm512_cvtph_ps(scales), _mm512_cvtph_ps(offsets)]
}

/// 16 scales and 16 offsets.
///
/// # Safety
/// `scales` can be read, and lies in an aligned `Expanded`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn floats(scales: *const [[f32; TILE]; 2]) -> [__m512; 2] {
    let scales = scales.cast::<__m512>();
    // SAFETY: two times 16 values.
    unsafe { [*scales, *scales.add(1)] }
}

/// `scores = queries · keys`, up to four queries of any width against a block of 32 keys, which lie across.
///
/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn score(queries: &[f32], keys: &[f32], scores: &mut [f32]) {
    let width = keys.len() / BLOCK;
    let count = scores.len() / BLOCK;
    assert!(queries.len() == count * width && keys.len() == width * BLOCK, "shapes fit");
    match count {
        // SAFETY: shapes fit.
        1 => unsafe { score_some::<1>(queries.as_ptr(), keys.as_ptr(), width, scores.as_mut_ptr()) },
        // SAFETY: as above.
        2 => unsafe { score_some::<2>(queries.as_ptr(), keys.as_ptr(), width, scores.as_mut_ptr()) },
        // SAFETY: as above.
        3 => unsafe { score_some::<3>(queries.as_ptr(), keys.as_ptr(), width, scores.as_mut_ptr()) },
        // SAFETY: as above.
        4 => unsafe { score_some::<4>(queries.as_ptr(), keys.as_ptr(), width, scores.as_mut_ptr()) },
        _ => unreachable!("one to four queries"),
    }
}

/// # Safety
/// The machine has AVX-512 F; there are `M` queries and as many rows of scores.
#[target_feature(enable = "avx512f")]
unsafe fn score_some<const M: usize>(queries: *const f32, keys: *const f32, width: usize, scores: *mut f32) {
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    for i in 0..width {
        // SAFETY: `width` rows of 32 keys, `M` rows of `width` queries.
        unsafe {
            let keys = [_mm512_loadu_ps(keys.add(BLOCK * i)), _mm512_loadu_ps(keys.add(BLOCK * i + TILE))];
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

/// `sums += weights · values`, up to four queries against a block of 32 values, whose width is a multiple of 16.
///
/// # Safety
/// The machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn weigh(weights: &[f32], values: &[f32], sums: &mut [f32]) {
    let width = values.len() / BLOCK;
    let count = weights.len() / BLOCK;
    assert!(sums.len() == count * width && values.len() == width * BLOCK && width.is_multiple_of(TILE), "shapes fit");
    match count {
        // SAFETY: shapes fit.
        1 => unsafe { weigh_some::<1>(weights.as_ptr(), values.as_ptr(), width, sums.as_mut_ptr()) },
        // SAFETY: as above.
        2 => unsafe { weigh_some::<2>(weights.as_ptr(), values.as_ptr(), width, sums.as_mut_ptr()) },
        // SAFETY: as above.
        3 => unsafe { weigh_some::<3>(weights.as_ptr(), values.as_ptr(), width, sums.as_mut_ptr()) },
        // SAFETY: as above.
        4 => unsafe { weigh_some::<4>(weights.as_ptr(), values.as_ptr(), width, sums.as_mut_ptr()) },
        _ => unreachable!("one to four queries"),
    }
}

/// # Safety
/// The machine has AVX-512 F; there are `M` rows of weights and of sums.
#[target_feature(enable = "avx512f")]
unsafe fn weigh_some<const M: usize>(weights: *const f32, values: *const f32, width: usize, sums: *mut f32) {
    for at in (0..width).step_by(TILE) {
        let mut totals = [_mm512_setzero_ps(); M];
        for (m, total) in totals.iter_mut().enumerate() {
            // SAFETY: `M` rows of `width` sums.
            *total = unsafe { _mm512_loadu_ps(sums.add(m * width + at)) };
        }
        for token in 0..BLOCK {
            // SAFETY: 32 rows of `width` values, `M` rows of 32 weights.
            unsafe {
                let values = _mm512_loadu_ps(values.add(token * width + at));
                for (m, total) in totals.iter_mut().enumerate() {
                    *total = _mm512_fmadd_ps(_mm512_set1_ps(*weights.add(m * BLOCK + token)), values, *total);
                }
            }
        }
        for (m, total) in totals.iter().enumerate() {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(sums.add(m * width + at), *total) };
        }
    }
}
