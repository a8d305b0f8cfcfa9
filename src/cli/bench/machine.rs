//! What this machine could do at best: bytes from memory, products of bytes, and multiplications and additions of floats.
//!
//! Loops on as many threads as the engine has: a yardstick on the same machine and in the same minute, not a record. Products are
//! made with the instructions that the engine's are made with.

use std::time::Duration;

use backstop_models::machine::{multiply_bytes, multiply_floats, read_words};
use serde::Serialize;

use crate::clock;

/// Larger than the last-level caches of nearly all machines.
const BUFFER_BYTES: usize = 256 << 20;
const PASSES: usize = 3;
const FLOAT_ROUNDS: u32 = 4_000_000;
const BYTE_ROUNDS: u32 = 40_000_000;

/// Measured limits.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Limits {
    pub memory_gb_per_second: f64,
    pub gflop_per_second: f64,
    /// Of products of bytes and their sums, which weights are multiplied in.
    pub byte_gop_per_second: f64,
}

/// Measures all on `threads` threads: half a second each.
pub(super) fn limits(threads: usize) -> Limits {
    let words = BUFFER_BYTES / 8 / threads;
    // The pages are made and filled outside of what is timed.
    let buffers: Vec<Vec<u64>> = (0..threads).map(|_| vec![1u64; words]).collect();
    let reading = best(|| {
        std::thread::scope(|scope| {
            for buffer in &buffers {
                scope.spawn(|| read_words(buffer));
            }
        });
    });
    Limits {
        memory_gb_per_second: (words * threads * 8) as f64 / reading.as_secs_f64() / 1e9,
        gflop_per_second: giga_per_second(threads, || multiply_floats(FLOAT_ROUNDS)),
        byte_gop_per_second: giga_per_second(threads, || multiply_bytes(BYTE_ROUNDS)),
    }
}

/// Thousands of millions of what `work` does, on all threads.
fn giga_per_second(threads: usize, work: impl Fn() -> u64 + Sync) -> f64 {
    let mut done = 0;
    let took = best(|| {
        done = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
            // A thread that ends early has done nothing that counts.
            threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
        });
    });
    done as f64 / took.as_secs_f64() / 1e9
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
