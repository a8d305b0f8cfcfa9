//! The shape that a `config.json` of `transformers` describes.
//!
//! Keys and what they are when they are not there: `configuration_*.py` of each family in `transformers`. What would change
//! the computation and is not here is refused by its name.

use serde_json::{Map, Value};

use super::{RotaryShape, Shape, Sliding, name};
use crate::files::Family;
use crate::kernel::{Gate, Pairs};
use crate::load::LoadFault;

mod keys;
mod rotary;

use keys::Keys;

/// What `model_type` says, by family.
const MODEL_TYPES: [(Family, &str); 6] = [
    (Family::Llama, "llama"),
    (Family::Llama, "mistral"),
    (Family::Qwen2, "qwen2"),
    (Family::Qwen3, "qwen3"),
    (Family::Gemma3, "gemma3_text"),
    (Family::Phi3, "phi3"),
];

impl Shape {
    /// Reads and checks a config; that the tensors are as it says is for [`crate::arch::check`].
    pub(crate) fn of_config(config: &Map<String, Value>, family: Family) -> Result<Self, LoadFault> {
        let keys = Keys(config);
        let found = keys.text("model_type")?.ok_or_else(|| LoadFault::MissingKey("model_type".to_owned()))?;
        let Some((described, _)) = MODEL_TYPES.iter().find(|(_, known)| *known == found) else {
            return Err(match found {
                "gemma3" => LoadFault::Unsupported("images (`model_type` is `gemma3`, not `gemma3_text`)".to_owned()),
                other => LoadFault::UnknownArchitecture { found: other.to_owned() },
            });
        };
        if *described != family {
            let expected = name(family).to_owned();
            return Err(LoadFault::WrongFamily { found: found.to_owned(), expected });
        }
        refuse_unsupported(&keys, family)?;
        Self::of_keys(&keys, family, found)
    }

    fn of_keys(keys: &Keys<'_>, family: Family, model_type: &str) -> Result<Self, LoadFault> {
        let gemma = family == Family::Gemma3;
        let layers = keys.count("num_hidden_layers", 1024)?;
        let width = keys.count("hidden_size", 1 << 20)?;
        let heads = keys.count("num_attention_heads", 4096)?;
        let kv_heads = match keys.optional_count("num_key_value_heads", 4096)? {
            Some(heads) => heads,
            // Only these have as many as heads when it is not said.
            None if model_type == "llama" || family == Family::Phi3 => heads,
            None => return Err(LoadFault::MissingKey("num_key_value_heads".to_owned())),
        };
        if !heads.is_multiple_of(kv_heads) {
            return Err(Keys::bad("num_key_value_heads", "it does not divide the number of heads"));
        }
        let head_width = match keys.optional_count("head_dim", 4096)? {
            Some(width) => width,
            None if matches!(family, Family::Qwen3 | Family::Gemma3) => {
                return Err(LoadFault::MissingKey("head_dim".to_owned()));
            }
            None if width.is_multiple_of(heads) => width / heads,
            None => return Err(Keys::bad("num_attention_heads", "it does not divide `hidden_size`")),
        };
        let rotary = rotary::read(keys, family)?;
        let part = rotary.part;
        if !(part == 1.0 || (family == Family::Phi3 && part < 1.0)) {
            let what = "rotary positions of a part of a head (`partial_rotary_factor`)";
            return Err(LoadFault::Unsupported(what.to_owned()));
        }
        let rotary_width = (head_width as f32 * part) as usize;
        if rotary_width == 0 || !rotary_width.is_multiple_of(2) {
            return Err(Keys::bad("head_dim", "its rotary part is not even"));
        }
        let scalar = match gemma {
            true => keys.number("query_pre_attn_scalar")?.unwrap_or(256.0),
            false => head_width as f32,
        };
        Ok(Self {
            family,
            layers,
            width,
            heads,
            kv_heads,
            head_width,
            hidden: keys.count("intermediate_size", 1 << 24)?,
            vocabulary: keys.count("vocab_size", 1 << 24)?,
            context: keys.count("max_position_embeddings", 1 << 32)?,
            epsilon: keys.number("rms_norm_eps")?.ok_or_else(|| LoadFault::MissingKey("rms_norm_eps".to_owned()))?,
            rotary: RotaryShape { width: rotary_width, base: rotary.base, scale: rotary.scale, pairs: Pairs::Halves },
            rotary_factors: rotary.factors(rotary_width),
            gate: if gemma { Gate::Gelu } else { Gate::Silu },
            embedding_scale: if gemma { (width as f32).sqrt() } else { 1.0 },
            attention_scale: 1.0 / scalar.sqrt(),
            norm_shift: if gemma { 1.0 } else { 0.0 },
            separate_output: !keys.flag("tie_word_embeddings")?.unwrap_or(gemma),
            sliding: sliding(keys, (family, model_type), layers, rotary.local_base)?,
        })
    }
}

/// Which layers see less than all; `None` when none does.
fn sliding(
    keys: &Keys<'_>,
    (family, model_type): (Family, &str),
    layers: usize,
    local_base: Option<f32>,
) -> Result<Option<Sliding>, LoadFault> {
    let used = match family {
        Family::Llama => model_type == "mistral",
        Family::Qwen2 | Family::Qwen3 => keys.flag("use_sliding_window")?.unwrap_or(false),
        Family::Gemma3 | Family::Phi3 => true,
        Family::Bert => false,
    };
    let window = if used { keys.optional_count("sliding_window", 1 << 32)? } else { None };
    let Some(window) = window else {
        if family == Family::Gemma3 {
            return Err(LoadFault::MissingKey("sliding_window".to_owned()));
        }
        // A layer that slides without a window would be one that nobody here knows.
        return match keys.layer_types(layers)? {
            Some(slide) if slide.contains(&true) => Err(LoadFault::MissingKey("sliding_window".to_owned())),
            _ => Ok(None),
        };
    };
    let slide = match keys.layer_types(layers)? {
        Some(slide) => slide,
        None if family == Family::Gemma3 => {
            let pattern = match keys.optional_count("sliding_window_pattern", 1024)? {
                Some(every) => every,
                None => keys.optional_count("_sliding_window_pattern", 1024)?.unwrap_or(6),
            };
            (1..=layers).map(|layer| !layer.is_multiple_of(pattern)).collect()
        }
        None if matches!(family, Family::Qwen2 | Family::Qwen3) => {
            let first = keys.whole("max_window_layers")?.unwrap_or(28);
            (0..layers as u64).map(|layer| layer >= first).collect()
        }
        None => vec![true; layers],
    };
    Ok(Some(Sliding { window, base: local_base, layers: slide }))
}

/// What this forward pass would silently ignore, and so answer wrongly.
fn refuse_unsupported(keys: &Keys<'_>, family: Family) -> Result<(), LoadFault> {
    let unsupported = |what: String| Err(LoadFault::Unsupported(what));
    for key in ["quantization_config", "compression_config"] {
        if let Some(quantized) = keys.get(key) {
            let method = quantized["quant_method"].as_str().unwrap_or("no name");
            return unsupported(format!("weights that are quantized by `{method}` (`{key}`)"));
        }
    }
    for key in ["attention_bias", "mlp_bias", "use_bidirectional_attention"] {
        // Qwen 2 has its biases whatever this says.
        if family != Family::Qwen2 && keys.flag(key)? == Some(true) {
            return unsupported(format!("`{key}`"));
        }
    }
    for key in ["final_logit_softcapping", "attn_logit_softcapping"] {
        if keys.get(key).is_some() {
            return unsupported(format!("`{key}`"));
        }
    }
    let (key, expected) = match family {
        Family::Gemma3 => ("hidden_activation", "gelu_pytorch_tanh"),
        _ => ("hidden_act", "silu"),
    };
    match keys.text(key)? {
        Some(other) if other != expected => unsupported(format!("the activation `{other}`")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
