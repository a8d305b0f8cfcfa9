//! Attention with AVX-512 VNNI: `vpdpwssd`, up to eight queries against a block, so that each vector of keys or values that is read
//! meets all of them.

use std::arch::x86_64::{
    __m512, __m512i, _mm256_storeu_si256, _mm512_add_epi32, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_cvtepi32_epi16, _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_dpwssd_epi32, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_mov_ps, _mm512_maskz_mul_ps, _mm512_max_epi32, _mm512_max_ps,
    _mm512_min_ps, _mm512_mul_ps, _mm512_reduce_max_epi32, _mm512_reduce_max_ps, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_si512, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
};

use crate::kernel::attention::{BLOCK, Meeting, Most, of_largest};
use crate::kernel::avx2::hint;
use crate::kernel::matrix::TILE;
use crate::kernel::ops::{E_TO, ROUND};

/// Queries that go through a block together: two vectors of sums of each fill half of the registers.
pub(in crate::kernel) const TOGETHER: usize = 8;

/// Calls a function with the number of queries as its type parameter.
macro_rules! by_count {
    ($count:expr, $call:ident($($argument:expr),*)) => {
        match $count {
            1 => $call::<1>($($argument),*),
            2 => $call::<2>($($argument),*),
            3 => $call::<3>($($argument),*),
            4 => $call::<4>($($argument),*),
            5 => $call::<5>($($argument),*),
            6 => $call::<6>($($argument),*),
            7 => $call::<7>($($argument),*),
            8 => $call::<8>($($argument),*),
            _ => unreachable!("one to eight queries"),
        }
    };
}

/// Sixteen pairs of integers from `at` on.
///
/// # Safety
/// All can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn pairs(at: *const i16) -> __m512i {
    // SAFETY: the caller's.
    unsafe { _mm512_loadu_si512(at.cast()) }
}

/// Sixteen times the pair at `at`.
///
/// # Safety
/// It can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn one_pair(at: *const i16) -> __m512i {
    // SAFETY: the caller's.
    _mm512_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() })
}

/// `scores = queries · keys`, up to eight queries against a block, whose next is asked for.
///
/// # Safety
/// The machine has AVX-512 F and VNNI; there are `scores.len() / 32` queries as wide as the keys, and both blocks are of one size.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(in crate::kernel) unsafe fn score(queries: &[i16], (keys, next): (&[i16], &[i16]), scores: &mut [i32]) {
    let (width, keys) = (keys.len() / BLOCK, [keys, next].map(<[i16]>::as_ptr));
    // SAFETY: the caller's.
    unsafe { by_count!(scores.len() / BLOCK, score_some(queries.as_ptr(), keys, width, scores.as_mut_ptr())) }
}

/// # Safety
/// As [`score`]; there are `M` queries and as many rows of scores.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn score_some<const M: usize>(
    queries: *const i16,
    [keys, next]: [*const i16; 2],
    width: usize,
    scores: *mut i32,
) {
    let mut sums = [[_mm512_setzero_si512(); 2]; M];
    for i in (0..width).step_by(2) {
        hint(next.wrapping_add(BLOCK * i));
        hint(next.wrapping_add(BLOCK * i + BLOCK));
        // SAFETY: `width / 2` rows of 32 pairs of keys, `M` rows of as many pairs of queries.
        unsafe {
            let keys = [pairs(keys.add(BLOCK * i)), pairs(keys.add(BLOCK * i + BLOCK))];
            for (m, sums) in sums.iter_mut().enumerate() {
                let query = one_pair(queries.add(m * width + i));
                sums[0] = _mm512_dpwssd_epi32(sums[0], keys[0], query);
                sums[1] = _mm512_dpwssd_epi32(sums[1], keys[1], query);
            }
        }
    }
    for (m, sums) in sums.iter().enumerate() {
        // SAFETY: `M` rows of 32 scores.
        unsafe {
            _mm512_storeu_si512(scores.add(BLOCK * m).cast(), sums[0]);
            _mm512_storeu_si512(scores.add(BLOCK * m + TILE).cast(), sums[1]);
        }
    }
}

/// Makes weights of the scores of some queries against a block, and brings their sums to the new maxima. `units`: of keys, of values;
/// `next`: those of the next block, which are asked for.
///
/// # Safety
/// The machine has AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(in crate::kernel) unsafe fn soften(meeting: &mut Meeting<'_>, units: [&[f32; BLOCK]; 2], next: &[f32]) {
    next.chunks(TILE).for_each(|line| hint(line.as_ptr()));
    let width = meeting.sums.len() / meeting.sees.len();
    let [keys, values] = units.map(|units| units.as_ptr());
    // SAFETY: 32 units of keys, and of values.
    let (key_units, value_units) = unsafe {
        (
            [_mm512_loadu_ps(keys), _mm512_loadu_ps(keys.add(TILE))],
            [_mm512_loadu_ps(values), _mm512_loadu_ps(values.add(TILE))],
        )
    };
    let rows = meeting.scores.as_chunks::<BLOCK>().0.iter().zip(meeting.weights.as_chunks_mut::<BLOCK>().0);
    let state = meeting.highest.iter_mut().zip(meeting.weight.iter_mut()).zip(meeting.sums.chunks_exact_mut(width));
    let units = meeting.units.iter().zip(meeting.weight_units.iter_mut());
    for ((((scores, weights), sees), ((highest, weight), sums)), (unit, weight_unit)) in
        rows.zip(meeting.sees).zip(state).zip(units)
    {
        let below = |position: usize| {
            u32::MAX.checked_shl(position.saturating_sub(meeting.first).min(BLOCK) as u32).unwrap_or(0)
        };
        let seen = below(sees.start) & !below(sees.end);
        if seen == 0 {
            weights.fill(0);
            *weight_unit = 0.0;
            continue;
        }
        let seen = [seen as u16, (seen >> TILE) as u16];
        let (unit, hidden) = (_mm512_set1_ps(*unit), _mm512_set1_ps(f32::NEG_INFINITY));
        let mut read = [hidden; 2];
        for (half, read) in read.iter_mut().enumerate() {
            // SAFETY: 32 scores.
            let integers = unsafe { _mm512_loadu_si512(scores.as_ptr().add(TILE * half).cast()) };
            let scores = _mm512_mul_ps(_mm512_cvtepi32_ps(integers), _mm512_mul_ps(key_units[half], unit));
            *read = _mm512_mask_mov_ps(hidden, seen[half], scores);
        }
        let scores = read;
        let most = _mm512_reduce_max_ps(_mm512_max_ps(scores[0], scores[1]));
        // SAFETY: 16 parts of the sum of weights.
        let mut total = unsafe { _mm512_loadu_ps(weight.as_ptr()) };
        if most > *highest {
            let factor = exp(_mm512_set1_ps(*highest - most), u16::MAX);
            total = _mm512_mul_ps(total, factor);
            for sums in sums.as_chunks_mut::<TILE>().0 {
                // SAFETY: 16 sums.
                unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_mul_ps(_mm512_loadu_ps(sums.as_ptr()), factor)) };
            }
            *highest = most;
        }
        let most = _mm512_set1_ps(*highest);
        let powers = [exp(_mm512_sub_ps(scores[0], most), seen[0]), exp(_mm512_sub_ps(scores[1], most), seen[1])];
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(weight.as_mut_ptr(), _mm512_add_ps(_mm512_add_ps(total, powers[0]), powers[1])) };
        // A place that nobody has written may hold anything.
        let scaled = [
            _mm512_maskz_mul_ps(seen[0], powers[0], value_units[0]),
            _mm512_maskz_mul_ps(seen[1], powers[1], value_units[1]),
        ];
        let bits = _mm512_max_epi32(_mm512_castps_si512(scaled[0]), _mm512_castps_si512(scaled[1]));
        // Numbers that are not negative are in the order of their bits, and what is no number is above all.
        let largest = f32::from_bits(_mm512_reduce_max_epi32(bits) as u32);
        let (one, inverse) = of_largest(largest, Most::of(width).weight);
        *weight_unit = one;
        for (half, scaled) in scaled.into_iter().enumerate() {
            let integers = _mm512_cvtps_epi32(_mm512_mul_ps(scaled, _mm512_set1_ps(inverse)));
            // SAFETY: 32 weights.
            unsafe {
                let place = weights.as_mut_ptr().add(TILE * half).cast();
                _mm256_storeu_si256(place, _mm512_cvtepi32_epi16(integers));
            }
        }
    }
}

/// [`crate::kernel::ops::exp`] of what the mask has, and zero: what is masked has no weight at all, not just next to none.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn exp(x: __m512, mask: u16) -> __m512 {
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

/// `sums += weights · values`, up to eight queries against a block, whose next is asked for. Widths are multiples of 16.
///
/// # Safety
/// The machine has AVX-512 F and VNNI; there are as many rows of weights and of sums as units, and both blocks are of one size.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(in crate::kernel) unsafe fn weigh(
    (weights, units): (&[i16], &[f32]),
    (values, next): (&[i16], &[i16]),
    sums: &mut [f32],
) {
    let (width, values) = (values.len() / BLOCK, [values, next].map(<[i16]>::as_ptr));
    let weights = (weights.as_ptr(), units.as_ptr());
    // SAFETY: the caller's.
    unsafe { by_count!(units.len(), weigh_some(weights, values, width, sums.as_mut_ptr())) }
}

/// # Safety
/// As [`weigh`]; there are `M` rows of weights and of sums, of whole vectors.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn weigh_some<const M: usize>(
    weights: (*const i16, *const f32),
    values: [*const i16; 2],
    width: usize,
    sums: *mut f32,
) {
    let mut at = 0;
    while at + 2 * TILE <= width {
        // SAFETY: two vectors are left.
        unsafe { weigh_part::<M, 2>(weights, values, (at, width), sums) };
        at += 2 * TILE;
    }
    if at < width {
        // SAFETY: one is.
        unsafe { weigh_part::<M, 1>(weights, values, (at, width), sums) };
    }
}

/// `V` vectors of each row of sums, from `at` on.
///
/// # Safety
/// As [`weigh_some`]; the vectors are within `width`.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn weigh_part<const M: usize, const V: usize>(
    (weights, units): (*const i16, *const f32),
    [values, next]: [*const i16; 2],
    (at, width): (usize, usize),
    sums: *mut f32,
) {
    let mut totals = [[_mm512_setzero_si512(); V]; M];
    for token in (0..BLOCK).step_by(2) {
        let place = token * width + 2 * at;
        let mut row = [_mm512_setzero_si512(); V];
        for (v, value) in row.iter_mut().enumerate() {
            hint(next.wrapping_add(place + 2 * v * TILE));
            // SAFETY: 16 rows of `width` pairs of values.
            *value = unsafe { pairs(values.add(place + 2 * v * TILE)) };
        }
        for (m, totals) in totals.iter_mut().enumerate() {
            // SAFETY: `M` rows of 16 pairs of weights.
            let weight = unsafe { one_pair(weights.add(m * BLOCK + token)) };
            for (total, value) in totals.iter_mut().zip(row) {
                *total = _mm512_dpwssd_epi32(*total, value, weight);
            }
        }
    }
    for (m, totals) in totals.iter().enumerate() {
        // SAFETY: `M` units.
        let unit = _mm512_set1_ps(unsafe { *units.add(m) });
        for (v, total) in totals.iter().enumerate() {
            // SAFETY: `M` rows of `width` sums.
            unsafe {
                let place = sums.add(m * width + at + v * TILE);
                _mm512_storeu_ps(place, _mm512_fmadd_ps(_mm512_cvtepi32_ps(*total), unit, _mm512_loadu_ps(place)));
            }
        }
    }
}
