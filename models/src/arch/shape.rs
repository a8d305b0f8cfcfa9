//! What a model is, checked by name: a wrong shape is an error here and never a panic, or nonsense, later.
//!
//! One description serves every family; where they differ is a field. Two formats describe a model: [`gguf`] and [`config`].

use crate::files::Family;
use crate::kernel::{Gate, Pairs};

mod config;
mod gguf;

/// A decoder-only transformer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub family: Family,
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_width: usize,
    pub hidden: usize,
    pub vocabulary: usize,
    /// The longest sequence it was trained for.
    pub context: usize,
    pub epsilon: f32,
    pub rotary: RotaryShape,
    /// What divides the rotary frequencies; a GGUF file may have it as a tensor instead.
    pub rotary_factors: Option<Vec<f32>>,
    pub gate: Gate,
    /// What token embeddings are multiplied with.
    pub embedding_scale: f32,
    /// What the products of queries and keys are multiplied with.
    pub attention_scale: f32,
    /// What is added to the weights of norms, which Gemma's own files store as differences from one.
    pub norm_shift: f32,
    /// Whether logits have a matrix of their own, which is not that of the embeddings.
    pub separate_output: bool,
    /// Layers that see only so many tokens back.
    pub sliding: Option<Sliding>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RotaryShape {
    pub width: usize,
    pub base: f32,
    /// What positions are multiplied with.
    pub scale: f32,
    pub pairs: Pairs,
}

/// Layers that see the last `window` tokens only, themselves included.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sliding {
    pub window: usize,
    /// Their own rotary base.
    pub base: Option<f32>,
    /// By layer, whether it is one.
    pub layers: Vec<bool>,
}

impl Shape {
    /// The window of a layer that sees less than all.
    pub(crate) fn window(&self, layer: usize) -> Option<usize> {
        self.sliding.as_ref().filter(|sliding| sliding.layers[layer]).map(|sliding| sliding.window)
    }
}

const FAMILIES: [(Family, &str); 5] = [
    (Family::Llama, "llama"),
    (Family::Qwen2, "qwen2"),
    (Family::Qwen3, "qwen3"),
    (Family::Gemma3, "gemma3"),
    (Family::Phi3, "phi3"),
];

/// What the family is called in files.
pub(crate) fn name(family: Family) -> &'static str {
    FAMILIES.iter().find(|(known, _)| *known == family).map_or("llama", |(_, name)| name)
}
