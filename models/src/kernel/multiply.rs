//! Inputs times weights: the product that nearly all of a model's time goes into.
//!
//! Work is split by tiles of 16 weight rows. A piece of a tile is expanded once into the first-level cache and then used for
//! every row of the inputs, four at a time; with one row of inputs the same code streams through the weights once. What a row
//! of inputs gives does not depend on which rows it is computed with, to the last bit.

use half::{bf16, f16};

use super::activations::Activations;
use super::level::Level;
use super::matrix::{Body, Integer, Line, Matrix, TILE};
use super::pool::{Place, Pool};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use super::{float, portable};

/// Blocks of 32 columns that are expanded at once: 8 KiB of weights.
pub(super) const CHUNK: usize = 16;
/// Columns of float weights that are expanded at once: 16 KiB.
const FLOATS: usize = 256;

/// A piece of a tile, expanded.
#[repr(C, align(64))]
pub(super) struct Expanded {
    /// Eight lines for each block: see [`super::matrix`].
    pub q: [Line; 8 * CHUNK],
    /// For each block and half: 16 scales, 16 offsets.
    pub scales: [[[f32; TILE]; 2]; 2 * CHUNK],
    pub blocks: usize,
}

/// The inputs that meet it: rows of `q`, `scale` and `sum` that begin at its first block.
pub(super) struct Inputs<'a> {
    pub q: &'a [i8],
    pub scale: &'a [f32],
    /// By block, or by half block where the weights have a scale for each.
    pub sum: &'a [f32],
}

/// `outs[i] = input · matrices[i]ᵀ`, each `[input rows][matrix rows]`, overwritten.
///
/// # Panics
/// When shapes do not fit.
pub(crate) fn multiply(pool: &Pool, input: &Activations, matrices: &[&Matrix], outs: &mut [&mut [f32]]) {
    assert_eq!(matrices.len(), outs.len(), "an output for each matrix");
    for (matrix, out) in matrices.iter().zip(outs.iter()) {
        assert_eq!(matrix.columns(), input.columns, "as many columns as inputs");
        assert_eq!(out.len(), input.rows * matrix.rows(), "a place for each result");
    }
    let tiles: usize = matrices.iter().map(|matrix| matrix.rows().div_ceil(TILE)).sum();
    let run = if pool.threads() == 1 { usize::MAX / 2 } else { tiles.div_ceil(pool.threads() * 4).max(1) };
    let items = |matrix: &Matrix| matrix.rows().div_ceil(TILE).div_ceil(run);
    // One place for each matrix, without an allocation: nobody multiplies with more than four at once.
    assert!(outs.len() <= 4, "at most four matrices");
    let mut places: [Option<Place>; 4] = [None; 4];
    for (place, out) in places.iter_mut().zip(outs.iter_mut()) {
        *place = Some(Place::new(out));
    }
    pool.each(matrices.iter().map(|matrix| items(matrix)).sum(), |mut item| {
        for (matrix, place) in matrices.iter().zip(places.iter().flatten()) {
            if item < items(matrix) {
                let first = item * run;
                let last = matrix.rows().div_ceil(TILE).min(first.saturating_add(run));
                let mut scratch = Scratch::default();
                for tile in first..last {
                    scratch.tile(pool.level(), matrix, input, tile);
                    scratch.put(place, matrix.rows(), tile);
                }
                return;
            }
            item -= items(matrix);
        }
    });
}

thread_local! {
    /// The sums of one tile: `[rows][16]`. Kept, so that nothing is allocated once it has grown.
    static SUMS: std::cell::RefCell<Vec<[f32; TILE]>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What one thread needs for its tiles.
struct Scratch {
    expanded: Expanded,
    floats: [[f32; TILE]; FLOATS],
    sums: Vec<[f32; TILE]>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            expanded: Expanded { q: [Line([0; 64]); 8 * CHUNK], scales: [[[0.0; TILE]; 2]; 2 * CHUNK], blocks: 0 },
            floats: [[0.0; TILE]; FLOATS],
            sums: SUMS.take(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        SUMS.set(std::mem::take(&mut self.sums));
    }
}

impl Scratch {
    fn tile(&mut self, level: Level, matrix: &Matrix, input: &Activations, tile: usize) {
        self.sums.clear();
        self.sums.resize(input.rows, [0.0; TILE]);
        let columns = matrix.columns();
        match &matrix.body {
            Body::Integer(integer) => self.integer_tile(level, integer, input, tile),
            Body::F32(values) => {
                self.float_tile(level, input, &values[tile * TILE * columns..][..TILE * columns], |x: f32| x);
            }
            Body::F16(values) => {
                self.float_tile(level, input, &values[tile * TILE * columns..][..TILE * columns], f16::to_f32);
            }
            Body::Bf16(values) => {
                self.float_tile(level, input, &values[tile * TILE * columns..][..TILE * columns], bf16::to_f32);
            }
        }
    }

    fn integer_tile(&mut self, level: Level, integer: &Integer, input: &Activations, tile: usize) {
        let (blocks, stride) = (input.columns / 32, integer.stride());
        let lines = &integer.lines[tile * blocks * stride..][..blocks * stride];
        for (chunk, lines) in lines.chunks(CHUNK * stride).enumerate() {
            let first = chunk * CHUNK;
            expand(level, integer, lines, &mut self.expanded);
            let inputs = |row: usize| {
                let at = row * blocks + first;
                Inputs {
                    q: &input.q[at * 32..(row + 1) * blocks * 32],
                    scale: &input.scale[at..(row + 1) * blocks],
                    sum: if integer.halves {
                        &input.half_sum[2 * at..2 * (row + 1) * blocks]
                    } else {
                        &input.sum[at..(row + 1) * blocks]
                    },
                }
            };
            let mut row = 0;
            while row < input.rows {
                row += match &mut self.sums[row..] {
                    [a, b, c, d, ..] => {
                        let four = [0, 1, 2, 3].map(|i| inputs(row + i));
                        dot(level, integer, &self.expanded, &four, [a, b, c, d]);
                        4
                    }
                    [a, b, ..] => {
                        dot(level, integer, &self.expanded, &[0, 1].map(|i| inputs(row + i)), [a, b]);
                        2
                    }
                    rest => {
                        dot(level, integer, &self.expanded, &[inputs(row)], [&mut rest[0]]);
                        1
                    }
                };
            }
        }
    }

    fn float_tile<T: Copy>(&mut self, level: Level, input: &Activations, weights: &[T], read: impl Fn(T) -> f32) {
        let columns = input.columns;
        for (chunk, weights) in weights.chunks(FLOATS * TILE).enumerate() {
            let wide = &mut self.floats[..weights.len() / TILE];
            for (wide, weights) in wide.iter_mut().zip(weights.chunks_exact(TILE)) {
                *wide = std::array::from_fn(|i| read(weights[i]));
            }
            let first = chunk * FLOATS;
            for (row, sums) in self.sums.iter_mut().enumerate() {
                let input = &input.raw[row * columns + first..][..wide.len()];
                float::dot(level, wide, input, sums);
            }
        }
    }

    /// Writes the tile's sums to their places in an output whose rows have `width` values.
    fn put(&self, place: &Place, width: usize, tile: usize) {
        let count = TILE.min(width - tile * TILE);
        for (row, sums) in self.sums.iter().enumerate() {
            // SAFETY: each tile has its own columns of the output, and each tile is one thread's alone.
            unsafe { place.part(row * width + tile * TILE, count) }.copy_from_slice(&sums[..count]);
        }
    }
}

fn expand(level: Level, integer: &Integer, lines: &[Line], into: &mut Expanded) {
    into.blocks = lines.len() / integer.stride();
    match level {
        Level::Portable => portable::expand(integer, lines, into),
        // SAFETY: the level says that the machine has it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::expand(integer, lines, into, avx2::Signs::Signed) },
        // SAFETY: as above; AVX-512 machines have AVX2.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { avx2::expand(integer, lines, into, avx2::Signs::Unsigned) },
    }
}

fn dot<const M: usize>(
    level: Level,
    integer: &Integer,
    weights: &Expanded,
    inputs: &[Inputs<'_>; M],
    sums: [&mut [f32; TILE]; M],
) {
    for input in inputs {
        let halves = 1 + usize::from(integer.halves);
        assert!(
            input.q.len() >= weights.blocks * 32
                && input.scale.len() >= weights.blocks
                && input.sum.len() >= weights.blocks * halves
                && weights.blocks <= CHUNK,
            "inputs for each block"
        );
    }
    match (level, integer.nibbles, integer.halves) {
        (Level::Portable, _, halves) => portable::dot(weights, inputs, sums, halves),
        // SAFETY: the level says that the machine has it, and the inputs reach as far as the weights.
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, true, _) => unsafe { avx2::dot_nibbles(weights, inputs, sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, false, false) => unsafe { avx2::dot_bytes::<M, false>(weights, inputs, sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, false, true) => unsafe { avx2::dot_bytes::<M, true>(weights, inputs, sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512Vnni, _, false) => unsafe { avx512::dot::<M, false>(weights, inputs, sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512Vnni, _, true) => unsafe { avx512::dot::<M, true>(weights, inputs, sums) },
    }
}

#[cfg(test)]
mod tests;
