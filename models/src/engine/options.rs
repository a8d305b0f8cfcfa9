//! How an engine is run: its bounds in calls, bytes, threads and time.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::device::Device;

/// How an engine is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// How many calls may wait while others are answered; half of it by batch calls, four fifths by standard ones. The next is
    /// [`super::EngineFault::Busy`].
    pub queue: usize,
    /// How many tokens the prompts of those that wait may have together, estimated by their bytes; the same parts of it for each
    /// class.
    pub queue_tokens: usize,
    /// What computes.
    pub device: Device,
    /// Threads to compute on, where that is the CPU; `None`: half of the cores, so that the rest of the process has the others.
    pub threads: Option<usize>,
    /// Allows less than the model's own context, to bound memory and the longest answer.
    pub context_tokens: Option<u32>,
    /// Bytes of keys and values that are kept; at least what one sequence of the whole context needs.
    pub cache_bytes: usize,
    /// Calls that are answered at once.
    pub running: usize,
    /// A call that would wait longer for its first token is [`super::EngineFault::Busy`].
    pub max_wait: Duration,
    /// A step that takes longer hangs: its callers are told, and the engine starts anew.
    pub step_limit: Duration,
    /// An engine that was idle so long draws a token, to prove that it can.
    pub canary_every: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            queue: 64,
            queue_tokens: 1 << 15,
            device: Device::Cpu,
            threads: None,
            context_tokens: None,
            cache_bytes: 512 << 20,
            running: 16,
            max_wait: Duration::from_secs(60),
            step_limit: Duration::from_secs(60),
            canary_every: Duration::from_secs(30),
        }
    }
}

impl EngineOptions {
    /// The threads that [`Self::threads`] comes to on this machine.
    pub fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.unwrap_or(cores / 2).clamp(1, cores)
    }
}
