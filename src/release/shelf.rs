//! Where the book of releases is kept: in the database, with a copy in the state directory for when that is away.
//!
//! `releases/book.json` is the last that was read of the database; `releases/pending/` holds acts that could not wait for it, each one
//! file with its audit entry, on disk before it takes effect and carried over later, once. Any process of the installation may do
//! both. Whoever watches the directory hears of every act at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::book::{Book, Deed, UnreadableAct};
use crate::{
    audit::{Pending, PendingError},
    clock,
    config::{StateDir, create_private},
    domain::{Act, Action, Actor, RouteId},
    store::{Record, ReleaseRow, Store, StoreError},
};

/// How long the database may take before its copy counts.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Of how many acts it is remembered when their traffic had shifted.
const MOST_SHIFTS: usize = 1000;

#[derive(Debug)]
pub struct Shelf {
    dir: PathBuf,
    /// `None`: the database cannot be opened.
    store: Option<Store>,
    pending: Pending<Carried>,
    /// Held while a file is replaced: two tasks must not fill one new file.
    writing: Mutex<()>,
}

/// What is known now.
#[derive(Debug, Clone)]
pub struct Known {
    pub book: Book,
    /// The last act that the database has; `None`: it is away, and this is the last good copy of it.
    pub mark: Option<i64>,
}

#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    #[error("the releases' directory {path} cannot be used; mend its permissions or free disk space")]
    Directory { path: PathBuf, source: io::Error },
    #[error("the act cannot be put down, so it was not done")]
    NotKept(#[from] PendingError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unreadable(#[from] UnreadableAct),
    #[error("the database is away: only a rollback is done without it; try again when it is back")]
    Away,
    #[error("somebody else acted on releases at the same moment; look at `release status` and try again")]
    Overtaken,
    #[error("an act cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// An act that waits for the database.
#[derive(Debug, Serialize, Deserialize)]
struct Carried {
    rows: Vec<ReleaseRow>,
    entry: Record,
}

/// The copy.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Copy {
    mark: i64,
    acts: Vec<ReleaseRow>,
}

impl Shelf {
    /// Makes nothing that is not needed: a full disk is no reason not to know the releases.
    pub fn open(state: &StateDir, store: Option<Store>) -> Self {
        let dir = state.releases();
        if let Err(error) = create_private(&dir) {
            tracing::warn!(%error, dir = %dir.display(), "the releases' directory cannot be made; nothing can be changed yet");
        }
        let pending = Pending::at(&dir.join("pending"));
        Self { dir, store, pending, writing: Mutex::new(()) }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is known: the database's acts or their last good copy, and what waits on top.
    pub async fn read(&self) -> Result<Known, ShelfError> {
        let waiting = self.pending.read();
        let (rows, mark) = match self.stored().await {
            Ok(copy) => (copy.acts, Some(copy.mark)),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the database does not tell of releases");
                (self.copy()?.acts, None)
            }
        };
        Ok(Known { book: with(&rows, waiting)?, mark })
    }

    /// The last good copy and what waits: without the database, so at once.
    pub fn read_now(&self) -> Result<Known, ShelfError> {
        let waiting = self.pending.read();
        Ok(Known { book: with(&self.copy()?.acts, waiting)?, mark: None })
    }

    /// Puts `deeds` down as one act with one audit entry, in one transaction, if nothing was done since `known` was read.
    pub async fn keep(&self, known: &Known, deeds: Vec<(RouteId, Deed)>, act: &Act) -> Result<(), ShelfError> {
        let (Some(store), Some(mark)) = (&self.store, known.mark) else { return Err(ShelfError::Away) };
        self.reconcile().await?;
        let entry = Record::of(act);
        let rows = rows(deeds, &entry)?;
        if !store.release_append(rows, Some(mark), entry).await? {
            return Err(ShelfError::Overtaken);
        }
        self.refresh().await;
        Ok(())
    }

    /// Puts an act down that must not wait for the database: one synced file.
    pub fn keep_now(&self, deeds: Vec<(RouteId, Deed)>, act: &Act) -> Result<(), ShelfError> {
        let entry = Record::of(act);
        let id = entry.id.clone();
        let carried = Carried { rows: rows(deeds, &entry)?, entry };
        Ok(self.pending.put(&id, &carried)?)
    }

    /// Carries over what waits; how many acts that were.
    pub async fn reconcile(&self) -> Result<usize, ShelfError> {
        let Some(store) = &self.store else { return Ok(0) };
        // What waits follows upon what was there.
        self.refresh().await;
        let mut count = 0;
        for (name, carried) in self.pending.read() {
            if let Some(Carried { rows, entry }) = carried {
                store.release_append(rows, None, entry).await?;
                count += 1;
            } else {
                tracing::error!(act = name, "an act on releases was damaged on disk; it is put aside as NAME.damaged");
            }
            // The copy first: without file and copy the act would be gone for whoever reads while the database is away.
            self.refresh().await;
            self.pending.forget(&name);
        }
        Ok(count)
    }

    /// Notes when an act's traffic had shifted. It is for people to look at: that it cannot be written costs only that.
    pub fn note_shift(&self, id: &str, at_unix_ms: i64) {
        let mut shifts = self.shifts();
        shifts.insert(id.to_owned(), at_unix_ms);
        while shifts.len() > MOST_SHIFTS {
            shifts.pop_first();
        }
        let written =
            serde_json::to_vec(&shifts).map_err(io::Error::other).and_then(|json| self.write("shifts.json", &json));
        if let Err(error) = written {
            tracing::debug!(%error, "when the traffic shifted cannot be noted");
        }
    }

    /// When the traffic of the latest acts had shifted, by their ids.
    pub fn shifts(&self) -> BTreeMap<String, i64> {
        let read = fs::read(self.dir.join("shifts.json")).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Takes room for acts that must be put down on a full disk.
    pub fn spare(&self) {
        self.pending.spare();
    }

    /// How many acts wait for the database.
    pub fn waiting(&self) -> usize {
        self.pending.count()
    }

    /// The last act's number; cheap.
    pub async fn mark(&self) -> Option<i64> {
        let store = self.store.as_ref()?;
        tokio::time::timeout(PATIENCE, store.release_mark()).await.ok()?.ok()
    }

    /// Brings the copy up to the database; and the database up to the copy, where it was replaced or set back: no route forgets by that
    /// what serves it.
    pub async fn refresh(&self) {
        // Read before the database: what others do meanwhile is there, and not only here. One that cannot be read is made anew.
        let there = self.copy().unwrap_or_default();
        let Ok(mut stored) = self.stored().await else { return };
        if there == stored {
            return;
        }
        let lacks = there
            .acts
            .into_iter()
            .filter(|act| !stored.acts.iter().any(|known| known.id == act.id))
            .collect::<Vec<_>>();
        if !lacks.is_empty() {
            match self.restore(lacks, stored.mark).await {
                Ok(restored) => stored = restored,
                Err(error) => {
                    return tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "acts on releases are not in the database any more, and cannot be put back yet"
                    );
                }
            }
        }
        if let Err(error) =
            serde_json::to_vec(&stored).map_err(io::Error::other).and_then(|json| self.write("book.json", &json))
        {
            tracing::warn!(%error, "the copy of the releases cannot be written; a rollback without the database would not know the last acts");
        }
    }

    /// Puts acts back that the database had; what it has then.
    async fn restore(&self, acts: Vec<ReleaseRow>, mark: i64) -> Result<Copy, ShelfError> {
        let Some(store) = &self.store else { return Err(ShelfError::Away) };
        let routes: BTreeSet<&str> = acts.iter().map(|act| act.route.as_str()).collect();
        tracing::error!(
            acts = acts.len(),
            ?routes,
            "the database lacks acts on releases that its copy has: it was replaced or set back; they are put back"
        );
        let act = Act::new(Actor::gateway(), Action::ReleaseRecord, ("releases", "copy"))
            .after(json!({ "put_back": acts.len(), "routes": routes }))
            .reason("the database lacked acts on releases that the state directory's copy has");
        if !store.release_append(acts, Some(mark), Record::of(&act)).await? {
            return Err(ShelfError::Overtaken);
        }
        self.stored().await
    }

    async fn stored(&self) -> Result<Copy, ShelfError> {
        let store = self.store.as_ref().ok_or(ShelfError::Away)?;
        let read = async { Ok(Copy { mark: store.release_mark().await?, acts: store.release_acts().await? }) };
        tokio::time::timeout(PATIENCE, read).await.unwrap_or(Err(ShelfError::Away))
    }

    fn copy(&self) -> Result<Copy, ShelfError> {
        let path = self.dir.join("book.json");
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Copy::default()),
            Err(source) => Err(ShelfError::Directory { path, source }),
        }
    }

    fn write(&self, name: &str, json: &[u8]) -> io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let new = self.dir.join(format!("{name}.{}.new", std::process::id()));
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(json)?;
        file.sync_all()?;
        fs::rename(&new, self.dir.join(name))
    }
}

/// What waits was read first: what is carried over meanwhile is in the one or in both, and never in neither.
fn with(rows: &[ReleaseRow], waiting: Vec<(String, Option<Carried>)>) -> Result<Book, UnreadableAct> {
    let mut book = Book::of(rows)?;
    for row in waiting.into_iter().filter_map(|(_, carried)| carried).flat_map(|carried| carried.rows) {
        book.add(&row)?;
    }
    Ok(book)
}

fn rows(deeds: Vec<(RouteId, Deed)>, entry: &Record) -> Result<Vec<ReleaseRow>, ShelfError> {
    let row = |(route, deed): (RouteId, Deed)| {
        let act = serde_json::to_string(&deed)?;
        Ok(ReleaseRow { id: clock::entry_id(), at_unix_ms: entry.at_unix_ms, route, entry: entry.id.clone(), act })
    };
    deeds.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_write_at_once_leave_one_whole_copy() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = StateDir::open(Some(dir.path())).expect("can be made");
        let shelf = Shelf::open(&state, None);
        let write = |size: usize| {
            let json = serde_json::to_vec(&"x".repeat(size)).expect("is JSON");
            (0..50).for_each(|_| shelf.write("book.json", &json).expect("writes"));
        };
        std::thread::scope(|scope| {
            for size in [10, 5000, 90_000] {
                scope.spawn({
                    let write = &write;
                    move || write(size)
                });
            }
        });
        let read = fs::read(shelf.dir().join("book.json")).expect("is there");
        serde_json::from_slice::<String>(&read).expect("is whole");
    }
}
