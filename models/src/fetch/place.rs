//! Putting a file into the store: linked or copied beside its place, verified there, made durable, then renamed.
//!
//! So a file under its own name was verified, whole, and survives a power cut; what was interrupted is a hidden file
//! that counts for nothing.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{
    catalog::ModelFile,
    verify::{self, VerifyError},
};

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Writing failed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("no space left for {path}: {bytes} bytes are needed; free some space and try again ({source})")]
    Full { path: PathBuf, bytes: u64, source: io::Error },
    #[error("cannot write {path}: {source}; mend its permissions or name another directory")]
    Write { path: PathBuf, source: io::Error },
}

/// Brings `found` to `target`, without taking its disk space twice where both are on one file system.
pub(super) fn adopt(found: &Path, file: &ModelFile, target: &Path) -> Result<(), PlaceError> {
    let disk = |source| DiskError::new(target, file.bytes.get(), source);
    let dir = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(disk)?;

    let staged = Staged(dir.join(format!(".{}.incoming", file.file)));
    staged.clear().map_err(disk)?;
    // A hub's snapshot is a symbolic link, and a hard link must be to the file behind it.
    let found = found.canonicalize().map_err(disk)?;
    if fs::hard_link(&found, &staged.0).is_err() {
        fs::copy(&found, &staged.0).map_err(disk)?;
    }
    verify::check(&staged.0, file.bytes.get(), &file.sha256)?;
    File::open(&staged.0).and_then(|file| file.sync_all()).map_err(disk)?;
    fs::rename(&staged.0, target).map_err(disk)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(disk)?;
    Ok(())
}

impl DiskError {
    /// Of a write of `bytes` bytes in all to `path`.
    pub(super) fn new(path: &Path, bytes: u64, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { path, bytes, source }
            }
            _ => Self::Write { path, source },
        }
    }
}

/// A hidden file that goes away unless it was renamed.
struct Staged(PathBuf);

impl Staged {
    fn clear(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Hidden and cleared by the next pull: nothing is lost when it cannot be removed now.
        let _ = self.clear();
    }
}
