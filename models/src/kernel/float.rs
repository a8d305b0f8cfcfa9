//! Loops over floats, written once and compiled for each level.

use half::bf16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::level::Level;
use super::matrix::TILE;

/// Compiles a function of floats for each level. The function's first type parameter says whether multiply-add is one
/// instruction: where it is not, asking for it would be a call of a library.
macro_rules! leveled {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $inner:ident) => {
        $(#[$doc])*
        $visibility fn $name(level: $crate::kernel::level::Level, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($argument: $type),*) {
                $inner::<true>($($argument),*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
            fn avx512($($argument: $type),*) {
                $inner::<true>($($argument),*);
            }
            match level {
                $crate::kernel::level::Level::Portable => $inner::<{ cfg!(target_arch = "aarch64") }>($($argument),*),
                // SAFETY: the level says that the machine has it.
                #[cfg(target_arch = "x86_64")]
                $crate::kernel::level::Level::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernel::level::Level::Avx512Vnni => unsafe { avx512($($argument),*) },
            }
        }
    };
}
pub(super) use leveled;

/// `a · b + c`.
#[inline(always)]
pub(super) fn fma<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Halves to floats, as many as both have.
pub(super) fn widen(level: Level, bits: &[u16], wide: &mut [f32]) {
    match level {
        Level::Portable => bits.reinterpret_cast::<half::f16>().convert_to_f32_slice(wide),
        // SAFETY: the level says that the machine has it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512Vnni => unsafe { avx2::widen(bits, wide) },
    }
}

leveled! {
    /// Brain floats to floats, as many as both have.
    pub(super) fn widen_brain(brain: &[bf16], wide: &mut [f32]) = widen_brain_plainly
}

#[inline(always)]
fn widen_brain_plainly<const FUSED: bool>(brain: &[bf16], wide: &mut [f32]) {
    for (brain, wide) in brain.iter().zip(wide) {
        *wide = f32::from_bits(u32::from(brain.to_bits()) << 16);
    }
}

leveled! {
    /// `sums += weightsᵀ · input`.
    pub(super) fn dot(weights: &[[f32; TILE]], input: &[f32], sums: &mut [f32; TILE]) = dot_plainly
}

#[inline(always)]
fn dot_plainly<const FUSED: bool>(weights: &[[f32; TILE]], input: &[f32], sums: &mut [f32; TILE]) {
    let mut totals = [[0f32; TILE]; 2];
    let mut add = |which: usize, weights: &[f32; TILE], x: f32| {
        for row in 0..TILE {
            totals[which][row] = fma::<FUSED>(weights[row], x, totals[which][row]);
        }
    };
    let pairs = weights.len() / 2;
    for pair in 0..pairs {
        add(0, &weights[2 * pair], input[2 * pair]);
        add(1, &weights[2 * pair + 1], input[2 * pair + 1]);
    }
    if weights.len() % 2 == 1 {
        add(0, &weights[2 * pairs], input[2 * pairs]);
    }
    for row in 0..TILE {
        sums[row] += totals[0][row] + totals[1][row];
    }
}
