//! What a transformer does between its matrix products, row by row.

use super::activations::Activations;
use super::float::{fma, leveled};
use super::matrix::Matrix;
use super::pool::{Parts, Pool};

/// Fewer values than this are not worth a second thread.
pub(super) const WORTH_SHARING: usize = 1 << 14;

/// The function of a gated feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Silu,
    /// The approximation by a hyperbolic tangent.
    Gelu,
}

/// Which values of a head are turned together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// 0 and 1, 2 and 3, …
    Interleaved,
    /// 0 and n/2, 1 and n/2 + 1, …
    Halves,
}

/// Rotary position embeddings (Su et al., 2021): sines and cosines by position.
pub(crate) struct Rotary {
    /// Half of the width that is turned.
    half: usize,
    /// `[position][half]`: cosine, sine.
    table: Vec<(f32, f32)>,
}

impl Rotary {
    /// For positions below `positions`, of heads whose first `width` values are turned. `factors` divide the frequencies;
    /// `scale` multiplies the positions.
    pub(crate) fn new(positions: usize, width: usize, base: f32, scale: f32, factors: Option<&[f32]>) -> Self {
        let half = width / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|i| {
                let frequency = 1.0 / base.powf(2.0 * i as f32 / width as f32);
                frequency * scale / factors.and_then(|factors| factors.get(i)).copied().unwrap_or(1.0)
            })
            .collect();
        let table = (0..positions)
            .flat_map(|position| {
                frequencies.iter().map(move |frequency| {
                    let (sine, cosine) = (position as f32 * frequency).sin_cos();
                    (cosine, sine)
                })
            })
            .collect();
        Self { half, table }
    }

    /// Bytes of a position.
    pub(crate) fn bytes(width: usize) -> usize {
        width / 2 * size_of::<(f32, f32)>()
    }

    /// Half of the width that is turned.
    pub(crate) fn half(&self) -> usize {
        self.half
    }

    /// Cosines and sines, `[position][half]`.
    pub(crate) fn table(&self) -> &[(f32, f32)] {
        &self.table
    }

    /// How many positions there are.
    pub(crate) fn positions(&self) -> usize {
        self.table.len() / self.half.max(1)
    }
}

/// Adds `change`, if any, to the rows of `stream`, and makes each of these over its root mean square, times
/// `weight`, the inputs of `matrices`.
pub(crate) fn absorb(
    pool: &Pool,
    (stream, change): (&mut [f32], Option<&[f32]>),
    (weight, epsilon): (&[f32], f32),
    inputs: &mut Activations,
    matrices: &[&Matrix],
) {
    let (level, width) = (pool.level(), weight.len());
    let shape = (stream.len() / width, width);
    let stream = Parts::new(stream);
    inputs.fill(pool, shape, matrices, |row, out| {
        // SAFETY: each row is computed once.
        let stream = unsafe { stream.part(row * width, width) };
        if let Some(change) = change {
            sum(level, stream, &change[row * width..][..width]);
        }
        norm(level, stream, weight, epsilon, out);
    });
}

/// Makes `f(gate) · up`, of rows of `width`, the inputs of `matrices`.
pub(super) fn gated(
    pool: &Pool,
    (gate, up): (&[f32], &[f32]),
    (width, kind): (usize, Gate),
    inputs: &mut Activations,
    matrices: &[&Matrix],
) {
    let level = pool.level();
    inputs.fill(pool, (gate.len() / width, width), matrices, |row, out| {
        let up = &up[row * width..][..width];
        out.copy_from_slice(&gate[row * width..][..width]);
        match kind {
            Gate::Silu => silu(level, out, up),
            Gate::Gelu => gelu(level, out, up),
        }
    });
}

/// Each row over its root mean square, times `weight`.
pub(crate) fn rms_norm_in_place(pool: &Pool, values: &mut [f32], weight: &[f32], epsilon: f32) {
    shared(pool, values, weight.len(), |_, rows| norm_in_place(pool.level(), rows, weight, epsilon));
}

/// Adds `bias` to each row.
pub(crate) fn add_bias(pool: &Pool, rows: &mut [f32], bias: &[f32]) {
    let level = pool.level();
    rows.chunks_exact_mut(bias.len()).for_each(|row| sum(level, row, bias));
}

/// Turns each head of each row by its row's position.
///
/// # Panics
/// When a position is beyond the table.
pub(crate) fn rotate(
    pool: &Pool,
    rows: &mut [f32],
    head_width: usize,
    positions: &[u32],
    rotary: &Rotary,
    pairs: Pairs,
) {
    let width = rows.len() / positions.len().max(1);
    shared(pool, rows, width.max(1), |first, rows| {
        for (row, position) in rows.chunks_exact_mut(width).zip(&positions[first..]) {
            let table = &rotary.table[*position as usize * rotary.half..][..rotary.half];
            for head in row.chunks_exact_mut(head_width) {
                turn(head, table, pairs);
            }
        }
    });
}

fn shared(pool: &Pool, out: &mut [f32], width: usize, body: impl Fn(usize, &mut [f32]) + Sync) {
    if out.len() < WORTH_SHARING { body(0, out) } else { pool.rows(out, width, body) }
}

fn turn(head: &mut [f32], table: &[(f32, f32)], pairs: Pairs) {
    match pairs {
        Pairs::Interleaved => {
            for (pair, (cosine, sine)) in head.chunks_exact_mut(2).zip(table) {
                let (a, b) = (pair[0], pair[1]);
                (pair[0], pair[1]) = (a * cosine - b * sine, a * sine + b * cosine);
            }
        }
        Pairs::Halves => {
            let (low, high) = head.split_at_mut(table.len());
            for ((a, b), (cosine, sine)) in low.iter_mut().zip(high).zip(table) {
                (*a, *b) = (*a * cosine - *b * sine, *a * sine + *b * cosine);
            }
        }
    }
}

leveled! {
    fn norm(input: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) = norm_plainly
}
leveled! {
    fn norm_in_place(values: &mut [f32], weight: &[f32], epsilon: f32) = norm_in_place_plainly
}
leveled! {
    fn silu(gate: &mut [f32], up: &[f32]) = silu_plainly
}
leveled! {
    fn gelu(gate: &mut [f32], up: &[f32]) = gelu_plainly
}
leveled! {
    fn sum(into: &mut [f32], from: &[f32]) = sum_plainly
}

#[inline(always)]
fn norm_plainly<const FUSED: bool>(input: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    for (input, out) in input.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        let factor = inverse_root::<FUSED>(input, epsilon);
        for ((out, x), weight) in out.iter_mut().zip(input).zip(weight) {
            *out = x * factor * weight;
        }
    }
}

#[inline(always)]
fn norm_in_place_plainly<const FUSED: bool>(values: &mut [f32], weight: &[f32], epsilon: f32) {
    for values in values.chunks_exact_mut(weight.len()) {
        let factor = inverse_root::<FUSED>(values, epsilon);
        for (x, weight) in values.iter_mut().zip(weight) {
            *x *= factor * weight;
        }
    }
}

#[inline(always)]
fn inverse_root<const FUSED: bool>(values: &[f32], epsilon: f32) -> f32 {
    let mut sums = [0f32; 16];
    let mut chunks = values.chunks_exact(16);
    for chunk in &mut chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum = fma::<FUSED>(*x, *x, *sum);
        }
    }
    let rest: f32 = chunks.remainder().iter().map(|x| x * x).sum();
    let mean = (sums.iter().sum::<f32>() + rest) / values.len() as f32;
    1.0 / (mean + epsilon).sqrt()
}

#[inline(always)]
fn silu_plainly<const FUSED: bool>(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exp::<FUSED>(-*gate)) * up;
    }
}

#[inline(always)]
fn gelu_plainly<const FUSED: bool>(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        let x = *gate;
        // tanh(z) = 1 − 2 / (1 + e^2z), and x · (1 + tanh z) / 2 is left.
        let z = 0.797_884_6 * (x + 0.044_715 * x * x * x);
        *gate = (x - x / (1.0 + exp::<FUSED>(2.0 * z))) * up;
    }
}

#[inline(always)]
fn sum_plainly<const FUSED: bool>(into: &mut [f32], from: &[f32]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
}

/// Adding this to a float of at most 2²¹ rounds it to the nearest integer, ties to even, and leaves that integer in the low
/// bits: a conversion that vectorizes, where `as` checks for what is no number.
pub(super) const ROUND: f32 = 12_582_912.0;

/// What [`exp`] is made of.
pub(super) struct ETo {
    /// Beyond, and below its negative, it is what it is there.
    pub most: f32,
    /// −ln 2, in two parts.
    pub ln_2: [f32; 2],
    pub first: f32,
    pub coefficients: [f32; 5],
}

pub(super) const E_TO: ETo = ETo {
    most: 87.3,
    ln_2: [-0.693_359_4, 2.121_944_4e-4],
    first: 1.987_569_1e-4,
    coefficients: [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
};

/// e to the `x`, to about two units in the last place: 2ⁿ · e^r with |r| ≤ ln 2 / 2, e^r by a polynomial (Cephes' `expf`).
/// Beyond ±87.3 it is what it is there; not a number stays that.
#[inline(always)]
pub(super) fn exp<const FUSED: bool>(x: f32) -> f32 {
    let within = x.clamp(-E_TO.most, E_TO.most);
    let shifted = fma::<FUSED>(within, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma::<FUSED>(n, E_TO.ln_2[0], within);
    let r = fma::<FUSED>(n, E_TO.ln_2[1], r);
    let mut y = E_TO.first;
    for coefficient in E_TO.coefficients {
        y = fma::<FUSED>(y, r, coefficient);
    }
    let y = fma::<FUSED>(y, r * r, r + 1.0);
    // The bits of 2ⁿ: n is an integer from −126 to 126, and in the low bits of `shifted`.
    y * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::level::Level;

    fn levels() -> Vec<Pool> {
        Level::all().into_iter().filter(|level| level.is_here()).map(|level| Pool::with_level(2, level)).collect()
    }

    proptest! {
        #[test]
        fn exp_is_exp(x in -90f32..90.0) {
            let (ours, theirs) = (exp::<true>(x), x.clamp(-87.3, 87.3).exp());
            prop_assert!((ours - theirs).abs() <= theirs * 4e-7, "{x}: {ours} {theirs}");
            prop_assert!((exp::<false>(x) - theirs).abs() <= theirs * 1e-6);
        }

        #[test]
        fn gates_are_their_formulas(x in -20f32..20.0, up in -3f32..3.0) {
            for pool in levels() {
                let mut gate = [x; 5];
                silu(pool.level(), &mut gate, &[up; 5]);
                prop_assert!((gate[4] - x / (1.0 + (-x).exp()) * up).abs() < 1e-4);
                let mut gate = [x; 5];
                gelu(pool.level(), &mut gate, &[up; 5]);
                let z = 0.797_884_6 * (x + 0.044_715 * x.powi(3));
                prop_assert!((gate[4] - 0.5 * x * (1.0 + z.tanh()) * up).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn a_norm_has_the_weight_as_its_root_mean_square() {
        for pool in levels() {
            let input: Vec<f32> = (0..37 * 600).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
            let mut out = vec![0.0; input.len()];
            norm(pool.level(), &input, &[2.0; 37], 0.0, &mut out);
            for row in out.chunks_exact(37) {
                let mean = row.iter().map(|x| x * x).sum::<f32>() / 37.0;
                assert!((mean - 4.0).abs() < 1e-3, "{mean}");
            }
            let mut again = input;
            rms_norm_in_place(&pool, &mut again, &[2.0; 37], 0.0);
            assert!(again.iter().zip(&out).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    #[test]
    fn what_is_turned_keeps_its_length_and_position_0_changes_nothing() {
        let pool = Pool::new(1);
        let rotary = Rotary::new(8, 4, 10_000.0, 1.0, None);
        for pairs in [Pairs::Interleaved, Pairs::Halves] {
            let mut rows = [1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0];
            rotate(&pool, &mut rows, 4, &[0, 5], &rotary, pairs);
            assert_eq!(rows[..4], [1.0, 2.0, 3.0, 4.0]);
            let length: f32 = rows[4..].iter().map(|x| x * x).sum();
            assert!((length - 30.0).abs() < 1e-4);
            let (sine, cosine) = 5f32.sin_cos();
            let partner = if pairs == Pairs::Halves { 3.0 } else { 2.0 };
            assert!((rows[4] - (cosine - partner * sine)).abs() < 1e-5);
        }
    }
}
