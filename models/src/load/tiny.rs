//! A tiny random-weight llama in a real GGUF file, for tests: it talks nonsense, deterministically.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use tempfile::TempDir;

use crate::files::{Capabilities, Family, ModelFiles};
use crate::sample::SplitMix;

pub(crate) const LAYERS: usize = 2;
const WIDTH: usize = 32;
const HEADS: usize = 4;
const KEY_HEADS: usize = 2;
const HIDDEN: usize = 64;
const CONTEXT: u32 = 2048;
pub(crate) const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
     message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' \
     }}{% endif %}";

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
        let (tokens, kinds, merges) = vocabulary();
        let texts = |list: Vec<String>| Value::Array(list.into_iter().map(Value::String).collect());
        let rows = tokens.len();
        let metadata = [
            ("general.architecture", Value::String("llama".into())),
            ("llama.block_count", Value::U32(LAYERS as u32)),
            ("llama.context_length", Value::U32(CONTEXT)),
            ("llama.embedding_length", Value::U32(WIDTH as u32)),
            ("llama.feed_forward_length", Value::U32(HIDDEN as u32)),
            ("llama.attention.head_count", Value::U32(HEADS as u32)),
            ("llama.attention.head_count_kv", Value::U32(KEY_HEADS as u32)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("llama.rope.dimension_count", Value::U32((WIDTH / HEADS) as u32)),
            ("tokenizer.ggml.model", Value::String("gpt2".into())),
            ("tokenizer.ggml.pre", Value::String("smollm".into())),
            ("tokenizer.ggml.tokens", texts(tokens)),
            ("tokenizer.ggml.token_type", Value::Array(kinds.into_iter().map(Value::I32).collect())),
            ("tokenizer.ggml.merges", texts(merges)),
            ("tokenizer.ggml.bos_token_id", Value::U32(1)),
            ("tokenizer.ggml.eos_token_id", Value::U32(2)),
            ("tokenizer.chat_template", Value::String(TEMPLATE.into())),
        ];
        let keys = WIDTH / HEADS * KEY_HEADS;
        let mut shapes = vec![("token_embd".to_owned(), vec![rows, WIDTH]), ("output_norm".to_owned(), vec![WIDTH])];
        for layer in 0..LAYERS {
            for (part, shape) in [
                ("attn_norm", vec![WIDTH]),
                ("ffn_norm", vec![WIDTH]),
                ("attn_q", vec![WIDTH, WIDTH]),
                ("attn_k", vec![keys, WIDTH]),
                ("attn_v", vec![keys, WIDTH]),
                ("attn_output", vec![WIDTH, WIDTH]),
                ("ffn_gate", vec![HIDDEN, WIDTH]),
                ("ffn_up", vec![HIDDEN, WIDTH]),
                ("ffn_down", vec![WIDTH, HIDDEN]),
            ] {
                shapes.push((format!("blk.{layer}.{part}"), shape));
            }
        }
        let mut random = SplitMix::new(42);
        let tensors = shapes.into_iter().map(|(name, shape)| (format!("{name}.weight"), tensor(&shape, &mut random)));
        Self {
            tensors: tensors.collect(),
            metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        }
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

    pub(crate) fn write(&self) -> Written {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let weights = directory.path().join("tiny.gguf");
        let mut file = File::create(&weights).expect("the file is made");
        let metadata: Vec<(&str, &Value)> = self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        gguf_file::write(&mut file, &metadata, &tensors).expect("the file is written");
        file.flush().expect("the file is written");
        Written { files: files(weights), directory }
    }
}

/// Files for weights at `weights`.
pub(crate) fn files(weights: PathBuf) -> ModelFiles {
    ModelFiles {
        id: "tiny".to_owned(),
        family: Family::Llama,
        weights,
        weights_sha256: "00".repeat(32),
        tokenizer: None,
        chat_template: None,
        context_tokens: 8192,
        capabilities: Capabilities { tools: true, json_schema: true },
    }
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

fn tensor(shape: &[usize], random: &mut SplitMix) -> QTensor {
    let values: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|_| (random.next() >> 40) as f32 / (1u64 << 24) as f32 - 0.5)
        .collect();
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu).expect("the shape fits");
    QTensor::quantize(&tensor, GgmlDType::F32).expect("F32 takes any shape")
}
