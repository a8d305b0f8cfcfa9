//! The tensors of a model: that they are all there with their shapes, and how they get from the file into packed matrices.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use candle_core::Error;
use candle_core::quantized::gguf_file::TensorInfo;

use super::Shape;
use crate::files::Family;
use crate::kernel::{Matrix, Pool};
use crate::load::{Header, LoadFault};

/// One layer's weights.
pub(super) struct Layer {
    pub attention_norm: Vec<f32>,
    pub query: Matrix,
    pub key: Matrix,
    pub value: Matrix,
    /// Of query, key and value.
    pub biases: Option<[Vec<f32>; 3]>,
    /// Norms of each head of queries and of keys.
    pub head_norms: Option<[Vec<f32>; 2]>,
    pub output: Matrix,
    pub post_attention_norm: Option<Vec<f32>>,
    pub feed_norm: Vec<f32>,
    pub gate: Matrix,
    pub up: Matrix,
    pub down: Matrix,
    pub post_feed_norm: Option<Vec<f32>>,
}

/// The rows of the token embeddings.
pub(super) fn vocabulary(header: &Header, width: usize) -> Result<usize, LoadFault> {
    match header.content.tensor_infos.get("token_embd.weight").map(|info| info.shape.dims()) {
        Some(&[rows, columns]) if columns == width && rows > 0 => Ok(rows),
        Some(dims) => Err(misshapen("token_embd.weight", dims, &[0, width])),
        None => Err(LoadFault::MissingTensor("token_embd.weight".to_owned())),
    }
}

/// Checks that each tensor is there, with its shape.
pub(super) fn check(header: &Header, shape: &Shape) -> Result<(), LoadFault> {
    let &Shape { width, hidden, heads, kv_heads, head_width, .. } = shape;
    let (queries, keys) = (heads * head_width, kv_heads * head_width);
    expect(header, "output_norm.weight", &[width])?;
    if header.content.tensor_infos.contains_key("output.weight") {
        expect(header, "output.weight", &[shape.vocabulary, width])?;
    }
    if header.content.tensor_infos.contains_key("rope_freqs.weight") {
        expect(header, "rope_freqs.weight", &[shape.rotary.width / 2])?;
    }
    for layer in 0..shape.layers {
        let mut needed = vec![
            ("attn_norm.weight", vec![width]),
            ("ffn_norm.weight", vec![width]),
            ("attn_output.weight", vec![width, queries]),
            ("ffn_down.weight", vec![width, hidden]),
        ];
        if shape.family == Family::Phi3 {
            needed.push(("attn_qkv.weight", vec![queries + 2 * keys, width]));
            needed.push(("ffn_up.weight", vec![2 * hidden, width]));
        } else {
            needed.push(("attn_q.weight", vec![queries, width]));
            needed.push(("attn_k.weight", vec![keys, width]));
            needed.push(("attn_v.weight", vec![keys, width]));
            needed.push(("ffn_gate.weight", vec![hidden, width]));
            needed.push(("ffn_up.weight", vec![hidden, width]));
        }
        if shape.family == Family::Qwen2 {
            needed.push(("attn_q.bias", vec![queries]));
            needed.push(("attn_k.bias", vec![keys]));
            needed.push(("attn_v.bias", vec![keys]));
        }
        if matches!(shape.family, Family::Qwen3 | Family::Gemma3) {
            needed.push(("attn_q_norm.weight", vec![head_width]));
            needed.push(("attn_k_norm.weight", vec![head_width]));
        }
        if shape.family == Family::Gemma3 {
            needed.push(("post_attention_norm.weight", vec![width]));
            needed.push(("post_ffw_norm.weight", vec![width]));
        }
        for (part, dims) in needed {
            expect(header, &format!("blk.{layer}.{part}"), &dims)?;
        }
    }
    Ok(())
}

/// Reads tensors out of a checked file.
pub(super) struct Reader<'a> {
    pub header: &'a Header,
    pub file: &'a File,
    pub pool: &'a Pool,
}

impl Reader<'_> {
    pub(super) fn matrix(&self, name: &str) -> Result<Matrix, LoadFault> {
        let info = self.info(name)?;
        let rows = info.shape.dims().first().copied().unwrap_or(0);
        self.part(name, 0, rows)
    }

    /// The matrix of some rows.
    fn part(&self, name: &str, first: usize, rows: usize) -> Result<Matrix, LoadFault> {
        let info = self.info(name)?;
        let columns = info.shape.dims().last().copied().unwrap_or(0);
        let bytes = self.rows(info, first, rows, columns)?;
        Matrix::pack(self.pool, info.ggml_dtype, (rows, columns), &bytes).map_err(LoadFault::Weights)
    }

    pub(super) fn vector(&self, name: &str) -> Result<Vec<f32>, LoadFault> {
        let info = self.info(name)?;
        let count = info.shape.elem_count();
        let bytes = self.rows(info, 0, 1, count)?;
        let matrix = Matrix::pack(self.pool, info.ggml_dtype, (1, count), &bytes).map_err(LoadFault::Weights)?;
        let mut vector = vec![0.0; count];
        matrix.row(0, &mut vector);
        Ok(vector)
    }

    pub(super) fn layer(&self, shape: &Shape, layer: usize) -> Result<Layer, LoadFault> {
        let at = |part: &str| format!("blk.{layer}.{part}");
        let vectors = |parts: &[&str]| parts.iter().map(|part| self.vector(&at(part))).collect::<Result<Vec<_>, _>>();
        let (queries, keys) = (shape.heads * shape.head_width, shape.kv_heads * shape.head_width);
        let (query, key, value, gate, up) = if shape.family == Family::Phi3 {
            let qkv = at("attn_qkv.weight");
            (
                self.part(&qkv, 0, queries)?,
                self.part(&qkv, queries, keys)?,
                self.part(&qkv, queries + keys, keys)?,
                self.part(&at("ffn_up.weight"), 0, shape.hidden)?,
                self.part(&at("ffn_up.weight"), shape.hidden, shape.hidden)?,
            )
        } else {
            (
                self.matrix(&at("attn_q.weight"))?,
                self.matrix(&at("attn_k.weight"))?,
                self.matrix(&at("attn_v.weight"))?,
                self.matrix(&at("ffn_gate.weight"))?,
                self.matrix(&at("ffn_up.weight"))?,
            )
        };
        let biases = match shape.family {
            Family::Qwen2 => vectors(&["attn_q.bias", "attn_k.bias", "attn_v.bias"])?.try_into().ok(),
            _ => None,
        };
        let head_norms = match shape.family {
            Family::Qwen3 | Family::Gemma3 => vectors(&["attn_q_norm.weight", "attn_k_norm.weight"])?.try_into().ok(),
            _ => None,
        };
        let post = |part: &str| match shape.family {
            Family::Gemma3 => self.vector(&at(part)).map(Some),
            _ => Ok(None),
        };
        Ok(Layer {
            attention_norm: self.vector(&at("attn_norm.weight"))?,
            query,
            key,
            value,
            biases,
            head_norms,
            output: self.matrix(&at("attn_output.weight"))?,
            post_attention_norm: post("post_attention_norm.weight")?,
            feed_norm: self.vector(&at("ffn_norm.weight"))?,
            gate,
            up,
            down: self.matrix(&at("ffn_down.weight"))?,
            post_feed_norm: post("post_ffw_norm.weight")?,
        })
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, LoadFault> {
        self.header.content.tensor_infos.get(name).ok_or_else(|| LoadFault::MissingTensor(name.to_owned()))
    }

    fn rows(&self, info: &TensorInfo, first: usize, rows: usize, columns: usize) -> Result<Vec<u8>, LoadFault> {
        let (weights, size) = (info.ggml_dtype.block_size(), info.ggml_dtype.type_size());
        if !columns.is_multiple_of(weights) {
            let why = format!("rows of {columns} are not made of whole blocks of {weights}");
            return Err(LoadFault::Weights(Error::Msg(why)));
        }
        let row = columns / weights * size;
        let start = self.header.content.tensor_data_offset + info.offset + (first * row) as u64;
        let mut bytes = vec![0; rows * row];
        self.file.read_exact_at(&mut bytes, start).map_err(LoadFault::Io)?;
        Ok(bytes)
    }
}

fn expect(header: &Header, name: &str, dims: &[usize]) -> Result<(), LoadFault> {
    match header.content.tensor_infos.get(name) {
        None => Err(LoadFault::MissingTensor(name.to_owned())),
        Some(info) if info.shape.dims() == dims => Ok(()),
        Some(info) => Err(misshapen(name, info.shape.dims(), dims)),
    }
}

fn misshapen(name: &str, found: &[usize], expected: &[usize]) -> LoadFault {
    LoadFault::BadTensor { name: name.to_owned(), why: format!("its shape is {found:?} where {expected:?} is needed") }
}
