//! The catalog: which open-weight models there are. The built-in manifests, and the user's own over them.
//!
//! It reads text only: no model file is touched, nothing is fetched. Exactly one model is the default.

mod manifest;
mod names;
mod nearest;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use self::nearest::nearest;
pub use self::{
    manifest::{Manifest, ManifestError, ModelFile, Source},
    names::{AbsolutePath, FileName, HubRepo, License, ModelId, PackageName, PackageVersion, RelativePath, Revision},
};

/// Every manifest in `models/catalog`, by its path there.
const EMBEDDED: &[(&str, &str)] = &[
    ("models/catalog/all-minilm-l6-v2.toml", include_str!("../catalog/all-minilm-l6-v2.toml")),
    ("models/catalog/smollm2-135m-instruct.toml", include_str!("../catalog/smollm2-135m-instruct.toml")),
];

/// A manifest is a page of text; what is longer is something else.
const LONGEST_MANIFEST: u64 = 256 * 1024;

/// All models by their ids.
#[derive(Debug, Clone)]
pub struct Catalog {
    manifests: BTreeMap<String, Manifest>,
    default: ModelId,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("cannot read {path}: {source}; mend its permissions or remove it")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is longer than a manifest can be ({LONGEST_MANIFEST} bytes); is it another file?")]
    TooLong { path: PathBuf },
    #[error("{first} and {second} both describe `{id}`; keep one")]
    Twice { id: ModelId, first: PathBuf, second: PathBuf },
    #[error("`{first}` and `{second}` both say `default = true`; keep one")]
    TwoDefaults { first: ModelId, second: ModelId },
    #[error("no model of the catalog is named `{id}`{}; `backstop models list` shows all", hint(.meant))]
    Unknown { id: String, meant: Option<String> },
}

impl Catalog {
    /// The built-in manifests, and over them every `*.toml` of `user_dir` (which need not exist). A user's manifest
    /// replaces the built-in one of the same id, and its `default = true` takes the default over.
    pub fn load(user_dir: &Path) -> Result<Self, CatalogError> {
        let mut catalog = Self::embedded()?;
        let mut origins: BTreeMap<ModelId, PathBuf> = BTreeMap::new();
        let mut default: Option<ModelId> = None;
        for path in manifests_in(user_dir)? {
            let manifest = Manifest::parse(&read(&path)?, &path)?;
            let id = manifest.id.clone();
            if let Some(first) = origins.insert(id.clone(), path.clone()) {
                return Err(CatalogError::Twice { id, first, second: path });
            }
            if manifest.default
                && let Some(first) = default.replace(id.clone())
            {
                return Err(CatalogError::TwoDefaults { first, second: id });
            }
            catalog.manifests.insert(id.to_string(), manifest);
        }
        catalog.default = default.unwrap_or(catalog.default);
        Ok(catalog)
    }

    /// The model of this id; the error knows the nearest one.
    pub fn get(&self, id: &str) -> Result<&Manifest, CatalogError> {
        self.manifests.get(id).ok_or_else(|| CatalogError::Unknown {
            id: id.to_owned(),
            meant: nearest(id, self.manifests.keys().map(String::as_str)).map(str::to_owned),
        })
    }

    /// All models, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.values()
    }

    /// The model that is served without a config.
    pub fn default_model(&self) -> &Manifest {
        &self.manifests[self.default.as_str()]
    }

    fn embedded() -> Result<Self, CatalogError> {
        let mut manifests = BTreeMap::new();
        let mut default = None;
        for (path, text) in EMBEDDED {
            let manifest = Manifest::parse(text, Path::new(path))?;
            if manifest.default {
                default = Some(manifest.id.clone());
            }
            manifests.insert(manifest.id.to_string(), manifest);
        }
        let default = default.expect("a test keeps exactly one built-in manifest the default");
        Ok(Self { manifests, default })
    }
}

/// The `*.toml` files of a directory in a fixed order; none where there is no directory.
fn manifests_in(dir: &Path) -> Result<Vec<PathBuf>, CatalogError> {
    let unreadable = |source| CatalogError::Read { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, CatalogError> {
    let unreadable = |source| CatalogError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(unreadable)?.len() > LONGEST_MANIFEST {
        return Err(CatalogError::TooLong { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(unreadable)
}

fn hint(meant: &Option<String>) -> String {
    meant.as_ref().map(|meant| format!("; perhaps `{meant}` is meant")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
