//! Open incidents and the outbox on disk: one file, replaced as a whole, so that a crash leaves the old one or the new one.
//!
//! One gateway per state directory keeps it; a second one on the same directory keeps its alerts in memory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{incident::Incident, outbox::Outbox};
use crate::config::create_private;

const FILE: &str = "book.json";
const LOCK: &str = "lock";

/// What outlives the process.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    pub incidents: Vec<Incident>,
    pub outbox: Outbox,
}

/// The file, held for this process alone.
#[derive(Debug)]
pub(super) struct Book {
    dir: PathBuf,
    /// Released when the process ends, however it ends.
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error("another gateway keeps its alerts in {dir}; give each a state directory of its own")]
    Held { dir: PathBuf },
    #[error("cannot use {path}; mend its permissions or free disk space")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} cannot be read as what a gateway left; what it held is lost when the next alert is written")]
    Format { path: PathBuf, source: serde_json::Error },
}

impl Book {
    /// Takes the directory over. Blocks on disk.
    pub(super) fn open(dir: &Path) -> Result<Self, BookError> {
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| BookError::Io { path, source }
        };
        create_private(dir).map_err(fault(dir))?;
        let path = dir.join(LOCK);
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(fault(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(BookError::Held { dir: dir.to_owned() }),
            Err(fs::TryLockError::Error(source)) => Err(BookError::Io { path, source }),
        }
    }

    /// Replaces what is kept, durably. Blocks on disk.
    pub(super) fn write(&self, kept: &[u8]) -> Result<(), BookError> {
        let path = self.dir.join(FILE);
        let new = self.dir.join("book.json.new");
        let write = || {
            let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(kept)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| BookError::Io { path: path.clone(), source })
    }
}

/// What the last gateway kept in `dir`; nothing where there was none. Blocks on disk.
pub fn read(dir: &Path) -> Result<Kept, BookError> {
    let path = dir.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| BookError::Format { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(source) => Err(BookError::Io { path, source }),
    }
}
