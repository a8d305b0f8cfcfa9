//! Rounding inputs to eight bits with AVX-512, to the same integers as everywhere else.

use std::arch::x86_64::{
    _mm_cvtsi128_si32, _mm_extract_epi32, _mm_hadd_epi32, _mm256_castsi128_si256, _mm256_castsi256_si128,
    _mm256_dpbusd_epi32, _mm256_extracti128_si256, _mm256_inserti128_si256, _mm256_set1_epi8, _mm256_setzero_si256,
    _mm256_storeu_si256, _mm512_abs_ps, _mm512_castps_si512, _mm512_cvtepi32_epi8, _mm512_cvtps_epi32, _mm512_loadu_ps,
    _mm512_max_epi32, _mm512_mul_ps, _mm512_reduce_max_epi32, _mm512_set1_ps,
};

use crate::kernel::activations::{GROUP, GROUP_LINES, Scales};
use crate::kernel::matrix::Line;

/// One row of inputs into the place that it has in its group.
///
/// # Safety
/// The machine has AVX-512 F, BW, VL and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in crate::kernel) unsafe fn quantize(input: &[f32], place: usize, q: &mut [Line], scales: &mut [Scales]) {
    let blocks = input.as_chunks::<32>().0;
    for ((input, lines), scales) in blocks.iter().zip(q.as_chunks_mut::<GROUP_LINES>().0).zip(scales) {
        // SAFETY: 32 values.
        let x = unsafe { [_mm512_loadu_ps(input.as_ptr()), _mm512_loadu_ps(input.as_ptr().add(16))] };
        // The bits of what is not negative are in the order of the values, and those of no number are above all.
        let bits = [_mm512_castps_si512(_mm512_abs_ps(x[0])), _mm512_castps_si512(_mm512_abs_ps(x[1]))];
        let most = f32::from_bits(_mm512_reduce_max_epi32(_mm512_max_epi32(bits[0], bits[1])) as u32);
        let (unit, inverse) = match most {
            0.0 => (0.0, 0.0),
            // It must not vanish in an integer.
            _ if !most.is_finite() => (f32::NAN, 0.0),
            _ => (most / 127.0, 127.0 / most),
        };
        let inverse = _mm512_set1_ps(inverse);
        let low = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x[0], inverse)));
        let high = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x[1], inverse)));
        let bytes = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high);
        let fours = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), bytes);
        let pairs = _mm_hadd_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256::<1>(fours));
        let halves = _mm_hadd_epi32(pairs, pairs);
        let sums = [_mm_cvtsi128_si32(halves), _mm_extract_epi32::<1>(halves)];
        let mut words = [0u32; 8];
        // SAFETY: 32 bytes.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), bytes) };
        for (four, word) in words.iter().enumerate() {
            let at = (four * GROUP + place) * 4;
            lines[at / 64].0[at % 64..at % 64 + 4].copy_from_slice(&word.to_ne_bytes());
        }
        scales.scale[place] = unit;
        scales.sum[place] = unit * (sums[0] + sums[1]) as f32;
        scales.half_sum[0][place] = unit * sums[0] as f32;
        scales.half_sum[1][place] = unit * sums[1] as f32;
    }
}
