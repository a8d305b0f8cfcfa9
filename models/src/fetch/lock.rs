//! A lock file: one process, and one thread in it, at a time.
//!
//! Released when it is dropped, and by the kernel when its holder dies. The file itself stays: removing it would let
//! two holders in.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::Progress;

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot lock {path}: {source}; is the directory writable, and on a file system with locks?")]
    Open { path: PathBuf, source: io::Error },
    #[error("another process has held {path} for {waited:?}; end it, then try again")]
    Busy { path: PathBuf, waited: Duration },
}

/// A large model over a slow line takes its time; a holder that makes no headway gives up by itself much sooner.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 3600);
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

impl Lock {
    /// Waits for the lock, and says so once when somebody else has it.
    pub(super) fn acquire(path: &Path, what: &str, progress: &dyn Progress) -> Result<Self, LockError> {
        let open = |source| LockError::Open { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(open)?;
        }
        let file = File::options().create(true).append(true).open(path).map_err(open)?;
        let began = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(source)) => return Err(open(source)),
                Err(TryLockError::WouldBlock) if began.elapsed() >= LONGEST_WAIT => {
                    return Err(LockError::Busy { path: path.to_owned(), waited: began.elapsed() });
                }
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        progress.note(&format!("another process is fetching {what}; waiting for it"));
                        told = true;
                    }
                    thread::sleep(BETWEEN_TRIES);
                }
            }
        }
    }
}
