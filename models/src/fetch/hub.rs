//! The Hugging Face hub as a source: hf-hub's cache, endpoint, URL and token, with a download that is bounded.
//!
//! The environment counts as it does for every tool of the hub: `HF_ENDPOINT`, `HF_HOME`, and `HF_HUB_OFFLINE`, under
//! which only the cache is looked at. Blobs are laid down as other tools expect them, so that a model is on a
//! machine's disk once. A blob is named by the manifest's SHA-256, which is also the hub's name for large files.

use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use hf_hub::{Cache, Repo, RepoType, api::sync::ApiBuilder};

use super::{
    Progress,
    download::{Began, Download, DownloadError},
    lock::{Lock, LockError},
    place::DiskError,
};
use crate::catalog::{HubRepo, ModelFile, RelativePath, Revision};

/// How this machine reaches the hub.
#[derive(Debug, Clone)]
pub(super) struct Hub {
    pub(super) cache: PathBuf,
    /// `None`: the hub's own.
    pub(super) endpoint: Option<String>,
    pub(super) access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Online,
    CacheOnly,
}

/// One file of a repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct HubFile<'a> {
    pub(super) repo: &'a HubRepo,
    pub(super) revision: &'a Revision,
    pub(super) path: &'a RelativePath,
}

/// A file in the hub's cache, not verified yet.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) origin: Origin,
}

/// Whether fetching again could give other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// In the cache before, or put together from an earlier attempt.
    Kept,
    Fresh,
}

#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("HF_HUB_OFFLINE is set and the hub's cache {cache} does not have it")]
    Offline { cache: PathBuf },
    #[error("cannot set up the hub's client: {0}")]
    Client(#[from] hf_hub::api::sync::ApiError),
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Hub {
    /// As the environment says. Without a home directory the cache is `fallback`.
    pub(super) fn from_env(fallback: &Path) -> Self {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        // hf-hub's own default panics where there is no home directory.
        let has_home = set("HF_HOME").is_some() || env::home_dir().is_some_and(|home| home.is_absolute());
        let offline = set("HF_HUB_OFFLINE")
            .is_some_and(|value| ["1", "true", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes)));
        Self {
            cache: if has_home { Cache::from_env().path().clone() } else { fallback.to_owned() },
            endpoint: set("HF_ENDPOINT").map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            access: if offline { Access::CacheOnly } else { Access::Online },
        }
    }

    /// From the cache, else downloaded into it.
    pub(super) fn get(
        &self,
        wanted: HubFile<'_>,
        file: &ModelFile,
        progress: &dyn Progress,
    ) -> Result<Found, HubError> {
        if let Some(path) = self.cached(wanted) {
            return Ok(Found { path, origin: Origin::Kept });
        }
        if self.access == Access::CacheOnly {
            return Err(HubError::Offline { cache: self.cache.clone() });
        }
        let mut builder = ApiBuilder::from_cache(Cache::new(self.cache.clone()));
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let url = builder.build()?.repo(wanted.repository()).url(wanted.path.as_str());

        let cache = Cache::new(self.cache.clone());
        let blob = cache.repo(wanted.repository()).blob_path(&file.sha256.to_string());
        // hf-hub's own names for these two, so that it and we keep out of each other's way.
        let (lock, part) = (blob.with_extension("lock"), blob.with_extension("part"));
        let _lock = Lock::acquire(&lock, wanted.path.as_str(), progress)?;
        let origin = if blob.exists() {
            Origin::Kept
        } else {
            progress.begin(&format!("pulling {} from the hub", file.file), Some(file.bytes.get()));
            let download =
                Download { url: &url, token: cache.token().as_deref(), part: &part, bytes: file.bytes.get() }
                    .run(progress);
            progress.finish();
            match download? {
                Began::Afresh => Origin::Fresh,
                Began::FromPart => Origin::Kept,
            }
        };
        let path = self.keep(wanted, &part, &blob).map_err(|source| DiskError::new(&blob, file.bytes.get(), source))?;
        Ok(Found { path, origin })
    }

    /// Takes a wrong file out of the cache, so that nobody finds it again.
    pub(super) fn discard(&self, found: &Found) {
        // What cannot be removed is found to be wrong again next time, and never used.
        if let (Ok(blob), Ok(cache)) = (found.path.canonicalize(), self.cache.canonicalize())
            && blob.starts_with(cache)
        {
            let _ = fs::remove_file(blob);
        }
        let _ = fs::remove_file(&found.path);
    }

    /// What this or another tool has put there.
    fn cached(&self, wanted: HubFile<'_>) -> Option<PathBuf> {
        let repo = Cache::new(self.cache.clone()).repo(wanted.repository());
        let pointer = repo.pointer_path(wanted.revision.as_str()).join(wanted.path.as_str());
        repo.get(wanted.path.as_str()).or_else(|| Some(pointer).filter(|pointer| pointer.exists()))
    }

    /// Makes the downloaded part a blob, and the snapshot's symbolic link to it.
    fn keep(&self, wanted: HubFile<'_>, part: &Path, blob: &Path) -> io::Result<PathBuf> {
        if !blob.exists() {
            fs::rename(part, blob)?;
        }
        let repo = Cache::new(self.cache.clone()).repo(wanted.repository());
        let pointer = repo.pointer_path(wanted.revision.as_str()).join(wanted.path.as_str());
        fs::create_dir_all(pointer.parent().unwrap_or(&self.cache))?;
        // Relative, as other tools make it: out of the file's directories, the commit and `snapshots`.
        let up = "../".repeat(2 + wanted.path.as_str().matches('/').count());
        let name = blob.file_name().unwrap_or_default().to_string_lossy();
        match symlink(format!("{up}blobs/{name}"), &pointer) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        repo.create_ref(wanted.revision.as_str())?;
        // A dangling link of somebody else's may stand there; the blob is the file either way.
        Ok(if pointer.exists() { pointer } else { blob.to_owned() })
    }
}

impl HubFile<'_> {
    fn repository(&self) -> Repo {
        Repo::with_revision(self.repo.to_string(), RepoType::Model, self.revision.to_string())
    }
}
