//! The reports that were kept, newest first, and how one is named: by its digest or a prefix of it, by its file, or by
//! its target.
//!
//! Reads only. A report is named by the digest of its bytes; one whose bytes have another digest is still read, and says
//! that it was changed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Report, Verdict};
use crate::{
    digest::sha256_hex,
    file,
    suite::{Split, SuiteId},
};

/// The largest report that is read, in bytes.
pub(crate) const MAX_REPORT_BYTES: u64 = 256 << 20;

/// Shorter prefixes of a digest name nothing.
const SHORTEST_PREFIX: usize = 4;

/// The directory of kept reports.
#[derive(Debug, Clone)]
pub struct Runs {
    dir: PathBuf,
}

/// One kept report, whole.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// Hex SHA-256 of the file's bytes.
    pub digest: String,
    pub path: PathBuf,
    /// Whether the file is named by another digest than its bytes have: it was edited after the run.
    pub is_changed: bool,
    pub report: Report,
}

/// One kept report in a line; the items are not read.
#[derive(Debug, Clone)]
pub struct ListedRun {
    /// As the file is named.
    pub digest: String,
    /// Or why the file cannot be read.
    pub about: Result<RunSummary, String>,
}

/// What a line says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunSummary {
    pub target: String,
    pub engine: Option<String>,
    pub suite: SuiteId,
    pub split: Split,
    pub attempt: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub finished_at: OffsetDateTime,
    pub verdict: Verdict,
    pub errors: usize,
    pub cost_micros: Option<u64>,
    /// The incumbent's name.
    #[serde(default)]
    pub against: Option<AgainstName>,
}

/// Whom a run was compared with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgainstName {
    pub target: String,
}

#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    #[error("no run is kept yet; `backstop eval run --suite S --target T` makes one")]
    NoneKept,
    #[error("no run is called `{0}`: it is no file, no digest and no target of a run; `backstop eval runs` shows all")]
    Unknown(String),
    #[error("`{prefix}` begins {} digests ({}); give more of it", found.len(), found.join(", "))]
    Ambiguous { prefix: String, found: Vec<String> },
    #[error("`{target}` has no run of the suite `{suite}`; `backstop eval runs` shows all")]
    NoRunOf { target: String, suite: String },
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is no report that this version reads: {why}", path.display())]
    NoReport { path: PathBuf, why: String },
}

impl Runs {
    /// Those in the directory that certificates are kept in too.
    pub fn in_dir(eval_dir: &Path) -> Self {
        Self { dir: eval_dir.join("runs") }
    }

    /// Every run, newest first; those that cannot be read last.
    pub fn list(&self) -> Result<Vec<ListedRun>, RunsError> {
        let mut listed: Vec<ListedRun> = self
            .digests()?
            .into_iter()
            .map(|digest| {
                let path = self.path(&digest);
                let about = read_bounded(&path)
                    .map_err(|error| error.to_string())
                    .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
                ListedRun { digest, about }
            })
            .collect();
        listed.sort_by_key(|run| std::cmp::Reverse(run.about.as_ref().ok().map(|about| about.finished_at)));
        Ok(listed)
    }

    pub fn newest(&self) -> Result<StoredRun, RunsError> {
        match self.list()?.first() {
            Some(run) => read(&self.path(&run.digest)),
            None => Err(RunsError::NoneKept),
        }
    }

    /// The run that `name` names: a file, a digest or its prefix, or a target, whose newest run it is.
    pub fn find(&self, name: &str) -> Result<StoredRun, RunsError> {
        if Path::new(name).is_file() {
            return read(Path::new(name));
        }
        if let Some(digest) = self.digest(name)? {
            return read(&self.path(&digest));
        }
        match self.list()?.iter().find(|run| run.is_of(name)) {
            Some(run) => read(&self.path(&run.digest)),
            None => Err(RunsError::Unknown(name.to_owned())),
        }
    }

    /// As [`Runs::find`]; a target's run is its newest over `suite`, and over these very bytes if there is one of `like`'s.
    pub fn find_beside(&self, name: &str, like: &Report) -> Result<StoredRun, RunsError> {
        let is_like = |run: &ListedRun| {
            run.is_of(name)
                && run.about.as_ref().is_ok_and(|about| about.suite == like.suite && about.split == like.split)
        };
        match self.list()?.iter().find(|run| is_like(run)) {
            Some(run) if !Path::new(name).is_file() => read(&self.path(&run.digest)),
            _ => self.find(name),
        }
    }

    /// The newest run of `target` over `suite`.
    pub fn last(&self, target: &str, suite: &str) -> Result<StoredRun, RunsError> {
        let is_it =
            |run: &ListedRun| run.is_of(target) && run.about.as_ref().is_ok_and(|about| about.suite.name == suite);
        match self.list()?.iter().find(|run| is_it(run)) {
            Some(run) => read(&self.path(&run.digest)),
            None => Err(RunsError::NoRunOf { target: target.to_owned(), suite: suite.to_owned() }),
        }
    }

    fn digest(&self, prefix: &str) -> Result<Option<String>, RunsError> {
        if prefix.len() < SHORTEST_PREFIX || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let lower = prefix.to_ascii_lowercase();
        let mut found = self.digests()?;
        found.retain(|digest| digest.starts_with(&lower));
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => {
                let found = found.iter().map(|digest| digest[..(prefix.len() + 4).min(digest.len())].to_owned());
                Err(RunsError::Ambiguous { prefix: prefix.to_owned(), found: found.collect() })
            }
        }
    }

    /// Sorted. A directory that does not exist holds none.
    fn digests(&self) -> Result<Vec<String>, RunsError> {
        let failed = |source| RunsError::Io { path: self.dir.clone(), source };
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut digests = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let is_json = path.extension().is_some_and(|end| end == "json");
            if let Some(stem) =
                path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_json && is_digest(stem))
            {
                digests.push(stem.to_owned());
            }
        }
        digests.sort();
        Ok(digests)
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}.json"))
    }
}

impl ListedRun {
    fn is_of(&self, target: &str) -> bool {
        self.about.as_ref().is_ok_and(|about| about.target == target)
    }
}

fn read(path: &Path) -> Result<StoredRun, RunsError> {
    let bytes = read_bounded(path)?;
    let report = serde_json::from_slice(&bytes)
        .map_err(|error| RunsError::NoReport { path: path.to_owned(), why: error.to_string() })?;
    let digest = sha256_hex(&bytes);
    let named = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_digest(stem));
    let is_changed = named.is_some_and(|named| named != digest);
    Ok(StoredRun { digest, path: path.to_owned(), is_changed, report })
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, RunsError> {
    file::read(path, MAX_REPORT_BYTES).map_err(|source| RunsError::Io { path: path.to_owned(), source })
}

fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
