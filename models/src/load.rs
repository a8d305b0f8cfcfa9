//! From verified files to a model that can be run.
//!
//! A weights file is read defensively before anything else touches it ([`gguf`]), then checked against what the forward
//! pass needs of its family ([`crate::arch`]). Nothing here is allocated by what a file merely claims, and no file, however
//! broken, ends in a panic.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::quantized::gguf_file::Value;
use sha2::{Digest, Sha256};

use crate::arch::{self, Forward, Shape, Transformer};
use crate::embed;
use crate::files::{Family, ModelFiles};

mod error;
mod gguf;

pub use error::{LoadError, LoadFault};
pub(crate) use gguf::{Header, unsigned};

/// Names what answers: change any of it and it is another model, with certificates of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Hex SHA-256 of the whole weights file, as the model store verified it.
    pub weights: String,
    /// Hex SHA-256 of the `tokenizer.json`, or of the raw `tokenizer.ggml.*` metadata in file order.
    pub tokenizer: String,
    /// Hex SHA-256 of the chat template's text.
    pub template: String,
    /// The version of everything that turns weights into tokens.
    pub engine: String,
}

/// What the engine is, in [`Identity::engine`]. A change that can change a logit changes this.
pub const ENGINE: &str = concat!("backstop-models ", env!("CARGO_PKG_VERSION"), " kernel 2 candle 0.11.1");

/// Names the model that `files` hold. Reads the header only; the weights' digest is taken from `files`.
///
/// # Errors
/// When a file cannot be read or is not one that this engine can run.
pub fn identify(files: &ModelFiles) -> Result<Identity, LoadError> {
    if files.family == Family::Bert {
        return embed::identify(files);
    }
    let header = read_header(files)?;
    identity(files, &header)
}

/// Reads and validates the header of the weights, without the weights.
pub(crate) fn read_header(files: &ModelFiles) -> Result<Header, LoadError> {
    let at = |fault| LoadError::new(&files.weights, fault);
    if files.family == Family::Bert {
        return Err(at(LoadFault::NoChat));
    }
    let file = File::open(&files.weights).map_err(|source| at(LoadFault::Io(source)))?;
    let length = file.metadata().map_err(|source| at(LoadFault::Io(source)))?.len();
    let header = gguf::read(BufReader::new(file), length).map_err(at)?;
    Shape::read(&header, files.family).map_err(at)?;
    Ok(header)
}

pub(crate) fn identity(files: &ModelFiles, header: &Header) -> Result<Identity, LoadError> {
    let tokenizer = match &files.tokenizer {
        None => header.tokenizer_sha256.clone(),
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|source| LoadError::new(path, LoadFault::Io(source)))?;
            hex::encode(Sha256::digest(bytes))
        }
    };
    let template = chat_template(files, header)?;
    Ok(Identity {
        weights: files.weights_sha256.clone(),
        tokenizer,
        template: hex::encode(Sha256::digest(template.as_bytes())),
        engine: ENGINE.to_owned(),
    })
}

/// The manifest's template, else the model's own.
pub(crate) fn chat_template<'a>(files: &'a ModelFiles, header: &'a Header) -> Result<&'a str, LoadError> {
    match (&files.chat_template, header.content.metadata.get("tokenizer.chat_template")) {
        (Some(text), _) => Ok(text),
        (None, Some(Value::String(text))) => Ok(text),
        (None, _) => Err(LoadError::new(&files.weights, LoadFault::NoTemplate)),
    }
}

/// The longest sequence in tokens: what the manifest and the file both allow.
pub(crate) fn context_tokens(files: &ModelFiles, header: &Header) -> usize {
    let trained = header.number(&format!("{}.context_length", arch::name(files.family))).unwrap_or(u64::MAX);
    u64::from(files.context_tokens).min(trained) as usize
}

/// Loads the weights for sequences of up to `context_tokens`, to be computed on `threads`. Blocking; takes about as long as
/// reading the file.
pub(crate) fn load_weights(
    files: &ModelFiles,
    context_tokens: usize,
    threads: usize,
) -> Result<Box<dyn Forward>, LoadError> {
    let at = |fault| LoadError::new(&files.weights, fault);
    let header = read_header(files)?;
    // The header was checked, but block formats are read by others' code too; a bad file must never do more than fail.
    let load = || Transformer::load(files, &header, context_tokens, threads);
    match catch_unwind(AssertUnwindSafe(load)) {
        Ok(Ok(model)) => Ok(Box::new(model)),
        Ok(Err(fault)) => Err(at(fault)),
        Err(_) => Err(at(LoadFault::Malformed("the weights made the loader panic".to_owned()))),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tiny;
