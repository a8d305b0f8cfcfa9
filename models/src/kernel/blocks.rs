//! The block formats of GGUF, read by their definition: the scalar reference that every kernel is held against.
//!
//! Each format comes out as one thing: 32 small integers with a scale and an offset per half, `w = scale · q + offset`.
//! Layouts: `ggml-common.h` and `ggml-quants.c` of ggml.

use candle_core::quantized::GgmlDType;
use half::f16;

/// 32 weights of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub q: [u8; 32],
    /// Of the first and the last 16; most formats have one for both.
    pub scale: [f32; 2],
    pub offset: [f32; 2],
}

/// How a format is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub dtype: GgmlDType,
    /// Whether every `q` is below 16.
    pub nibbles: bool,
    /// Whether the two halves of a block have scales of their own.
    pub halves: bool,
    /// Weights in one of the file's own blocks, and its bytes.
    pub weights: usize,
    pub bytes: usize,
}

impl Format {
    /// `None`: not one of the integer formats.
    pub(super) fn of(dtype: GgmlDType) -> Option<Self> {
        let (nibbles, halves, weights, bytes) = match dtype {
            GgmlDType::Q4_0 => (true, false, 32, 18),
            GgmlDType::Q4_1 => (true, false, 32, 20),
            GgmlDType::Q5_0 => (false, false, 32, 22),
            GgmlDType::Q5_1 => (false, false, 32, 24),
            GgmlDType::Q8_0 => (false, false, 32, 34),
            GgmlDType::Q4K => (true, false, 256, 144),
            GgmlDType::Q5K => (false, false, 256, 176),
            GgmlDType::Q6K => (false, true, 256, 210),
            _ => return None,
        };
        Some(Self { dtype, nibbles, halves, weights, bytes })
    }

    /// Whether scales are products, which half precision may not hold.
    pub(super) fn scales_grow(&self) -> bool {
        self.weights > 32
    }

    /// A bound of the scales and offsets in one of the file's blocks.
    pub(super) fn largest(&self, bytes: &[u8]) -> f32 {
        match self.dtype {
            GgmlDType::Q4K | GgmlDType::Q5K => (half_at(bytes, 0).abs() * 63.0).max(half_at(bytes, 2).abs() * 63.0),
            GgmlDType::Q6K => half_at(bytes, 208).abs() * 128.0 * 32.0,
            // These are halves in the file already.
            _ => 0.0,
        }
    }

    /// Reads the 32 weights `part` of one of the file's blocks.
    pub(super) fn read(&self, bytes: &[u8], part: usize) -> Block {
        match self.dtype {
            GgmlDType::Q4_0 => {
                let d = half_at(bytes, 0);
                whole(nibbles(&bytes[2..18]), d, -8.0 * d)
            }
            GgmlDType::Q4_1 => whole(nibbles(&bytes[4..20]), half_at(bytes, 0), half_at(bytes, 2)),
            GgmlDType::Q5_0 => {
                let d = half_at(bytes, 0);
                whole(fifth_bits(nibbles(&bytes[6..22]), &bytes[2..6]), d, -16.0 * d)
            }
            GgmlDType::Q5_1 => {
                whole(fifth_bits(nibbles(&bytes[8..24]), &bytes[4..8]), half_at(bytes, 0), half_at(bytes, 2))
            }
            GgmlDType::Q8_0 => {
                let d = half_at(bytes, 0);
                whole(std::array::from_fn(|i| bytes[2 + i] ^ 0x80), d, -128.0 * d)
            }
            GgmlDType::Q6K => sixth(bytes, part),
            _ => kth(bytes, part, self.dtype == GgmlDType::Q5K),
        }
    }
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

fn whole(q: [u8; 32], scale: f32, offset: f32) -> Block {
    Block { q, scale: [scale; 2], offset: [offset; 2] }
}

/// 16 low nibbles, then 16 high ones.
fn nibbles(bytes: &[u8]) -> [u8; 32] {
    std::array::from_fn(|i| if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 })
}

fn fifth_bits(q: [u8; 32], bits: &[u8]) -> [u8; 32] {
    std::array::from_fn(|i| q[i] | (((bits[i / 8] >> (i % 8)) & 1) << 4))
}

/// Q4_K and Q5_K: `d`, `dmin`, twelve bytes of 6-bit scales and minima, then (Q5_K) the fifth bits, then nibbles.
fn kth(bytes: &[u8], part: usize, five: bool) -> Block {
    let (d, least) = (half_at(bytes, 0), half_at(bytes, 2));
    let packed = &bytes[4..16];
    let (scale, minimum) = if part < 4 {
        (packed[part] & 63, packed[part + 4] & 63)
    } else {
        let (low, high) = (packed[part + 4], part - 4);
        ((low & 15) | ((packed[high] >> 6) << 4), (low >> 4) | ((packed[part] >> 6) << 4))
    };
    let start = if five { 48 } else { 16 } + part / 2 * 32;
    let q = std::array::from_fn(|i| {
        let nibble = if part.is_multiple_of(2) { bytes[start + i] & 15 } else { bytes[start + i] >> 4 };
        if five { nibble | (((bytes[16 + i] >> part) & 1) << 4) } else { nibble }
    });
    whole(q, d * f32::from(scale), -least * f32::from(minimum))
}

/// Q6_K: 128 bytes of low nibbles, 64 of high pairs, 16 signed scales, `d`; a scale for each 16 weights.
fn sixth(bytes: &[u8], part: usize) -> Block {
    let (half, quarter) = (part / 4, part % 4);
    let low = &bytes[half * 64 + (quarter % 2) * 32..][..32];
    let high = &bytes[128 + half * 32..][..32];
    let q = std::array::from_fn(|i| {
        let nibble = if quarter < 2 { low[i] & 15 } else { low[i] >> 4 };
        nibble | (((high[i] >> (2 * quarter)) & 3) << 4)
    });
    let d = half_at(bytes, 208);
    let scale: [f32; 2] = std::array::from_fn(|i| d * f32::from(bytes[192 + half * 8 + quarter * 2 + i] as i8));
    Block { q, scale, offset: scale.map(|scale| -32.0 * scale) }
}
