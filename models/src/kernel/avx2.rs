//! The product with AVX2: `vpmaddubsw` on 8 rows × 4 columns at a time.
//!
//! Nibbles (0 to 15) times signed bytes fit a 16-bit sum over all 32 columns of a block: 16 products of at most 15 · 127 are
//! 30,480. Bytes do not, so each pair of products (at most 2 · 128 · 127 = 32,512) is widened at once; since the
//! instruction wants one operand unsigned, the weight's sign is moved to the input.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_abs_epi8, _mm256_add_epi16,
    _mm256_add_epi32, _mm256_and_si256, _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_load_ps,
    _mm256_load_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_srli_epi16,
    _mm256_store_ps, _mm256_storeu_ps, _mm256_storeu_si256, _mm256_xor_si256,
};

use super::activations::{GROUP_LINES, Scales};
use super::matrix::{Integer, Line, TILE};
use super::multiply::{Expanded, Inputs, Piece, Sums};

mod attention;

pub(super) use attention::{score, weigh};

/// How bytes are expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signs {
    /// Less 128, with offsets to match.
    Signed,
    Unsigned,
}

/// As [`super::portable::expand`].
///
/// # Safety
/// The machine has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn expand(integer: &Integer, lines: &[Line], into: &mut Expanded, signs: Signs) {
    let body = if integer.nibbles { 4 } else { 8 };
    let signed = !integer.nibbles && signs == Signs::Signed;
    for (block, lines) in lines.chunks_exact(integer.stride()).enumerate() {
        let q = &mut into.q[8 * block..8 * block + 8];
        for (line, packed) in lines[..body].iter().enumerate() {
            ahead(packed);
            for part in 0..2 {
                // SAFETY: both halves of a line, which has 64 bytes.
                let bytes = unsafe { _mm256_loadu_si256(packed.0.as_ptr().add(32 * part).cast()) };
                let mut put = |line: usize, bytes: __m256i| {
                    // SAFETY: as above.
                    unsafe { _mm256_storeu_si256(q[line].0.as_mut_ptr().add(32 * part).cast(), bytes) };
                };
                if integer.nibbles {
                    put(line, _mm256_and_si256(bytes, _mm256_set1_epi8(15)));
                    put(line + 4, _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(15)));
                } else if signed {
                    put(line, _mm256_xor_si256(bytes, _mm256_set1_epi8(-128)));
                } else {
                    put(line, bytes);
                }
            }
        }
        for half in 0..1 + usize::from(integer.halves) {
            let halves = &lines[body + half].0;
            let [scale, offset] = &mut into.scales[2 * block + half];
            for part in 0..2 {
                let read = |at: usize| {
                    // SAFETY: 16 bytes at 0, 16, 32 or 48 of a line of 64.
                    let halves = unsafe { _mm_loadu_si128(halves.as_ptr().add(at).cast()) };
                    _mm256_cvtph_ps(halves)
                };
                let (d, mut m) = (read(16 * part), read(32 + 16 * part));
                if signed {
                    m = _mm256_fmadd_ps(d, _mm256_set1_ps(128.0), m);
                }
                // SAFETY: 8 of 16 values, from 0 or 8 on.
                unsafe {
                    _mm256_storeu_ps(scale.as_mut_ptr().add(8 * part), d);
                    _mm256_storeu_ps(offset.as_mut_ptr().add(8 * part), m);
                }
            }
        }
    }
}

/// As [`super::portable::dot`], of up to four rows of one group.
///
/// # Safety
/// The machine has AVX2, FMA and F16C; the piece has all its lines and scales, and the inputs reach as far.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dot<const PACKED: bool>(
    integer: &Integer,
    piece: Piece<'_>,
    group: Inputs<'_>,
    sums: &mut [Sums],
) {
    // SAFETY: the caller's, in each case.
    unsafe {
        match sums {
            [a] => rows::<1, PACKED>(integer, piece, group, [a]),
            [a, b] => rows::<2, PACKED>(integer, piece, group, [a, b]),
            [a, b, c] => rows::<3, PACKED>(integer, piece, group, [a, b, c]),
            [a, b, c, d] => rows::<4, PACKED>(integer, piece, group, [a, b, c, d]),
            _ => unreachable!("a group has one to four rows"),
        }
    }
}

/// # Safety
/// As [`dot`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rows<const M: usize, const PACKED: bool>(
    integer: &Integer,
    piece: Piece<'_>,
    group: Inputs<'_>,
    sums: [&mut Sums; M],
) {
    // SAFETY: the caller's, in each case.
    unsafe {
        match (integer.nibbles, integer.halves) {
            (true, _) => nibbles::<M, PACKED>(piece, group, sums),
            (false, false) => bytes::<M, false, PACKED>(piece, group, sums),
            (false, true) => bytes::<M, true, PACKED>(piece, group, sums),
        }
    }
}

/// # Safety
/// As [`dot`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn nibbles<const M: usize, const PACKED: bool>(piece: Piece<'_>, group: Inputs<'_>, sums: [&mut Sums; M]) {
    let (ones, mask) = (_mm256_set1_epi16(1), _mm256_set1_epi8(15));
    for block in 0..piece.blocks {
        let mut products = [[_mm256_setzero_si256(); 2]; M];
        // SAFETY: a block has so many lines, packed or expanded, and two of inputs.
        let (lines, q) = unsafe {
            let lines = piece.lines.as_ptr().add(block * if PACKED { 5 } else { 8 });
            (lines, group.q.as_ptr().add(block * GROUP_LINES).cast::<i32>())
        };
        let mut line = 0;
        while line < if PACKED { 4 } else { 8 } {
            line = kept(line);
            // SAFETY: the block's lines.
            let w = unsafe { both(lines.add(line)) };
            if PACKED {
                ahead(lines.wrapping_add(line));
            }
            let mut add = |line: usize, w: [__m256i; 2]| {
                for (m, products) in products.iter_mut().enumerate() {
                    // SAFETY: four inputs for each line and row of the group.
                    let a = _mm256_set1_epi32(unsafe { *q.add(4 * line + m) });
                    for half in 0..2 {
                        products[half] = _mm256_add_epi16(products[half], _mm256_maddubs_epi16(w[half], a));
                    }
                }
            };
            if PACKED {
                add(line, [_mm256_and_si256(w[0], mask), _mm256_and_si256(w[1], mask)]);
                let high = [_mm256_srli_epi16::<4>(w[0]), _mm256_srli_epi16::<4>(w[1])];
                add(line + 4, [_mm256_and_si256(high[0], mask), _mm256_and_si256(high[1], mask)]);
            } else {
                add(line, w);
            }
            line += 1;
        }
        let scales = if PACKED {
            // SAFETY: the line after the weights.
            unsafe { halves(lines.add(4)) }
        } else {
            // SAFETY: an expanded block has two pairs of scales.
            unsafe { floats(piece.scales.as_ptr().add(2 * block)) }
        };
        // SAFETY: scales for each block.
        let inputs = unsafe { &*group.scales.as_ptr().add(block) };
        for m in 0..M {
            let wide = [_mm256_madd_epi16(products[m][0], ones), _mm256_madd_epi16(products[m][1], ones)];
            gather(sums[m], scales, wide, (inputs.scale[m], inputs.sum[m]));
        }
    }
}

/// Weights of 8 bits, expanded with their signs; `HALVES`: each 16 columns have a scale.
///
/// # Safety
/// As [`dot`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn bytes<const M: usize, const HALVES: bool, const PACKED: bool>(
    piece: Piece<'_>,
    group: Inputs<'_>,
    sums: [&mut Sums; M],
) {
    let (ones, flip) = (_mm256_set1_epi16(1), _mm256_set1_epi8(-128));
    let (parts, count) = if HALVES { (2, 4) } else { (1, 8) };
    for block in 0..piece.blocks {
        // SAFETY: a block has so many lines, packed or expanded, and two of inputs.
        let (lines, q) = unsafe {
            let lines = piece.lines.as_ptr().add(block * if PACKED { 8 + parts } else { 8 });
            (lines, group.q.as_ptr().add(block * GROUP_LINES).cast::<i32>())
        };
        for part in 0..parts {
            let mut products = [[_mm256_setzero_si256(); 2]; M];
            let mut line = part * count;
            while line < (part + 1) * count {
                line = kept(line);
                // SAFETY: the block's lines.
                let mut w = unsafe { both(lines.add(line)) };
                if PACKED {
                    ahead(lines.wrapping_add(line));
                    w = [_mm256_xor_si256(w[0], flip), _mm256_xor_si256(w[1], flip)];
                }
                let sizes = [_mm256_abs_epi8(w[0]), _mm256_abs_epi8(w[1])];
                for (m, products) in products.iter_mut().enumerate() {
                    // SAFETY: four inputs for each line and row of the group.
                    let a = _mm256_set1_epi32(unsafe { *q.add(4 * line + m) });
                    for half in 0..2 {
                        let pairs = _mm256_maddubs_epi16(sizes[half], _mm256_sign_epi8(a, w[half]));
                        products[half] = _mm256_add_epi32(products[half], _mm256_madd_epi16(pairs, ones));
                    }
                }
                line += 1;
            }
            let scales = if PACKED {
                // SAFETY: a line for each part after the weights.
                let [d, offset] = unsafe { halves(lines.add(8 + part)) };
                let shift = _mm256_set1_ps(128.0);
                [d, [_mm256_fmadd_ps(d[0], shift, offset[0]), _mm256_fmadd_ps(d[1], shift, offset[1])]]
            } else {
                // SAFETY: an expanded block has two pairs of scales.
                unsafe { floats(piece.scales.as_ptr().add(2 * block + part)) }
            };
            // SAFETY: scales for each block.
            let inputs: &Scales = unsafe { &*group.scales.as_ptr().add(block) };
            let sum = if HALVES { &inputs.half_sum[part] } else { &inputs.sum };
            for m in 0..M {
                gather(sums[m], scales, products[m], (inputs.scale[m], sum[m]));
            }
        }
    }
}

/// The same number, of which the compiler knows nothing: unrolled, the loop over lines would hold more values than there
/// are registers, and be twice as slow.
#[inline(always)]
fn kept(mut number: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) number, options(pure, nomem, nostack, preserves_flags)) };
    number
}

/// Asks for the line that is read four kilobytes later: a stream that is read once waits for memory otherwise.
#[inline(always)]
pub(super) fn ahead(line: *const Line) {
    hint(line.wrapping_add(64));
}

/// Asks for the line at an address.
#[inline(always)]
pub(super) fn hint<T>(at: *const T) {
    // SAFETY: a hint, which may be any address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

/// A line's two halves.
///
/// # Safety
/// `line` can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn both(line: *const Line) -> [__m256i; 2] {
    // SAFETY: a line has 64 bytes, and is aligned to as many.
    unsafe { [_mm256_load_si256(line.cast()), _mm256_load_si256(line.cast::<u8>().add(32).cast())] }
}

/// A line of 16 scales and 16 offsets in half precision.
///
/// # Safety
/// `line` can be read.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn halves(line: *const Line) -> [[__m256; 2]; 2] {
    let line = line.cast::<__m128i>();
    // SAFETY: four times 16 bytes of an aligned line.
    let [a, b, c, d] = unsafe { [*line, *line.add(1), *line.add(2), *line.add(3)] };
    [[_mm256_cvtph_ps(a), _mm256_cvtph_ps(b)], [_mm256_cvtph_ps(c), _mm256_cvtph_ps(d)]]
}

/// 16 scales and 16 offsets.
///
/// # Safety
/// `scales` can be read, and lies in an [`Expanded`], which is aligned.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn floats(scales: *const [[f32; TILE]; 2]) -> [[__m256; 2]; 2] {
    let scales = scales.cast::<__m256>();
    // SAFETY: four times eight values.
    unsafe { [[*scales, *scales.add(1)], [*scales.add(2), *scales.add(3)]] }
}

/// Adds the products of a block, scaled, to what a row has.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn gather(Sums(sums): &mut Sums, [d, offset]: [[__m256; 2]; 2], products: [__m256i; 2], (scale, sum): (f32, f32)) {
    let (scale, sum) = (_mm256_set1_ps(scale), _mm256_set1_ps(sum));
    for half in 0..2 {
        let product = _mm256_cvtepi32_ps(products[half]);
        // SAFETY: 8 of 16 aligned values, from 0 or 8 on.
        unsafe {
            let place = sums.as_mut_ptr().add(8 * half);
            let total = _mm256_fmadd_ps(product, _mm256_mul_ps(d[half], scale), _mm256_load_ps(place));
            _mm256_store_ps(place, _mm256_fmadd_ps(offset[half], sum, total));
        }
    }
}

/// Halves to floats, as many as both have.
///
/// # Safety
/// The machine has AVX2 and F16C.
#[target_feature(enable = "avx2,f16c")]
pub(super) unsafe fn widen(bits: &[u16], wide: &mut [f32]) {
    let ((bits, rest), (wide, places)) = (bits.as_chunks::<8>(), wide.as_chunks_mut::<8>());
    for (bits, wide) in bits.iter().zip(wide) {
        // SAFETY: eight of each.
        unsafe { _mm256_storeu_ps(wide.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(bits.as_ptr().cast()))) };
    }
    for (bits, place) in rest.iter().zip(places) {
        *place = half::f16::from_bits(*bits).to_f32();
    }
}
