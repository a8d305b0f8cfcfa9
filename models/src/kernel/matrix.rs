//! Weights, repacked once at load into the order in which the kernels read them.
//!
//! A tile is 16 rows. Integer formats: for each 32 columns of a tile, lines of 64 bytes (a cache line): byte `4·row + i` of line `j`
//! is column `4·j + i`. Nibbles lie in four lines, the columns from 16 on in the high halves. A line of 16 half-precision
//! scales and 16 offsets follows (two, when each 16 columns have their own). Float formats: a tile is `[column][16]`.
//! Rows beyond the last are zero.

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Error};
use half::{bf16, f16};

use super::blocks::Format;
use super::pack::{self, Source};
use super::pool::Pool;

/// Rows of a tile.
pub(super) const TILE: usize = 16;

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub [u8; 64]);

/// A matrix of weights that never changes.
pub(crate) struct Matrix {
    rows: usize,
    columns: usize,
    pub(super) body: Body,
}

pub(super) enum Body {
    Integer(Integer),
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

pub(super) struct Integer {
    pub lines: Vec<Line>,
    pub nibbles: bool,
    pub halves: bool,
    /// What stored scales and offsets are multiplied with: a power of two that keeps them within half precision.
    pub unit: f32,
}

impl Integer {
    /// Lines of a tile's 32 columns.
    pub(super) fn stride(&self) -> usize {
        (if self.nibbles { 4 } else { 8 }) + 1 + usize::from(self.halves)
    }
}

impl Matrix {
    /// Packs a GGUF tensor of `rows × columns`, whose bytes `source` has. Reads as it packs, so that the tensor is in memory once.
    ///
    /// # Errors
    /// When there are not as many bytes as the shape needs, when they cannot be read, or the type is one that nobody here can
    /// read.
    pub(crate) fn pack(
        pool: &Pool,
        dtype: GgmlDType,
        (rows, columns): (usize, usize),
        source: &dyn Source,
    ) -> Result<Self, Error> {
        let needed = rows.checked_mul(columns).map(|weights| weights / dtype.block_size() * dtype.type_size());
        if needed != Some(source.len()) || rows == 0 || columns == 0 || !columns.is_multiple_of(dtype.block_size()) {
            return Err(Error::Msg(format!(
                "{rows} × {columns} weights of {dtype:?} do not have {} bytes",
                source.len()
            )));
        }
        let shape = (rows, columns);
        let body = match (Format::of(dtype), dtype) {
            (Some(format), _) => Body::Integer(pack::integers(pool, format, shape, source)?),
            (None, GgmlDType::F32) => Body::F32(pack::floats(pool, shape, source, f32::from_le_bytes)?),
            (None, GgmlDType::F16) => Body::F16(pack::floats(pool, shape, source, f16::from_le_bytes)?),
            (None, GgmlDType::BF16) => Body::Bf16(pack::floats(pool, shape, source, bf16::from_le_bytes)?),
            (None, other) => {
                let mut bytes = vec![0; source.len()];
                source.read(0, &mut bytes)?;
                let storage = QStorage::from_data(bytes.into(), &Device::Cpu, other)?;
                let whole = QTensor::new(storage, shape)?.dequantize(&Device::Cpu)?;
                let halves = whole.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f16::from_f32).collect::<Vec<_>>();
                Body::F16(pack::floats(pool, shape, &halves, f16::from_le_bytes)?)
            }
        };
        Ok(Self { rows, columns, body })
    }

    /// Bytes of such a matrix when it is packed, and what packing it takes beside them.
    pub(crate) fn bytes(dtype: GgmlDType, (rows, columns): (usize, usize)) -> (u64, u64) {
        let (padded, columns, size) =
            (rows.div_ceil(TILE) as u64 * TILE as u64, columns as u64, size_of::<f32>() as u64);
        let stored = rows as u64 * columns / dtype.block_size() as u64 * dtype.type_size() as u64;
        // A tile of each thread is on its way, at most.
        let tiles = 64 * TILE as u64 * columns * size;
        let floats = |size: u64| padded * columns * size;
        match (Format::of(dtype), dtype) {
            (Some(Format { nibbles, halves, .. }), _) => {
                let empty = Integer { lines: Vec::new(), nibbles, halves, unit: 1.0 };
                (
                    padded / TILE as u64 * columns.div_ceil(32) * (empty.stride() * size_of::<Line>()) as u64,
                    stored.min(tiles),
                )
            }
            (None, GgmlDType::F32) => (floats(size), stored.min(tiles)),
            (None, GgmlDType::F16 | GgmlDType::BF16) => (floats(size / 2), stored.min(tiles)),
            // Candle reads it, as floats, and they are copied once.
            (None, _) => (floats(size / 2), stored + 2 * floats(size) + floats(size / 2)),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// What the sums of a tile are multiplied with at the end.
    pub(super) fn unit(&self) -> f32 {
        if let Body::Integer(integer) = &self.body { integer.unit } else { 1.0 }
    }

    /// Whether it is multiplied with quantized inputs.
    pub(super) fn is_integer(&self) -> bool {
        matches!(self.body, Body::Integer(_))
    }

    /// Writes the weights of `row` to `out`.
    ///
    /// # Panics
    /// When there is no such row, or `out` has not as many places as a row.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.columns, "a row of the matrix, and room for it");
        let (tile, within) = (row / TILE, row % TILE);
        let at = |column: usize| (tile * self.columns + column) * TILE + within;
        match &self.body {
            Body::F32(values) => (0..self.columns).for_each(|column| out[column] = values[at(column)]),
            Body::F16(values) => (0..self.columns).for_each(|column| out[column] = values[at(column)].to_f32()),
            Body::Bf16(values) => (0..self.columns).for_each(|column| out[column] = values[at(column)].to_f32()),
            Body::Integer(integer) => {
                let (blocks, stride) = (self.columns / 32, integer.stride());
                for (block, out) in out.chunks_exact_mut(32).enumerate() {
                    unpack(integer, &integer.lines[(tile * blocks + block) * stride..][..stride], within, out);
                }
            }
        }
    }
}

/// One row's 32 weights of a tile.
fn unpack(integer: &Integer, lines: &[Line], row: usize, out: &mut [f32]) {
    let body = if integer.nibbles { 4 } else { 8 };
    for (column, out) in out.iter_mut().enumerate() {
        let byte = |line: usize| lines[line].0[4 * row + column % 4];
        let q = match (integer.nibbles, column < 16) {
            (true, true) => byte(column / 4) & 15,
            (true, false) => byte(column / 4 - 4) >> 4,
            (false, _) => byte(column / 4),
        };
        let scales = &lines[body + usize::from(integer.halves && column >= 16)].0;
        let half = |at: usize| f16::from_le_bytes([scales[2 * at], scales[2 * at + 1]]).to_f32() * integer.unit;
        *out = half(row) * f32::from(q) + half(TILE + row);
    }
}
