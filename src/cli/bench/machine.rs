//! What this machine could do at best: bytes from memory, and multiplications and additions of floats.
//!
//! Plain loops on as many threads as the engine has: a yardstick on the same machine and in the same minute, not a record.

use std::{hint::black_box, time::Duration};

use serde::Serialize;

use crate::clock;

/// Larger than the last-level caches of nearly all machines.
const BUFFER_BYTES: usize = 256 << 20;
const PASSES: usize = 3;
const FLOAT_ROUNDS: usize = 4_000_000;
const LANES: usize = 64;

/// Measured limits.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Limits {
    pub memory_gb_per_second: f64,
    pub gflop_per_second: f64,
}

/// Measures both on `threads` threads: half a second each.
pub(super) fn limits(threads: usize) -> Limits {
    let words = BUFFER_BYTES / 8 / threads;
    // The pages are made and filled outside of what is timed.
    let buffers: Vec<Vec<u64>> = (0..threads).map(|_| vec![1u64; words]).collect();
    let reading = best(|| {
        std::thread::scope(|scope| {
            for buffer in &buffers {
                scope.spawn(|| black_box(buffer.iter().fold(0u64, |sum, word| sum.wrapping_add(*word))));
            }
        });
    });
    let computing = best(|| {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut values = [1.0f32; LANES];
                    let (factor, term) = (black_box(0.999_f32), black_box(0.001_f32));
                    for _ in 0..FLOAT_ROUNDS {
                        for value in &mut values {
                            *value = *value * factor + term;
                        }
                    }
                    black_box(values)
                });
            }
        });
    });
    Limits {
        memory_gb_per_second: (words * threads * 8) as f64 / reading.as_secs_f64() / 1e9,
        gflop_per_second: (2 * FLOAT_ROUNDS * LANES * threads) as f64 / computing.as_secs_f64() / 1e9,
    }
}

fn best(mut work: impl FnMut()) -> Duration {
    let times = (0..PASSES).map(|_| {
        let start = clock::now();
        work();
        clock::now() - start
    });
    times.min().unwrap_or_default().max(Duration::from_nanos(1))
}

/// The most memory that this process had resident so far.
pub(super) fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
