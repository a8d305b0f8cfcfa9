//! The product in plain code: what every other way to compute it is tested against, and what runs where none of them does.

use half::f16;

use super::activations::{GROUP, GROUP_LINES};
use super::matrix::{Integer, Line, TILE};
use super::multiply::{Expanded, Inputs, Piece, Sums};

/// Expands blocks of a tile: unsigned bytes, single-precision scales.
pub(super) fn expand(integer: &Integer, lines: &[Line], into: &mut Expanded) {
    let body = if integer.nibbles { 4 } else { 8 };
    for (block, lines) in lines.chunks_exact(integer.stride()).enumerate() {
        let q = &mut into.q[8 * block..8 * block + 8];
        if integer.nibbles {
            for line in 0..4 {
                q[line].0 = lines[line].0.map(|byte| byte & 15);
                q[line + 4].0 = lines[line].0.map(|byte| byte >> 4);
            }
        } else {
            q.copy_from_slice(&lines[..8]);
        }
        for half in 0..2 {
            let scales = &lines[body + if integer.halves { half } else { 0 }].0;
            let read = |at: usize| f16::from_le_bytes([scales[2 * at], scales[2 * at + 1]]).to_f32();
            into.scales[2 * block + half] = [std::array::from_fn(read), std::array::from_fn(|row| read(TILE + row))];
        }
    }
}

/// Adds the products of the expanded piece to `sums`.
pub(super) fn dot(piece: Piece<'_>, inputs: Inputs<'_>, sums: &mut [Sums], halves: bool) {
    for (row, Sums(sums)) in sums.iter_mut().enumerate() {
        let (first, place) = (row / GROUP * inputs.apart, row % GROUP);
        for block in 0..piece.blocks {
            let mut products = [[0i32; TILE]; 2];
            for line in 0..8 {
                let at = (line * GROUP + place) * 4;
                let a = &inputs.q[(first + block) * GROUP_LINES + at / 64].0[at % 64..][..4];
                let w = &piece.lines[8 * block + line].0;
                for (row, sum) in products[line / 4].iter_mut().enumerate() {
                    *sum += (0..4).map(|i| i32::from(w[4 * row + i]) * i32::from(a[i] as i8)).sum::<i32>();
                }
            }
            let scales = &inputs.scales[first + block];
            let scale = scales.scale[place];
            if halves {
                for (half, products) in products.iter().enumerate() {
                    let [d, offset] = &piece.scales[2 * block + half];
                    for row in 0..TILE {
                        sums[row] +=
                            products[row] as f32 * (d[row] * scale) + offset[row] * scales.half_sum[half][place];
                    }
                }
            } else {
                let [d, offset] = &piece.scales[2 * block];
                for row in 0..TILE {
                    let product = products[0][row] + products[1][row];
                    sums[row] += product as f32 * (d[row] * scale) + offset[row] * scales.sum[place];
                }
            }
        }
    }
}
