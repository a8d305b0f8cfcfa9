//! Notices a step that hangs, tells its callers, and starts the engine on a new thread.
//!
//! The hung thread cannot be stopped; when it wakes it finds that it is not the newest any more, and ends without a word.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{EngineFault, Shared, State, worker};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(250);

/// Watches until the engine is gone.
pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    let watched = Arc::downgrade(shared);
    std::thread::Builder::new().name("backstop-watch".to_owned()).spawn(move || run(&watched)).map(|_| ())
}

fn run(watched: &Weak<Shared>) {
    let mut hangs = worker::Restarts::default();
    let mut told = false;
    loop {
        // Nothing can wake a watch but time: it looks for what does not happen.
        std::thread::park_timeout(EVERY);
        let Some(shared) = watched.upgrade() else { return };
        if matches!(shared.status().state, State::Failed { .. }) {
            return;
        }
        let loads = loads_long(&shared, Instant::now());
        if loads && !told {
            tracing::warn!("the local model is still being loaded again: does its disk answer?");
        }
        told = loads;
        if let Some(generation) = give_up(&shared, Instant::now()) {
            if !hangs.allow(Instant::now()) {
                let why = "it hung again and again".to_owned();
                tracing::error!(why, "the local model is given up");
                worker::abandon(&shared, why);
                return;
            }
            if let Err(why) = start_anew(&shared, generation) {
                tracing::error!(why, "the local model cannot be started anew; it is given up");
                worker::abandon(&shared, why);
                return;
            }
        }
    }
}

/// Whether it is being loaded again for longer than a step may take. Such a thread cannot be helped: a second one would wait
/// for the same files.
fn loads_long(shared: &Shared, now: Instant) -> bool {
    let status = shared.status();
    status.state == State::Loading && now.saturating_duration_since(status.progress_at) > shared.options.step_limit
}

/// The hung thread has the model's memory still: the next needs as much again.
fn start_anew(shared: &Arc<Shared>, generation: u64) -> Result<(), String> {
    let hold = shared.options.machine.memory.take(shared.held_bytes);
    let hold = hold.map_err(|short| format!("a step of it hangs, and a second copy {short}"))?;
    worker::start(shared, generation, (hold, None)).map_err(|error| format!("no thread could be started: {error}"))
}

/// Takes the engine from a thread whose step takes too long. The number of the next one.
fn give_up(shared: &Shared, now: Instant) -> Option<u64> {
    let mut status = shared.status();
    let since = status.step_since?;
    if now.saturating_duration_since(since) < shared.options.step_limit {
        return None;
    }
    status.generation += 1;
    status.step_since = None;
    status.state = State::Loading;
    status.load = Default::default();
    let told = std::mem::take(&mut status.told);
    let generation = status.generation;
    drop(status);
    tracing::warn!(calls = told.len(), "a step of the local model hangs; it is started anew");
    for events in told.into_values() {
        let why = "it hangs and is being started anew; try once more".to_owned();
        // A caller who has gone need not hear it.
        let _ = events.try_send(Err(EngineFault::Failed { why }));
    }
    Some(generation)
}
