//! The engine's thread: serves calls in order, survives their panics, and gives up in good order.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::chat::Event;
use crate::grammar::Grammars;
use crate::load::{Forward, LoadError};

use super::admit::Call;
use super::answer::{self, Entropy, Outcome};
use super::{EngineFault, Loader, Shared, State, finish_name};

/// More panics than this within [`WINDOW`] are no accident.
const MAX_RESTARTS: usize = 5;
const WINDOW: Duration = Duration::from_secs(600);

/// A call in the line, and where its answer goes.
pub(super) struct Job {
    pub call: Call,
    /// When the caller stops waiting.
    pub until: Option<Instant>,
    pub events: mpsc::Sender<Result<Event, EngineFault>>,
    pub span: tracing::Span,
}

/// Serves until the queue is closed and empty. `ready` hears of the first load.
pub(super) fn run(shared: &Arc<Shared>, mut loader: Loader, ready: &SyncSender<Result<(), LoadError>>) {
    let _guard = Abandon(shared);
    let mut grammars = Grammars::new(Arc::clone(&shared.model.vocabulary));
    let mut restarts = Restarts::default();
    let mut told = false;
    loop {
        let mut forward = match loader() {
            Ok(forward) => forward,
            Err(error) => {
                shared.status().state = State::Failed { why: error.to_string() };
                if told {
                    tracing::error!(%error, "the local model cannot be loaded again; it is given up");
                } else {
                    // Whoever waits for the first load gets the error, and handles it.
                    let _ = ready.send(Err(error));
                }
                return;
            }
        };
        shared.status().state = State::Ready;
        if !std::mem::replace(&mut told, true) {
            // Nobody waits any more when the one who started us is gone; the queue is closed then.
            let _ = ready.send(Ok(()));
        }
        if serve(shared, forward.as_mut(), &mut grammars) == Served::All {
            return;
        }
        drop(forward);
        if !restarts.allow(Instant::now()) {
            let why = format!("it crashed more than {MAX_RESTARTS} times within {} s", WINDOW.as_secs());
            tracing::error!(why, "the local model is given up");
            shared.status().state = State::Failed { why };
            return;
        }
        tracing::warn!("the local model crashed; it is loaded again");
        shared.status().state = State::Loading;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Served {
    /// The queue is closed and empty.
    All,
    /// A call made the model panic.
    UntilPanic,
}

fn serve(shared: &Shared, forward: &mut dyn Forward, grammars: &mut Grammars) -> Served {
    while let Some(job) = shared.queue.pop() {
        if job.events.is_closed() {
            continue;
        }
        shared.pace().begin(Instant::now());
        let outcome = job.span.in_scope(|| serve_one(shared, &job, forward, grammars));
        shared.pace().end(Instant::now());
        match outcome {
            Ok(Outcome::Finished { finish, output_tokens }) => {
                job.span.record("output_tokens", output_tokens);
                job.span.record("finish", finish_name(&finish));
            }
            Ok(Outcome::Abandoned) => {
                job.span.record("finish", "abandoned");
            }
            Err(Trouble::Fault(fault)) => tell(&job, fault),
            Err(Trouble::Panic) => {
                shared.status().state = State::Loading;
                let why = "it crashed and is being loaded again; try once more".to_owned();
                tell(&job, EngineFault::Failed { why });
                return Served::UntilPanic;
            }
        }
    }
    Served::All
}

enum Trouble {
    Fault(EngineFault),
    /// The weights' state is unknown.
    Panic,
}

fn serve_one(
    shared: &Shared,
    job: &Job,
    forward: &mut dyn Forward,
    grammars: &mut Grammars,
) -> Result<Outcome, Trouble> {
    let entropy = Entropy { seed: random(), ids: random() };
    let now = OffsetDateTime::now_utc();
    // A panic here is the request's and has not touched the weights: nothing is loaded again, or one caller could keep
    // the engine loading.
    let prepared = catch_unwind(AssertUnwindSafe(|| answer::prepare(&job.call, &shared.model, grammars, now, entropy)))
        .unwrap_or_else(|_| Err(EngineFault::Failed { why: "it crashed on the request".to_owned() }))
        .map_err(Trouble::Fault)?;
    catch_unwind(AssertUnwindSafe(|| answer::generate(prepared, forward, shared, (&job.events, job.until))))
        .map_err(|_| Trouble::Panic)?
        .map_err(Trouble::Fault)
}

fn tell(job: &Job, fault: EngineFault) {
    job.span.record("finish", "fault");
    // A caller who has gone need not hear it.
    let _ = job.events.try_send(Err(fault));
}

/// Unpredictable, though not for secrets: the standard library keys each of its hashers from the system's randomness.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Counts restarts in a sliding window.
#[derive(Debug, Default)]
struct Restarts {
    recent: Vec<Instant>,
}

impl Restarts {
    fn allow(&mut self, now: Instant) -> bool {
        self.recent.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        self.recent.push(now);
        self.recent.len() <= MAX_RESTARTS
    }
}

/// Whatever ends the thread, nobody waits for it: the queue is closed, and those in it hear that the engine has stopped.
struct Abandon<'a>(&'a Shared);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        let mut status = self.0.status();
        if !matches!(status.state, State::Failed { .. }) {
            status.state = State::Failed { why: "it was stopped".to_owned() };
        }
        drop(status);
        self.0.queue.close();
        while let Some(job) = self.0.queue.pop() {
            tell(&job, EngineFault::Stopped);
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
