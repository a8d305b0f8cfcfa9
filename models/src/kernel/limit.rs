//! What this machine could do at best: a yardstick of plain loops, and for products of the instructions that they are made of.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi16, _mm256_maddubs_epi16, _mm256_set1_epi8, _mm512_dpbusd_epi32, _mm512_set1_epi8,
};
use std::hint::black_box;

use super::level::Level;

/// Independent sums: enough to hide an instruction's latency, few enough for the registers.
const SUMS: usize = 12;

/// As many floats as are multiplied at once.
const FLOATS: usize = 64;

/// Reads all of `words`, on this thread.
pub fn read_words(words: &[u64]) -> u64 {
    black_box(words.iter().fold(0, |sum, word| sum ^ word))
}

/// Multiplies floats and adds to them, on this thread, and says how many operations that were.
pub fn multiply_floats(rounds: u32) -> u64 {
    let mut values = black_box([1f32; FLOATS]);
    let (factor, term) = (black_box(0.999), black_box(0.001));
    for _ in 0..rounds {
        values.iter_mut().for_each(|value| *value = *value * factor + term);
    }
    black_box(values);
    u64::from(rounds) * 2 * FLOATS as u64
}

/// Multiplies bytes and adds the products up, on this thread, and says how many operations (a product and a sum are two) that were.
pub fn multiply_bytes(rounds: u32) -> u64 {
    run(Level::detect(), rounds)
}

fn run(level: Level, rounds: u32) -> u64 {
    let bytes = match level {
        Level::Portable => portable(rounds),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is here.
        Level::Avx2 => unsafe { avx2(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is here.
        Level::Avx512Vnni => unsafe { avx512(rounds) },
    };
    u64::from(rounds) * (SUMS * bytes * 2) as u64
}

/// Each says how many bytes it multiplies at once.
fn portable(rounds: u32) -> usize {
    let mut sums = black_box([[1i16; 8]; SUMS]);
    let factor = black_box(3i16);
    for _ in 0..rounds {
        for sum in sums.iter_mut().flatten() {
            *sum = sum.wrapping_mul(factor).wrapping_add(*sum);
        }
    }
    black_box(sums)[0].len()
}

/// # Safety
/// The machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(rounds: u32) -> usize {
    let factor = black_box(_mm256_set1_epi8(3));
    let mut sums = black_box([_mm256_set1_epi8(1); SUMS]);
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(*sum, factor));
        }
    }
    size_of_val(&black_box::<[__m256i; SUMS]>(sums)[0])
}

/// # Safety
/// The machine has AVX-512 F and VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn avx512(rounds: u32) -> usize {
    let factor = black_box(_mm512_set1_epi8(3));
    let mut sums = black_box([_mm512_set1_epi8(1); SUMS]);
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, *sum, factor);
        }
    }
    size_of_val(&black_box::<[__m512i; SUMS]>(sums)[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_two_for_each_byte_on_every_level() {
        for (level, bytes) in Level::all().into_iter().zip([8, 32, 64]).filter(|(level, _)| level.is_here()) {
            assert_eq!(run(level, 5), 5 * SUMS as u64 * 2 * bytes, "{level:?}");
        }
    }
}
