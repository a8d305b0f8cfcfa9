//! A tiny random-weight model of any family in a real GGUF file, for tests: it talks nonsense, deterministically.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use tempfile::TempDir;

use crate::files::{Capabilities, Family, ModelFiles};
use crate::sample::SplitMix;

mod checkpoint;

pub(crate) use checkpoint::{TinyCheckpoint, write_tokenizer};

pub(crate) const LAYERS: usize = 2;
const WIDTH: usize = 32;
const HEADS: usize = 4;
const KEY_HEADS: usize = 2;
const HIDDEN: usize = 64;
const CONTEXT: u32 = 2048;
pub(crate) const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
     message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' \
     }}{% endif %}";

pub(crate) const FAMILIES: [Family; 5] = [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3, Family::Phi3];

/// The parts of the file, to be changed before it is written.
pub(crate) struct Tiny {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<(String, QTensor)>,
}

/// A written model; the directory lives as long as this.
pub(crate) struct Written {
    pub directory: TempDir,
    pub files: ModelFiles,
}

impl Tiny {
    pub(crate) fn new() -> Self {
        Self::of(Family::Llama, GgmlDType::F32)
    }

    /// A model of `family`, whose matrices are stored as `dtype`.
    pub(crate) fn of(family: Family, dtype: GgmlDType) -> Self {
        let (tokens, kinds, merges) = vocabulary();
        let texts = |list: Vec<String>| Value::Array(list.into_iter().map(Value::String).collect());
        let rows = tokens.len();
        let metadata = [
            ("tokenizer.ggml.model", Value::String("gpt2".into())),
            ("tokenizer.ggml.pre", Value::String("smollm".into())),
            ("tokenizer.ggml.tokens", texts(tokens)),
            ("tokenizer.ggml.token_type", Value::Array(kinds.into_iter().map(Value::I32).collect())),
            ("tokenizer.ggml.merges", texts(merges)),
            ("tokenizer.ggml.bos_token_id", Value::U32(1)),
            ("tokenizer.ggml.eos_token_id", Value::U32(2)),
            ("tokenizer.chat_template", Value::String(TEMPLATE.into())),
        ];
        let mut metadata: Vec<(String, Value)> =
            metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        metadata.extend(numbers(family));
        let keys = WIDTH / HEADS * KEY_HEADS;
        let mut shapes =
            vec![("token_embd.weight".to_owned(), vec![rows, WIDTH]), ("output_norm.weight".to_owned(), vec![WIDTH])];
        for layer in 0..LAYERS {
            let mut parts = vec![
                ("attn_norm.weight", vec![WIDTH]),
                ("ffn_norm.weight", vec![WIDTH]),
                ("attn_output.weight", vec![WIDTH, WIDTH]),
                ("ffn_down.weight", vec![WIDTH, HIDDEN]),
            ];
            parts.extend(match family {
                Family::Phi3 => {
                    vec![("attn_qkv.weight", vec![WIDTH + 2 * keys, WIDTH]), ("ffn_up.weight", vec![2 * HIDDEN, WIDTH])]
                }
                _ => vec![
                    ("attn_q.weight", vec![WIDTH, WIDTH]),
                    ("attn_k.weight", vec![keys, WIDTH]),
                    ("attn_v.weight", vec![keys, WIDTH]),
                    ("ffn_gate.weight", vec![HIDDEN, WIDTH]),
                    ("ffn_up.weight", vec![HIDDEN, WIDTH]),
                ],
            });
            parts.extend(match family {
                Family::Qwen2 => {
                    vec![("attn_q.bias", vec![WIDTH]), ("attn_k.bias", vec![keys]), ("attn_v.bias", vec![keys])]
                }
                Family::Qwen3 | Family::Gemma3 => {
                    vec![("attn_q_norm.weight", vec![WIDTH / HEADS]), ("attn_k_norm.weight", vec![WIDTH / HEADS])]
                }
                Family::Llama | Family::Phi3 | Family::Bert => vec![],
            });
            if family == Family::Gemma3 {
                parts.push(("post_attention_norm.weight", vec![WIDTH]));
                parts.push(("post_ffw_norm.weight", vec![WIDTH]));
            }
            shapes.extend(parts.into_iter().map(|(part, shape)| (format!("blk.{layer}.{part}"), shape)));
        }
        if family == Family::Phi3 {
            shapes.push(("output.weight".to_owned(), vec![rows, WIDTH]));
        }
        let mut random = SplitMix::new(42);
        let tensors = shapes.into_iter().map(|(name, shape)| {
            let dtype = if shape.len() > 1 { dtype } else { GgmlDType::F32 };
            (name, tensor(&shape, dtype, &mut random))
        });
        Self { tensors: tensors.collect(), metadata }
    }

    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.metadata.retain(|(key, _)| key != name);
        self.tensors.retain(|(tensor, _)| tensor != name);
        self
    }

    /// A tensor of 32-bit floats that are all `value`.
    pub(crate) fn with(mut self, name: &str, shape: &[usize], value: f32) -> Self {
        let values = Tensor::full(value, shape, &Device::Cpu).expect("a tensor");
        let tensor = QTensor::quantize(&values, GgmlDType::F32).expect("it stays as it is");
        self.tensors.push((name.to_owned(), tensor));
        self
    }

    pub(crate) fn write(&self) -> Written {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let weights = directory.path().join("tiny.gguf");
        let mut file = File::create(&weights).expect("the file is made");
        let metadata: Vec<(&str, &Value)> = self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        gguf_file::write(&mut file, &metadata, &tensors).expect("the file is written");
        file.flush().expect("the file is written");
        let family = self.metadata.iter().find_map(|(key, value)| match value {
            Value::String(name) if key == "general.architecture" => {
                FAMILIES.into_iter().find(|family| crate::arch::name(*family) == name)
            }
            _ => None,
        });
        let files = ModelFiles { family: family.unwrap_or(Family::Llama), ..files(weights) };
        Written { files, directory }
    }
}

/// Files for weights at `weights`.
pub(crate) fn files(weights: PathBuf) -> ModelFiles {
    ModelFiles {
        id: "tiny".to_owned(),
        family: Family::Llama,
        weights,
        weights_sha256: "00".repeat(32),
        checkpoint: None,
        tokenizer: None,
        chat_template: None,
        context_tokens: 8192,
        capabilities: Capabilities { tools: true, json_schema: true },
    }
}

/// What the header of a tiny `family` says.
fn numbers(family: Family) -> Vec<(String, Value)> {
    let name = crate::arch::name(family);
    let width = Value::U32((WIDTH / HEADS) as u32);
    let mut numbers = vec![
        ("block_count", Value::U32(LAYERS as u32)),
        ("context_length", Value::U32(CONTEXT)),
        ("embedding_length", Value::U32(WIDTH as u32)),
        ("feed_forward_length", Value::U32(HIDDEN as u32)),
        ("attention.head_count", Value::U32(HEADS as u32)),
        ("attention.head_count_kv", Value::U32(KEY_HEADS as u32)),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("rope.dimension_count", width.clone()),
        ("rope.freq_base", Value::F32(10_000.0)),
    ];
    if matches!(family, Family::Qwen3 | Family::Gemma3) {
        numbers.push(("attention.key_length", width.clone()));
        numbers.push(("attention.value_length", width));
    }
    if family == Family::Gemma3 {
        numbers.push(("attention.sliding_window", Value::U32(512)));
        numbers.push(("attention.sliding_window_type", Value::U32(2)));
        numbers.push(("rope.local_freq_base", Value::F32(3_000.0)));
    }
    let mut named: Vec<(String, Value)> =
        numbers.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect();
    named.push(("general.architecture".to_owned(), Value::String(name.into())));
    named
}

/// Three control tokens, every byte, and a few merges.
fn vocabulary() -> (Vec<String>, Vec<i32>, Vec<String>) {
    let mut tokens: Vec<String> = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(str::to_owned).to_vec();
    let mut alphabet: Vec<(u8, char)> = crate::token::byte_of_char().into_iter().map(|(c, byte)| (byte, c)).collect();
    alphabet.sort_unstable();
    tokens.extend(alphabet.iter().map(|(_, c)| c.to_string()));
    let merges = ["h e", "l l", "Ġ w", "he ll", "o r"].map(str::to_owned).to_vec();
    tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    let kinds = (0..tokens.len()).map(|index| if index < 3 { 3 } else { 1 }).collect();
    (tokens, kinds, merges)
}

fn tensor(shape: &[usize], dtype: GgmlDType, random: &mut SplitMix) -> QTensor {
    let values: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|_| (random.next() >> 40) as f32 / (1u64 << 24) as f32 - 0.5)
        .collect();
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu).expect("the shape fits");
    QTensor::quantize(&tensor, dtype).expect("rows are whole blocks")
}
