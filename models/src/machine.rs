//! What all local models of a process share: its memory and its cores.
//!
//! Each model takes its memory before it is loaded and gives it back when its last thread has ended, so that the bound holds at
//! every moment. Each step takes a turn, so that models together compute on no more threads than one would.

mod limit;
mod memory;
mod needs;
mod turns;

pub use crate::kernel::{bound_candle, multiply_bytes, multiply_floats, read_words};
pub use limit::default_memory;
pub use memory::{Bytes, Hold, Memory, Short};
pub use needs::{Needs, divide};
pub(crate) use turns::{Seat, Turns};

/// Memory and turns; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    pub memory: Memory,
    pub(crate) turns: Turns,
}

impl Machine {
    /// With `bytes` of memory for all models.
    pub fn with_memory(bytes: u64) -> Self {
        Self { memory: Memory::of(bytes), turns: Turns::default() }
    }
}
