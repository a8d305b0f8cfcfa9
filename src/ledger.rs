//! One row per call, whatever crashes: a call is in the local journal before its last byte leaves, and in the database
//! soon after.
//!
//! A crash of the process loses nothing that was recorded, a power loss at most the last 100 ms. A database outage
//! costs disk space up to [`Bounds::journal_bytes`], a full disk memory up to [`Bounds::buffer_rows`]; past both,
//! [`Ledger::record`] says so, and before that [`Ledger::takes_calls`]. No call is ever counted twice: its id is the
//! key, and only a final row takes the place of an open one.

mod journal;
mod keeper;
mod line;
mod segment;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::sync::{Notify, watch};

use crate::{
    clock,
    config::StateDir,
    domain::Outcome,
    store::{Dimension, Store, StoreError, UsageFilter, UsageRow},
};
use journal::Journal;
use keeper::{Keeper, Progress};

/// How often what was written is synced to disk, retried from memory, and handed to the database.
const TICK: Duration = Duration::from_millis(50);

/// A handle to the ledger; cheap to clone. The work behind it ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Ledger {
    journal: Arc<Journal>,
    store: Store,
    progress: watch::Receiver<Progress>,
    /// Dropped with the last handle, which ends the journal's thread.
    _alive: mpsc::Sender<()>,
}

/// What the ledger may use while it cannot store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Disk space for calls that the database has not taken.
    pub journal_bytes: u64,
    /// Calls in memory that the disk has not taken, and their bytes. New calls are turned away at half of either.
    pub buffer_rows: usize,
    pub buffer_bytes: usize,
}

impl Default for Bounds {
    /// 2 GiB on disk (some two million calls); 16,384 calls or 16 MiB in memory.
    fn default() -> Self {
        Self { journal_bytes: 2 << 30, buffer_rows: 16_384, buffer_bytes: 16 << 20 }
    }
}

/// How the ledger is, for `/readyz` and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The last write to the journal went well.
    pub journal_ok: bool,
    /// Rows that wait in memory because the journal could not be written.
    pub buffered: usize,
    /// Rows recorded by this process that are not in the database yet.
    pub lag_rows: u64,
    /// The last batch reached the database.
    pub db_ok: bool,
}

/// The ledger cannot take a call over, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "the journal cannot be written and {buffered} calls wait in memory; free disk space under the state directory"
    )]
    Full { buffered: usize },
    #[error("the journal {path} cannot be used; mend its permissions or free disk space")]
    Journal { path: PathBuf, source: io::Error },
    #[error("a call cannot be written as JSON")]
    Unwritable { source: serde_json::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Ledger {
    /// Starts this process's journal in `state` and what carries it into `store`, with the default [`Bounds`]. What
    /// earlier processes left is stored in the background. Needs a tokio runtime.
    pub async fn open(state: &StateDir, store: Store) -> Result<Self, LedgerError> {
        Self::with_bounds(state, store, Bounds::default())
    }

    pub fn with_bounds(state: &StateDir, store: Store, bounds: Bounds) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::Journal { path: state.journal(), source };
        let journal = Arc::new(Journal::open(&state.journal(), bounds).map_err(failed)?);
        let wake = Arc::new(Notify::new());
        let (progress, seen) = watch::channel(Progress { db_ok: true, swept: false });
        let (alive, ended) = mpsc::channel();
        thread::Builder::new()
            .name("ledger-journal".to_owned())
            .spawn({
                let (journal, wake) = (Arc::clone(&journal), Arc::clone(&wake));
                move || tend(&journal, &wake, &ended)
            })
            .map_err(failed)?;
        tokio::spawn(Keeper { journal: Arc::clone(&journal), store: store.clone(), wake, progress }.run());
        Ok(Self { journal, store, progress: seen, _alive: alive })
    }

    /// Takes a call over: one `write(2)`, no waiting. After an `Err` the call is nowhere.
    pub fn record(&self, outcome: &Outcome) -> Result<(), LedgerError> {
        self.journal.record(outcome)
    }

    /// Whether new calls may be admitted; `false` while there is only room for those under way.
    pub fn takes_calls(&self) -> bool {
        self.journal.takes_calls()
    }

    /// The name under which the database keeps what this process tells.
    pub fn owner(&self) -> Arc<str> {
        Arc::clone(self.journal.owner())
    }

    pub fn health(&self) -> Health {
        Health {
            journal_ok: !self.journal.is_failing(),
            buffered: self.journal.buffered(),
            lag_rows: self.journal.lag_rows(),
            db_ok: self.progress.borrow().db_ok,
        }
    }

    /// Waits until everything recorded so far, and what earlier processes left, is in the database; `false` when
    /// `deadline` passed first. The journal keeps the rest for the next start.
    pub async fn close(&self, deadline: Duration) -> bool {
        let drained = async {
            let mut progress = self.progress.clone();
            while !(progress.borrow_and_update().swept && self.journal.is_drained()) {
                // The keeper tells of each round; a tick covers what it does not tell.
                let _ = tokio::time::timeout(TICK, progress.changed()).await;
            }
        };
        tokio::time::timeout(deadline, drained).await.is_ok()
    }

    /// Sums over what is stored, grouped and ordered by `group_by`.
    pub async fn usage(&self, filter: &UsageFilter, group_by: &[Dimension]) -> Result<Vec<UsageRow>, LedgerError> {
        Ok(self.store.usage(filter, group_by).await?)
    }
}

/// Stores what live and dead journals in `state` hold, without deleting anything: after it, `store` has every call that
/// was answered so far. For readers that are not the server.
pub async fn catch_up(state: &StateDir, store: &Store) -> Result<(), LedgerError> {
    keeper::copy_all(&state.journal(), store).await
}

/// The journal's thread: sync, retry, rotate, until no handle is left.
fn tend(journal: &Journal, wake: &Notify, ended: &mpsc::Receiver<()>) {
    let mut was_well = true;
    loop {
        let stop = ended.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Disconnected);
        journal.retry();
        let done = journal.sync().and_then(|()| if stop { Ok(false) } else { journal.rotate(clock::now()) });
        if let (true, Err(error)) = (was_well, &done) {
            tracing::error!(%error, "the ledger's journal cannot be synced or rotated");
        }
        was_well = done.is_ok();
        // Also when nothing was rotated: a call may have been writing when the segment was.
        wake.notify_one();
        if stop {
            return;
        }
    }
}
