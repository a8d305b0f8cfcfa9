//! A tiny random-weight model of any family in safetensors, with all the files that a hub has beside them, for tests.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::{Map, Value, json};

use super::{CONTEXT, HEADS, HIDDEN, KEY_HEADS, LAYERS, TEMPLATE, WIDTH, Written, files, vocabulary};
use crate::files::{Checkpoint, Family, ModelFiles};
use crate::sample::SplitMix;

/// The parts of the files, to be changed before they are written.
#[derive(Clone)]
pub(crate) struct TinyCheckpoint {
    pub family: Family,
    pub config: Map<String, Value>,
    pub generation_config: Value,
    pub tokenizer_config: Value,
    pub tensors: BTreeMap<String, Tensor>,
}

impl TinyCheckpoint {
    pub(crate) fn new() -> Self {
        Self::of(Family::Llama, DType::F32, WIDTH / HEADS)
    }

    /// A model of `family` whose weights are stored as `dtype`, with heads of `head_width`.
    pub(crate) fn of(family: Family, dtype: DType, head_width: usize) -> Self {
        let rows = vocabulary().0.len();
        let (queries, keys) = (HEADS * head_width, KEY_HEADS * head_width);
        let mut shapes = vec![
            ("model.embed_tokens.weight".to_owned(), vec![rows, WIDTH]),
            ("model.norm.weight".to_owned(), vec![WIDTH]),
        ];
        for layer in 0..LAYERS {
            let mut parts = vec![
                ("input_layernorm.weight", vec![WIDTH]),
                ("post_attention_layernorm.weight", vec![WIDTH]),
                ("self_attn.o_proj.weight", vec![WIDTH, queries]),
                ("mlp.down_proj.weight", vec![WIDTH, HIDDEN]),
            ];
            parts.extend(match family {
                Family::Phi3 => vec![
                    ("self_attn.qkv_proj.weight", vec![queries + 2 * keys, WIDTH]),
                    ("mlp.gate_up_proj.weight", vec![2 * HIDDEN, WIDTH]),
                ],
                _ => vec![
                    ("self_attn.q_proj.weight", vec![queries, WIDTH]),
                    ("self_attn.k_proj.weight", vec![keys, WIDTH]),
                    ("self_attn.v_proj.weight", vec![keys, WIDTH]),
                    ("mlp.gate_proj.weight", vec![HIDDEN, WIDTH]),
                    ("mlp.up_proj.weight", vec![HIDDEN, WIDTH]),
                ],
            });
            if family == Family::Qwen2 {
                parts.push(("self_attn.q_proj.bias", vec![queries]));
                parts.push(("self_attn.k_proj.bias", vec![keys]));
                parts.push(("self_attn.v_proj.bias", vec![keys]));
            }
            if matches!(family, Family::Qwen3 | Family::Gemma3) {
                parts.push(("self_attn.q_norm.weight", vec![head_width]));
                parts.push(("self_attn.k_norm.weight", vec![head_width]));
            }
            if family == Family::Gemma3 {
                parts.push(("pre_feedforward_layernorm.weight", vec![WIDTH]));
                parts.push(("post_feedforward_layernorm.weight", vec![WIDTH]));
            }
            shapes.extend(parts.into_iter().map(|(part, shape)| (format!("model.layers.{layer}.{part}"), shape)));
        }
        if family == Family::Phi3 {
            shapes.push(("lm_head.weight".to_owned(), vec![rows, WIDTH]));
        }
        let mut random = SplitMix::new(7);
        let tensors = shapes.into_iter().map(|(name, shape)| (name, tensor(&shape, dtype, &mut random)));
        Self {
            family,
            config: config(family, rows, head_width),
            generation_config: json!({ "eos_token_id": [2, 0] }),
            tokenizer_config: json!({
                "bos_token": "<|im_start|>", "eos_token": { "content": "<|im_end|>" }, "chat_template": TEMPLATE,
            }),
            tensors: tensors.collect(),
        }
    }

    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self.config.insert(key.to_owned(), value);
        self
    }

    /// Without a key of the config, or a tensor.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.config.remove(name);
        self.tensors.remove(name);
        self
    }

    /// With a tensor of random 32-bit floats.
    pub(crate) fn with(mut self, name: &str, shape: &[usize]) -> Self {
        self.tensors.insert(name.to_owned(), tensor(shape, DType::F32, &mut SplitMix::new(9)));
        self
    }

    /// With logits from a matrix of their own.
    pub(crate) fn untied(self) -> Self {
        let rows = vocabulary().0.len();
        self.with("lm_head.weight", &[rows, WIDTH]).set("tie_word_embeddings", json!(false))
    }

    pub(crate) fn write(&self) -> Written {
        self.write_shards(1)
    }

    /// Writes the weights into `shards` files, with an index where there are several.
    pub(crate) fn write_shards(&self, shards: usize) -> Written {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        let name = |shard: usize| match shards {
            1 => "model.safetensors".to_owned(),
            _ => format!("model-{:05}-of-{shards:05}.safetensors", shard + 1),
        };
        let mut parts: Vec<HashMap<String, Tensor>> = vec![HashMap::new(); shards];
        let mut map = Map::new();
        for (number, (tensor, values)) in self.tensors.iter().enumerate() {
            parts[number % shards].insert(tensor.clone(), values.clone());
            map.insert(tensor.clone(), name(number % shards).into());
        }
        for (shard, tensors) in parts.iter().enumerate() {
            candle_core::safetensors::save(tensors, at(&name(shard))).expect("it is written");
        }
        let json = |name: &str, value: &Value| {
            let path = at(name);
            std::fs::write(&path, value.to_string()).expect("it is written");
            path
        };
        let checkpoint = Checkpoint {
            shards: (1..shards).map(|shard| at(&name(shard))).collect(),
            index: (shards > 1).then(|| json("model.safetensors.index.json", &json!({ "weight_map": map }))),
            config: json("config.json", &Value::Object(self.config.clone())),
            generation_config: Some(json("generation_config.json", &self.generation_config)),
            tokenizer_config: Some(json("tokenizer_config.json", &self.tokenizer_config)),
            chat_template: None,
        };
        let files = ModelFiles {
            family: self.family,
            checkpoint: Some(checkpoint),
            tokenizer: Some(write_tokenizer(directory.path())),
            ..files(at(&name(0)))
        };
        Written { files, directory }
    }
}

/// The same vocabulary as the tiny GGUF's, as a `tokenizer.json` in `directory`.
pub(crate) fn write_tokenizer(directory: &Path) -> PathBuf {
    let (tokens, kinds, merges) = vocabulary();
    let numbered = || tokens.iter().zip(&kinds).zip(0..);
    let words: Map<String, Value> =
        numbered().filter(|((_, kind), _)| **kind == 1).map(|((text, _), id)| (text.clone(), json!(id))).collect();
    let added: Vec<Value> = numbered()
        .filter(|((_, kind), _)| **kind == 3)
        .map(|((text, _), id)| {
            json!({ "id": id, "content": text, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false })
        })
        .collect();
    let level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let json = json!({
        "version": "1.0", "added_tokens": added, "pre_tokenizer": level, "decoder": level,
        "model": { "type": "BPE", "vocab": words, "merges": merges },
    });
    let path = directory.join("tokenizer.json");
    std::fs::write(&path, json.to_string()).expect("it is written");
    path
}

fn config(family: Family, rows: usize, head_width: usize) -> Map<String, Value> {
    let (model_type, activation) = match family {
        Family::Llama => ("llama", "silu"),
        Family::Qwen2 => ("qwen2", "silu"),
        Family::Qwen3 => ("qwen3", "silu"),
        Family::Gemma3 => ("gemma3_text", "gelu_pytorch_tanh"),
        Family::Phi3 => ("phi3", "silu"),
        Family::Bert => unreachable!("it has no logits"),
    };
    let mut config = json!({
        "model_type": model_type, "hidden_size": WIDTH, "intermediate_size": HIDDEN, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KEY_HEADS, "vocab_size": rows,
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "bos_token_id": 1,
        "eos_token_id": 0, "tie_word_embeddings": family != Family::Phi3,
        "hidden_act": activation, "hidden_activation": activation,
    });
    let more = match family {
        Family::Llama | Family::Phi3 | Family::Bert => json!({}),
        Family::Qwen2 => json!({ "sliding_window": CONTEXT, "max_window_layers": 2, "use_sliding_window": false }),
        Family::Qwen3 => json!({
            "head_dim": head_width, "attention_bias": false, "sliding_window": null, "max_window_layers": 2,
            "use_sliding_window": false,
        }),
        Family::Gemma3 => json!({
            "head_dim": head_width, "attention_bias": false, "query_pre_attn_scalar": head_width, "sliding_window": 512,
            "sliding_window_pattern": 2, "rope_local_base_freq": 3_000.0,
        }),
    };
    let more = more.as_object().expect("an object").clone();
    let config = config.as_object_mut().expect("an object");
    config.extend(more);
    config.clone()
}

/// Values that every type holds exactly.
fn tensor(shape: &[usize], dtype: DType, random: &mut SplitMix) -> Tensor {
    let values: Vec<f32> =
        (0..shape.iter().product::<usize>()).map(|_| (random.next() >> 57) as f32 / 128.0 - 0.5).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).and_then(|tensor| tensor.to_dtype(dtype)).expect("the shape fits")
}
