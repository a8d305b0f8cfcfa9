//! What files call the tensors of a model. Inside, they go by the names of GGUF files.

use std::borrow::Cow;

use crate::files::Family;

/// Whose names a model's files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// `gguf-py/gguf/constants.py` of llama.cpp.
    Gguf,
    /// The modules of `transformers`' model of the family.
    Transformers(Family),
}

impl Names {
    /// What the files call the tensor `name`.
    pub(crate) fn own(self, name: &str) -> Cow<'_, str> {
        let Self::Transformers(family) = self else { return Cow::Borrowed(name) };
        if let Some((_, own)) = TOP.iter().find(|(known, _)| *known == name) {
            return Cow::Borrowed(own);
        }
        let layer = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        let own = layer.and_then(|(number, part)| {
            let special: &[(&str, &str)] = match family {
                Family::Gemma3 => GEMMA,
                Family::Phi3 => PHI,
                Family::Llama | Family::Qwen2 | Family::Qwen3 | Family::Bert => &[],
            };
            let (_, own) = special.iter().chain(LAYER).find(|(known, _)| *known == part)?;
            Some(format!("model.layers.{number}.{own}"))
        });
        own.map_or(Cow::Borrowed(name), Cow::Owned)
    }
}

const TOP: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

const LAYER: &[(&str, &str)] = &[
    ("attn_norm.weight", "input_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj.weight"),
    ("attn_k.weight", "self_attn.k_proj.weight"),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_q.bias", "self_attn.q_proj.bias"),
    ("attn_k.bias", "self_attn.k_proj.bias"),
    ("attn_v.bias", "self_attn.v_proj.bias"),
    ("attn_q_norm.weight", "self_attn.q_norm.weight"),
    ("attn_k_norm.weight", "self_attn.k_norm.weight"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
];

/// Gemma normalizes after attention too, under the name that others have for the norm before the feed-forward layer.
const GEMMA: &[(&str, &str)] = &[
    ("post_attention_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_norm.weight", "pre_feedforward_layernorm.weight"),
    ("post_ffw_norm.weight", "post_feedforward_layernorm.weight"),
];

/// One matrix for queries, keys and values, and one for gate and up.
const PHI: &[(&str, &str)] =
    &[("attn_qkv.weight", "self_attn.qkv_proj.weight"), ("ffn_up.weight", "mlp.gate_up_proj.weight")];
