//! Carries the journal into the database: this process's retired segments, and what dead processes left.
//!
//! A segment is deleted only after the commit that stored it. While the database is away everything stays where it is
//! and is tried again, ever less often.

use std::{io, sync::Arc, time::Duration};

use tokio::sync::{Notify, watch};

use super::{
    journal::Journal,
    line::Contents,
    segment::{self, Dead},
};
use crate::store::{Journaled, Store, StoreError};

/// How often the journal is searched for what processes left that died meanwhile.
const SWEEP: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) journal: Arc<Journal>,
    pub(super) store: Store,
    /// Told when a segment was retired.
    pub(super) wake: Arc<Notify>,
    pub(super) progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) db_ok: bool,
    /// What earlier processes left has been stored.
    pub(super) swept: bool,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the journal cannot be read")]
    Journal(#[from] io::Error),
    #[error("calls cannot be stored")]
    Store(#[from] StoreError),
}

impl Keeper {
    /// Runs until nobody holds the ledger any more.
    pub(super) async fn run(self) {
        let mut pause = FIRST_RETRY;
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                () = self.wake.notified() => {}
                _ = sweep.tick() => self.progress.send_modify(|progress| progress.swept = false),
                () = self.progress.closed() => return,
            }
            while let Err(trouble) = self.carry().await {
                let was_well = self.progress.borrow().db_ok;
                if was_well {
                    tracing::error!(error = &trouble as &dyn std::error::Error, "calls wait in the journal");
                }
                self.progress.send_modify(|progress| progress.db_ok = false);
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LAST_RETRY),
                    () = self.progress.closed() => return,
                }
            }
            pause = FIRST_RETRY;
            if !self.progress.borrow().db_ok {
                tracing::info!("calls are stored again");
            }
            self.progress.send_modify(|progress| *progress = Progress { db_ok: true, swept: true });
        }
    }

    async fn carry(&self) -> Result<(), Trouble> {
        self.carry_own().await?;
        if !self.progress.borrow().swept {
            let dir = self.journal.dir().to_owned();
            for dead in blocking(move || segment::dead(&dir)).await? {
                bury(&self.store, dead).await?;
                self.carry_own().await?;
            }
        }
        Ok(())
    }

    async fn carry_own(&self) -> Result<(), Trouble> {
        while let Some(segment) = self.journal.oldest_retired() {
            let mut contents = {
                let segment = Arc::clone(&segment);
                blocking(move || segment.read()).await?
            };
            let rows = contents.calls.len();
            self.store.put_calls(of_journal(&mut contents, self.journal.owner())).await?;
            warn_of_losses(segment.path(), &contents);
            segment::retire(segment.path(), &contents)?;
            self.journal.forget_oldest(rows);
        }
        Ok(())
    }
}

/// Stores what a dead process left, ends its open calls, and deletes its files.
async fn bury(store: &Store, dead: Dead) -> Result<(), Trouble> {
    let mut stored = 0;
    for path in &dead.segments {
        let contents = {
            let path = path.clone();
            blocking(move || segment::read(&path)).await?
        };
        let Some(mut contents) = contents else { continue };
        stored += contents.calls.len();
        store.put_calls(of_journal(&mut contents, &dead.owner)).await?;
        warn_of_losses(path, &contents);
        segment::retire(path, &contents)?;
    }
    let interrupted = store.interrupt_open(&dead.owner).await?;
    tracing::info!(owner = &*dead.owner, stored, interrupted, "took over the journal of an earlier process");
    Ok(dead.forget()?)
}

/// Stores what the journal in `dir` holds, whoever writes it, and leaves the files alone.
pub(super) async fn copy_all(dir: &std::path::Path, store: &Store) -> Result<(), super::LedgerError> {
    let journal = |source| super::LedgerError::Journal { path: dir.to_owned(), source };
    let segments = match segment::all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        segments => segments.map_err(journal)?,
    };
    for (owner, path) in segments {
        let Some(mut contents) = blocking(move || segment::read(&path)).await.map_err(journal)? else { continue };
        if !contents.calls.is_empty() {
            store.put_calls(of_journal(&mut contents, &owner)).await?;
        }
    }
    Ok(())
}

/// Takes the calls out of what was read.
fn of_journal(contents: &mut Contents, owner: &Arc<str>) -> Vec<Journaled> {
    let calls = std::mem::take(&mut contents.calls);
    calls.into_iter().map(|outcome| Journaled { outcome, journal: Arc::clone(owner) }).collect()
}

fn warn_of_losses(path: &std::path::Path, contents: &Contents) {
    if contents.torn > 0 {
        tracing::warn!(path = %path.display(), lines = contents.torn, "lines of the journal were not written whole");
    }
    if contents.unknown > 0 {
        tracing::error!(
            path = %path.display(), lines = contents.unknown,
            "another version of this program wrote these lines; the file is kept beside the journal"
        );
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
}
