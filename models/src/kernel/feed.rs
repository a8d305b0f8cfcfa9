//! The gated feed-forward layer: two products, a gate, and the inputs of the product behind them.
//!
//! Where it can be, it is one loop: what both products give for 32 columns is gated and rounded at once, so that no row of floats
//! as wide as the hidden layer is written, and read by another thread. For few rows that is little, and weights are read faster one
//! matrix after the other.

use super::activations::Activations;
#[cfg(target_arch = "x86_64")]
use super::activations::{GROUP, GROUP_LINES, Scales};
#[cfg(target_arch = "x86_64")]
use super::avx512;
#[cfg(target_arch = "x86_64")]
use super::level::Level;
use super::matrix::Matrix;
#[cfg(target_arch = "x86_64")]
use super::matrix::{Body, Integer, Line};
use super::multiply::multiply;
#[cfg(target_arch = "x86_64")]
use super::multiply::{FEW, Sums, check, inputs, packed, together};
use super::ops::{Gate, gated};
#[cfg(target_arch = "x86_64")]
use super::pool::Parts;
use super::pool::Pool;

/// Blocks of 32 columns whose products are on their way at once.
#[cfg(target_arch = "x86_64")]
const RUN: usize = 2;

/// Makes `f(input · gateᵀ) · (input · upᵀ)` the inputs of `down`, `out`. Where that is not one loop, gates and ups are put into
/// `gates` and `ups` in between.
///
/// # Panics
/// When shapes do not fit.
pub(crate) fn feed(
    pool: &Pool,
    input: &Activations,
    (kind, gate, up): (Gate, &Matrix, &Matrix),
    [gates, ups]: [&mut Vec<f32>; 2],
    (out, down): (&mut Activations, &Matrix),
) {
    assert_eq!(gate.rows(), up.rows(), "as many gates as what they let through");
    #[cfg(target_arch = "x86_64")]
    if let (Level::Avx512Vnni, Body::Integer(one), Body::Integer(other)) = (pool.level(), &gate.body, &up.body)
        && down.is_integer()
        && input.rows > FEW
        && gate.rows().is_multiple_of(32)
        && (gate.columns(), up.columns()) == (input.columns, input.columns)
    {
        return at_once(pool, input, (kind, [one, other]), gate.rows(), out);
    }
    gates.resize(input.rows * gate.rows(), 0.0);
    ups.resize(input.rows * up.rows(), 0.0);
    multiply(pool, input, &[gate, up], &mut [gates, ups]);
    gated(pool, (gates, ups), (gate.rows(), kind), out, &[down]);
}

#[cfg(target_arch = "x86_64")]
fn at_once(
    pool: &Pool,
    input: &Activations,
    (kind, matrices): (Gate, [&Integer; 2]),
    hidden: usize,
    out: &mut Activations,
) {
    let blocks = hidden / 32;
    out.shape((input.rows, hidden), (false, true));
    let (q, scales) = (Parts::new(&mut out.q), Parts::new(&mut out.scales));
    let units = matrices.map(|matrix| matrix.unit);
    pool.guided(blocks, 1, |some| {
        let mut sums = [[[Sums::default(); 4 * GROUP]; 2 * RUN]; 2];
        for first in some.clone().step_by(RUN) {
            let some = first..some.end.min(first + RUN);
            let mut row = 0;
            while row < input.rows {
                let count = together(Level::Avx512Vnni, input.rows - row);
                let inputs = inputs(input, row, 0);
                for (matrix, sums) in matrices.iter().zip(&mut sums) {
                    for (tile, sums) in (2 * some.start..2 * some.end).zip(sums) {
                        let sums = &mut sums[..count];
                        sums.fill(Sums::default());
                        let piece = packed(matrix, input.columns, tile);
                        check::<true>(matrix, piece, inputs, count);
                        // SAFETY: the level says that the machine has it; shapes fit by the assertion.
                        unsafe { avx512::dot::<true>(matrix, piece, inputs, sums) };
                    }
                }
                for (number, block) in some.clone().enumerate() {
                    for first in (0..count).step_by(GROUP) {
                        let of = |which: usize| {
                            [0, 1].map(|half| &sums[which][2 * number + half][first..count.min(first + GROUP)])
                        };
                        let place = (row + first) / GROUP * blocks + block;
                        // SAFETY: each block of columns is one thread's alone, and so are its lines and scales of each group.
                        let (q, scales): (&mut [Line], &mut [Scales]) =
                            unsafe { (q.part(place * GROUP_LINES, GROUP_LINES), scales.part(place, 1)) };
                        // SAFETY: the level says that the machine has it.
                        unsafe { avx512::gate(kind, (of(0), of(1)), units, q, scales) };
                    }
                }
                row += count;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::activations::GROUP;
    use crate::kernel::level::Level;
    use crate::kernel::samples::{matrix, random};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// To the last bit, whatever the rows and widths.
        #[test]
        fn at_once_is_one_after_the_other(
            (columns, hidden, rows) in (1..5usize, 1..9usize, 1..70usize), gelu: bool, seed: u64,
            dtype in prop::sample::select(vec![GgmlDType::Q4_1, GgmlDType::Q8_0]),
        ) {
            let (columns, hidden) = (32 * columns, 32 * hidden);
            let [gate, up] = [1, 2].map(|which| matrix(dtype, (hidden, columns), seed ^ which));
            let down = matrix(dtype, (16, hidden), seed ^ 3);
            let kind = if gelu { Gate::Gelu } else { Gate::Silu };
            for level in Level::all().into_iter().filter(|level| level.is_here()) {
                let pool = Pool::with_level(2, level);
                let mut input = Activations::default();
                input.set(&pool, &random(rows * columns, seed), columns, &[&gate, &up]);
                let (mut out, mut other) = (Activations::default(), Activations::default());
                let (mut gates, mut ups) = (Vec::new(), Vec::new());
                feed(&pool, &input, (kind, &gate, &up), [&mut gates, &mut ups], (&mut out, &down));
                let (mut gates, mut ups) = (vec![0.0; rows * hidden], vec![0.0; rows * hidden]);
                multiply(&pool, &input, &[&gate, &up], &mut [&mut gates, &mut ups]);
                gated(&pool, (&gates, &ups), (hidden, kind), &mut other, &[&down]);
                let mut results = [vec![0.0; rows * 16], vec![0.0; rows * 16]];
                for (input, result) in [&out, &other].into_iter().zip(&mut results) {
                    multiply(&pool, input, &[&down], &mut [result]);
                }
                prop_assert_eq!(&results[0], &results[1], "{:?}, {} rows in groups of {}", level, rows, GROUP);
            }
        }
    }
}
