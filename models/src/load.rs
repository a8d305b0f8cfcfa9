//! From verified files to a model that can be run.
//!
//! A weights file is read defensively before anything else touches it ([`gguf`]), then checked against the one forward
//! pass that this engine has for its family ([`llama`]); only what passed both reaches candle. Nothing here is allocated
//! by what a file merely claims, and no file, however broken, ends in a panic.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::quantized::gguf_file::Value;
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use sha2::{Digest, Sha256};

use crate::files::ModelFiles;

mod error;
mod gguf;
mod llama;

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
pub const ENGINE: &str = concat!("backstop-models ", env!("CARGO_PKG_VERSION"), " candle 0.11.1");

/// Names the model that `files` hold. Reads the header only; the weights' digest is taken from `files`.
///
/// # Errors
/// When a file cannot be read or is not one that this engine can run.
pub fn identify(files: &ModelFiles) -> Result<Identity, LoadError> {
    let header = read_header(files)?;
    identity(files, &header)
}

/// A forward pass over one sequence, whose cache lies inside. Only the engine's thread calls it.
pub(crate) trait Forward {
    /// Feeds `tokens`, the first of which stands at `position` of its sequence, and returns the logits that follow the
    /// last. Position 0 begins a new sequence.
    fn forward(&mut self, tokens: &[u32], position: usize) -> Result<Vec<f32>, candle_core::Error>;
}

/// Reads and validates the header of the weights, without the weights.
pub(crate) fn read_header(files: &ModelFiles) -> Result<Header, LoadError> {
    let at = |fault| LoadError::new(&files.weights, fault);
    let file = File::open(&files.weights).map_err(|source| at(LoadFault::Io(source)))?;
    let length = file.metadata().map_err(|source| at(LoadFault::Io(source)))?.len();
    let header = gguf::read(BufReader::new(file), length).map_err(at)?;
    llama::check(&header, files.family).map_err(at)?;
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

/// The longest sequence in tokens: what the manifest, the file and the forward pass all allow.
pub(crate) fn context_tokens(files: &ModelFiles, header: &Header) -> usize {
    let trained = header.number("llama.context_length").unwrap_or(u64::MAX);
    (u64::from(files.context_tokens).min(trained).min(llama::MAX_CONTEXT as u64)) as usize
}

/// Loads the weights. Blocking; takes as long as reading the file.
pub(crate) fn load_weights(files: &ModelFiles) -> Result<Box<dyn Forward>, LoadError> {
    let at = |fault| LoadError::new(&files.weights, fault);
    let header = read_header(files)?;
    let device = Device::cuda_if_available(0).map_err(|source| at(LoadFault::Weights(source)))?;
    let file = File::open(&files.weights).map_err(|source| at(LoadFault::Io(source)))?;
    // The header was checked, but candle's own code has panicked on files before; a bad file must never do more than fail.
    let loaded =
        catch_unwind(AssertUnwindSafe(|| ModelWeights::from_gguf(header.content, &mut BufReader::new(file), &device)));
    match loaded {
        Ok(Ok(pristine)) => Ok(Box::new(Candle { sequence: pristine.clone(), pristine, device })),
        Ok(Err(source)) => Err(at(LoadFault::Weights(source))),
        Err(_) => Err(at(LoadFault::Malformed("the weights made the loader panic".to_owned()))),
    }
}

/// candle's own llama. Its cache of keys, values and masks lies inside the model, so each sequence starts from a clone of
/// the pristine one: weights are shared by reference, and nothing of an earlier sequence can leak or pile up.
struct Candle {
    pristine: ModelWeights,
    sequence: ModelWeights,
    device: Device,
}

impl Forward for Candle {
    fn forward(&mut self, tokens: &[u32], position: usize) -> Result<Vec<f32>, candle_core::Error> {
        if position == 0 {
            self.sequence = self.pristine.clone();
        }
        let input = Tensor::new(tokens, &self.device)?.unsqueeze(0)?;
        let logits = self.sequence.forward(&input, position)?;
        logits.squeeze(0)?.to_dtype(DType::F32)?.to_vec1()
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tiny;
