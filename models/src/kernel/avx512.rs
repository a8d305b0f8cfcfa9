//! The product with AVX-512 VNNI: `vpdpbusd` on 16 rows × 4 columns at a time, exact in 32 bits.

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _mm512_and_si512, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_dpbusd_epi32,
    _mm512_fmadd_ps, _mm512_load_ps, _mm512_load_si512, _mm512_mask_storeu_ps, _mm512_mul_ps, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512, _mm512_srli_epi16, _mm512_store_ps,
};

use super::activations::{GROUP, GROUP_LINES};
use super::avx2::ahead;
use super::matrix::{Integer, Line, TILE};
use super::multiply::{Inputs, Piece, Sums};

mod attention;
mod gate;
mod quantize;

pub(super) use attention::{TOGETHER, score, soften, weigh};
pub(super) use gate::gate;
pub(super) use quantize::quantize;

/// Calls a function with the number of rows, and of the groups that they are of, as its first type parameters.
macro_rules! by_rows {
    ($count:expr, $call:ident[$($more:ident)?]($($argument:expr),*)) => {
        match $count {
            1 => $call::<1, 1, $($more)?>($($argument),*),
            2 => $call::<2, 1, $($more)?>($($argument),*),
            3 => $call::<3, 1, $($more)?>($($argument),*),
            4 => $call::<4, 1, $($more)?>($($argument),*),
            8 => $call::<8, 2, $($more)?>($($argument),*),
            16 => $call::<16, 4, $($more)?>($($argument),*),
            _ => unreachable!("some rows of one group, or whole groups"),
        }
    };
}

/// As [`super::portable::dot`], of up to four rows of one group, or all rows of two or four groups.
///
/// # Safety
/// The machine has AVX-512 F, BW and VNNI; the piece has all its lines and scales, and the inputs reach as far.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn dot<const PACKED: bool>(
    integer: &Integer,
    piece: Piece<'_>,
    inputs: Inputs<'_>,
    sums: &mut [Sums],
) {
    // SAFETY: the caller's.
    unsafe { by_rows!(sums.len(), rows[PACKED](integer, piece, inputs, sums)) }
}

/// Where a tile's results for some rows of inputs go.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub place: *mut f32,
    /// From one row to the next.
    pub width: usize,
    /// Of each row, at most a tile's.
    pub count: usize,
    /// What results are multiplied with.
    pub unit: f32,
}

/// All of a packed tile with `count` rows, as [`dot`] takes them, to where their results belong.
///
/// # Safety
/// As [`dot`], with all blocks of the tile; the rows of `out` are this thread's alone.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn whole(integer: &Integer, piece: Piece<'_>, inputs: Inputs<'_>, out: Out, count: usize) {
    // SAFETY: the caller's.
    unsafe { by_rows!(count, whole_rows[](integer, piece, inputs, out)) }
}

/// # Safety
/// As [`whole`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn whole_rows<const M: usize, const G: usize>(
    integer: &Integer,
    piece: Piece<'_>,
    inputs: Inputs<'_>,
    out: Out,
) {
    let mut sums = [Sums::default(); M];
    // SAFETY: the caller's.
    unsafe { rows::<M, G, true>(integer, piece, inputs, &mut sums) };
    let (mask, unit) = ((1u32 << out.count) - 1, _mm512_set1_ps(out.unit));
    for (m, Sums(sums)) in sums.iter().enumerate() {
        // SAFETY: 16 aligned sums; `count` places in each row.
        unsafe {
            let scaled = _mm512_mul_ps(_mm512_load_ps(sums.as_ptr()), unit);
            _mm512_mask_storeu_ps(out.place.add(m * out.width), mask as u16, scaled);
        }
    }
}

/// # Safety
/// As [`dot`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn rows<const M: usize, const G: usize, const PACKED: bool>(
    integer: &Integer,
    piece: Piece<'_>,
    inputs: Inputs<'_>,
    sums: &mut [Sums],
) {
    let Ok(sums) = <&mut [Sums; M]>::try_from(sums) else { unreachable!("a place for each row") };
    // SAFETY: the caller's, in each case.
    unsafe {
        match (integer.nibbles && PACKED, integer.halves) {
            (true, _) => blocks::<M, G, false, PACKED, true>(piece, inputs, sums),
            (false, false) => blocks::<M, G, false, PACKED, false>(piece, inputs, sums),
            (false, true) => blocks::<M, G, true, PACKED, false>(piece, inputs, sums),
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
    inputs: Inputs<'_>,
    sums: &mut [Sums; M],
) {
    let (parts, count) = if HALVES { (2, 4) } else { (1, 8) };
    let body = if NIBBLES { 4 } else { 8 };
    let mask = _mm512_set1_epi8(15);
    for block in 0..piece.blocks {
        // SAFETY: a block has so many lines, packed or expanded.
        let lines = unsafe { piece.lines.as_ptr().add(block * if PACKED { body + parts } else { 8 }) };
        let mut q = [std::ptr::null::<i32>(); G];
        for (group, q) in q.iter_mut().enumerate() {
            // SAFETY: two lines of inputs for each block of each group.
            *q = unsafe { inputs.q.as_ptr().add((group * inputs.apart + block) * GROUP_LINES).cast() };
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
                ahead(lines.wrapping_add(body + part));
                // SAFETY: a line for each part after the weights.
                unsafe { halves(lines.add(body + part)) }
            } else {
                // SAFETY: an expanded block has two pairs of scales.
                unsafe { floats(piece.scales.as_ptr().add(2 * block + part)) }
            };
            let mut scaled = |m: usize| {
                // SAFETY: scales for each block.
                let scales = unsafe { &*inputs.scales.as_ptr().add(m / GROUP * inputs.apart + block) };
                let sum = if HALVES { &scales.half_sum[part] } else { &scales.sum };
                let place = sums[m].0.as_mut_ptr();
                let product = _mm512_cvtepi32_ps(products[m]);
                let d = _mm512_mul_ps(d, _mm512_set1_ps(scales.scale[m % GROUP]));
                // SAFETY: 16 aligned values.
                unsafe {
                    let total = _mm512_fmadd_ps(product, d, _mm512_load_ps(place));
                    _mm512_store_ps(place, _mm512_fmadd_ps(offset, _mm512_set1_ps(sum[m % GROUP]), total));
                }
            };
            // A loop over all sixteen would not be unrolled, and would hand the products over in memory.
            macro_rules! groups {
                ($($group:literal)*) => {
                    $(
                        if $group < G {
                            for m in GROUP * $group..M.min(GROUP * $group + GROUP) {
                                scaled(m);
                            }
                        }
                    )*
                };
            }
            groups!(0 1 2 3);
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
