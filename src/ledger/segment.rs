//! Files of the journal: who writes them, and how another process sees whether the writer still lives.
//!
//! Every process writes files of its own, `OWNER.NUMBER.calls`, and holds a lock on each and on `OWNER.lock`; the
//! kernel lets go of the locks when the process dies, however it dies. A file appears under its name only once it is
//! locked, so an unlocked one has no writer.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::line::{self, Contents};
use crate::clock;

const SEGMENT: &str = "calls";
const LOCK: &str = "lock";
/// A file that is not locked yet.
const NEW: &str = "new";
/// A file that is still new after this long was left by a process that died.
const NEW_FOR: Duration = Duration::from_secs(60);
/// What is left of a segment with lines that another version wrote.
const UNKNOWN: &str = "unknown";

/// A process that writes to the journal.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) name: Arc<str>,
    /// Holds the lock.
    _lock: File,
}

/// One file of this process. Appending takes no lock but the kernel's on the file.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    path: PathBuf,
    /// Bytes of lines that were begun, less those that failed; and of those that are in the file.
    begun: AtomicU64,
    written: AtomicU64,
    since: Instant,
}

/// A process that is gone, and what it left.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) owner: Arc<str>,
    pub(super) segments: Vec<PathBuf>,
    lock: Option<(File, PathBuf)>,
}

impl Owner {
    /// A new owner in `dir`, alive as long as it is kept.
    pub(super) fn claim(dir: &Path) -> io::Result<Self> {
        let unique = hex::encode(clock::random_bytes::<4>());
        let name = format!("{}-{}-{unique}", clock::unix_ms(), std::process::id());
        let lock = create_locked(&dir.join(format!("{name}.{LOCK}")))?;
        Ok(Self { name: name.into(), _lock: lock })
    }
}

impl Segment {
    pub(super) fn create(dir: &Path, owner: &Owner, number: u64) -> io::Result<Self> {
        let path = dir.join(format!("{}.{number:08}.{SEGMENT}", owner.name));
        let file = create_locked(&path)?;
        // Without this a power loss could keep the lines and lose the name.
        File::open(dir)?.sync_all()?;
        Ok(Self::over(file, path))
    }

    pub(super) fn over(file: File, path: PathBuf) -> Self {
        Self { file, path, begun: AtomicU64::new(0), written: AtomicU64::new(0), since: clock::now() }
    }

    /// One `write(2)`. After an error nothing of `line` counts as written.
    pub(super) fn append(&self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        // Counted first: who sees an empty segment may rely on there being nothing in it.
        self.begun.fetch_add(length, Ordering::AcqRel);
        loop {
            match (&self.file).write(line) {
                Ok(written) if written == line.len() => {
                    self.written.fetch_add(length, Ordering::AcqRel);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                failed => {
                    self.begun.fetch_sub(length, Ordering::AcqRel);
                    return Err(failed.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begun.load(Ordering::Acquire) == 0
    }

    /// Bytes of whole lines.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(super) fn read(&self) -> io::Result<Contents> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(line::read(&bytes))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Dead {
    /// Forgets the owner; its segments must be gone.
    pub(super) fn forget(self) -> io::Result<()> {
        match self.lock {
            Some((_lock, path)) => gone(fs::remove_file(path)),
            None => Ok(()),
        }
    }
}

/// Reads a segment of another process; `None` when it was stored and deleted meanwhile.
pub(super) fn read(path: &Path) -> io::Result<Option<Contents>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(line::read(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes a segment that was stored; one with lines that only another version knows is put aside instead.
pub(super) fn retire(path: &Path, contents: &Contents) -> io::Result<()> {
    match contents.unknown {
        0 => gone(fs::remove_file(path)),
        _ => fs::rename(path, path.with_extension(UNKNOWN)),
    }
}

/// Every segment in `dir` with its owner's name, oldest first, whoever writes it.
pub(super) fn all(dir: &Path) -> io::Result<Vec<(Arc<str>, PathBuf)>> {
    let mut segments = Vec::new();
    for path in paths(dir)? {
        if let Some((owner, SEGMENT)) = parts(&path) {
            segments.push((Arc::from(owner), path));
        }
    }
    Ok(segments)
}

/// Owners in `dir` that no process is any more. They are locked by us until dropped, so no other process takes them.
pub(super) fn dead(dir: &Path) -> io::Result<Vec<Dead>> {
    let mut dead: Vec<Dead> = Vec::new();
    for path in paths(dir)? {
        match parts(&path) {
            Some((owner, LOCK)) => {
                if let Some(lock) = try_lock(&path)? {
                    dead.push(Dead { owner: owner.into(), segments: Vec::new(), lock: Some((lock, path)) });
                }
            }
            Some((_, NEW)) if is_stale(&path) => gone(fs::remove_file(&path))?,
            _ => {}
        }
    }
    for (owner, path) in all(dir)? {
        if let Some(known) = dead.iter_mut().find(|known| known.owner == owner) {
            known.segments.push(path);
        } else if !dir.join(format!("{owner}.{LOCK}")).exists() && try_lock(&path)?.is_some() {
            dead.push(Dead { owner, segments: vec![path], lock: None });
        }
    }
    Ok(dead)
}

/// `OWNER.….KIND` as owner and kind.
fn parts(path: &Path) -> Option<(&str, &str)> {
    let name = path.file_name()?.to_str()?;
    Some((name.split_once('.')?.0, name.rsplit_once('.')?.1))
}

fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort_unstable();
    Ok(paths)
}

fn is_stale(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|data| data.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > NEW_FOR))
}

/// A new private file that is locked before it has its name.
fn create_locked(path: &Path) -> io::Result<File> {
    let new = path.with_extension(NEW);
    let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&new)?;
    file.lock()?;
    fs::rename(&new, path)?;
    Ok(file)
}

/// The file, locked, if no process holds it.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// That something is gone already is no failure to remove it.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
