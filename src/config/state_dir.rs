//! The directory where everything that must outlive the process is kept: database, journal, vault, models, certificates.
//!
//! Private to its owner (0700). The layout is here and nowhere else.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// A state directory that exists and can be written to.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    #[error(
        "no place for the state directory: neither XDG_STATE_HOME nor HOME is set; name one with --state-dir /some/dir"
    )]
    NoHome,
    #[error("cannot make the state directory {path}: {source}; name another with --state-dir, or mend its permissions")]
    Create { path: PathBuf, source: io::Error },
    #[error(
        "cannot write in the state directory {path}: {source}; name another with --state-dir, or mend its permissions"
    )]
    NotWritable { path: PathBuf, source: io::Error },
}

impl StateDir {
    /// `explicit`, or `$XDG_STATE_HOME/backstop`, or `~/.local/state/backstop`; made with mode 0700 when missing, and
    /// proven writable.
    pub fn open(explicit: Option<&Path>) -> Result<Self, StateDirError> {
        let root = match explicit {
            Some(path) => path.to_owned(),
            None => default_root().ok_or(StateDirError::NoHome)?,
        };
        create_private(&root).map_err(|source| StateDirError::Create { path: root.clone(), source })?;
        let probe = root.join(format!(".writable-{}", std::process::id()));
        fs::write(&probe, b"").map_err(|source| StateDirError::NotWritable { path: root.clone(), source })?;
        // A probe that cannot be removed again does no harm.
        let _ = fs::remove_file(&probe);
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The default SQLite file.
    pub fn database(&self) -> PathBuf {
        self.root.join("backstop.db")
    }

    /// Segments of the ledger's journal.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Sealed secrets and the key that opens them.
    pub fn vault(&self) -> PathBuf {
        self.root.join("vault")
    }

    /// The audit log's key, last checkpoint, and entries that wait for the database.
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// Open incidents and the alerts that wait to be sent.
    pub fn alerts(&self) -> PathBuf {
        self.root.join("alerts")
    }

    /// What is known of every target's health and speed.
    pub fn health(&self) -> PathBuf {
        self.root.join("health.json")
    }

    /// What a running gateway has counted for its limits.
    pub fn limits(&self) -> PathBuf {
        self.root.join("limits.json")
    }

    /// The releases of routes: a copy of what the database has, and what waits for it.
    pub fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }

    /// Pulled models, one directory each.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// Manifests of the user's own, besides the built-in catalog.
    pub fn catalog(&self) -> PathBuf {
        self.root.join("catalog")
    }

    /// Suites of the user's own, besides the built-in ones.
    pub fn suites(&self) -> PathBuf {
        self.root.join("suites")
    }

    /// Certificates, runs and the key that signs them.
    pub fn eval(&self) -> PathBuf {
        self.root.join("eval")
    }
}

/// Makes `path` and its parents, `path` itself with mode 0700; an existing directory is narrowed to 0700.
pub fn create_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn default_root() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("backstop"))
}
