//! The engine's thread: loads, computes step by step, survives panics, and gives up in good order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::grammar::Grammars;
use crate::load::LoadError;
use crate::machine::Hold;
use crate::schedule::Class;

use super::admit::Call;
use super::answer::Events;
use super::batch::{Batch, Stepped};
use super::queue::Next;
use super::{EngineFault, Shared, State};

/// More panics than this within [`WINDOW`] are no accident.
const MAX_RESTARTS: usize = 5;
const WINDOW: Duration = Duration::from_secs(600);

/// A call in the line, and where its answer goes.
pub(super) struct Job {
    pub call: Call,
    pub class: Class,
    /// When the caller stops waiting.
    pub until: Option<Instant>,
    pub events: Events,
    pub span: tracing::Span,
}

type Ready = SyncSender<Result<(), LoadError>>;

/// Starts a thread that serves as the engine's `generation`th until the queue is closed and empty, and holds its memory as long
/// as it has weights and a cache. `ready` hears of the load.
pub(super) fn start(
    shared: &Arc<Shared>,
    generation: u64,
    (hold, ready): (Hold, Option<Ready>),
) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    let serve = move || {
        run(&shared, generation, ready);
        drop(hold);
    };
    std::thread::Builder::new().name("backstop-engine".to_owned()).stack_size(8 << 20).spawn(serve).map(|_| ())
}

fn run(shared: &Arc<Shared>, generation: u64, mut ready: Option<Ready>) {
    let _guard = Guard { shared, generation };
    let mut grammars = Grammars::new(Arc::clone(&shared.model.vocabulary));
    let mut restarts = Restarts::default();
    loop {
        let (cache_bytes, context) = (shared.cache_bytes as usize, shared.model.context_tokens.get());
        let loaded = (shared.loader.lock().unwrap_or_else(PoisonError::into_inner))();
        let loaded = loaded.and_then(|forward| Ok((forward.cache(cache_bytes, context)?, forward)));
        let (cache, forward) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                shared.status().state = State::Failed { why: error.to_string() };
                match ready.take() {
                    // Whoever waits for the first load gets the error, and handles it.
                    Some(ready) => {
                        let _ = ready.send(Err(error));
                    }
                    None => tracing::error!(%error, "the local model cannot be loaded again; it is given up"),
                }
                return;
            }
        };
        if !set_state(shared, generation, State::Ready) {
            return;
        }
        if let Some(ready) = ready.take() {
            // Nobody waits any more when the one who started us is gone; the queue is closed then.
            let _ = ready.send(Ok(()));
        }
        let mut batch = Batch::new(shared, forward.as_ref(), cache, generation);
        match serve(shared, &mut batch, &mut grammars) {
            Served::All | Served::Replaced => return,
            Served::UntilPanic => {}
        }
        drop(batch);
        drop(forward);
        if !restarts.allow(Instant::now()) {
            let why = format!("it crashed more than {MAX_RESTARTS} times within {} s", WINDOW.as_secs());
            tracing::error!(why, "the local model is given up");
            shared.status().state = State::Failed { why };
            return;
        }
        tracing::warn!("the local model crashed; it is loaded again");
    }
}

/// Whether the thread is still the engine's.
fn set_state(shared: &Shared, generation: u64, state: State) -> bool {
    let mut status = shared.status();
    let is_ours = status.generation == generation;
    if is_ours {
        status.state = state;
        status.progress_at = Instant::now();
    }
    is_ours
}

#[derive(Debug, PartialEq, Eq)]
enum Served {
    /// The queue is closed and empty.
    All,
    /// A step panicked.
    UntilPanic,
    /// Another thread is the engine now.
    Replaced,
}

fn serve(shared: &Shared, batch: &mut Batch<'_>, grammars: &mut Grammars) -> Served {
    let mut closed = false;
    loop {
        while !closed && batch.takes(shared.queue.next_class()) {
            let patience = if batch.is_empty() { shared.options.canary_every } else { Duration::ZERO };
            match shared.queue.pop(batch.free(), patience) {
                Next::Item(job) if job.events.is_closed() => {}
                // Not worth a look at its prompt.
                Next::Item(job) if job.until.is_some_and(|until| Instant::now() >= until) => {
                    tell(&job, EngineFault::OutOfTime);
                }
                Next::Item(job) => batch.accept(job, grammars),
                Next::Nothing if batch.is_empty() => batch.accept_canary(),
                Next::Nothing => break,
                Next::Closed => closed = true,
            }
            if !batch.is_empty() && shared.queue.next_class().is_none() {
                break;
            }
        }
        if batch.is_empty() {
            if closed {
                return Served::All;
            }
            continue;
        }
        match batch.step() {
            Stepped::On => {}
            Stepped::Panicked => {
                let why = "it crashed and is being loaded again; try once more".to_owned();
                if !set_state(shared, batch.generation(), State::Loading) {
                    return Served::Replaced;
                }
                batch.fail_all(&EngineFault::Failed { why });
                return Served::UntilPanic;
            }
            Stepped::Replaced => return Served::Replaced,
        }
    }
}

/// Runs what belongs to one caller, whose panic is that caller's only.
pub(super) fn guarded<T>(body: impl FnOnce() -> Result<T, EngineFault>) -> Result<T, EngineFault> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(EngineFault::Failed { why: "it crashed on the request".to_owned() }))
}

pub(super) fn tell(job: &Job, fault: EngineFault) {
    job.span.record("finish", "fault");
    // A caller who has gone need not hear it.
    let _ = job.events.try_send(Err(fault));
}

/// Ends an engine for good.
pub(super) fn abandon(shared: &Shared, why: String) {
    let mut status = shared.status();
    if !matches!(status.state, State::Failed { .. }) {
        status.state = State::Failed { why };
    }
    status.step_since = None;
    // Whom the thread was answering: its own end must not leave them waiting.
    let told = std::mem::take(&mut status.told);
    drop(status);
    for events in told.into_values() {
        // A caller who has gone need not hear it.
        let _ = events.try_send(Err(EngineFault::Stopped));
    }
    shared.queue.close();
    while let Next::Item(job) = shared.queue.pop(0, Duration::ZERO) {
        tell(&job, EngineFault::Stopped);
    }
}

/// Counts restarts in a sliding window.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    recent: Vec<Instant>,
}

impl Restarts {
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        self.recent.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        self.recent.push(now);
        self.recent.len() <= MAX_RESTARTS
    }
}

/// Whatever ends the thread that is the engine's, nobody waits for it: those in the line hear that the engine has stopped.
struct Guard<'a> {
    shared: &'a Shared,
    generation: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.shared.status().generation == self.generation {
            abandon(self.shared, "it was stopped".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_bounded_within_the_window() {
        let start = Instant::now();
        let mut restarts = Restarts::default();
        for second in 0..MAX_RESTARTS as u64 {
            assert!(restarts.allow(start + Duration::from_secs(second)));
        }
        assert!(!restarts.allow(start + Duration::from_secs(9)));
        assert!(restarts.allow(start + WINDOW + Duration::from_secs(10)));
    }
}
