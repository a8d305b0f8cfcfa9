//! The tensors of a model: that they are all there with their shapes, and how they get from the files to where they are
//! computed with.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use candle_core::Error;
use candle_core::quantized::GgmlDType;

use super::{FACTORS, Shape};
use crate::files::Family;
use crate::kernel::{Matrix, Pool, Source};
use crate::load::{LoadError, LoadFault, Names, Stored, Tensors};

/// One layer's weights, as a forward pass wants them.
pub(super) struct Layer<M, V> {
    pub attention_norm: V,
    pub query: M,
    pub key: M,
    pub value: M,
    /// Of query, key and value.
    pub biases: Option<[V; 3]>,
    /// Norms of each head of queries and of keys.
    pub head_norms: Option<[V; 2]>,
    pub output: M,
    pub post_attention_norm: Option<V>,
    pub feed_norm: V,
    pub gate: M,
    pub up: M,
    pub down: M,
    pub post_feed_norm: Option<V>,
}

/// Brings weights into the form that a forward pass computes with.
pub(super) trait Pack {
    type Matrix;
    type Vector;

    /// Of a tensor of `rows × columns`, whose bytes `source` has.
    fn matrix(&self, dtype: GgmlDType, shape: (usize, usize), source: &dyn Source) -> Result<Self::Matrix, Error>;

    fn vector(&self, values: Vec<f32>) -> Result<Self::Vector, Error>;
}

/// For the kernels of the CPU.
impl Pack for Pool {
    type Matrix = Matrix;
    type Vector = Vec<f32>;

    fn matrix(&self, dtype: GgmlDType, shape: (usize, usize), source: &dyn Source) -> Result<Matrix, Error> {
        Matrix::pack(self, dtype, shape, source)
    }

    fn vector(&self, values: Vec<f32>) -> Result<Vec<f32>, Error> {
        Ok(values)
    }
}

/// Checks that each tensor is there, with its shape, and that there is none that would be ignored.
pub(crate) fn check(tensors: &Tensors, shape: &Shape) -> Result<(), LoadError> {
    let needed = needed(tensors, shape);
    for (name, dims) in &needed {
        tensors.expect(name, dims)?;
    }
    if tensors.names() == Names::Gguf {
        // Their readers have always passed over what they do not know; what changes the answer is refused with the shape.
        return Ok(());
    }
    let known: HashSet<String> = needed.iter().map(|(name, _)| tensors.own(name)).collect();
    let idle = |own: &str| {
        // Old checkpoints store the frequencies, which follow from the config; tied ones may store the embeddings twice.
        own.ends_with(".rotary_emb.inv_freq") || (!shape.separate_output && own == tensors.own("output.weight"))
    };
    match tensors.iter().map(|(own, _)| own).filter(|own| !known.contains(*own) && !idle(own)).min() {
        None => Ok(()),
        Some(own) => {
            let file = tensors.iter().find(|(name, _)| *name == own).map_or(0, |(_, stored)| stored.file);
            let why = "no part of a model of its family and config is called so".to_owned();
            Err(tensors.at(file, LoadFault::BadTensor { name: own.to_owned(), why }))
        }
    }
}

/// Names and shapes of a model's tensors.
fn needed(tensors: &Tensors, shape: &Shape) -> Vec<(String, Vec<usize>)> {
    let &Shape { width, hidden, heads, kv_heads, head_width, .. } = shape;
    let (queries, keys) = (heads * head_width, kv_heads * head_width);
    let mut all = vec![
        ("token_embd.weight".to_owned(), vec![shape.vocabulary, width]),
        ("output_norm.weight".to_owned(), vec![width]),
    ];
    if shape.separate_output {
        all.push(("output.weight".to_owned(), vec![shape.vocabulary, width]));
    }
    if tensors.get(FACTORS).is_some() {
        all.push((FACTORS.to_owned(), vec![shape.rotary.width / 2]));
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
        all.extend(needed.into_iter().map(|(part, dims)| (format!("blk.{layer}.{part}"), dims)));
    }
    all
}

/// Reads tensors out of checked files.
pub(super) struct Reader<'a, P> {
    tensors: &'a Tensors,
    files: Vec<File>,
    pool: &'a Pool,
    pack: &'a P,
    norm_shift: f32,
}

impl<'a, P: Pack> Reader<'a, P> {
    /// Vectors are read on `pool`.
    pub(super) fn open(tensors: &'a Tensors, shape: &Shape, pool: &'a Pool, pack: &'a P) -> Result<Self, LoadError> {
        let open = |path: &PathBuf| File::open(path).map_err(|source| LoadError::new(path, LoadFault::Io(source)));
        let files = tensors.files().iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { tensors, files, pool, pack, norm_shift: shape.norm_shift })
    }

    /// As this one, for another form.
    pub(super) fn into_form<Q: Pack>(self, pack: &'a Q) -> Reader<'a, Q> {
        let Self { tensors, files, pool, norm_shift, .. } = self;
        Reader { tensors, files, pool, pack, norm_shift }
    }

    pub(super) fn matrix(&self, name: &str) -> Result<P::Matrix, LoadError> {
        let rows = self.tensors.need(name)?.dims.first().copied().unwrap_or(0);
        self.part(name, 0, rows)
    }

    /// The matrix of some rows.
    fn part(&self, name: &str, first: usize, rows: usize) -> Result<P::Matrix, LoadError> {
        let stored = self.tensors.need(name)?;
        let shape = (rows, stored.dims.last().copied().unwrap_or(0));
        self.read(stored, first, shape, |part| self.pack.matrix(stored.dtype, shape, part))
    }

    /// A vector as it is.
    pub(super) fn values(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let stored = self.tensors.need(name)?;
        let count = stored.dims.iter().product();
        let shape = (1, count);
        let matrix = self.read(stored, 0, shape, |part| Matrix::pack(self.pool, stored.dtype, shape, part))?;
        let mut values = vec![0.0; count];
        matrix.row(0, &mut values);
        Ok(values)
    }

    fn vector(&self, name: &str) -> Result<P::Vector, LoadError> {
        self.packed(name, self.values(name)?)
    }

    /// The weights of a norm.
    pub(super) fn norm(&self, name: &str) -> Result<P::Vector, LoadError> {
        let mut weights = self.values(name)?;
        weights.iter_mut().for_each(|weight| *weight += self.norm_shift);
        self.packed(name, weights)
    }

    fn packed(&self, name: &str, values: Vec<f32>) -> Result<P::Vector, LoadError> {
        let file = self.tensors.get(name).map_or(0, |stored| stored.file);
        self.pack.vector(values).map_err(|error| self.tensors.at(file, LoadFault::Weights(error)))
    }

    pub(super) fn layer(&self, shape: &Shape, layer: usize) -> Result<Layer<P::Matrix, P::Vector>, LoadError> {
        let at = |part: &str| format!("blk.{layer}.{part}");
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
            Family::Qwen2 => Some([
                self.vector(&at("attn_q.bias"))?,
                self.vector(&at("attn_k.bias"))?,
                self.vector(&at("attn_v.bias"))?,
            ]),
            _ => None,
        };
        let head_norms = match shape.family {
            Family::Qwen3 | Family::Gemma3 => {
                Some([self.norm(&at("attn_q_norm.weight"))?, self.norm(&at("attn_k_norm.weight"))?])
            }
            _ => None,
        };
        let post = |part: &str| match shape.family {
            Family::Gemma3 => self.norm(&at(part)).map(Some),
            _ => Ok(None),
        };
        Ok(Layer {
            attention_norm: self.norm(&at("attn_norm.weight"))?,
            query,
            key,
            value,
            biases,
            head_norms,
            output: self.matrix(&at("attn_output.weight"))?,
            post_attention_norm: post("post_attention_norm.weight")?,
            feed_norm: self.norm(&at("ffn_norm.weight"))?,
            gate,
            up,
            down: self.matrix(&at("ffn_down.weight"))?,
            post_feed_norm: post("post_ffw_norm.weight")?,
        })
    }

    /// Reads rows of a tensor by `pack`.
    fn read<T>(
        &self,
        stored: &Stored,
        first: usize,
        (rows, columns): (usize, usize),
        pack: impl FnOnce(&Part<'_>) -> Result<T, Error>,
    ) -> Result<T, LoadError> {
        let at = |fault| self.tensors.at(stored.file, fault);
        let (weights, size) = (stored.dtype.block_size(), stored.dtype.type_size());
        if !columns.is_multiple_of(weights) {
            let why = format!("rows of {columns} are not made of whole blocks of {weights}");
            return Err(at(LoadFault::Weights(Error::Msg(why))));
        }
        let row = columns / weights * size;
        let part = Part { file: &self.files[stored.file], start: stored.start + (first * row) as u64, len: rows * row };
        pack(&part).map_err(|error| {
            at(match error {
                Error::Io(source) => LoadFault::Io(source),
                other => LoadFault::Weights(other),
            })
        })
    }
}

/// Rows of a tensor, in a file.
struct Part<'a> {
    file: &'a File,
    start: u64,
    len: usize,
}

impl Source for Part<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, at: usize, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, self.start + at as u64)
    }
}
