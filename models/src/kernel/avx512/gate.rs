//! Gates with AVX-512, between the products before and behind them.

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_div_ps, _mm512_load_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_storeu_ps,
    _mm512_sub_ps,
};

use super::attention::exp;
use super::quantize;
use crate::kernel::activations::{GROUP, Scales};
use crate::kernel::matrix::{Line, TILE};
use crate::kernel::multiply::Sums;
use crate::kernel::ops::Gate;

/// What two tiles each of gate and up, times their units, give for up to four rows of a group becomes these rows' 32 inputs of
/// the product behind.
///
/// # Safety
/// The machine has AVX-512 F, BW, VL and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in crate::kernel) unsafe fn gate(
    kind: Gate,
    (gates, ups): ([&[Sums]; 2], [&[Sums]; 2]),
    units: [f32; 2],
    q: &mut [Line],
    scales: &mut [Scales],
) {
    let (gate_unit, up_unit) = (_mm512_set1_ps(units[0]), _mm512_set1_ps(units[1]));
    let mut rows = [[0f32; 2 * TILE]; GROUP];
    let count = gates[0].len();
    for (place, row) in rows[..count].iter_mut().enumerate() {
        for (half, out) in row.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
            // SAFETY: 16 aligned sums each.
            let (x, up) = unsafe {
                (
                    _mm512_mul_ps(_mm512_load_ps(gates[half][place].0.as_ptr()), gate_unit),
                    _mm512_mul_ps(_mm512_load_ps(ups[half][place].0.as_ptr()), up_unit),
                )
            };
            let gated = match kind {
                Gate::Silu => silu(x),
                Gate::Gelu => gelu(x),
            };
            // SAFETY: 16 places.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), _mm512_mul_ps(gated, up)) };
        }
    }
    // SAFETY: the caller's.
    unsafe { quantize(rows[..count].as_flattened(), 2 * TILE, q, scales) };
}

#[inline]
#[target_feature(enable = "avx512f")]
fn silu(x: __m512) -> __m512 {
    let negative = _mm512_sub_ps(_mm512_set1_ps(0.0), x);
    _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0), exp(negative, u16::MAX)))
}

/// As [`crate::kernel::ops`] has it.
#[inline]
#[target_feature(enable = "avx512f")]
fn gelu(x: __m512) -> __m512 {
    let all = |x: f32| _mm512_set1_ps(x);
    let cube = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(all(0.044_715), x), x), x);
    let z = _mm512_mul_ps(all(0.797_884_6), _mm512_add_ps(x, cube));
    let power = exp(_mm512_mul_ps(all(2.0), z), u16::MAX);
    _mm512_sub_ps(x, _mm512_div_ps(x, _mm512_add_ps(all(1.0), power)))
}
