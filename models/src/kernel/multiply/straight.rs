//! Tiles that are short enough to meet all rows at once: what they give goes straight to its place.

use std::ops::Range;

use super::{Piece, check, inputs, together};
use crate::kernel::activations::Activations;
use crate::kernel::avx512;
use crate::kernel::level::Level;
use crate::kernel::matrix::{Integer, Matrix, TILE};
use crate::kernel::pool::Parts;

/// A tile with some rows, on a machine with AVX-512.
pub(super) fn put(
    matrix: &Matrix,
    integer: &Integer,
    input: &Activations,
    place: &Parts<f32>,
    rows: Range<usize>,
    tile: usize,
) {
    let (piece, width) = (packed(integer, input.columns, tile), matrix.rows());
    let count = TILE.min(width - tile * TILE);
    let mut row = rows.start;
    while row < rows.end {
        let together = together(Level::Avx512Vnni, rows.end - row);
        let inputs = inputs(input, row, 0);
        check::<true>(integer, piece, inputs, together);
        let first = place.pointer(row * width + tile * TILE, (together - 1) * width + count);
        let out = avx512::Out { place: first, width, count, unit: integer.unit };
        // SAFETY: the level says that the machine has it; shapes fit by the assertions. Each tile has its own columns of the output,
        // and each tile is one thread's alone.
        unsafe { avx512::whole(integer, piece, inputs, out, together) };
        row += together;
    }
}

/// All of a tile of a matrix of so many columns, as it lies.
pub(in crate::kernel) fn packed(integer: &Integer, columns: usize, tile: usize) -> Piece<'_> {
    let (blocks, lines) = (columns / 32, columns / 32 * integer.stride());
    Piece { blocks, lines: &integer.lines[tile * lines..][..lines], scales: &[] }
}
