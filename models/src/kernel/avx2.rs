//! The product with AVX2: `vpmaddubsw` on 8 rows × 4 columns at a time.
//!
//! Nibbles (0 to 15) times signed bytes fit a 16-bit sum over all 32 columns of a block: 16 products of at most 15 · 127 are
//! 30,480. Bytes do not, so each pair of products (at most 2 · 128 · 127 = 32,512) is widened at once; since the
//! instruction wants one operand unsigned, the weight's sign is moved to the input.

use std::arch::x86_64::{
    __m256, __m256i, _mm_loadu_si128, _mm256_abs_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256,
    _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_srli_epi16, _mm256_storeu_ps,
    _mm256_storeu_si256, _mm256_xor_si256,
};

use super::matrix::{Integer, Line, TILE};
use super::multiply::{Expanded, Inputs};

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
                    _mm256_mul_ps(_mm256_cvtph_ps(halves), _mm256_set1_ps(integer.unit))
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

/// As [`super::portable::dot`], for weights of 4 bits.
///
/// # Safety
/// The machine has AVX2 and FMA, and the inputs reach as far as the weights.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn dot_nibbles<const M: usize>(
    weights: &Expanded,
    inputs: &[Inputs<'_>; M],
    sums: [&mut [f32; TILE]; M],
) {
    let ones = _mm256_set1_epi16(1);
    let mut totals = load(&sums);
    for block in 0..weights.blocks {
        let mut products = [[_mm256_setzero_si256(); 2]; M];
        let mut line = 0;
        while line < 8 {
            line = kept(line);
            // SAFETY: a line has 64 bytes, a block eight lines.
            let w = unsafe { both(weights.q.as_ptr().add(8 * block + line)) };
            for m in 0..M {
                // SAFETY: a block has 32 inputs, and they reach as far as the weights.
                let a = unsafe { four(inputs[m].q.as_ptr().add(32 * block + 4 * line)) };
                for half in 0..2 {
                    products[m][half] = _mm256_add_epi16(products[m][half], _mm256_maddubs_epi16(w[half], a));
                }
            }
            line += 1;
        }
        for m in 0..M {
            let wide = products[m].map(|sum| _mm256_madd_epi16(sum, ones));
            // SAFETY: the inputs reach as far as the weights.
            let (scale, sum) = unsafe { (*inputs[m].scale.get_unchecked(block), *inputs[m].sum.get_unchecked(block)) };
            totals[m] = scaled(&weights.scales[2 * block], wide, (scale, sum), totals[m]);
        }
    }
    store(totals, sums);
}

/// As [`super::portable::dot`], for weights of 8 bits, expanded with their signs; `HALVES`: each 16 columns have a scale.
///
/// # Safety
/// The machine has AVX2 and FMA, and the inputs reach as far as the weights.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn dot_bytes<const M: usize, const HALVES: bool>(
    weights: &Expanded,
    inputs: &[Inputs<'_>; M],
    sums: [&mut [f32; TILE]; M],
) {
    let ones = _mm256_set1_epi16(1);
    let mut totals = load(&sums);
    let (parts, lines) = if HALVES { (2, 4) } else { (1, 8) };
    for block in 0..weights.blocks {
        for part in 0..parts {
            let mut products = [[_mm256_setzero_si256(); 2]; M];
            let mut line = part * lines;
            while line < (part + 1) * lines {
                line = kept(line);
                // SAFETY: a line has 64 bytes, a block eight lines.
                let w = unsafe { both(weights.q.as_ptr().add(8 * block + line)) };
                let sizes = w.map(|w| _mm256_abs_epi8(w));
                for m in 0..M {
                    // SAFETY: a block has 32 inputs, and they reach as far as the weights.
                    let a = unsafe { four(inputs[m].q.as_ptr().add(32 * block + 4 * line)) };
                    for half in 0..2 {
                        let pairs = _mm256_maddubs_epi16(sizes[half], _mm256_sign_epi8(a, w[half]));
                        products[m][half] = _mm256_add_epi32(products[m][half], _mm256_madd_epi16(pairs, ones));
                    }
                }
                line += 1;
            }
            for m in 0..M {
                // SAFETY: the inputs reach as far as the weights.
                let (scale, sum) = unsafe {
                    (*inputs[m].scale.get_unchecked(block), *inputs[m].sum.get_unchecked(parts * block + part))
                };
                totals[m] = scaled(&weights.scales[2 * block + part], products[m], (scale, sum), totals[m]);
            }
        }
    }
    store(totals, sums);
}

/// The same number, of which the compiler knows nothing: unrolled, the loop over lines would hold more values than there
/// are registers, and be twice as slow.
#[inline(always)]
fn kept(mut number: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) number, options(pure, nomem, nostack, preserves_flags)) };
    number
}

/// A line's two halves.
///
/// # Safety
/// `line` can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn both(line: *const Line) -> [__m256i; 2] {
    // SAFETY: a line has 64 bytes.
    unsafe { [_mm256_loadu_si256(line.cast()), _mm256_loadu_si256(line.cast::<u8>().add(32).cast())] }
}

/// Four inputs, repeated eight times.
///
/// # Safety
/// Four bytes from `inputs` on can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn four(inputs: *const i8) -> __m256i {
    // SAFETY: the caller's.
    _mm256_set1_epi32(unsafe { inputs.cast::<i32>().read_unaligned() })
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn scaled(
    [scales, offsets]: &[[f32; TILE]; 2],
    products: [__m256i; 2],
    (scale, sum): (f32, f32),
    mut totals: [__m256; 2],
) -> [__m256; 2] {
    let (scale, sum) = (_mm256_set1_ps(scale), _mm256_set1_ps(sum));
    for half in 0..2 {
        // SAFETY: 8 of 16 values, from 0 or 8 on.
        let (d, offset) = unsafe {
            (_mm256_loadu_ps(scales.as_ptr().add(8 * half)), _mm256_loadu_ps(offsets.as_ptr().add(8 * half)))
        };
        let product = _mm256_cvtepi32_ps(products[half]);
        totals[half] = _mm256_fmadd_ps(product, _mm256_mul_ps(d, scale), totals[half]);
        totals[half] = _mm256_fmadd_ps(offset, sum, totals[half]);
    }
    totals
}

#[inline]
#[target_feature(enable = "avx2")]
fn load<const M: usize>(sums: &[&mut [f32; TILE]; M]) -> [[__m256; 2]; M] {
    let mut totals = [[_mm256_setzero_ps(); 2]; M];
    for (totals, sums) in totals.iter_mut().zip(sums) {
        // SAFETY: 8 of 16 values, from 0 and 8 on.
        *totals = unsafe { [_mm256_loadu_ps(sums.as_ptr()), _mm256_loadu_ps(sums.as_ptr().add(8))] };
    }
    totals
}

#[inline]
#[target_feature(enable = "avx2")]
fn store<const M: usize>(totals: [[__m256; 2]; M], sums: [&mut [f32; TILE]; M]) {
    for (totals, sums) in totals.into_iter().zip(sums) {
        // SAFETY: 8 of 16 values, from 0 and 8 on.
        unsafe {
            _mm256_storeu_ps(sums.as_mut_ptr(), totals[0]);
            _mm256_storeu_ps(sums.as_mut_ptr().add(8), totals[1]);
        }
    }
}
