//! One block of keys and values against a tile's queries, four or eight at a time.

use std::ops::Range;

use super::round::{Most, nearest, of_largest};
use super::{BLOCK, Gathered, LANES, TOGETHER};
use crate::kernel::float::{fma, leveled};
use crate::kernel::level::Level;
use crate::kernel::ops::exp;
#[cfg(target_arch = "x86_64")]
use crate::kernel::{avx2, avx512};

/// One layer's and head's part of a block.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// `[width / 2][BLOCK][2]`.
    pub keys: &'a [i16],
    /// `[BLOCK / 2][width][2]`.
    pub values: &'a [i16],
    /// Of each token's key, then of each token's value.
    pub units: &'a [f32],
}

/// What some queries of a tile have gathered, and are at.
pub(in crate::kernel) struct Meeting<'a> {
    /// Where the block's first token stands, and which positions each query sees.
    pub first: usize,
    pub sees: &'a [Range<usize>],
    /// Of each query's integers.
    pub units: &'a [f32],
    pub scores: &'a [i32],
    pub highest: &'a mut [f32],
    pub weight: &'a mut [[f32; LANES]],
    /// `[query][width]`.
    pub sums: &'a mut [f32],
    /// `[query][BLOCK]`, to be written, and their units.
    pub weights: &'a mut [i16],
    pub weight_units: &'a mut [f32],
}

/// Takes one block, whose first token stands at position `first`, for some of the queries. `next` is taken after it, and is
/// asked for meanwhile: blocks lie far apart.
pub(super) fn take(
    level: Level,
    gathered: &mut Gathered,
    range: Range<usize>,
    (block, mut next): (Block<'_>, Block<'_>),
    first: usize,
) {
    let together = match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => avx512::TOGETHER,
        _ => TOGETHER,
    };
    for start in range.clone().step_by(together) {
        meet(level, gathered, start..range.end.min(start + together), (block, next), first);
        // Once is enough.
        next = block;
    }
}

/// Some queries and a block: their scores, weights of these, and sums.
fn meet(
    level: Level,
    gathered: &mut Gathered,
    range: Range<usize>,
    (block, next): (Block<'_>, Block<'_>),
    first: usize,
) {
    let width = gathered.queries.len() / gathered.sees.len();
    let rows = |width: usize| range.start * width..range.end * width;
    let scores = &mut gathered.scores[rows(BLOCK)];
    score(level, &gathered.queries[rows(width)], (block.keys, next.keys), scores);
    let mut meeting = Meeting {
        first,
        sees: &gathered.sees[range.clone()],
        units: &gathered.units[range.clone()],
        scores,
        highest: &mut gathered.highest[range.clone()],
        weight: &mut gathered.weight[range.clone()],
        sums: &mut gathered.sums[rows(width)],
        weights: &mut gathered.weights[rows(BLOCK)],
        weight_units: &mut gathered.weight_units[range.clone()],
    };
    let [key_units, value_units] = block.units.as_chunks::<BLOCK>().0 else {
        unreachable!("a unit for each token's key, and for its value")
    };
    let units = [key_units, value_units];
    match level {
        // SAFETY: the level says that the machine has it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { avx512::soften(&mut meeting, units, next.units) },
        _ => soften(level, &mut meeting, units),
    }
    weigh(level, (meeting.weights, meeting.weight_units), (block.values, next.values), meeting.sums);
}

/// `scores = queries · keys`, some queries against a block.
pub(super) fn score(level: Level, queries: &[i16], (keys, next): (&[i16], &[i16]), scores: &mut [i32]) {
    let width = keys.len() / BLOCK;
    assert!(queries.len() == scores.len() / BLOCK * width && next.len() == keys.len(), "shapes fit");
    match level {
        Level::Portable => score_plainly(queries, keys, scores),
        // SAFETY: the level says that the machine has it; shapes fit by the assertion.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::score(queries, (keys, next), scores) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { avx512::score(queries, (keys, next), scores) },
    }
}

/// `sums += weights · values`, some queries against a block.
pub(super) fn weigh(
    level: Level,
    (weights, units): (&[i16], &[f32]),
    (values, next): (&[i16], &[i16]),
    sums: &mut [f32],
) {
    let width = values.len() / BLOCK;
    assert!(
        weights.len() == units.len() * BLOCK && sums.len() == units.len() * width && next.len() == values.len(),
        "shapes fit"
    );
    match level {
        Level::Portable => weigh_plainly((weights, units), values, sums),
        // SAFETY: the level says that the machine has it; shapes fit by the assertion.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::weigh((weights, units), (values, next), sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { avx512::weigh((weights, units), (values, next), sums) },
    }
}

leveled! {
    /// Makes weights of the scores of some queries against a block, and brings their sums to the new maxima. `units`: of keys, of
    /// values.
    fn soften(meeting: &mut Meeting<'_>, units: [&[f32; BLOCK]; 2]) = soften_plainly
}

#[inline(always)]
fn soften_plainly<const FUSED: bool>(meeting: &mut Meeting<'_>, [key_units, value_units]: [&[f32; BLOCK]; 2]) {
    let width = meeting.sums.len() / meeting.sees.len();
    let (scores, weights) = (meeting.scores.as_chunks::<BLOCK>().0, meeting.weights.as_chunks_mut::<BLOCK>().0);
    for (i, (scores, weights)) in scores.iter().zip(weights).enumerate() {
        let from = meeting.sees[i].start.saturating_sub(meeting.first).min(BLOCK);
        let to = meeting.sees[i].end.saturating_sub(meeting.first).min(BLOCK).max(from);
        if from == to {
            weights.fill(0);
            meeting.weight_units[i] = 0.0;
            continue;
        }
        // Arrays, not slices: they stay in registers.
        let mut powers = [0f32; BLOCK];
        for ((power, score), unit) in powers.iter_mut().zip(scores).zip(key_units) {
            *power = *score as f32 * (unit * meeting.units[i]);
        }
        let whole = (from, to) == (0, BLOCK);
        if !whole {
            powers[..from].fill(f32::NEG_INFINITY);
            powers[to..].fill(f32::NEG_INFINITY);
        }
        let most = largest(&powers).max(meeting.highest[i]);
        if most > meeting.highest[i] {
            let factor = exp::<FUSED>(meeting.highest[i] - most);
            meeting.weight[i].iter_mut().for_each(|weight| *weight *= factor);
            meeting.sums[i * width..][..width].iter_mut().for_each(|sum| *sum *= factor);
            meeting.highest[i] = most;
        }
        powers.iter_mut().for_each(|power| *power = exp::<FUSED>(*power - most));
        if !whole {
            // What is masked has no weight at all, not just next to none.
            powers[..from].fill(0.0);
            powers[to..].fill(0.0);
        }
        for half in powers.as_chunks::<LANES>().0 {
            meeting.weight[i].iter_mut().zip(half).for_each(|(lane, power)| *lane += power);
        }
        if whole {
            powers.iter_mut().zip(value_units).for_each(|(power, unit)| *power *= unit);
        } else {
            // A place that nobody has written may hold anything.
            powers[from..to].iter_mut().zip(&value_units[from..to]).for_each(|(power, unit)| *power *= unit);
        }
        // Numbers that are not negative are in the order of their bits, and what is no number is above all.
        let bits = powers.iter().fold(0, |most: u32, power| most.max(power.to_bits()));
        let (unit, inverse) = of_largest(f32::from_bits(bits), Most::of(width).weight);
        meeting.weight_units[i] = unit;
        weights.iter_mut().zip(powers).for_each(|(weight, power)| *weight = nearest(power * inverse));
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

fn score_plainly(queries: &[i16], keys: &[i16], scores: &mut [i32]) {
    let width = keys.len() / BLOCK;
    let scores = scores.as_chunks_mut::<BLOCK>().0;
    for (query, scores) in queries.chunks_exact(width).zip(scores) {
        let mut sums = [0i32; BLOCK];
        for (query, keys) in query.as_chunks::<2>().0.iter().zip(keys.as_chunks::<{ 2 * BLOCK }>().0) {
            for (sum, key) in sums.iter_mut().zip(keys.as_chunks::<2>().0) {
                *sum = sum.wrapping_add(pair(query, key));
            }
        }
        *scores = sums;
    }
}

fn weigh_plainly((weights, units): (&[i16], &[f32]), values: &[i16], sums: &mut [f32]) {
    let width = values.len() / BLOCK;
    let rows = weights.as_chunks::<BLOCK>().0.iter().zip(units).zip(sums.chunks_exact_mut(width));
    for ((weights, unit), sums) in rows {
        for (at, sums) in sums.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut totals = [0i32; LANES];
            for (weight, values) in weights.as_chunks::<2>().0.iter().zip(values.chunks_exact(2 * width)) {
                let values = &values[2 * LANES * at..][..2 * LANES];
                for (total, value) in totals.iter_mut().zip(values.as_chunks::<2>().0) {
                    *total = total.wrapping_add(pair(weight, value));
                }
            }
            for (sum, total) in sums.iter_mut().zip(totals) {
                *sum = fma::<{ cfg!(target_arch = "aarch64") }>(total as f32, *unit, *sum);
            }
        }
    }
}

/// What one instruction adds up.
#[inline(always)]
fn pair(a: &[i16; 2], b: &[i16; 2]) -> i32 {
    (i32::from(a[0]) * i32::from(b[0])).wrapping_add(i32::from(a[1]) * i32::from(b[1]))
}
