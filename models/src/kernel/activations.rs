//! The inputs of a matrix product, quantized once per row: 32 signed bytes share a scale, as in ggml's Q8_1.

use std::cell::RefCell;

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::level::Level;
use super::matrix::{Line, Matrix};
use super::ops::{ROUND, WORTH_SHARING};
use super::pool::{Parts, Pool};

/// Rows of a group: they lie side by side, so that a kernel reads them as one stream.
pub(super) const GROUP: usize = 4;

/// Rows of inputs. Reused from step to step, so that nothing is allocated once it has grown.
///
/// A group's last places are of no row when rows are no multiple of four, and hold anything.
#[derive(Default)]
pub(crate) struct Activations {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// `[rows][columns]`, where a matrix of floats wants it.
    pub(super) raw: Vec<f32>,
    /// `[group][block of 32 columns][4 columns each][row of the group][4]`.
    pub(super) q: Vec<Line>,
    /// `[group][block]`.
    pub(super) scales: Vec<Scales>,
}

/// What belongs to 32 columns of a group, by row of the group.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Scales {
    pub scale: [f32; GROUP],
    /// Scale times the sum of `q`: of all 32, and of each 16.
    pub sum: [f32; GROUP],
    pub half_sum: [[f32; GROUP]; 2],
}

/// Lines of a group's block.
pub(super) const GROUP_LINES: usize = GROUP * 32 / 64;

impl Activations {
    /// Takes over `input`, rows of `columns`, in the forms that `matrices` are multiplied with.
    pub(crate) fn set(&mut self, pool: &Pool, input: &[f32], columns: usize, matrices: &[&Matrix]) {
        let of = |row: usize, out: &mut [f32]| out.copy_from_slice(&input[row * columns..][..columns]);
        self.fill(pool, (input.len() / columns, columns), matrices, of);
    }

    /// Makes room for so many rows and columns, as floats, as integers.
    pub(super) fn shape(&mut self, (rows, columns): (usize, usize), (floats, integers): (bool, bool)) {
        (self.rows, self.columns) = (rows, columns);
        let (blocks, groups) = (columns / 32, rows.div_ceil(GROUP));
        if floats {
            self.raw.resize(rows * columns, 0.0);
        }
        if integers {
            self.q.resize(groups * blocks * GROUP_LINES, Line([0; 64]));
            self.scales.resize(groups * blocks, Scales::default());
        }
    }

    /// As [`Self::set`], of rows as `compute(row, out)` leaves them, so that they need not be stored in between.
    pub(super) fn fill(
        &mut self,
        pool: &Pool,
        (rows, columns): (usize, usize),
        matrices: &[&Matrix],
        compute: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let integers = matrices.iter().any(|matrix| matrix.is_integer());
        let floats = matrices.iter().any(|matrix| !matrix.is_integer());
        self.shape((rows, columns), (floats, integers));
        let (blocks, groups) = (columns / 32, rows.div_ceil(GROUP));
        let parts = if rows * columns < WORTH_SHARING / 4 { 1 } else { pool.threads() * 2 };
        let run = groups.div_ceil(parts).max(1);
        let level = pool.level();
        let (raw, q, scales) = (Parts::new(&mut self.raw), Parts::new(&mut self.q), Parts::new(&mut self.scales));
        pool.each(groups.div_ceil(run), |index| {
            let mut rows_of_its_own = ROWS.take();
            rows_of_its_own.resize(GROUP * columns, 0.0);
            for group in index * run..groups.min(index * run + run) {
                let count = GROUP.min(rows - group * GROUP);
                let values = if floats {
                    // SAFETY: each row is of one group, and each group is one index's alone.
                    unsafe { raw.part(group * GROUP * columns, count * columns) }
                } else {
                    &mut rows_of_its_own[..count * columns]
                };
                let mut rounded = integers.then(|| {
                    let lines = (group * blocks * GROUP_LINES, blocks * GROUP_LINES);
                    // SAFETY: as above.
                    unsafe { (q.part(lines.0, lines.1), scales.part(group * blocks, blocks)) }
                });
                let at_once = if takes_groups(level) { GROUP } else { 1 };
                for (part, values) in values.chunks_mut(at_once * columns).enumerate() {
                    for (row, values) in (group * GROUP + part * at_once..).zip(values.chunks_exact_mut(columns)) {
                        compute(row, values);
                    }
                    if let Some((q, scales)) = &mut rounded {
                        quantize(level, (values, columns), part * at_once, q, scales);
                    }
                }
            }
            ROWS.set(rows_of_its_own);
        });
    }
}

thread_local! {
    /// A group's rows before they are rounded.
    static ROWS: RefCell<Vec<f32>> = RefCell::default();
}

/// Whether a level rounds all rows of a group at once; else each of them as long as it is at hand.
fn takes_groups(level: Level) -> bool {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => true,
        _ => false,
    }
}

/// One row of `columns`, which has that place in its group, or all rows of a group.
fn quantize(level: Level, (input, columns): (&[f32], usize), place: usize, q: &mut [Line], scales: &mut [Scales]) {
    match level {
        Level::Portable => plainly(input, place, q, scales),
        // SAFETY: the level says that the machine has it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { with_avx2(input, place, q, scales) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { avx512::quantize(input, columns, q, scales) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2(input: &[f32], place: usize, q: &mut [Line], scales: &mut [Scales]) {
    plainly(input, place, q, scales);
}

#[inline(always)]
fn plainly(input: &[f32], place: usize, q: &mut [Line], scales: &mut [Scales]) {
    for ((input, lines), scales) in input.chunks_exact(32).zip(q.chunks_exact_mut(GROUP_LINES)).zip(scales) {
        // Only of what is no number is this not zero; it must not vanish in an integer.
        let mut poison = [0f32; 8];
        let mut most = [0f32; 8];
        for eight in input.chunks_exact(8) {
            for ((most, poison), x) in most.iter_mut().zip(&mut poison).zip(eight) {
                *most = if x.abs() > *most { x.abs() } else { *most };
                *poison += x * 0.0;
            }
        }
        let poison: f32 = poison.into_iter().sum();
        let most = most.into_iter().fold(0f32, |a, b| if b > a { b } else { a });
        let (unit, inverse) = if most > 0.0 { (most / 127.0 + poison, 127.0 / most) } else { (poison, 0.0) };
        let mut sums = [0i32; 2];
        let mut bytes = [0u8; 32];
        for (half, (input, bytes)) in input.chunks_exact(16).zip(bytes.chunks_exact_mut(16)).enumerate() {
            for (x, byte) in input.iter().zip(bytes) {
                let shifted = (x * inverse + ROUND).to_bits();
                *byte = shifted as u8;
                sums[half] += shifted.wrapping_sub(ROUND.to_bits()) as i32;
            }
        }
        for (four, bytes) in bytes.chunks_exact(4).enumerate() {
            let at = (four * GROUP + place) * 4;
            lines[at / 64].0[at % 64..at % 64 + 4].copy_from_slice(bytes);
        }
        scales.scale[place] = unit;
        scales.sum[place] = unit * (sums[0] + sums[1]) as f32;
        scales.half_sum[0][place] = unit * sums[0] as f32;
        scales.half_sum[1][place] = unit * sums[1] as f32;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::samples::matrix;

    fn values() -> impl Strategy<Value = f32> {
        prop_oneof![
            20 => -1e3f32..1e3,
            1 => prop::sample::select(vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-30, 3e38]),
        ]
    }

    proptest! {
        #[test]
        fn every_level_rounds_to_the_same_integers(
            (blocks, rows, input) in (1..7usize, 1..11usize)
                .prop_flat_map(|(b, r)| (Just(b), Just(r), prop::collection::vec(values(), 32 * b * r))),
        ) {
            let columns = 32 * blocks;
            let wants_integers = matrix(GgmlDType::Q8_0, (1, columns), 1);
            let of = |level| {
                let mut all = Activations::default();
                all.set(&Pool::with_level(2, level), &input, columns, &[&wants_integers]);
                all
            };
            let plain = of(Level::Portable);
            for level in Level::all().into_iter().filter(|level| level.is_here()) {
                let other = of(level);
                for row in 0..rows {
                    for block in 0..blocks {
                        let (at, place) = (row / GROUP * blocks + block, row % GROUP);
                        let [a, b] = [&plain.scales[at], &other.scales[at]];
                        if a.scale[place].is_nan() {
                            // No integer is right.
                            prop_assert!(b.scale[place].is_nan(), "{:?}", level);
                            continue;
                        }
                        prop_assert_eq!(a.scale[place].to_bits(), b.scale[place].to_bits(), "{:?}", level);
                        let halves = |scales: &Scales| scales.half_sum.map(|half| half[place].to_bits());
                        prop_assert_eq!((a.sum[place].to_bits(), halves(a)), (b.sum[place].to_bits(), halves(b)));
                        for four in 0..8 {
                            let byte = (four * GROUP + place) * 4;
                            let of = |all: &Activations| {
                                let line = &all.q[at * GROUP_LINES + byte / 64].0;
                                <[u8; 4]>::try_from(&line[byte % 64..][..4]).expect("four")
                            };
                            prop_assert_eq!(of(&plain), of(&other), "{:?} row {} block {}", level, row, block);
                        }
                    }
                }
            }
        }
    }
}
