//! The arithmetic of the local tier on a CPU: matrix products over quantized weights, attention over blocks of keys and
//! values, and the loops between them, on one pool of threads.
//!
//! The only place of this project with `unsafe` code. Which instructions are used is decided when the program runs
//! ([`Level`]); every level is tested against plain code. Nothing is allocated per token once buffers have grown.

#![expect(unsafe_code, reason = "vector instructions, output slices that threads share by parts, and candle's threads")]

mod activations;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod draw;
mod feed;
mod float;
mod foreign;
mod level;
mod limit;
mod matrix;
mod multiply;
mod ops;
mod pack;
mod pool;
mod portable;
#[cfg(test)]
mod samples;

pub(crate) use activations::Activations;
pub(crate) use attention::{Attend, BLOCK, KvStore, Run, Span, attend, runs, store};
pub(crate) use draw::{at_least, exponentials, highest};
pub(crate) use feed::feed;
pub use foreign::bound_candle;
#[cfg(test)]
pub(crate) use level::Level;
pub use limit::{multiply_bytes, multiply_floats, read_words};
pub(crate) use matrix::Matrix;
pub(crate) use multiply::multiply;
pub(crate) use ops::{Gate, Pairs, Rotary, absorb, add_bias, rms_norm_in_place, rotate};
pub(crate) use pack::Source;
pub(crate) use pool::Pool;
