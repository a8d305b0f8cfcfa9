//! What a model is on disk, once its files are here and their digests were verified.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A model ready to be loaded. Made by the model store only, after the weights' digest was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFiles {
    /// The catalog id, e.g. `smollm2-135m-instruct`.
    pub id: String,
    pub family: Family,
    /// A GGUF file; safetensors for the family `bert`.
    pub weights: PathBuf,
    /// Hex SHA-256 of the whole weights file.
    pub weights_sha256: String,
    /// A `tokenizer.json`; `None`: the tokenizer is in the GGUF's metadata.
    pub tokenizer: Option<PathBuf>,
    /// A `config.json`, where the weights do not say themselves what they are.
    pub config: Option<PathBuf>,
    /// A Jinja chat template that overrides the one in the GGUF's metadata.
    pub chat_template: Option<String>,
    /// The longest prompt plus answer, in tokens.
    pub context_tokens: u32,
    pub capabilities: Capabilities,
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
