//! A model in safetensors as the Hugging Face hub lays it out: weights in one file or several, and small JSON files beside.
//!
//! Every JSON file has a bound. What they say of the model's shape is read in [`crate::arch`]; here is what they say of
//! files, tokens and the template.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use safetensors::Dtype;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::stored::{Stored, Tensors};
use super::{LoadError, LoadFault, Names, safetensors as format};
use crate::arch::Shape;
use crate::files::{Checkpoint, ModelFiles};

const MAX_CONFIG: u64 = 1 << 20;
/// An index and a tokenizer's config list every tensor, or every added token.
const MAX_LIST: u64 = 16 << 20;
const MAX_TEMPLATE: u64 = 1 << 20;

/// What the small files say, of which the vocabulary and the template are made.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// Ids of tokens that end an answer, the one that matters most first.
    pub ends: Vec<u32>,
    pub bos: Option<u32>,
    /// The token that ends an answer, by its text: it goes before `ends`.
    pub end_text: Option<String>,
    /// As `bos`, by its text, and before it.
    pub bos_text: Option<String>,
    /// Whether a text begins with `bos`, where the tokenizer's config says so.
    pub adds_bos: Option<bool>,
    pub template: Option<String>,
    /// Hex SHA-256 of what decides how weights are used, `config.json`.
    pub config_sha256: String,
    /// Hex SHA-256 of `generation_config.json`.
    pub generation_config_sha256: Option<String>,
    /// Hex SHA-256 of the tokenizer's config.
    pub tokenizer_config_sha256: Option<String>,
}

/// Reads and checks all but the weights and the tokenizer.
pub(super) fn read(files: &ModelFiles, checkpoint: &Checkpoint) -> Result<(Shape, Tensors, Words), LoadError> {
    let (config, config_sha256) = object(&checkpoint.config, MAX_CONFIG)?;
    let shape = Shape::of_config(&config, files.family).map_err(|fault| LoadError::new(&checkpoint.config, fault))?;
    let tensors = tensors(files)?;
    if let Some(index) = &checkpoint.index {
        check_index(index, &tensors)?;
    }
    crate::arch::check(&tensors, &shape)?;
    let words = words(checkpoint, &config, config_sha256)?;
    Ok((shape, tensors, words))
}

fn tensors(files: &ModelFiles) -> Result<Tensors, LoadError> {
    let paths: Vec<PathBuf> = files.weight_files().map(Path::to_owned).collect();
    let mut stored: HashMap<String, Stored> = HashMap::new();
    for (number, path) in paths.iter().enumerate() {
        let at = |fault| LoadError::new(path, fault);
        let io = |source| at(LoadFault::Io(source));
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        for entry in format::read(BufReader::new(file), length).map_err(at)? {
            let format::Entry { name, dtype, dims, start } = entry;
            let dtype = match dtype {
                Dtype::F32 => GgmlDType::F32,
                Dtype::F16 => GgmlDType::F16,
                Dtype::BF16 => GgmlDType::BF16,
                other => {
                    let why = format!("its type {other} is not supported; F32, F16 and BF16 are");
                    return Err(at(LoadFault::BadTensor { name, why }));
                }
            };
            if let Some(other) = stored.get(&name) {
                let why = format!("it is in {} too", paths[other.file].display());
                return Err(at(LoadFault::BadTensor { name, why }));
            }
            stored.insert(name, Stored { dtype, dims, file: number, start });
        }
    }
    Ok(Tensors::new(paths, Names::Transformers(files.family), stored))
}

/// Holds the list of which tensor is where against the files.
fn check_index(path: &Path, tensors: &Tensors) -> Result<(), LoadError> {
    let (index, _) = object(path, MAX_LIST)?;
    let at = |fault| LoadError::new(path, fault);
    let Some(Value::Object(listed)) = index.get("weight_map") else {
        return Err(at(LoadFault::MissingKey("weight_map".to_owned())));
    };
    let here: HashMap<&str, usize> = tensors.iter().map(|(own, stored)| (own, stored.file)).collect();
    for (name, file) in listed {
        let Some(file) = file.as_str() else {
            let why = format!("it does not say which file has `{name}`");
            return Err(at(LoadFault::BadMetadata { key: "weight_map".to_owned(), why }));
        };
        let named = |path: &PathBuf| path.file_name().is_some_and(|name| name == file);
        let Some(number) = tensors.files().iter().position(named) else {
            let why = format!("it names `{file}`, which the manifest does not; add it there as `[[shard]]`");
            return Err(at(LoadFault::BadMetadata { key: "weight_map".to_owned(), why }));
        };
        if here.get(name.as_str()) != Some(&number) {
            return Err(tensors.at(number, LoadFault::MissingTensor(name.clone())));
        }
    }
    match here.keys().find(|own| !listed.contains_key(**own)) {
        None => Ok(()),
        Some(own) => {
            let why = format!("it does not list the tensor `{own}`");
            Err(at(LoadFault::BadMetadata { key: "weight_map".to_owned(), why }))
        }
    }
}

fn words(checkpoint: &Checkpoint, config: &Map<String, Value>, config_sha256: String) -> Result<Words, LoadError> {
    let generation = checkpoint.generation_config.as_deref().map(|path| object(path, MAX_CONFIG)).transpose()?;
    let tokens = checkpoint.tokenizer_config.as_deref().map(|path| object(path, MAX_LIST)).transpose()?;
    let mut ends = Vec::new();
    if let Some((generation, _)) = &generation {
        ends.extend(ids(generation.get("eos_token_id")));
    }
    ends.extend(ids(config.get("eos_token_id")));
    let mut words = Words {
        ends,
        bos: ids(config.get("bos_token_id")).first().copied(),
        config_sha256,
        generation_config_sha256: generation.map(|(_, sha256)| sha256),
        ..Words::default()
    };
    if let Some((tokens, sha256)) = tokens {
        words.end_text = token_text(tokens.get("eos_token"));
        words.bos_text = token_text(tokens.get("bos_token"));
        words.adds_bos = tokens.get("add_bos_token").and_then(Value::as_bool);
        words.template = template(tokens.get("chat_template"));
        words.tokenizer_config_sha256 = Some(sha256);
    }
    if let Some(path) = &checkpoint.chat_template {
        let text = bytes(path, MAX_TEMPLATE)?;
        let text = String::from_utf8(text)
            .map_err(|_| LoadError::new(path, LoadFault::Malformed("it is not UTF-8 text".to_owned())))?;
        words.template = Some(text);
    }
    Ok(words)
}

/// One id, or a list.
fn ids(value: Option<&Value>) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A token by its text, or as an object that has it.
fn token_text(value: Option<&Value>) -> Option<String> {
    let value = value?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// One template, or the default one of several.
fn template(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Array(several) => {
            let default = several.iter().find(|one| one["name"] == "default")?;
            default["template"].as_str().map(str::to_owned)
        }
        _ => None,
    }
}

/// A file's object, and the hex SHA-256 of its bytes.
fn object(path: &Path, limit: u64) -> Result<(Map<String, Value>, String), LoadError> {
    let bytes = bytes(path, limit)?;
    let object = serde_json::from_slice(&bytes).map_err(|error| LoadError::new(path, LoadFault::Json(error)))?;
    Ok((object, hex::encode(Sha256::digest(&bytes))))
}

/// A small file's bytes.
fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>, LoadError> {
    let io = |source| LoadError::new(path, LoadFault::Io(source));
    let mut bytes = Vec::new();
    // One byte more than may be there, so that a file that grows while it is read is noticed too.
    File::open(path).map_err(io)?.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    let claimed = bytes.len() as u64;
    if claimed > limit {
        return Err(LoadError::new(path, LoadFault::Absurd { what: "its size".to_owned(), claimed, limit }));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
