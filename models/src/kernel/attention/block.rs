//! One block of keys and values against a tile's queries, four or eight at a time.

use std::ops::Range;

use super::{BLOCK, Gathered, LANES, TOGETHER};
use crate::kernel::float::{fma, leveled, widen};
use crate::kernel::level::Level;
use crate::kernel::ops::exp;
#[cfg(target_arch = "x86_64")]
use crate::kernel::{avx2, avx512};

/// Takes one block, whose first token stands at position `first`, for some of the queries: halves of keys `[width][BLOCK]`, then
/// values `[BLOCK][width]`. `next` is taken after it, and is asked for meanwhile: blocks lie far apart.
pub(super) fn take(
    level: Level,
    gathered: &mut Gathered,
    range: Range<usize>,
    (bits, next): (&[u16], &[u16]),
    first: usize,
) {
    let half = bits.len() / 2;
    #[cfg(target_arch = "x86_64")]
    if level == Level::Avx512Vnni && range.len() <= 2 * avx512::TOGETHER {
        // For so few, it costs less to read it as it lies than to write and read it once more.
        let (keys, values) = bits.split_at(half);
        let (next_keys, next_values) = next.split_at(half);
        // SAFETY: the level says that the machine has it; slices are as long as their shapes say.
        let score = |queries: &[f32], scores: &mut [f32]| unsafe { avx512::score(queries, keys, next_keys, scores) };
        // SAFETY: as above.
        let weigh = |weights: &[f32], sums: &mut [f32]| unsafe { avx512::weigh(weights, values, next_values, sums) };
        for part in parts(range, avx512::TOGETHER) {
            meet(level, gathered, part, first, (score, weigh));
        }
        return;
    }
    ahead(next);
    let mut wide = std::mem::take(&mut gathered.wide);
    wide.resize(bits.len(), 0.0);
    widen(level, bits, &mut wide);
    let (keys, values) = wide.split_at(half);
    let together = match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => avx512::TOGETHER,
        _ => TOGETHER,
    };
    let score = |queries: &[f32], scores: &mut [f32]| match level {
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { avx512::score(queries, keys, keys, scores) },
        _ => score(level, queries, keys, scores),
    };
    let weigh = |weights: &[f32], sums: &mut [f32]| match level {
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { avx512::weigh(weights, values, values, sums) },
        _ => weigh(level, weights, values, sums),
    };
    for part in parts(range, together) {
        meet(level, gathered, part, first, (score, weigh));
    }
    gathered.wide = wide;
}

fn parts(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(length).map(move |start| start..range.end.min(start + length))
}

/// Some queries and a block: their scores, weights of these, and sums.
fn meet(
    level: Level,
    gathered: &mut Gathered,
    range: Range<usize>,
    first: usize,
    (score, weigh): (impl FnOnce(&[f32], &mut [f32]), impl FnOnce(&[f32], &mut [f32])),
) {
    let width = gathered.queries.len() / gathered.sees.len();
    let Gathered { queries, scores, sums, .. } = gathered;
    let scores = &mut scores[range.start * BLOCK..range.end * BLOCK];
    let (queries, sums) =
        (&queries[range.start * width..range.end * width], &mut sums[range.start * width..range.end * width]);
    score(queries, scores);
    let state = (&gathered.sees[range.clone()], &mut gathered.highest[range.clone()], &mut gathered.weight[range]);
    match level {
        // SAFETY: the level says that the machine has it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { avx512::soften(scores, first, state.0, (state.1, state.2), sums) },
        _ => soften(level, scores, first, state.0, (state.1, state.2), sums),
    }
    weigh(scores, sums);
}

/// Asks for a block.
fn ahead(bits: &[u16]) {
    #[cfg(target_arch = "x86_64")]
    for line in bits.chunks(32) {
        avx2::hint(line.as_ptr());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bits;
}

leveled! {
    /// Makes weights of the scores of some queries against a block, and brings `sums` to the new maxima.
    fn soften(
        scores: &mut [f32], first: usize, sees: &[Range<usize>], state: (&mut [f32], &mut [f32]), sums: &mut [f32],
    ) = soften_plainly
}
leveled! {
    /// `scores = queries · keys`, up to four queries against a block.
    fn score(queries: &[f32], keys: &[f32], scores: &mut [f32]) = score_plainly
}
leveled! {
    /// `sums += weights · values`, up to four queries.
    fn weigh(weights: &[f32], values: &[f32], sums: &mut [f32]) = weigh_plainly
}

#[inline(always)]
fn soften_plainly<const FUSED: bool>(
    scores: &mut [f32],
    first: usize,
    sees: &[Range<usize>],
    (highest, weight): (&mut [f32], &mut [f32]),
    sums: &mut [f32],
) {
    let width = sums.len() / sees.len();
    for (i, scores) in scores.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let from = sees[i].start.saturating_sub(first).min(BLOCK);
        let to = sees[i].end.saturating_sub(first).min(BLOCK).max(from);
        if from == to {
            scores.fill(0.0);
            continue;
        }
        let whole = (from, to) == (0, BLOCK);
        if !whole {
            scores[..from].fill(f32::NEG_INFINITY);
            scores[to..].fill(f32::NEG_INFINITY);
        }
        // Arrays, not slices: they stay in registers.
        let mut powers = *scores;
        let most = largest(&powers).max(highest[i]);
        if most > highest[i] {
            let factor = exp::<FUSED>(highest[i] - most);
            weight[i] *= factor;
            sums[i * width..][..width].iter_mut().for_each(|sum| *sum *= factor);
            highest[i] = most;
        }
        powers.iter_mut().for_each(|power| *power = exp::<FUSED>(*power - most));
        if !whole {
            // What is masked has no weight at all, not just next to none.
            powers[..from].fill(0.0);
            powers[to..].fill(0.0);
        }
        let mut lanes = [0f32; LANES];
        for half in powers.as_chunks::<LANES>().0 {
            lanes.iter_mut().zip(half).for_each(|(lane, power)| *lane += power);
        }
        weight[i] += lanes.iter().sum::<f32>();
        *scores = powers;
    }
}

/// By halves, so that it takes few steps.
#[inline(always)]
fn largest(scores: &[f32; BLOCK]) -> f32 {
    let mut most = *scores;
    let mut half = BLOCK / 2;
    while half > 0 {
        let (low, high) = most.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, high)| *low = if *high > *low { *high } else { *low });
        half /= 2;
    }
    most[0]
}

#[inline(always)]
fn score_plainly<const FUSED: bool>(queries: &[f32], keys: &[f32], scores: &mut [f32]) {
    let width = keys.len() / BLOCK;
    let row = |i: usize| &queries[i * width..][..width];
    match scores.len() / BLOCK {
        1 => score_some::<FUSED, 1>([row(0)], keys, scores),
        2 => score_some::<FUSED, 2>([row(0), row(1)], keys, scores),
        3 => score_some::<FUSED, 3>([row(0), row(1), row(2)], keys, scores),
        _ => score_some::<FUSED, 4>([row(0), row(1), row(2), row(3)], keys, scores),
    }
}

#[inline(always)]
fn score_some<const FUSED: bool, const M: usize>(queries: [&[f32]; M], keys: &[f32], scores: &mut [f32]) {
    for half in 0..BLOCK / LANES {
        let mut sums = [[0f32; LANES]; M];
        for (i, keys) in keys.chunks_exact(BLOCK).enumerate() {
            let keys = &keys[half * LANES..][..LANES];
            for (sums, query) in sums.iter_mut().zip(queries) {
                for lane in 0..LANES {
                    sums[lane] = fma::<FUSED>(query[i], keys[lane], sums[lane]);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            scores[i * BLOCK + half * LANES..][..LANES].copy_from_slice(sums);
        }
    }
}

#[inline(always)]
fn weigh_plainly<const FUSED: bool>(weights: &[f32], values: &[f32], sums: &mut [f32]) {
    match weights.len() / BLOCK {
        1 => weigh_some::<FUSED, 1>(weights, values, sums),
        2 => weigh_some::<FUSED, 2>(weights, values, sums),
        3 => weigh_some::<FUSED, 3>(weights, values, sums),
        _ => weigh_some::<FUSED, 4>(weights, values, sums),
    }
}

#[inline(always)]
fn weigh_some<const FUSED: bool, const M: usize>(weights: &[f32], values: &[f32], sums: &mut [f32]) {
    let width = sums.len() / M;
    for at in (0..width).step_by(LANES) {
        let mut totals = [[0f32; LANES]; M];
        for (i, totals) in totals.iter_mut().enumerate() {
            totals.copy_from_slice(&sums[i * width + at..][..LANES]);
        }
        for (token, values) in values.chunks_exact(width).enumerate() {
            let values = &values[at..at + LANES];
            for (i, totals) in totals.iter_mut().enumerate() {
                let weight = weights[i * BLOCK + token];
                for lane in 0..LANES {
                    totals[lane] = fma::<FUSED>(weight, values[lane], totals[lane]);
                }
            }
        }
        for (i, totals) in totals.iter().enumerate() {
            sums[i * width + at..][..LANES].copy_from_slice(totals);
        }
    }
}
