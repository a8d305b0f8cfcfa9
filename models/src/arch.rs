//! The forward pass: one step over a ragged batch of sequences, for every family that the local tier runs, on the CPU and
//! ([`device`]) on what candle computes on.
//!
//! The weights hold no state. Keys and values lie in the [`Cache`], intermediate rows in a [`Scratch`] that grows to the
//! largest step and is used again, so that a step allocates nothing but the list of its spans. What a sequence gets does
//! not depend on which others are in its step, nor on how its prompt was cut into steps.

use crate::cache::{Cache, CacheShape, Sequence, Store};
use crate::kernel::{self, Activations, Attend, KvStore, Matrix, Pool, Rotary, Run, Span};
use crate::load::{Header, LoadError};

mod device;
mod shape;
mod tensors;

pub(crate) use device::DeviceTransformer;
pub(crate) use shape::Shape;
#[cfg(test)]
pub(crate) use shape::name;
pub(crate) use tensors::check;
use tensors::{Layer, Pack, Reader};

/// One sequence's part of a step.
pub(crate) struct Piece<'a> {
    /// At least one.
    pub tokens: &'a [u32],
    /// Has room reserved for the tokens; the first stands at position [`Sequence::len`].
    pub sequence: &'a Sequence,
    pub want: Want,
}

/// After which of a piece's tokens logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Nothing,
    Last,
    All,
}

impl Want {
    /// How many rows of logits that is, of a piece of `tokens`.
    pub(crate) fn rows(self, tokens: usize) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Last => 1,
            Self::All => tokens,
        }
    }
}

/// A step could not be computed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ForwardError(pub String);

/// A model's forward pass.
pub(crate) trait Forward: Send + Sync {
    fn cache_shape(&self) -> CacheShape;

    /// The cache that its steps work on, of about `bytes`, but with room for one sequence of `context_tokens` at least.
    fn cache(&self, bytes: usize, context_tokens: usize) -> Result<Cache, LoadError> {
        Ok(Cache::new(self.cache_shape(), bytes, context_tokens))
    }

    /// The width of a row of logits.
    fn vocabulary(&self) -> usize;

    /// Whether a token's logits are the same to the last bit, whatever they are computed with: only then may answers guess
    /// ahead without a change.
    fn is_exact(&self) -> bool {
        false
    }

    /// Computes one step and stores its keys and values. Writes the rows of logits that each piece wants, in
    /// the batch's order.
    /// The caller then says [`Sequence::advance`].
    fn forward(
        &self,
        batch: &[Piece<'_>],
        cache: &mut Cache,
        scratch: &mut Scratch,
        logits: &mut Vec<f32>,
    ) -> Result<(), ForwardError>;
}

/// Rows between the layers.
#[derive(Default)]
pub(crate) struct Scratch {
    activations: Activations,
    positions: Vec<u32>,
    /// The residual stream.
    stream: Vec<f32>,
    normed: Vec<f32>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
}

/// What divides the rotary frequencies, in files that have it.
const FACTORS: &str = "rope_freqs.weight";

/// A model on the CPU.
pub(crate) struct Transformer {
    shape: Shape,
    pool: Pool,
    embeddings: Matrix,
    layers: Vec<Layer<Matrix, Vec<f32>>>,
    norm: Vec<f32>,
    /// `None`: the embeddings.
    output: Option<Matrix>,
    rotary: Rotary,
    /// Of layers with a window and a base of their own.
    local_rotary: Option<Rotary>,
}

impl Transformer {
    /// Loads the weights of checked files, for sequences of up to `context_tokens`. Blocking.
    pub(crate) fn load(header: &Header, context_tokens: usize, threads: usize) -> Result<Self, LoadError> {
        let Header { shape, tensors, .. } = header;
        let pool = Pool::new(threads);
        let reader = Reader::open(tensors, shape, &pool, &pool)?;
        let (rotary, local_rotary) = rotaries(header, &reader, context_tokens)?;
        let layers = (0..shape.layers).map(|layer| reader.layer(shape, layer)).collect::<Result<_, _>>()?;
        Ok(Self {
            embeddings: reader.matrix("token_embd.weight")?,
            norm: reader.norm("output_norm.weight")?,
            output: if shape.separate_output { Some(reader.matrix("output.weight")?) } else { None },
            layers,
            rotary,
            local_rotary,
            shape: shape.clone(),
            pool,
        })
    }

    fn attention(
        &self,
        number: usize,
        (spans, plan): (&[Span<'_>], &[Run]),
        store: &mut KvStore,
        scratch: &mut Scratch,
    ) {
        let Self { shape, pool, .. } = self;
        let layer = &self.layers[number];
        let rows = scratch.positions.len();
        let (queries, keys) = (shape.heads * shape.head_width, shape.kv_heads * shape.head_width);
        scratch.normed.resize(rows * shape.width, 0.0);
        scratch.queries.resize(rows * queries, 0.0);
        scratch.keys.resize(rows * keys, 0.0);
        scratch.values.resize(rows * keys, 0.0);
        scratch.attended.resize(rows * queries, 0.0);
        kernel::rms_norm(pool, &scratch.stream, &layer.attention_norm, shape.epsilon, &mut scratch.normed);
        let matrices = [&layer.query, &layer.key, &layer.value];
        scratch.activations.set(pool, &scratch.normed, shape.width, &matrices);
        kernel::multiply(
            pool,
            &scratch.activations,
            &matrices,
            &mut [&mut scratch.queries, &mut scratch.keys, &mut scratch.values],
        );
        if let Some([query, key, value]) = &layer.biases {
            kernel::add_bias(pool, &mut scratch.queries, query);
            kernel::add_bias(pool, &mut scratch.keys, key);
            kernel::add_bias(pool, &mut scratch.values, value);
        }
        if let Some([query, key]) = &layer.head_norms {
            kernel::rms_norm_in_place(pool, &mut scratch.queries, query, shape.epsilon);
            kernel::rms_norm_in_place(pool, &mut scratch.keys, key, shape.epsilon);
        }
        let window = shape.window(number);
        let rotary = self.local_rotary.as_ref().filter(|_| window.is_some()).unwrap_or(&self.rotary);
        for rows in [&mut scratch.queries, &mut scratch.keys] {
            kernel::rotate(pool, rows, shape.head_width, &scratch.positions, rotary, shape.rotary.pairs);
        }
        kernel::store(pool, store, number, spans, (&scratch.keys, &scratch.values));
        let how = Attend { heads: shape.heads, scale: shape.attention_scale, window };
        kernel::attend(pool, store, number, (spans, plan), how, (&scratch.queries, &mut scratch.attended));
        scratch.activations.set(pool, &scratch.attended, queries, &[&layer.output]);
        kernel::multiply(pool, &scratch.activations, &[&layer.output], &mut [&mut scratch.normed]);
        if let Some(weight) = &layer.post_attention_norm {
            kernel::rms_norm_in_place(pool, &mut scratch.normed, weight, shape.epsilon);
        }
        kernel::add(pool, &mut scratch.stream, &scratch.normed);
    }

    fn feed(&self, number: usize, scratch: &mut Scratch) {
        let Self { shape, pool, .. } = self;
        let layer = &self.layers[number];
        let rows = scratch.positions.len();
        scratch.gate.resize(rows * shape.hidden, 0.0);
        scratch.up.resize(rows * shape.hidden, 0.0);
        kernel::rms_norm(pool, &scratch.stream, &layer.feed_norm, shape.epsilon, &mut scratch.normed);
        let matrices = [&layer.gate, &layer.up];
        scratch.activations.set(pool, &scratch.normed, shape.width, &matrices);
        let outs = &mut [scratch.gate.as_mut_slice(), &mut scratch.up];
        kernel::multiply(pool, &scratch.activations, &matrices, outs);
        kernel::gated(pool, &mut scratch.gate, &scratch.up, shape.hidden, shape.gate);
        scratch.activations.set(pool, &scratch.gate, shape.hidden, &[&layer.down]);
        kernel::multiply(pool, &scratch.activations, &[&layer.down], &mut [&mut scratch.normed]);
        if let Some(weight) = &layer.post_feed_norm {
            kernel::rms_norm_in_place(pool, &mut scratch.normed, weight, shape.epsilon);
        }
        kernel::add(pool, &mut scratch.stream, &scratch.normed);
    }

    /// Only the rows after which logits are wanted go through the largest matrix.
    fn logits(&self, batch: &[Piece<'_>], scratch: &mut Scratch, logits: &mut Vec<f32>) {
        let width = self.shape.width;
        let (mut row, mut wanted) = (0, 0);
        for piece in batch {
            row += piece.tokens.len();
            let rows = piece.want.rows(piece.tokens.len());
            scratch.stream.copy_within((row - rows) * width..row * width, wanted * width);
            wanted += rows;
        }
        logits.resize(wanted * self.shape.vocabulary, 0.0);
        if wanted == 0 {
            return;
        }
        scratch.normed.resize(wanted * width, 0.0);
        let stream = &scratch.stream[..wanted * width];
        kernel::rms_norm(&self.pool, stream, &self.norm, self.shape.epsilon, &mut scratch.normed);
        let output = self.output.as_ref().unwrap_or(&self.embeddings);
        scratch.activations.set(&self.pool, &scratch.normed, width, &[output]);
        kernel::multiply(&self.pool, &scratch.activations, &[output], &mut [logits]);
    }
}

/// The rotary positions of all layers, and those of layers that have a window and a base of their own.
fn rotaries<P: Pack>(
    header: &Header,
    reader: &Reader<'_, P>,
    context_tokens: usize,
) -> Result<(Rotary, Option<Rotary>), LoadError> {
    let Header { shape, tensors, .. } = header;
    let factors = match tensors.get(FACTORS) {
        Some(_) => Some(reader.values(FACTORS)?),
        None => shape.rotary_factors.clone(),
    };
    if factors.iter().flatten().any(|factor| !(factor.is_finite() && *factor > 0.0)) {
        let why = "it divides the rotary frequencies, and has values that are no positive numbers".to_owned();
        return Err(tensors.bad(FACTORS, why));
    }
    let shape::RotaryShape { width, base, scale, .. } = shape.rotary;
    let rotary = Rotary::new(context_tokens, width, base, scale, factors.as_deref());
    let local_base = shape.sliding.as_ref().and_then(|sliding| sliding.base);
    Ok((rotary, local_base.map(|base| Rotary::new(context_tokens, width, base, 1.0, None))))
}

/// Where the tokens of a step stand, of `context` positions, and their rows of embeddings.
fn embed<'a>(
    shape: &Shape,
    embeddings: &Matrix,
    context: usize,
    batch: impl IntoIterator<Item = &'a Piece<'a>> + Clone,
    (positions, stream): (&mut Vec<u32>, &mut Vec<f32>),
) -> Result<(), ForwardError> {
    positions.clear();
    for piece in batch.clone() {
        let start = piece.sequence.len();
        if start + piece.tokens.len() > context {
            return Err(ForwardError("a sequence is longer than the context".to_owned()));
        }
        positions.extend(start as u32..(start + piece.tokens.len()) as u32);
    }
    stream.resize(positions.len() * shape.width, 0.0);
    let tokens = batch.into_iter().flat_map(|piece| piece.tokens);
    for (token, row) in tokens.zip(stream.chunks_exact_mut(shape.width)) {
        if *token as usize >= shape.vocabulary {
            return Err(ForwardError(format!("there is no token {token}")));
        }
        embeddings.row(*token as usize, row);
        if shape.embedding_scale != 1.0 {
            row.iter_mut().for_each(|x| *x *= shape.embedding_scale);
        }
    }
    Ok(())
}

impl Forward for Transformer {
    fn cache_shape(&self) -> CacheShape {
        let &Shape { layers, kv_heads, head_width, .. } = &self.shape;
        CacheShape { layers, kv_heads, head_width }
    }

    fn vocabulary(&self) -> usize {
        self.shape.vocabulary
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn forward(
        &self,
        batch: &[Piece<'_>],
        cache: &mut Cache,
        scratch: &mut Scratch,
        logits: &mut Vec<f32>,
    ) -> Result<(), ForwardError> {
        let Store::Cpu(store) = &mut cache.store else {
            return Err(ForwardError("keys and values are not where this model computes".to_owned()));
        };
        let Scratch { positions, stream, .. } = scratch;
        embed(&self.shape, &self.embeddings, self.rotary.positions(), batch, (positions, stream))?;
        let mut row = 0;
        let spans: Vec<Span<'_>> = batch
            .iter()
            .map(|piece| {
                let rows = row..row + piece.tokens.len();
                row = rows.end;
                Span { blocks: piece.sequence.blocks(), start: piece.sequence.len(), rows }
            })
            .collect();
        let plan = kernel::runs(&spans, self.shape.heads / self.shape.kv_heads);
        for layer in 0..self.layers.len() {
            self.attention(layer, (&spans, &plan), store, scratch);
            self.feed(layer, scratch);
        }
        self.logits(batch, scratch, logits);
        Ok(())
    }
}

#[cfg(test)]
mod greedy;
#[cfg(test)]
mod tests;
