//! One row per call, whatever crashes: a call is written to the local journal before its last byte leaves.

use std::time::Duration;

use crate::{config::StateDir, domain::Outcome, store::Store};

/// A handle to the ledger; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {}

/// How the ledger is, for `/readyz` and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The last write to the journal went well.
    pub journal_ok: bool,
    /// Rows that wait in memory because the journal could not be written.
    pub buffered: usize,
    /// Rows in the journal (or in memory) that are not in the database yet.
    pub lag_rows: u64,
    /// The last batch reached the database.
    pub db_ok: bool,
}

/// The ledger cannot take a call over.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "the journal cannot be written and {buffered} calls wait in memory; free disk space under the state directory"
    )]
    Full { buffered: usize },
}

impl Ledger {
    /// Starts this process's journal in `state` and the task that carries it into `store`. Needs a tokio runtime.
    pub async fn open(state: &StateDir, store: Store) -> Result<Self, LedgerError> {
        let _ = (state, store);
        todo!()
    }

    /// Takes a call over: one `write(2)`, no waiting. An `Err` means that it is nowhere: refuse new calls.
    pub fn record(&self, outcome: &Outcome) -> Result<(), LedgerError> {
        let _ = outcome;
        todo!()
    }

    /// Whether [`Self::record`] would refuse: cheap enough to ask for every call.
    pub fn is_full(&self) -> bool {
        todo!()
    }

    pub fn health(&self) -> Health {
        todo!()
    }

    /// Carries what was recorded into the database; `false` when `deadline` passed first (the journal keeps the rest).
    pub async fn close(&self, deadline: Duration) -> bool {
        let _ = deadline;
        todo!()
    }
}
