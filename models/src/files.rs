//! What a model is on disk, once its files are here and their digests were verified.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A model ready to be loaded. Made by the model store only, after the weights' digest was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFiles {
    /// The catalog id, e.g. `smollm2-135m-instruct`.
    pub id: String,
    pub family: Family,
    /// A GGUF file, or the first of the safetensors files.
    pub weights: PathBuf,
    /// Hex SHA-256 of the whole weights file; of several: over the list of theirs.
    pub weights_sha256: String,
    /// What belongs to safetensors files; `None`: the weights are a GGUF file.
    pub checkpoint: Option<Checkpoint>,
    /// A `tokenizer.json`; `None`: the tokenizer is in the GGUF's metadata.
    pub tokenizer: Option<PathBuf>,
    /// A Jinja chat template that overrides the model's own.
    pub chat_template: Option<String>,
    /// The longest prompt plus answer, in tokens.
    pub context_tokens: u32,
    pub capabilities: Capabilities,
}

impl Checkpoint {
    /// Weights in one file, and only a config beside them.
    pub fn of_config(config: PathBuf) -> Self {
        Self {
            shards: Vec::new(),
            index: None,
            config,
            generation_config: None,
            tokenizer_config: None,
            chat_template: None,
        }
    }
}

impl ModelFiles {
    /// The files with weights.
    pub fn weight_files(&self) -> impl Iterator<Item = &Path> {
        let shards = self.checkpoint.iter().flat_map(|checkpoint| &checkpoint.shards);
        std::iter::once(&self.weights).chain(shards).map(PathBuf::as_path)
    }

    /// The `config.json` beside safetensors.
    pub fn config(&self) -> Option<&Path> {
        self.checkpoint.as_ref().map(|checkpoint| checkpoint.config.as_path())
    }

    /// All files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let beside = self.checkpoint.iter().flat_map(|checkpoint| {
            let Checkpoint { shards: _, index, config, generation_config, tokenizer_config, chat_template } =
                checkpoint;
            [
                Some(config),
                index.as_ref(),
                generation_config.as_ref(),
                tokenizer_config.as_ref(),
                chat_template.as_ref(),
            ]
        });
        self.weight_files().chain(beside.flatten().chain(&self.tokenizer).map(PathBuf::as_path))
    }
}

/// What a model in safetensors has beside its first weights file and its tokenizer, as the Hugging Face hub lays it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Weights files beyond the first.
    pub shards: Vec<PathBuf>,
    /// `model.safetensors.index.json`: which tensor lies in which file.
    pub index: Option<PathBuf>,
    /// `config.json`
    pub config: PathBuf,
    /// `generation_config.json`: which tokens end an answer.
    pub generation_config: Option<PathBuf>,
    /// `tokenizer_config.json`: names of the tokens that begin and end a text, and the chat template in older models.
    pub tokenizer_config: Option<PathBuf>,
    /// `chat_template.jinja`
    pub chat_template: Option<PathBuf>,
}

/// Which forward pass the weights are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Llama shapes: SmolLM2, Llama 3, Mistral.
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
    Phi3,
    /// Sentence embeddings by the mean of the last states, as sentence-transformers makes them; no chat.
    Bert,
}

/// What the model can be asked for beyond text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Its template takes tools, or the engine may describe them to it.
    pub tools: bool,
    /// Answers can be constrained to JSON or a JSON Schema.
    pub json_schema: bool,
}
