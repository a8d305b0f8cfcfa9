//! Looks at local models' files: that they are the manifest's, and which model they make.
//!
//! A file whose size, inode and change time are the same is not hashed again within an hour. A look may hang, on a disk or a mount
//! that does not answer: it has a thread of its own, and nobody waits for it longer than he wants to. While it hangs, a model that
//! was good within the hour is taken to be so still, and one that was not known is not.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use backstop_models::{
    catalog::{Catalog, Manifest},
    device::Device,
    fetch::ModelStore,
    files::ModelFiles,
    load::{self, Identity, Size},
};

use crate::config::StateDir;

/// How long an unchanged file's digest is trusted before it is computed again.
const REHASH: Duration = Duration::from_secs(3600);
/// How long a look at a model that is known may take before it counts as hanging.
const GLANCE: Duration = Duration::from_secs(2);

/// A local model whose files are good.
#[derive(Debug, Clone)]
pub struct LocalModel {
    pub files: ModelFiles,
    pub identity: Identity,
    pub size: Size,
}

type Looked = Result<LocalModel, String>;

/// A model, and what computes it: that is a part of which model it is.
type Model = (String, Device);

#[derive(Debug)]
pub(super) struct Looker {
    state: StateDir,
    store: ModelStore,
    seen: Mutex<HashMap<Model, Seen>>,
    pending: Mutex<HashMap<Model, Arc<Pending>>>,
}

/// A model as it was when it was last hashed.
#[derive(Debug, Clone)]
struct Seen {
    /// The manifest that it was described by.
    manifest: Manifest,
    stamps: Vec<Stamp>,
    at: Instant,
    model: LocalModel,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

/// A look that goes on.
#[derive(Debug)]
struct Pending {
    since: Instant,
    state: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    looked: Option<Looked>,
    told: bool,
}

impl Looker {
    pub(super) fn new(state: &StateDir) -> Self {
        let store = ModelStore::new(state.models());
        Self { state: state.clone(), store, seen: Mutex::default(), pending: Mutex::default() }
    }

    pub(super) fn store(&self) -> &ModelStore {
        &self.store
    }

    /// Looks at `model` as `device` computes it, for as long as that takes.
    pub(super) fn local(&self, model: &str, device: Device) -> Looked {
        let catalog = Catalog::load(&self.state.catalog()).map_err(|error| error.to_string())?;
        let manifest = catalog.get(model).map_err(|error| error.to_string())?;
        if let Some(seen) = self.unchanged(manifest, device) {
            return Ok(seen);
        }
        let files = self.store.open(manifest).map_err(|error| error.to_string())?;
        let stamps = stamps(&files);
        let identity = load::identify(&files, device).map_err(|error| error.to_string())?;
        let size = load::size(&files).map_err(|error| error.to_string())?;
        let looked = LocalModel { files, identity, size };
        let seen = Seen { manifest: manifest.clone(), stamps, at: Instant::now(), model: looked.clone() };
        lock(&self.seen).insert((model.to_owned(), device), seen);
        Ok(looked)
    }

    /// As [`Self::local`], but waits no longer than `patience` from the look's beginning.
    pub(super) fn local_within(self: &Arc<Self>, model: &str, device: Device, patience: Duration) -> Looked {
        let name = (model.to_owned(), device);
        let pending = self.look(&name)?;
        let known = || lock(&self.seen).get(&name).filter(|seen| seen.at.elapsed() < REHASH).cloned();
        let patience = known().map_or(patience, |_| GLANCE);
        if let Some(looked) = pending.wait(patience) {
            lock(&self.pending).retain(|_, other| !Arc::ptr_eq(other, &pending));
            return looked;
        }
        let seconds = pending.since.elapsed().as_secs();
        if pending.is_news() {
            tracing::warn!(model, seconds, "a look at the local model's files does not end: does their disk answer?");
        }
        let still = || format!("its files are being read for {seconds} s; does their disk answer?");
        known().map(|seen| seen.model).ok_or_else(still)
    }

    /// The look at `model` that goes on, or a new one.
    fn look(self: &Arc<Self>, model: &Model) -> Result<Arc<Pending>, String> {
        let mut all = lock(&self.pending);
        if let Some(pending) = all.get(model) {
            return Ok(Arc::clone(pending));
        }
        let pending = Arc::new(Pending { since: Instant::now(), state: Mutex::default(), changed: Condvar::new() });
        let (looker, theirs, name) = (Arc::clone(self), Arc::clone(&pending), model.clone());
        let look = move || {
            let ended = Ended(&theirs);
            let looked = looker.local(&name.0, name.1);
            lock(&theirs.state).looked = Some(looked);
            drop(ended);
        };
        let started = std::thread::Builder::new().name("backstop-look".to_owned()).spawn(look);
        started.map_err(|error| format!("no thread can be started to look at its files: {error}"))?;
        all.insert(model.clone(), Arc::clone(&pending));
        Ok(pending)
    }

    fn unchanged(&self, manifest: &Manifest, device: Device) -> Option<LocalModel> {
        let seen = lock(&self.seen).get(&(manifest.id.to_string(), device)).cloned()?;
        // Without the lock: this is what may hang.
        let same = seen.manifest == *manifest && seen.at.elapsed() < REHASH && stamps(&seen.model.files) == seen.stamps;
        same.then_some(seen.model)
    }
}

impl Pending {
    /// What the look found, if that is by `patience` after its beginning.
    fn wait(&self, patience: Duration) -> Option<Looked> {
        let left = patience.saturating_sub(self.since.elapsed());
        let state = lock(&self.state);
        let waited = self.changed.wait_timeout_while(state, left, |state| state.looked.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.looked.clone()
    }

    /// Whether nobody was told yet that it hangs.
    fn is_news(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).told, true)
    }
}

/// Whatever ends a look, nobody waits for it.
struct Ended<'a>(&'a Pending);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).looked.get_or_insert_with(|| Err("looking at its files panicked".to_owned()));
        self.0.changed.notify_all();
    }
}

/// Nothing under these locks can panic half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stamps(files: &ModelFiles) -> Vec<Stamp> {
    files.paths().filter_map(stamp).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp {
        path: path.to_owned(),
        inode: meta.ino(),
        bytes: meta.len(),
        changed: (meta.ctime(), meta.ctime_nsec()),
        modified: (meta.mtime(), meta.mtime_nsec()),
    })
}
