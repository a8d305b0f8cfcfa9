//! The local journal: entries that the database has not taken, one file each, on disk before their act takes effect.
//!
//! `ID.entry` holds the CRC-32 of the rest in hex, a blank, and the entry as JSON. A file has its name only once it is whole
//! and synced, so a crash leaves an entry or none. Ids are UUIDv7: in the order of their names, entries are in the order of
//! time. Entries are never written to again; they go when the database has committed them. Any process of the installation may
//! carry them over, at any time.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    marker::PhantomData,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::config::create_private;

const ENTRY: &str = "entry";
/// An entry that is being written.
const NEW: &str = "new";
/// One that is still new after this long was left by a process that died before its act took effect.
const NEW_FOR: Duration = Duration::from_secs(60);
/// An entry that cannot be read; kept for a human.
const DAMAGED: &str = "damaged";
/// Room that was taken before the disk was full: a directory beside ours, of files that are written over, not made.
const SPARE: &str = "spare";
const SPARES: usize = 8;
const SPARE_BYTES: usize = 16 << 10;
/// How many entries may wait: a database that is away for that long is no short outage.
const MOST: usize = 10_000;

#[derive(Debug)]
pub struct Pending<T> {
    dir: PathBuf,
    kept: PhantomData<fn() -> T>,
}

#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    #[error("{MOST} entries wait for the database already; bring it back")]
    Full,
    #[error("the local journal {path} cannot be written; mend its permissions or free disk space")]
    Io { path: PathBuf, source: io::Error },
    #[error("an entry cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl<T: Serialize + DeserializeOwned> Pending<T> {
    pub fn open(dir: &Path) -> Result<Self, PendingError> {
        create_private(dir).map_err(|source| PendingError::Io { path: dir.to_owned(), source })?;
        Ok(Self { dir: dir.to_owned(), kept: PhantomData })
    }

    /// As [`Self::open`], of a directory that is made when there is something to put there: a full disk is no reason not to read.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), kept: PhantomData }
    }

    /// On disk when it returns.
    pub fn put(&self, id: &str, entry: &T) -> Result<(), PendingError> {
        if self.count() >= MOST {
            return Err(PendingError::Full);
        }
        let json = serde_json::to_string(entry)?;
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        let path = self.dir.join(format!("{id}.{ENTRY}"));
        create_private(&self.dir).map_err(|source| PendingError::Io { path: self.dir.clone(), source })?;
        let written = write(&path, line.as_bytes()).or_else(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.write_over(&path, line.as_bytes(), error),
            _ => Err(error),
        });
        written.map_err(|source| PendingError::Io { path, source })
    }

    /// Takes room for one entry that comes when the disk is full, if any is missing. Best effort: one that is full already has none.
    pub fn spare(&self) {
        let dir = self.dir.with_file_name(SPARE);
        let missing = (0..SPARES).map(|number| dir.join(format!("{number}.{SPARE}"))).find(|path| !path.exists());
        let Some(path) = missing else { return };
        if create_private(&dir).and_then(|()| write(&path, &[0; SPARE_BYTES])).is_err() {
            drop(fs::remove_file(path.with_extension(NEW)));
        }
    }

    /// As [`write`], over a file that has its room already; `full`: why that is needed.
    fn write_over(&self, path: &Path, bytes: &[u8], full: io::Error) -> io::Result<()> {
        let new = path.with_extension(NEW);
        // Whoever renames one has it.
        let taken =
            bytes.len() <= SPARE_BYTES && self.spares().into_iter().any(|spare| fs::rename(spare, &new).is_ok());
        if !taken {
            return Err(full);
        }
        let mut file = OpenOptions::new().write(true).open(&new)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        end(&file, &new, path)
    }

    fn spares(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.dir.with_file_name(SPARE)) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|end| end == SPARE)).collect()
    }

    /// The names of what waits, in order, each with its record; `None` where the disk lost it.
    pub fn read(&self) -> Vec<(String, Option<T>)> {
        let found = self.names().into_iter().filter_map(|name| match fs::read(self.path(&name)) {
            Ok(bytes) => Some((name, parse(&bytes))),
            // Carried over by another process meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => Some((name, None)),
        });
        found.collect()
    }

    /// The database has it: a whole one goes, a damaged one is put aside.
    pub fn forget(&self, name: &str) {
        let path = self.path(name);
        let Ok(bytes) = fs::read(&path) else { return };
        let done = match parse::<T>(&bytes) {
            Some(_) => fs::remove_file(&path),
            None => fs::rename(&path, path.with_extension(DAMAGED)),
        };
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // It is stored; the next round finds it there and tries again to forget.
                tracing::warn!(%error, path = %path.display(), "an entry of the audit journal cannot be removed");
            }
            _ => {}
        }
    }

    pub fn count(&self) -> usize {
        self.names().len()
    }

    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name).with_extension(ENTRY)
    }

    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let mut names = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            match path.extension().and_then(|end| end.to_str()) {
                Some(ENTRY) => names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned)),
                // Nobody's act: it was to take effect only after the file had its name.
                Some(NEW) if is_stale(&path) => drop(fs::remove_file(&path)),
                _ => {}
            }
        }
        names.sort_unstable();
        names
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (crc, json) = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split_once(' ')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    (crc == crc32fast::hash(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
}

/// Writes a private file that is there whole or not at all, whenever the power goes.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension(NEW);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    end(&file, &new, path)
}

/// What is written gets its name once it is on disk.
fn end(file: &File, new: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(new, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn is_stale(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|data| data.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > NEW_FOR))
}
