//! Why a model cannot be loaded. Messages name the file, what is wrong with it, and what to do.

use std::path::{Path, PathBuf};

use crate::machine::Short;

/// A model's file cannot be used.
#[derive(Debug)]
pub struct LoadError {
    pub path: PathBuf,
    pub fault: LoadFault,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    #[error("cannot be read: {0}")]
    Io(#[source] std::io::Error),
    #[error("is not a GGUF file; pull the model again")]
    NotGguf,
    #[error("is not a safetensors file; pull the model again")]
    NotSafetensors,
    #[error("is not the JSON that it should be: {0}")]
    Json(#[source] serde_json::Error),
    #[error("is GGUF version {0}, and only little-endian versions 2 and 3 are supported")]
    Version(u32),
    #[error("is truncated: {what} needs {needed} bytes and only {left} are left; pull the model again")]
    Truncated { what: String, needed: u64, left: u64 },
    #[error("claims {claimed} for {what}, more than the {limit} that are sane; it is damaged or hostile")]
    Absurd { what: String, claimed: u64, limit: u64 },
    #[error("is malformed: {0}")]
    Malformed(String),
    #[error(
        "has the architecture `{found}`, which this engine cannot run; supported: llama, qwen2, qwen3, gemma3, phi3"
    )]
    UnknownArchitecture { found: String },
    #[error("has the architecture `{found}`, but its manifest says `{expected}`; correct the manifest's family")]
    WrongFamily { found: String, expected: String },
    #[error("lacks the metadata `{0}`; convert the model again with a current converter")]
    MissingMetadata(String),
    #[error("lacks the key `{0}`, which a model of its family needs")]
    MissingKey(String),
    #[error("has unusable metadata `{key}`: {why}")]
    BadMetadata { key: String, why: String },
    #[error("lacks the tensor `{0}`; it is incomplete")]
    MissingTensor(String),
    #[error("has an unusable tensor `{name}`: {why}")]
    BadTensor { name: String, why: String },
    #[error("needs {0}, which this engine does not have")]
    Unsupported(String),
    #[error("has no usable tokenizer: {0}; name a tokenizer.json in the manifest")]
    Tokenizer(String),
    #[error("makes embeddings and does not chat; name a chat model")]
    NoChat,
    #[error("has no chat template; give one in the manifest")]
    NoTemplate,
    #[error("has a chat template that cannot be parsed: {0}")]
    Template(#[source] minijinja::Error),
    #[error("cannot be loaded: {0}")]
    Weights(#[source] candle_core::Error),
    #[error("{0}")]
    NoMemory(#[source] Short),
    #[error(
        "finds no room on its device for keys and values: {0}; lower `local.cache` and `local.context_tokens`, or take \
         `local.device: cpu`"
    )]
    NoCache(#[source] Box<candle_core::Error>),
    #[error("cannot be run, since the engine's thread did not start: {0}")]
    Thread(#[source] std::io::Error),
    #[error("cannot be run, since the engine's thread ended while loading")]
    ThreadDied,
}

impl LoadError {
    pub(crate) fn new(path: &Path, fault: LoadFault) -> Self {
        Self { path: path.to_owned(), fault }
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.fault)
    }
}
