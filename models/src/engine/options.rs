//! How an engine is run: its bounds in calls, bytes, threads and time.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::batch::GUESSERS;
use super::{CHUNK, CHUNK_ALONE, SCORED};
use crate::device::Device;
use crate::kernel::BLOCK;
use crate::load::{Kind, Size};
use crate::machine::{Machine, Needs};

/// How an engine is run.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How many calls may wait while others are answered; half of it by batch calls, four fifths by standard ones. The next is
    /// [`super::EngineFault::Busy`].
    pub queue: usize,
    /// How many tokens the prompts of those that wait may have together, estimated by their bytes; the same parts of it for each
    /// class.
    pub queue_tokens: usize,
    /// What computes.
    pub device: Device,
    /// Threads to compute on, where that is the CPU, of all models that share `machine`; `None`: half of the cores, so that the
    /// rest of the process has the others.
    pub threads: Option<usize>,
    /// Allows less than the model's own context, to bound memory and the longest answer.
    pub context_tokens: Option<u32>,
    /// Bytes of keys and values that are kept, less where the memory is short; at least what one sequence of the whole
    /// context needs.
    pub cache_bytes: usize,
    /// Calls that are answered at once.
    pub running: usize,
    /// Tokens that an answer guesses ahead at most, from where its text said the like before; 0: none.
    pub lookup_tokens: usize,
    /// A call that would wait longer for its first token is [`super::EngineFault::Busy`].
    pub max_wait: Duration,
    /// A step that takes longer hangs: its callers are told, and the engine starts anew.
    pub step_limit: Duration,
    /// An engine that was idle so long draws a token, to prove that it can.
    pub canary_every: Duration,
    /// What it shares with other models.
    pub machine: Machine,
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
            lookup_tokens: 15,
            max_wait: Duration::from_secs(60),
            step_limit: Duration::from_secs(60),
            canary_every: Duration::from_secs(30),
            machine: Machine::default(),
        }
    }
}

impl EngineOptions {
    /// The threads that [`Self::threads`] comes to on this machine.
    pub fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.unwrap_or(cores / 2).clamp(1, cores)
    }

    /// What a model of this size needs when it is run so.
    pub fn needs(&self, size: &Size) -> Needs {
        match size.kind {
            Kind::Embeddings { batch } => {
                let loading = size.kept + size.loading;
                Needs { running: size.kept + batch, loading, ..Needs::default() }
            }
            Kind::Chat { block, context, logits, row, position, host } => {
                let context = self.context_tokens.map_or(context, |limit| context.min(limit as usize)).max(1);
                let positions = context as u64 * position;
                // What a GPU keeps in its own memory is not counted.
                let (kept, loading) = match self.device {
                    Device::Cpu => (size.kept + positions, size.loading),
                    Device::Cuda(_) => (host.kept, host.loading + positions),
                };
                let running = self.running.max(1) as u64;
                // Only the CPU's forward pass guesses.
                let lookup = if self.device == Device::Cpu { self.lookup_tokens as u64 } else { 0 };
                let guessed = running.min(GUESSERS as u64) * lookup;
                let rows = (CHUNK_ALONE as u64).max(CHUNK as u64 + running + guessed);
                // Each call weighs every token when it draws one.
                let working = rows * row + (SCORED as u64 + running + guessed) * logits + 3 * running * logits;
                Needs {
                    running: kept + working,
                    loading: kept + loading,
                    least_cache: context.div_ceil(BLOCK) as u64 * block,
                    wanted_cache: self.cache_bytes as u64,
                    cache_is_apart: self.device != Device::Cpu,
                }
            }
        }
    }
}
