//! From verified files to a model that can be run.
//!
//! Files are read defensively before anything else touches them ([`gguf`], [`safetensors`] and [`checkpoint`]), then checked
//! against what the forward pass needs of their family ([`crate::arch`]). Nothing here is allocated by what a file merely
//! claims, and no file, however broken, ends in a panic. Behind [`Header`] nobody sees which format it was.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::arch::{self, DeviceTransformer, Forward, Shape, Transformer};
use crate::device::Device;
use crate::embed;
use crate::files::{Family, ModelFiles};
use crate::sample;
use crate::verify::together;

mod checkpoint;
mod error;
mod gguf;
mod names;
mod safetensors;
mod size;
mod stored;

pub(crate) use checkpoint::Words;
pub use error::{LoadError, LoadFault};
pub(crate) use gguf::{Header as GgufHeader, unsigned};
pub(crate) use names::Names;
pub(crate) use size::{Kind, in_floats, of as size_of_header};
pub use size::{Size, multiplied, size};
pub(crate) use stored::{Stored, Tensors};

/// Names what answers: change any of it and it is another model, with certificates of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Hex SHA-256 of the whole weights file, as the model store verified it. Of safetensors: over the list of the files'
    /// digest and that of `config.json`.
    pub weights: String,
    /// Hex SHA-256 of the `tokenizer.json`, or of the raw `tokenizer.ggml.*` metadata in file order. Beside safetensors:
    /// over the list of the digests of `tokenizer.json` and `tokenizer_config.json`.
    pub tokenizer: String,
    /// Hex SHA-256 of the chat template's text.
    pub template: String,
    /// Hex SHA-256 over what decides how an answer is drawn and ends where a caller says nothing: the engine's defaults, and
    /// `generation_config.json`, or a GGUF file's `general.sampling.*` and the ids of its special tokens.
    pub generation_config: String,
    /// The block format that most of the weights are stored in: `Q4_1`, `BF16`.
    pub quantization: String,
    /// The version of everything that turns weights into tokens.
    pub engine: String,
}

/// What the engine is on the CPU, in [`Identity::engine`]. A change that can change a logit changes this.
pub const ENGINE: &str = concat!("backstop-models ", env!("CARGO_PKG_VERSION"), " kernel 3 candle 0.11.1");

/// The same on a GPU, but for the features that this program was built with.
const CUDA_ENGINE: &str = concat!("backstop-models ", env!("CARGO_PKG_VERSION"), " tensors 1 candle 0.11.1 cuda");

/// What computes on `device`: its logits are not those of another kind of device.
fn engine(device: Device) -> String {
    match device {
        Device::Cpu => ENGINE.to_owned(),
        Device::Cuda(_) => {
            let cudnn = if cfg!(feature = "cudnn") { " cudnn" } else { "" };
            let flash = if cfg!(feature = "flash-attn") { " flash-attn" } else { "" };
            format!("{CUDA_ENGINE}{cudnn}{flash}")
        }
    }
}

/// Names the model that `files` hold, as `device` computes it. Reads the header only; the weights' digest is taken from
/// `files`.
///
/// # Errors
/// When a file cannot be read or is not one that this engine can run.
pub fn identify(files: &ModelFiles, device: Device) -> Result<Identity, LoadError> {
    if files.family == Family::Bert {
        return embed::identify(files);
    }
    let header = read_header(files)?;
    identity(files, &header, device)
}

/// All that a model's files say, without the weights: read, and checked to be a model that can be run.
pub(crate) struct Header {
    pub shape: Shape,
    pub tensors: Tensors,
    pub lexicon: Lexicon,
}

/// Where the tokens and the template come from.
pub(crate) enum Lexicon {
    Gguf(GgufHeader),
    Checkpoint(Words),
}

/// Reads and validates all but the weights and the tokenizer.
pub(crate) fn read_header(files: &ModelFiles) -> Result<Header, LoadError> {
    if files.family == Family::Bert {
        return Err(LoadError::new(&files.weights, LoadFault::NoChat));
    }
    match &files.checkpoint {
        None => read_gguf(files),
        Some(checkpoint) => {
            let (shape, tensors, words) = checkpoint::read(files, checkpoint)?;
            Ok(Header { shape, tensors, lexicon: Lexicon::Checkpoint(words) })
        }
    }
}

fn read_gguf(files: &ModelFiles) -> Result<Header, LoadError> {
    let at = |fault| LoadError::new(&files.weights, fault);
    let file = File::open(&files.weights).map_err(|source| at(LoadFault::Io(source)))?;
    let length = file.metadata().map_err(|source| at(LoadFault::Io(source)))?.len();
    let header = gguf::read(BufReader::new(file), length).map_err(at)?;
    let shape = Shape::of_gguf(&header, files.family).map_err(at)?;
    let tensors = header.tensors(&files.weights);
    arch::check(&tensors, &shape)?;
    Ok(Header { shape, tensors, lexicon: Lexicon::Gguf(header) })
}

pub(crate) fn identity(files: &ModelFiles, header: &Header, device: Device) -> Result<Identity, LoadError> {
    let digest = |path: &Path| {
        let bytes = std::fs::read(path).map_err(|source| LoadError::new(path, LoadFault::Io(source)))?;
        Ok(hex::encode(Sha256::digest(bytes)))
    };
    let file = files.tokenizer.as_deref().map(digest).transpose()?;
    let (weights, tokenizer) = match &header.lexicon {
        Lexicon::Gguf(gguf) => (files.weights_sha256.clone(), file.unwrap_or_else(|| gguf.tokenizer_sha256.clone())),
        Lexicon::Checkpoint(words) => (
            together([files.weights_sha256.as_str(), &words.config_sha256]),
            together([file.as_deref().unwrap_or(""), words.tokenizer_config_sha256.as_deref().unwrap_or("")]),
        ),
    };
    let template = hex::encode(Sha256::digest(chat_template(files, header)?.as_bytes()));
    let generation_config = generation_config(&header.lexicon);
    let quantization = header.tensors.quantization();
    Ok(Identity { weights, tokenizer, template, generation_config, quantization, engine: engine(device) })
}

/// See [`Identity::generation_config`].
fn generation_config(lexicon: &Lexicon) -> String {
    let own = match lexicon {
        Lexicon::Gguf(gguf) => gguf.generation().join("\n"),
        Lexicon::Checkpoint(words) => words.generation_config_sha256.clone().unwrap_or_default(),
    };
    hex::encode(Sha256::digest(format!("{}\n{own}", sample::defaults())))
}

/// The manifest's template, else the model's own.
pub(crate) fn chat_template<'a>(files: &'a ModelFiles, header: &'a Header) -> Result<&'a str, LoadError> {
    let own = match &header.lexicon {
        Lexicon::Gguf(gguf) => gguf.text("tokenizer.chat_template"),
        Lexicon::Checkpoint(words) => words.template.as_deref(),
    };
    files.chat_template.as_deref().or(own).ok_or_else(|| LoadError::new(&files.weights, LoadFault::NoTemplate))
}

/// The longest sequence in tokens: what the manifest and the model both allow.
pub(crate) fn context_tokens(files: &ModelFiles, header: &Header) -> usize {
    (files.context_tokens as usize).min(header.shape.context)
}

/// Loads the weights for sequences of up to `context_tokens`, to be computed on `device`, where that is the CPU on `threads`.
/// Blocking; takes about as long as reading the file.
pub(crate) fn load_weights(
    files: &ModelFiles,
    context_tokens: usize,
    threads: usize,
    device: Device,
) -> Result<Box<dyn Forward>, LoadError> {
    let mut header = read_header(files)?;
    // What tokens are called is not needed here, and would be in memory beside the weights.
    header.lexicon = Lexicon::Checkpoint(Words::default());
    // The header was checked, but block formats are read by others' code too; a bad file must never do more than fail.
    let load = || -> Result<Box<dyn Forward>, LoadError> {
        Ok(match device {
            Device::Cpu => Box::new(Transformer::load(&header, context_tokens, threads)?),
            Device::Cuda(number) => {
                let gpu = candle_core::Device::new_cuda(number);
                let gpu = gpu.map_err(|error| LoadError::new(&files.weights, LoadFault::Weights(error)))?;
                Box::new(DeviceTransformer::load(&header, context_tokens, threads, &gpu)?)
            }
        })
    };
    match catch_unwind(AssertUnwindSafe(load)) {
        Ok(model) => model,
        Err(_) => {
            let fault = LoadFault::Malformed("the weights made the loader panic".to_owned());
            Err(LoadError::new(&files.weights, fault))
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tiny;
