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
    /// What is to be added to it, if it still is.
    change: Vec<f32>,
    changed: bool,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    /// The hidden layer, as the inputs of the product behind it.
    hidden: Activations,
}

impl Scratch {
    /// Where a product's results go that the stream is to be changed by.
    fn change(&mut self) -> (&Activations, &Activations, &mut [f32]) {
        self.change.resize(self.stream.len(), 0.0);
        self.changed = true;
        (&self.activations, &self.hidden, &mut self.change)
    }

    /// Adds what is to be added to the stream, and makes its norm the inputs of `matrices`.
    fn absorb(&mut self, pool: &Pool, norm: (&[f32], f32), matrices: &[&Matrix]) {
        let change = std::mem::take(&mut self.changed).then_some(self.change.as_slice());
        kernel::absorb(pool, (&mut self.stream, change), norm, &mut self.activations, matrices);
    }

    /// Keeps these rows, in this order, of a stream that nothing is to be added to.
    fn keep(&mut self, places: &[usize], width: usize) {
        for (to, from) in places.iter().enumerate() {
            self.positions[to] = self.positions[*from];
            self.stream.copy_within(from * width..(from + 1) * width, to * width);
        }
        self.positions.truncate(places.len());
        self.stream.truncate(places.len() * width);
    }
}

/// The last rows of each piece of a step, as attention takes them.
struct Rows<'a> {
    spans: Vec<Span<'a>>,
    plan: Vec<Run>,
    /// Where they stand among all rows of the step.
    places: Vec<usize>,
}

impl<'a> Rows<'a> {
    /// `group`: heads of queries to a head of keys. `count`: how many of a piece's last rows.
    fn new(batch: &[Piece<'a>], group: usize, count: impl Fn(&Piece<'a>) -> usize) -> Self {
        let (mut spans, mut places, mut row) = (Vec::with_capacity(batch.len()), Vec::new(), 0);
        for piece in batch {
            let count = count(piece);
            row += piece.tokens.len();
            if count > 0 {
                let start = piece.sequence.len() + piece.tokens.len() - count;
                let rows = places.len()..places.len() + count;
                spans.push(Span { blocks: piece.sequence.blocks(), start, rows });
                places.extend(row - count..row);
            }
        }
        Self { plan: kernel::runs(&spans, group), spans, places }
    }
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

    /// Of the last layer: `wanted` are the rows that anybody asks for. From there on no others are computed, and none are left
    /// where nobody asks for any.
    fn attention(
        &self,
        number: usize,
        rows: &Rows<'_>,
        wanted: Option<&Rows<'_>>,
        store: &mut KvStore,
        scratch: &mut Scratch,
    ) {
        let Self { shape, pool, .. } = self;
        let layer = &self.layers[number];
        let (queries, keys) = (shape.heads * shape.head_width, shape.kv_heads * shape.head_width);
        let count = scratch.positions.len();
        scratch.keys.resize(count * keys, 0.0);
        scratch.values.resize(count * keys, 0.0);
        let matrices = [&layer.query, &layer.key, &layer.value];
        scratch.absorb(pool, (&layer.attention_norm, shape.epsilon), &matrices);
        let outs = &mut [&mut [], scratch.keys.as_mut_slice(), &mut scratch.values];
        let now = match wanted {
            Some(_) => 1..3,
            None => {
                scratch.queries.resize(count * queries, 0.0);
                outs[0] = &mut scratch.queries;
                0..3
            }
        };
        kernel::multiply(pool, &scratch.activations, &matrices[now.clone()], &mut outs[now]);
        if let Some([_, key, value]) = &layer.biases {
            kernel::add_bias(pool, &mut scratch.keys, key);
            kernel::add_bias(pool, &mut scratch.values, value);
        }
        let norms = layer.head_norms.as_ref();
        self.turn(number, norms.map(|[_, key]| key), &scratch.positions, &mut scratch.keys);
        kernel::store(pool, store, number, &rows.spans, (&scratch.keys, &scratch.values));
        if let Some(wanted) = wanted {
            scratch.keep(&wanted.places, shape.width);
            if scratch.positions.is_empty() {
                return;
            }
            scratch.queries.resize(scratch.positions.len() * queries, 0.0);
            scratch.absorb(pool, (&layer.attention_norm, shape.epsilon), &[&layer.query]);
            kernel::multiply(pool, &scratch.activations, &[&layer.query], &mut [&mut scratch.queries]);
        }
        if let Some([query, ..]) = &layer.biases {
            kernel::add_bias(pool, &mut scratch.queries, query);
        }
        self.turn(number, norms.map(|[query, _]| query), &scratch.positions, &mut scratch.queries);
        let how = Attend { heads: shape.heads, scale: shape.attention_scale, window: shape.window(number) };
        let asked = wanted.unwrap_or(rows);
        scratch.attended.resize(scratch.positions.len() * queries, 0.0);
        let plan = (asked.spans.as_slice(), asked.plan.as_slice());
        kernel::attend(pool, store, number, plan, how, (&scratch.queries, &mut scratch.attended));
        scratch.activations.set(pool, &scratch.attended, queries, &[&layer.output]);
        let (inputs, _, change) = scratch.change();
        kernel::multiply(pool, inputs, &[&layer.output], &mut [change]);
        if let Some(weight) = &layer.post_attention_norm {
            kernel::rms_norm_in_place(pool, &mut scratch.change, weight, shape.epsilon);
        }
    }

    /// Heads of queries or keys as attention wants them: of one length where the family says so, turned by their position.
    fn turn(&self, number: usize, norm: Option<&Vec<f32>>, positions: &[u32], rows: &mut [f32]) {
        let Self { shape, pool, .. } = self;
        if let Some(norm) = norm {
            kernel::rms_norm_in_place(pool, rows, norm, shape.epsilon);
        }
        let local = self.local_rotary.as_ref().filter(|_| shape.window(number).is_some());
        let rotary = local.unwrap_or(&self.rotary);
        kernel::rotate(pool, rows, shape.head_width, positions, rotary, shape.rotary.pairs);
    }

    fn feed(&self, number: usize, scratch: &mut Scratch) {
        let Self { shape, pool, .. } = self;
        let layer = &self.layers[number];
        scratch.absorb(pool, (&layer.feed_norm, shape.epsilon), &[&layer.gate, &layer.up]);
        let Scratch { activations, hidden, gate, up, .. } = &mut *scratch;
        let gates = (shape.gate, &layer.gate, &layer.up);
        kernel::feed(pool, activations, gates, [gate, up], (hidden, &layer.down));
        let (_, hidden, change) = scratch.change();
        kernel::multiply(pool, hidden, &[&layer.down], &mut [change]);
        if let Some(weight) = &layer.post_feed_norm {
            kernel::rms_norm_in_place(pool, &mut scratch.change, weight, shape.epsilon);
        }
    }

    /// Of the rows that are left: those after which logits are wanted.
    fn logits(&self, scratch: &mut Scratch, logits: &mut Vec<f32>) {
        logits.resize(scratch.positions.len() * self.shape.vocabulary, 0.0);
        let output = self.output.as_ref().unwrap_or(&self.embeddings);
        scratch.absorb(&self.pool, (&self.norm, self.shape.epsilon), &[output]);
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
        scratch.changed = false;
        let Scratch { positions, stream, .. } = scratch;
        embed(&self.shape, &self.embeddings, self.rotary.positions(), batch, (positions, stream))?;
        let group = self.shape.heads / self.shape.kv_heads;
        let rows = Rows::new(batch, group, |piece| piece.tokens.len());
        let wanted = Rows::new(batch, group, |piece| piece.want.rows(piece.tokens.len()));
        for layer in 0..self.layers.len() {
            let is_last = layer + 1 == self.layers.len();
            let fewer = Some(&wanted).filter(|wanted| is_last && wanted.places.len() < rows.places.len());
            self.attention(layer, &rows, fewer, store, scratch);
            if scratch.positions.is_empty() {
                logits.clear();
                return Ok(());
            }
            self.feed(layer, scratch);
        }
        self.logits(scratch, logits);
        Ok(())
    }
}

#[cfg(test)]
mod greedy;
#[cfg(test)]
mod tests;
