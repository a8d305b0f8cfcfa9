//! How much memory a model takes, by what its files say: before anything of it is loaded.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use candle_core::quantized::GgmlDType;

use super::{Header, LoadError, LoadFault, Stored, context_tokens, read_header, safetensors};
use crate::arch::Shape;
use crate::cache::CacheShape;
use crate::embed;
use crate::files::{Family, ModelFiles};
use crate::kernel::{Matrix, Rotary};

/// What a token of the vocabulary takes: its text, its place in the tokenizer's tables, and in those of constraints.
const TOKEN: u64 = 600;

/// A model's size, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// What is kept as long as the model is.
    pub(crate) kept: u64,
    /// What loading takes beside that.
    pub(crate) loading: u64,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat {
        /// Of 32 tokens in the cache.
        block: u64,
        context: usize,
        /// Of a row of logits.
        logits: u64,
        /// Of a row between the layers.
        row: u64,
        /// Of a position that may stand in a sequence.
        position: u64,
        /// Of the host's memory when a GPU computes.
        host: Host,
    },
    Embeddings {
        /// Of the largest batch.
        batch: u64,
    },
}

/// What stays in the host's memory when the weights go to a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Host {
    pub kept: u64,
    pub loading: u64,
}

/// Reads headers only.
///
/// # Errors
/// When a file cannot be read or is not one that this engine can run.
pub fn size(files: &ModelFiles) -> Result<Size, LoadError> {
    if files.family == Family::Bert {
        return embed::size(files);
    }
    Ok(of(files, &read_header(files)?))
}

/// How many weights each token of a prompt is multiplied with: all but those that only name tokens. Reads headers only.
///
/// # Errors
/// When a file cannot be read or is not one that this engine can run.
pub fn multiplied(files: &ModelFiles) -> Result<u64, LoadError> {
    let tensors = read_header(files)?.tensors;
    let words = ["token_embd.weight", "output.weight"].map(|name| tensors.own(name));
    let matrices =
        tensors.iter().filter(|(name, stored)| stored.dims.len() == 2 && words.iter().all(|own| own != name));
    Ok(matrices.map(|(_, stored)| stored.dims.iter().product::<usize>() as u64).sum())
}

/// Bytes of a safetensors file's tensors in 32 bits, and of the file.
pub(crate) fn in_floats(path: &Path) -> Result<(u64, u64), LoadError> {
    let io = |source| LoadError::new(path, LoadFault::Io(source));
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let elements = |entries: Vec<safetensors::Entry>| {
        entries.iter().map(|entry| entry.dims.iter().product::<usize>() as u64).sum::<u64>()
    };
    // What cannot be read is refused when it is loaded; half precision is the smallest that there is.
    let weights = safetensors::read(BufReader::new(file), length).map_or(2 * length, |entries| 4 * elements(entries));
    Ok((weights, length))
}

pub(crate) fn of(files: &ModelFiles, header: &Header) -> Size {
    let shape = &header.shape;
    let (mut weights, mut loading) = (0, 0);
    let tokens = shape.vocabulary as u64 * TOKEN;
    let mut host = Host { kept: tokens, loading: 0 };
    let embeddings = header.tensors.own("token_embd.weight");
    for (name, stored) in header.tensors.iter() {
        let columns = stored.dims.last().copied().unwrap_or(1);
        let rows = stored.dims.iter().rev().skip(1).product();
        let (packed, beside) = Matrix::bytes(stored.dtype, (rows, columns));
        weights += packed;
        loading = beside.max(loading);
        if name == embeddings {
            host.kept += packed;
        }
        host.loading = on_the_way(stored).max(beside).max(host.loading);
    }
    let &Shape { layers, kv_heads, head_width, width, heads, hidden, vocabulary, .. } = shape;
    let (queries, keys) = (heads * head_width, kv_heads * head_width);
    // Rows in floats, and the widest of them once more as a product's input.
    let row = 4 * (2 * (width + queries + keys + hidden)) + 6 * (hidden + queries.max(width));
    Size {
        kept: weights + tokens,
        loading,
        kind: Kind::Chat {
            block: CacheShape { layers, kv_heads, head_width }.block_bytes() as u64,
            context: context_tokens(files, header),
            logits: vocabulary as u64 * size_of::<f32>() as u64,
            row: row as u64,
            position: (1 + u64::from(shape.sliding.is_some())) * Rotary::bytes(shape.rotary.width) as u64,
            host,
        },
    }
}

/// What a tensor takes of the host's memory on its way to a GPU: its bytes, and those of floats twice, or widened beside.
fn on_the_way(stored: &Stored) -> u64 {
    let elements = stored.dims.iter().product::<usize>() as u64;
    let bytes = elements / stored.dtype.block_size() as u64 * stored.dtype.type_size() as u64;
    match stored.dtype {
        GgmlDType::F32 => 2 * bytes,
        GgmlDType::F16 | GgmlDType::BF16 => 2 * bytes + elements * size_of::<f32>() as u64,
        _ => bytes,
    }
}
