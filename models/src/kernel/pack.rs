//! From a tensor's bytes, as they lie in a file, to the tiles of [`super::matrix`]: a tile is read, packed, and forgotten, by
//! all threads of the pool at once.

use std::io;
use std::sync::{Mutex, PoisonError};

use half::f16;

use super::blocks::Format;
use super::matrix::{Integer, Line, TILE};
use super::pool::{Parts, Pool};

/// Where a tensor's bytes are.
pub(crate) trait Source: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Reads as many as `out` has room for, from `at` on.
    fn read(&self, at: usize, out: &mut [u8]) -> io::Result<()>;
}

/// The numbers themselves, where they are computed and not stored.
impl Source for Vec<f16> {
    fn len(&self) -> usize {
        size_of_val(self.as_slice())
    }

    fn read(&self, at: usize, out: &mut [u8]) -> io::Result<()> {
        let from = self.iter().skip(at / size_of::<f16>());
        out.chunks_exact_mut(size_of::<f16>())
            .zip(from)
            .for_each(|(out, half)| out.copy_from_slice(&half.to_le_bytes()));
        Ok(())
    }
}

#[cfg(test)]
impl Source for Vec<u8> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn read(&self, at: usize, out: &mut [u8]) -> io::Result<()> {
        out.copy_from_slice(&self[at..at + out.len()]);
        Ok(())
    }
}

/// Calls `body(tile, its rows' bytes)` for each tile.
fn tiles(
    pool: &Pool,
    (rows, row_bytes): (usize, usize),
    source: &dyn Source,
    body: impl Fn(usize, &[u8]) + Sync,
) -> io::Result<()> {
    let failed = Mutex::new(None);
    pool.each(rows.div_ceil(TILE), |tile| {
        let first = tile * TILE;
        let mut bytes = vec![0; TILE.min(rows - first) * row_bytes];
        match source.read(first * row_bytes, &mut bytes) {
            Ok(()) => body(tile, &bytes),
            Err(error) => *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

pub(super) fn floats<T: Copy + Default + Send + Sync, const N: usize>(
    pool: &Pool,
    (rows, columns): (usize, usize),
    source: &dyn Source,
    read: impl Fn([u8; N]) -> T + Sync,
) -> io::Result<Vec<T>> {
    // All bits zero is the number zero.
    let mut packed = vec![T::default(); rows.div_ceil(TILE) * TILE * columns];
    let parts = Parts::new(&mut packed);
    tiles(pool, (rows, columns * N), source, |tile, bytes| {
        // SAFETY: each tile's numbers are one index's alone.
        let out = unsafe { parts.part(tile * TILE * columns, TILE * columns) };
        for (within, row) in bytes.chunks_exact(columns * N).enumerate() {
            for (column, word) in row.chunks_exact(N).enumerate() {
                let mut number = [0; N];
                number.copy_from_slice(word);
                out[column * TILE + within] = read(number);
            }
        }
    })?;
    Ok(packed)
}

pub(super) fn integers(
    pool: &Pool,
    format: Format,
    (rows, columns): (usize, usize),
    source: &dyn Source,
) -> io::Result<Integer> {
    let row_bytes = columns / format.weights * format.bytes;
    let largest = Mutex::new(0f32);
    if format.scales_grow() {
        tiles(pool, (rows, row_bytes), source, |_, bytes| {
            let of_tile = bytes.chunks_exact(format.bytes).map(|block| format.largest(block)).fold(0f32, f32::max);
            let mut largest = largest.lock().unwrap_or_else(PoisonError::into_inner);
            *largest = largest.max(of_tile);
        })?;
    }
    let unit = unit(largest.into_inner().unwrap_or_else(PoisonError::into_inner));
    let mut packed = Integer { lines: Vec::new(), nibbles: format.nibbles, halves: format.halves, unit };
    let (blocks, stride) = (columns / 32, packed.stride());
    let per_tile = blocks * stride;
    packed.lines = vec![Line([0; 64]); rows.div_ceil(TILE) * per_tile];
    let parts = Parts::new(&mut packed.lines);
    tiles(pool, (rows, row_bytes), source, |tile, bytes| {
        // SAFETY: each tile's lines are one index's alone.
        let lines = unsafe { parts.part(tile * per_tile, per_tile) };
        for (within, row) in bytes.chunks_exact(row_bytes).enumerate() {
            for (block, lines) in lines.chunks_exact_mut(stride).enumerate() {
                let at = block * 32 / format.weights * format.bytes;
                put(&format, &row[at..at + format.bytes], block * 32 % format.weights / 32, (within, unit), lines);
            }
        }
    })?;
    Ok(packed)
}

fn put(format: &Format, bytes: &[u8], part: usize, (row, unit): (usize, f32), lines: &mut [Line]) {
    let block = format.read(bytes, part);
    let mut q = block.q;
    if format.nibbles {
        let (low, high) = q.split_at_mut(16);
        low.iter_mut().zip(high).for_each(|(low, high)| *low |= *high << 4);
    }
    let body = if format.nibbles { 4 } else { 8 };
    for (line, four) in lines[..body].iter_mut().zip(q.chunks_exact(4)) {
        line.0[4 * row..4 * row + 4].copy_from_slice(four);
    }
    for half in 0..1 + usize::from(format.halves) {
        let scales = &mut lines[body + half].0;
        for (at, value) in [(row, block.scale[half]), (TILE + row, block.offset[half])] {
            scales[2 * at..2 * at + 2].copy_from_slice(&f16::from_f32(value / unit).to_le_bytes());
        }
    }
}

/// The power of two by which scales up to `largest` are divided, so that half precision holds them with all its digits.
fn unit(largest: f32) -> f32 {
    if largest > 0.0 && largest.is_finite() { (largest.log2().ceil() - 14.0).clamp(-100.0, 100.0).exp2() } else { 1.0 }
}
