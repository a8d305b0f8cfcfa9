//! Inputs times weights: the product that nearly all of a model's time goes into.
//!
//! Work is split by tiles of 16 weight rows. For many rows of inputs a piece of a tile is expanded once into the first-level
//! cache and used for every row of a panel of inputs that fits the second-level one; for few, weights are read as they lie, once.
//! What a row of inputs gives does not depend on which rows it is computed with, to the last bit.

use std::cell::RefCell;
use std::ops::Range;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::activations::{Activations, GROUP, GROUP_LINES, Scales};
use super::float::leveled;
use super::level::Level;
use super::matrix::{Body, Integer, Line, Matrix, TILE};
use super::pool::{Parts, Pool};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use super::{float, portable};

#[cfg(target_arch = "x86_64")]
mod straight;

#[cfg(target_arch = "x86_64")]
pub(super) use straight::packed;

/// Blocks of 32 columns that are expanded at once, at most: 12 KiB of weights, and up to 6 of scales.
pub(super) const CHUNK: usize = 24;
/// Blocks of 32 columns of packed weights that many rows meet at once, at most: up to 36 KiB.
const RUN: usize = 64;
/// Rows that wait for weights more than for arithmetic.
pub(super) const FEW: usize = 2 * GROUP;
/// Bytes of inputs that some tiles meet one after the other.
const ROWS_AT_HAND: usize = 28 << 10;
/// Bytes of these tiles.
const TILES_AT_HAND: usize = 256 << 10;
/// Columns of float weights that are expanded at once: 16 KiB.
const FLOATS: usize = 256;

/// Part of a tile's columns.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub blocks: usize,
    /// Of each block: eight, expanded; as many as [`Integer::stride`] says, packed.
    pub lines: &'a [Line],
    /// Of each block and half, expanded: 16 scales, 16 offsets.
    pub scales: &'a [[[f32; TILE]; 2]],
}

/// A piece, expanded.
#[repr(C, align(64))]
pub(super) struct Expanded {
    /// Eight lines for each block: see [`super::matrix`].
    pub q: [Line; 8 * CHUNK],
    /// For each block and half: 16 scales, 16 offsets.
    pub scales: [[[f32; TILE]; 2]; 2 * CHUNK],
    pub blocks: usize,
}

/// Groups of rows of inputs that meet a piece, the first of them from the piece's first block on.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub q: &'a [Line],
    pub scales: &'a [Scales],
    /// Each group begins so many blocks after the one before.
    pub apart: usize,
}

/// What a tile gives for one row of inputs, so far.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Sums(pub [f32; TILE]);

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
    // One place for each matrix, without an allocation: nobody multiplies with more than four at once.
    assert!(outs.len() <= 4, "at most four matrices");
    let mut places: [Option<Parts<f32>>; 4] = [const { None }; 4];
    for (place, out) in places.iter_mut().zip(outs.iter_mut()) {
        *place = Some(Parts::new(out));
    }
    let count = |matrix: &Matrix| matrix.rows().div_ceil(TILE);
    // For few rows it counts that weights are asked for ahead, in long runs.
    let least = if input.rows <= FEW { 4 } else { 1 };
    pool.guided(matrices.iter().map(|matrix| count(matrix)).sum(), least, |tiles| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut before = 0;
            for (matrix, place) in matrices.iter().zip(places.iter().flatten()) {
                let end = before + count(matrix);
                let tiles = tiles.start.clamp(before, end) - before..tiles.end.clamp(before, end) - before;
                scratch.tiles(pool.level(), matrix, input, place, tiles);
                before = end;
            }
        });
    });
}

/// Runs of rows whose quantized form is small enough to stay at hand; whole groups.
fn panels(level: Level, input: &Activations) -> impl Iterator<Item = Range<usize>> {
    let rows = (panel(level) / (input.columns * 3 / 2).max(1)).next_multiple_of(4 * GROUP).max(8 * GROUP);
    (0..input.rows).step_by(rows).map(move |first| first..input.rows.min(first + rows))
}

/// How many tiles meet how many rows of a panel before others do. Where a tile is not expanded for all rows of a panel, these are
/// so few that they stay in the first-level cache, and the tiles in the second-level one.
fn together_at_hand(level: Level, matrix: &Matrix, rows: usize) -> (usize, usize) {
    match &matrix.body {
        Body::Integer(integer) if few(level) == usize::MAX => {
            let tile = integer.stride() * matrix.columns() / 32 * size_of::<Line>();
            let run = (ROWS_AT_HAND / (matrix.columns() * 3 / 2)).next_multiple_of(4 * GROUP);
            ((TILES_AT_HAND / tile).max(1), run.max(4 * GROUP))
        }
        _ => (1, rows.max(1)),
    }
}

/// All of `tiles` with all of `rows`: so many tiles with so many rows, then the same tiles with the next.
fn blocked(
    tiles: Range<usize>,
    tiles_at_once: usize,
    rows: Range<usize>,
    rows_at_once: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let cut = |range: Range<usize>, step| {
        let end = range.end;
        range.step_by(step).map(move |first| first..end.min(first + step))
    };
    cut(tiles, tiles_at_once).flat_map(move |tiles| {
        cut(rows.clone(), rows_at_once).flat_map(move |rows| tiles.clone().map(move |tile| (tile, rows.clone())))
    })
}

/// Bytes of inputs that are met by one tile after the other: they stay in the second-level cache, of which machines with
/// AVX-512 have 1 MiB at least.
fn panel(level: Level) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => 960 << 10,
        _ => 192 << 10,
    }
}

/// Up to this many rows of inputs, weights are read as they lie. AVX-512 takes so many rows at a time that unpacking nibbles anew
/// for each costs less than what expanding them writes and reads.
fn few(level: Level) -> usize {
    match level {
        Level::Portable => 0,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => GROUP,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => usize::MAX,
    }
}

thread_local! {
    /// Kept, so that nothing is allocated, nor cleared, once it has grown.
    static SCRATCH: RefCell<Box<Scratch>> = RefCell::default();
}

/// What one thread needs for its tiles.
struct Scratch {
    expanded: Expanded,
    floats: [[f32; TILE]; FLOATS],
    /// `[rows of the panel]`.
    sums: Vec<Sums>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            expanded: Expanded { q: [Line([0; 64]); 8 * CHUNK], scales: [[[0.0; TILE]; 2]; 2 * CHUNK], blocks: 0 },
            floats: [[0.0; TILE]; FLOATS],
            sums: Vec::new(),
        }
    }
}

impl Scratch {
    /// All rows of inputs with some of a matrix's tiles.
    fn tiles(&mut self, level: Level, matrix: &Matrix, input: &Activations, place: &Parts<f32>, tiles: Range<usize>) {
        for rows in panels(level, input) {
            let (at_once, run) = together_at_hand(level, matrix, rows.len());
            for (tile, rows) in blocked(tiles.clone(), at_once, rows, run) {
                #[cfg(target_arch = "x86_64")]
                if let (Level::Avx512Vnni, Body::Integer(integer)) = (level, &matrix.body)
                    && input.columns / 32 <= RUN
                {
                    straight::put(matrix, integer, input, place, rows, tile);
                    continue;
                }
                self.tile(level, matrix, input, rows.clone(), tile);
                self.put(level, place, matrix, rows.start, tile);
            }
        }
    }

    fn tile(&mut self, level: Level, matrix: &Matrix, input: &Activations, rows: Range<usize>, tile: usize) {
        self.sums.clear();
        self.sums.resize(rows.len(), Sums::default());
        let columns = matrix.columns();
        let part = tile * TILE * columns..(tile + 1) * TILE * columns;
        match &matrix.body {
            Body::Integer(integer) => self.integer_tile(level, integer, input, rows, tile),
            Body::F32(values) => {
                self.float_tile(level, input, rows, &values[part], |from, to| to.copy_from_slice(from))
            }
            Body::F16(values) => {
                let widen = |from: &[f16], to: &mut [f32]| float::widen(level, from.reinterpret_cast(), to);
                self.float_tile(level, input, rows, &values[part], widen);
            }
            Body::Bf16(values) => {
                let widen = |from: &[bf16], to: &mut [f32]| float::widen_brain(level, from, to);
                self.float_tile(level, input, rows, &values[part], widen);
            }
        }
    }

    fn integer_tile(&mut self, level: Level, integer: &Integer, input: &Activations, rows: Range<usize>, tile: usize) {
        let (blocks, stride) = (input.columns / 32, integer.stride());
        let lines = &integer.lines[tile * blocks * stride..][..blocks * stride];
        let inputs = |row: usize, first: usize| inputs(input, row, first);
        if rows.len() <= few(level) {
            // A short run of a tile stays in the first-level cache while all rows meet it.
            let chunk = if rows.len() <= 4 * GROUP { blocks } else { blocks.div_ceil(blocks.div_ceil(RUN)) };
            for (index, lines) in lines.chunks(chunk * stride).enumerate() {
                let piece = Piece { blocks: lines.len() / stride, lines, scales: &[] };
                let inputs = |row| inputs(rows.start + row, index * chunk);
                whole::<true>((level, integer), piece, &mut self.sums, inputs);
            }
            return;
        }
        // Chunks of nearly the same length: a short one costs as much around it as a long one.
        let chunk = blocks.div_ceil(blocks.div_ceil(CHUNK));
        for (index, lines) in lines.chunks(chunk * stride).enumerate() {
            expand(level, integer, lines, &mut self.expanded);
            let Expanded { q, scales, blocks } = &self.expanded;
            let piece = Piece { blocks: *blocks, lines: q, scales };
            whole::<false>((level, integer), piece, &mut self.sums, |row| inputs(rows.start + row, index * chunk));
        }
    }

    fn float_tile<T>(
        &mut self,
        level: Level,
        input: &Activations,
        rows: Range<usize>,
        weights: &[T],
        widen: impl Fn(&[T], &mut [f32]),
    ) {
        let columns = input.columns;
        for (chunk, weights) in weights.chunks(FLOATS * TILE).enumerate() {
            let wide = &mut self.floats[..weights.len() / TILE];
            widen(weights, wide.as_flattened_mut());
            let first = chunk * FLOATS;
            for (row, sums) in rows.clone().zip(&mut self.sums) {
                let input = &input.raw[row * columns + first..][..wide.len()];
                float::dot(level, wide, input, &mut sums.0);
            }
        }
    }

    /// Writes the tile's sums to their places in the matrix's output, for rows from `first` on.
    fn put(&self, level: Level, place: &Parts<f32>, matrix: &Matrix, first: usize, tile: usize) {
        let width = matrix.rows();
        let count = TILE.min(width - tile * TILE);
        let unit = matrix.unit();
        put(level, &self.sums, unit, place, (first * width + tile * TILE, width, count));
    }
}

/// The groups of rows from `row` on, from their `first`th block on.
pub(super) fn inputs(input: &Activations, row: usize, first: usize) -> Inputs<'_> {
    let blocks = input.columns / 32;
    let at = row / GROUP * blocks + first;
    Inputs { q: &input.q[at * GROUP_LINES..], scales: &input.scales[at..], apart: blocks }
}

leveled! {
    /// `sums · unit`, `count` of each, to a place that begins at `at` and has rows of `width`.
    fn put(sums: &[Sums], unit: f32, place: &Parts<f32>, shape: (usize, usize, usize)) = put_plainly
}

#[inline(always)]
fn put_plainly<const FUSED: bool>(
    sums: &[Sums],
    unit: f32,
    place: &Parts<f32>,
    (at, width, count): (usize, usize, usize),
) {
    for (row, Sums(sums)) in sums.iter().enumerate() {
        // SAFETY: each tile has its own columns of the output, and each tile is one thread's alone.
        let out = unsafe { place.part(at + row * width, count) };
        match out.first_chunk_mut::<TILE>() {
            Some(out) => {
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = sum * unit;
                }
            }
            None => out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * unit),
        }
    }
}

/// A piece of a tile with all rows of inputs, as many at a time as the level takes.
///
/// Inlined: handed over in memory, a piece would be read before the results of the last tile are written, and wait for them.
#[inline(always)]
fn whole<'a, const PACKED: bool>(
    (level, integer): (Level, &Integer),
    piece: Piece<'_>,
    sums: &mut [Sums],
    inputs: impl Fn(usize) -> Inputs<'a>,
) {
    let mut row = 0;
    while row < sums.len() {
        let count = together(level, sums.len() - row);
        dot::<PACKED>(level, integer, piece, inputs(row), &mut sums[row..row + count]);
        row += count;
    }
}

/// How many of the next rows a level computes at once.
pub(super) fn together(level: Level, left: usize) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni if left >= 4 * GROUP => 4 * GROUP,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni if left >= 2 * GROUP => 2 * GROUP,
        _ => left.min(GROUP),
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

/// That a piece and its inputs reach as far as a kernel reads for `rows` of them.
#[inline(always)]
pub(super) fn check<const PACKED: bool>(integer: &Integer, piece: Piece<'_>, inputs: Inputs<'_>, rows: usize) {
    let reach = (rows.div_ceil(GROUP) - 1) * inputs.apart + piece.blocks;
    let stride = if PACKED { integer.stride() } else { 8 };
    assert!(
        piece.lines.len() >= piece.blocks * stride
            && (PACKED || piece.scales.len() >= 2 * piece.blocks)
            && inputs.q.len() >= reach * GROUP_LINES
            && inputs.scales.len() >= reach,
        "weights, inputs and sums of one shape"
    );
}

/// Adds to `sums`, one for each row of the groups. `PACKED`: the piece is as it lies in the matrix.
#[inline(always)]
fn dot<const PACKED: bool>(level: Level, integer: &Integer, piece: Piece<'_>, inputs: Inputs<'_>, sums: &mut [Sums]) {
    check::<PACKED>(integer, piece, inputs, sums.len());
    match level {
        Level::Portable => portable::dot(piece, inputs, sums, integer.halves),
        // SAFETY: the level says that the machine has it, and shapes fit by the assertion.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::dot::<PACKED>(integer, piece, inputs, sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { avx512::dot::<PACKED>(integer, piece, inputs, sums) },
    }
}

#[cfg(test)]
mod tests;
