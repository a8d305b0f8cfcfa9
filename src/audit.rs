//! The audit log: every governance act stands in it before it takes effect, and a change to what was said is found.
//!
//! Acts in the database take a [`crate::store::Record`] into their own transaction. All others are told here, to
//! [`Audit::record`]: into the database, or while that is away into a local journal ([`pending`]) that is synced before the act
//! takes effect and carried over later, in order, each entry once. The tree's root is signed ([`checkpoint`]) and published off
//! the host ([`publish`]), because whoever holds database and key can rewrite what nobody else has seen.

mod checkpoint;
mod export;
mod key;
mod pending;
mod proof;
mod publish;
#[cfg(test)]
mod tests;
mod verify;
mod witness;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use export::{ExportError, Personal, read_export, write_export};
pub use key::{KeyError, LogKey, PublicKey};
pub use pending::{Pending, PendingError};
pub use proof::{ProofError, in_base64};
pub use publish::{Publisher, Unsigned, sign};
pub use verify::{Fault, Verdict, Verifier, verify_live};
pub use witness::WitnessKey;

use std::{
    fmt::Display,
    fs::File,
    future::Future,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{StateDir, create_private},
    domain::{Act, Action, Actor, Stage},
    store::{Record, Store, StoreError},
};

/// A handle to the log; cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    log: Arc<Log>,
}

#[derive(Debug)]
struct Log {
    dir: PathBuf,
    /// `None`: the database could not be opened at all.
    store: Option<Store>,
    pending: Pending<Record>,
}

/// Where an entry is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    InDatabase,
    /// In the local journal, on disk.
    InJournal,
}

/// An act cannot be recorded, so it must not take effect.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("the act cannot be recorded in the audit log, so it was not done")]
    NotRecorded(#[from] PendingError),
    #[error("the audit log's directory {path} cannot be used; mend its permissions or free disk space")]
    Directory { path: PathBuf, source: io::Error },
}

impl Audit {
    /// The log in `state`. Without a `store`, because the database cannot be opened now, everything goes to the journal.
    pub fn open(state: &StateDir, store: Option<Store>) -> Result<Self, AuditError> {
        let dir = state.audit();
        create_private(&dir).map_err(|source| AuditError::Directory { path: dir.clone(), source })?;
        let pending = Pending::open(&dir.join("pending"))?;
        Ok(Self { log: Arc::new(Log { dir, store, pending }) })
    }

    /// Writes `act` down, durably; only then may it take effect.
    pub async fn record(&self, act: &Act) -> Result<Kept, AuditError> {
        self.keep(&Record::of(act)).await
    }

    /// As [`Self::record`], without waiting for the database: one synced write to the local journal, which is carried over within a
    /// second. For what must not wait, and for threads that may block.
    pub fn record_now(&self, act: &Act) -> Result<(), AuditError> {
        Ok(self.put(&Record::of(act))?)
    }

    /// Records that `act` begins, runs `effect`, and where that fails records that too.
    pub async fn around<T, E>(&self, act: Act, effect: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        E: Display + From<AuditError>,
    {
        let begun = Record::of(&act.clone().stage(Stage::Begun));
        self.keep(&begun).await?;
        let done = effect.await;
        if let Err(error) = &done {
            let mut failed = act.stage(Stage::Failed).reason(error.to_string());
            failed.of = Some(begun.id);
            if let Err(error) = self.record(&failed).await {
                tracing::error!(error = &error as &dyn std::error::Error, "that an act failed is not in the audit log");
            }
        }
        done
    }

    /// Carries what waits in the journal into the database; how many entries that were.
    pub async fn reconcile(&self) -> Result<usize, StoreError> {
        match &self.log.store {
            Some(store) if !self.log.pending.is_empty() => self.carry(store, None).await,
            _ => Ok(0),
        }
    }

    /// How many entries wait in the journal.
    pub fn waiting(&self) -> usize {
        self.log.pending.count()
    }

    pub fn dir(&self) -> &Path {
        &self.log.dir
    }

    /// `None`: the database could not be opened.
    pub fn store(&self) -> Option<&Store> {
        self.log.store.as_ref()
    }

    fn put(&self, record: &Record) -> Result<(), PendingError> {
        self.log.pending.put(&record.id, record)
    }

    async fn keep(&self, record: &Record) -> Result<Kept, AuditError> {
        if let Some(store) = &self.log.store {
            match self.carry(store, Some(record)).await {
                Ok(_) => return Ok(Kept::InDatabase),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the database takes no audit entry; it goes to the local journal");
                }
            }
        }
        self.put(record)?;
        Ok(Kept::InJournal)
    }

    /// Puts what waits, and then `more`, into the database in one transaction; only after that the journal forgets. An answer that was
    /// lost on the way costs nothing: an entry that is there already is not stored again.
    async fn carry(&self, store: &Store, more: Option<&Record>) -> Result<usize, StoreError> {
        let waiting = self.log.pending.read();
        let count = waiting.len();
        let mut records = Vec::with_capacity(count + 1);
        let mut names = Vec::with_capacity(count);
        for (name, found) in waiting {
            records.push(found.unwrap_or_else(|| damaged(&name)));
            names.push(name);
        }
        records.extend(more.cloned());
        store.audit_append(records).await?;
        for name in &names {
            self.log.pending.forget(name);
        }
        Ok(count)
    }
}

/// What stands in the log for an entry that the disk lost: its own id, so that it too is stored once.
fn damaged(name: &str) -> Record {
    let act = Act::new(Actor::gateway(), Action::AuditDamaged, ("pending_entry", name));
    let act =
        act.reason("an entry that waited for the database was damaged on disk; the file was put aside as NAME.damaged");
    Record::with_id(&act, format!("damaged-{name}"))
}

/// Keeps other processes of this installation out of what is not the database's, until it is dropped.
fn lock(dir: &Path) -> io::Result<File> {
    let path = dir.join("lock");
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.lock()?;
    Ok(file)
}
