//! The inputs of a matrix product, quantized once per row: 32 signed bytes share a scale, as in ggml's Q8_1.

use super::level::Level;
use super::pool::{Place, Pool};

/// Rows of inputs. Reused from step to step, so that nothing is allocated once it has grown.
#[derive(Default)]
pub(crate) struct Activations {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) raw: Vec<f32>,
    /// `[rows][columns]`; empty when `columns` is no multiple of 32.
    pub(super) q: Vec<i8>,
    /// `[rows][columns / 32]`.
    pub(super) scale: Vec<f32>,
    /// Scale times the sum of `q`, of each 32 and of each 16: `[rows][columns / 32]`, `[rows][columns / 16]`.
    pub(super) sum: Vec<f32>,
    pub(super) half_sum: Vec<f32>,
}

impl Activations {
    /// Takes over `input`, rows of `columns`.
    pub(crate) fn set(&mut self, pool: &Pool, input: &[f32], columns: usize) {
        let rows = input.len() / columns;
        (self.rows, self.columns) = (rows, columns);
        self.raw.clear();
        self.raw.extend_from_slice(input);
        if !columns.is_multiple_of(32) {
            self.q.clear();
            return;
        }
        let blocks = columns / 32;
        self.q.resize(rows * columns, 0);
        self.scale.resize(rows * blocks, 0.0);
        self.sum.resize(rows * blocks, 0.0);
        self.half_sum.resize(rows * blocks * 2, 0.0);
        let (scale, sum, half_sum) =
            (Place::new(&mut self.scale), Place::new(&mut self.sum), Place::new(&mut self.half_sum));
        let q = Bytes(self.q.as_mut_ptr());
        let run = if rows < 8 { rows } else { rows.div_ceil(pool.threads() * 2) }.max(1);
        let level = pool.level();
        pool.each(rows.div_ceil(run), |index| {
            for row in index * run..rows.min(index * run + run) {
                // SAFETY: each row is one index's alone, and lies inside what was sized above.
                let parts = unsafe {
                    Parts {
                        q: std::slice::from_raw_parts_mut(q.at(row * columns), columns),
                        scale: scale.part(row * blocks, blocks),
                        sum: sum.part(row * blocks, blocks),
                        half_sum: half_sum.part(row * blocks * 2, blocks * 2),
                    }
                };
                quantize(level, &input[row * columns..(row + 1) * columns], parts);
            }
        });
    }
}

#[derive(Clone, Copy)]
struct Bytes(*mut i8);

impl Bytes {
    fn at(self, offset: usize) -> *mut i8 {
        self.0.wrapping_add(offset)
    }
}

// SAFETY: each thread writes its own rows only.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

struct Parts<'a> {
    q: &'a mut [i8],
    scale: &'a mut [f32],
    sum: &'a mut [f32],
    half_sum: &'a mut [f32],
}

fn quantize(level: Level, input: &[f32], parts: Parts<'_>) {
    match level {
        Level::Portable => plainly(input, parts),
        // SAFETY: the level says that the machine has it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512Vnni => unsafe { with_avx2(input, parts) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2(input: &[f32], parts: Parts<'_>) {
    plainly(input, parts);
}

#[inline(always)]
fn plainly(input: &[f32], parts: Parts<'_>) {
    let Parts { q, scale, sum, half_sum } = parts;
    for (block, (input, q)) in input.chunks_exact(32).zip(q.chunks_exact_mut(32)).enumerate() {
        // Only of what is no number is this not zero; it must not vanish in an integer.
        let mut poison = 0f32;
        let mut most = [0f32; 8];
        for eight in input.chunks_exact(8) {
            for (most, x) in most.iter_mut().zip(eight) {
                *most = if x.abs() > *most { x.abs() } else { *most };
                poison += x * 0.0;
            }
        }
        let most = most.into_iter().fold(0f32, f32::max);
        let (unit, inverse) = if most > 0.0 { (most / 127.0 + poison, 127.0 / most) } else { (poison, 0.0) };
        let mut sums = [0i32; 2];
        for (half, (input, q)) in input.chunks_exact(16).zip(q.chunks_exact_mut(16)).enumerate() {
            for (x, q) in input.iter().zip(q) {
                // Adding and taking away 1.5 · 2²³ rounds to the nearest integer, ties to even.
                let rounded = (x * inverse + 12_582_912.0) - 12_582_912.0;
                *q = rounded as i32 as i8;
                sums[half] += rounded as i32;
            }
        }
        scale[block] = unit;
        sum[block] = unit * (sums[0] + sums[1]) as f32;
        half_sum[2 * block] = unit * sums[0] as f32;
        half_sum[2 * block + 1] = unit * sums[1] as f32;
    }
}
