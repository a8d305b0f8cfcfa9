//! Which local models fit the memory that they may have together, and with how large a cache.

use std::collections::{BTreeMap, HashMap};

use backstop_models::{
    engine::EngineOptions,
    machine::{Machine, Needs, Short, default_memory, divide},
};

use super::LocalModel;
use crate::config::{LocalTier, Settings};

/// The memory and the cores of this process's local models.
pub fn machine(local: &LocalTier) -> Machine {
    Machine::with_memory(local.memory_bytes.unwrap_or_else(default_memory))
}

/// How the config wants engines to be run: the same at the gate as in service.
pub fn engine_options(local: &LocalTier, machine: &Machine) -> EngineOptions {
    EngineOptions {
        queue: local.queue,
        queue_tokens: local.queue_tokens,
        max_wait: local.max_wait,
        running: local.running,
        device: local.device.choose().device,
        threads: local.threads,
        lookup_tokens: local.lookup_tokens,
        cache_bytes: local.cache_bytes,
        context_tokens: local.context_tokens,
        machine: machine.clone(),
        ..EngineOptions::default()
    }
}

/// What a model may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub cache_bytes: u64,
    /// With that cache.
    pub bytes: u64,
}

/// What each of `local` that `counts` may take of the memory, or what it lacks. Models of critical routes come first, then the order of
/// the config decides.
pub fn rooms(
    settings: &Settings,
    machine: &Machine,
    local: &HashMap<String, LocalModel>,
    counts: impl Fn(&str) -> bool,
) -> BTreeMap<String, Result<Room, Short>> {
    let options = engine_options(&settings.local, machine);
    let names = settings.local_models().into_iter().filter(|name| counts(name));
    let models: Vec<(&str, Needs)> =
        names.filter_map(|name| Some((name, options.needs(&local.get(name)?.size)))).collect();
    let needs: Vec<Needs> = models.iter().map(|(_, needs)| *needs).collect();
    let caches = divide(machine.memory.total(), &needs);
    let room = |(needs, cache): (Needs, u64)| Room { cache_bytes: cache, bytes: needs.with_cache(cache) };
    models
        .into_iter()
        .zip(caches)
        .map(|((name, needs), cache)| (name.to_owned(), cache.map(|cache| room((needs, cache)))))
        .collect()
}
