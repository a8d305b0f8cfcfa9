//! The product with AVX-512 VNNI: `vpdpbusd` on 16 rows × 4 columns at a time, exact in 32 bits.

use std::arch::x86_64::{
    __m512, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_load_si512, _mm512_loadu_ps,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_storeu_ps,
};

use super::matrix::TILE;
use super::multiply::{Expanded, Inputs};

/// As [`super::portable::dot`]; `HALVES`: each 16 columns have a scale.
///
/// # Safety
/// The machine has AVX-512 F and VNNI, and the inputs reach as far as the weights.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn dot<const M: usize, const HALVES: bool>(
    weights: &Expanded,
    inputs: &[Inputs<'_>; M],
    sums: [&mut [f32; TILE]; M],
) {
    let (parts, lines) = if HALVES { (2, 4) } else { (1, 8) };
    let mut totals: [__m512; M] = [_mm512_setzero_ps(); M];
    for (total, sums) in totals.iter_mut().zip(&sums) {
        // SAFETY: 16 values.
        *total = unsafe { _mm512_loadu_ps(sums.as_ptr()) };
    }
    for block in 0..weights.blocks {
        for part in 0..parts {
            let mut products = [_mm512_setzero_si512(); M];
            for line in part * lines..(part + 1) * lines {
                // SAFETY: a line has 64 aligned bytes, a block eight lines.
                let w = unsafe { _mm512_load_si512(weights.q.as_ptr().add(8 * block + line).cast()) };
                for m in 0..M {
                    // SAFETY: a block has 32 inputs, and they reach as far as the weights.
                    let a = unsafe { inputs[m].q.as_ptr().add(32 * block + 4 * line).cast::<i32>().read_unaligned() };
                    products[m] = _mm512_dpbusd_epi32(products[m], w, _mm512_set1_epi32(a));
                }
            }
            let [scales, offsets] = &weights.scales[2 * block + part];
            // SAFETY: 16 values each.
            let (d, offset) = unsafe { (_mm512_loadu_ps(scales.as_ptr()), _mm512_loadu_ps(offsets.as_ptr())) };
            for m in 0..M {
                // SAFETY: the inputs reach as far as the weights.
                let (scale, sum) = unsafe {
                    (*inputs[m].scale.get_unchecked(block), *inputs[m].sum.get_unchecked(parts * block + part))
                };
                let product = _mm512_cvtepi32_ps(products[m]);
                totals[m] = _mm512_fmadd_ps(product, _mm512_mul_ps(d, _mm512_set1_ps(scale)), totals[m]);
                totals[m] = _mm512_fmadd_ps(offset, _mm512_set1_ps(sum), totals[m]);
            }
        }
    }
    for (total, sums) in totals.into_iter().zip(sums) {
        // SAFETY: 16 values.
        unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), total) };
    }
}
