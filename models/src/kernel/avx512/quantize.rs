//! Rounding inputs to eight bits with AVX-512, to the same integers as everywhere else: the rows of a group at once, since they
//! lie side by side.

use std::arch::x86_64::{
    __m128, __m128i, __m512, __m512i, _CMP_EQ_OQ, _CMP_LT_OQ, _mm_add_epi32, _mm_castps_si128, _mm_castsi128_ps,
    _mm_cmp_ps_mask, _mm_cvtepi32_ps, _mm_div_ps, _mm_mask_mov_ps, _mm_maskz_mov_ps, _mm_max_epi32, _mm_mul_ps,
    _mm_set1_ps, _mm_setzero_ps, _mm_setzero_si128, _mm_shuffle_ps, _mm_storeu_ps, _mm_unpackhi_epi32,
    _mm_unpackhi_epi64, _mm_unpacklo_epi32, _mm_unpacklo_epi64, _mm256_add_epi32, _mm256_castsi256_si128,
    _mm256_extracti128_si256, _mm256_max_epi32, _mm512_abs_ps, _mm512_castps_si512, _mm512_castps128_ps512,
    _mm512_castsi512_si256, _mm512_cvtps_epi32, _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_max_epi32, _mm512_mul_ps, _mm512_packs_epi16, _mm512_packs_epi32,
    _mm512_permutex2var_epi32, _mm512_permutexvar_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_store_si512,
};

use crate::kernel::activations::{GROUP, GROUP_LINES, Scales};
use crate::kernel::matrix::Line;

/// Where the eight fours of columns of four rows are, once two rows each are packed: lane `l` of 16 bytes has columns `4·l` and
/// `16 + 4·l` on, of the one row, then of the other.
const ORDER: [[i32; 16]; 2] = {
    let mut order = [[0; 16]; 2];
    let mut at = 0;
    while at < 32 {
        let (line, lane, row) = (at / 16, at % 16 / 4, at % 4);
        order[line][at % 16] = (16 * (row / 2) + 4 * lane + 2 * (row % 2) + line) as i32;
        at += 1;
    }
    order
};

/// Up to four rows of `columns` inputs into a group's lines and scales.
///
/// # Safety
/// The machine has AVX-512 F, BW, VL and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in crate::kernel) unsafe fn quantize(input: &[f32], columns: usize, q: &mut [Line], scales: &mut [Scales]) {
    let rows = input.len() / columns;
    assert!(rows <= GROUP && columns.is_multiple_of(32), "a group's rows, of whole blocks");
    // SAFETY: 16 indices each.
    let order = unsafe { [_mm512_loadu_si512(ORDER[0].as_ptr().cast()), _mm512_loadu_si512(ORDER[1].as_ptr().cast())] };
    for ((block, lines), scales) in
        q.as_chunks_mut::<GROUP_LINES>().0[..columns / 32].iter_mut().enumerate().zip(scales)
    {
        // Loops, since what `map` is given is not compiled for these instructions.
        let mut x = [[_mm512_setzero_ps(); 2]; GROUP];
        for (row, x) in x[..rows].iter_mut().enumerate() {
            for (half, x) in x.iter_mut().enumerate() {
                // SAFETY: 32 values of each row's block.
                *x = unsafe { _mm512_loadu_ps(input.as_ptr().add(row * columns + 32 * block + 16 * half)) };
            }
        }
        let (unit, inverse) = units(&x);
        let mut pairs = [_mm512_setzero_si512(); GROUP];
        for (row, (pair, [low, high])) in pairs.iter_mut().zip(x).enumerate() {
            let inverse = _mm512_permutexvar_ps(_mm512_set1_epi32(row as i32), _mm512_castps128_ps512(inverse));
            *pair = _mm512_packs_epi32(
                _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse)),
                _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse)),
            );
        }
        let bytes = [_mm512_packs_epi16(pairs[0], pairs[1]), _mm512_packs_epi16(pairs[2], pairs[3])];
        for (line, order) in lines.iter_mut().zip(order) {
            // SAFETY: an aligned line.
            unsafe {
                _mm512_store_si512(line.0.as_mut_ptr().cast(), _mm512_permutex2var_epi32(bytes[0], order, bytes[1]));
            }
        }
        let (one, other) = (_mm_castsi128_ps(halves(bytes[0])), _mm_castsi128_ps(halves(bytes[1])));
        let first = _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(one, other));
        let last = _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(one, other));
        let all = _mm_mul_ps(unit, _mm_cvtepi32_ps(_mm_add_epi32(first, last)));
        // SAFETY: four values each.
        unsafe {
            _mm_storeu_ps(scales.scale.as_mut_ptr(), unit);
            _mm_storeu_ps(scales.sum.as_mut_ptr(), all);
            _mm_storeu_ps(scales.half_sum[0].as_mut_ptr(), _mm_mul_ps(unit, _mm_cvtepi32_ps(first)));
            _mm_storeu_ps(scales.half_sum[1].as_mut_ptr(), _mm_mul_ps(unit, _mm_cvtepi32_ps(last)));
        }
    }
}

/// What each row's integers are multiples of, and the inverse of it.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn units(x: &[[__m512; 2]; GROUP]) -> (__m128, __m128) {
    let mut most = [_mm_setzero_si128(); GROUP];
    for (most, [low, high]) in most.iter_mut().zip(x) {
        // The bits of what is not negative are in the order of the values, and those of no number are above all.
        let (low, high) = (_mm512_castps_si512(_mm512_abs_ps(*low)), _mm512_castps_si512(_mm512_abs_ps(*high)));
        let all = _mm512_max_epi32(low, high);
        let half = _mm256_max_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all));
        *most = _mm_max_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    }
    let [a, b, c, d] = most;
    let ab = _mm_max_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    let cd = _mm_max_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
    let most = _mm_castsi128_ps(_mm_max_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd)));
    let (zero, full) = (_mm_setzero_ps(), _mm_set1_ps(127.0));
    let finite = _mm_cmp_ps_mask::<_CMP_LT_OQ>(most, _mm_set1_ps(f32::INFINITY));
    let nothing = _mm_cmp_ps_mask::<_CMP_EQ_OQ>(most, zero);
    let unit = _mm_maskz_mov_ps(!nothing, _mm_div_ps(most, full));
    // It must not vanish in an integer.
    let unit = _mm_mask_mov_ps(_mm_set1_ps(f32::NAN), finite, unit);
    (unit, _mm_maskz_mov_ps(finite & !nothing, _mm_div_ps(full, most)))
}

/// Of two packed rows: the sums of the first and the last 16 integers of the one, then of the other.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn halves(bytes: __m512i) -> __m128i {
    let fours = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), bytes);
    let sums = _mm256_add_epi32(_mm512_castsi512_si256(fours), _mm512_extracti64x4_epi64::<1>(fours));
    _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums))
}
