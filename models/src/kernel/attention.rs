//! Keys and values in blocks of 32 tokens, and attention over them where they lie.
//!
//! They are kept in half precision, as llama.cpp keeps them: what decoding for many waits for is their bytes. A tile widens a
//! block once. Keys are stored transposed, so that the scores of a query against a block are sums over whole vectors. A tile of queries
//! that share keys (the heads of a group, some tokens) goes over the blocks once with a running maximum (Milakov and
//! Gimelshein, 2018; Dao et al., 2022): no row of scores is ever longer than a block. What a query gives does not depend on
//! which queries it is computed with.

use std::ops::Range;

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use super::pool::{Parts, Pool};

mod block;
mod runs;

pub(crate) use runs::{Run, runs};

/// Tokens of a block.
pub(crate) const BLOCK: usize = 32;
/// Queries that go through a block together.
const TOGETHER: usize = 4;
const LANES: usize = 16;

/// The blocks of all sequences and layers.
pub(crate) struct KvStore {
    shape: KvShape,
    /// Bits of halves, `[block][layer][head]`: keys `[width][BLOCK]`, values `[BLOCK][width]`.
    bits: Vec<u16>,
}

#[derive(Debug, Clone, Copy)]
struct KvShape {
    layers: usize,
    kv_heads: usize,
    head_width: usize,
    /// `head_width`, rounded up to whole vectors; what is beyond is zero.
    width: usize,
}

/// One sequence's part of a step.
#[derive(Debug, Clone)]
pub(crate) struct Span<'a> {
    /// The sequence's blocks, in order.
    pub blocks: &'a [u32],
    /// The position of its first new token.
    pub start: usize,
    /// Its rows in the batch.
    pub rows: Range<usize>,
}

/// How attention is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attend {
    pub heads: usize,
    /// What scores are multiplied with.
    pub scale: f32,
    /// A query sees this many tokens, itself included.
    pub window: Option<usize>,
}

impl KvStore {
    /// Room for `blocks` blocks. Memory is taken from the system as blocks are first written.
    pub(crate) fn new(blocks: usize, layers: usize, kv_heads: usize, head_width: usize) -> Self {
        let shape = KvShape { layers, kv_heads, head_width, width: head_width.next_multiple_of(LANES) };
        // Integers that are zero come from the system untouched.
        Self { shape, bits: vec![0; blocks * shape.start(1, 0, 0)] }
    }

    /// Copies all of a block.
    pub(crate) fn copy(&mut self, from: u32, to: u32) {
        let start = |block| self.shape.start(block, 0, 0);
        let to = start(to);
        self.bits.copy_within(start(from)..start(from + 1), to);
    }

    /// Bytes of one block.
    pub(crate) fn block_bytes(layers: usize, kv_heads: usize, head_width: usize) -> usize {
        layers * kv_heads * 2 * head_width.next_multiple_of(LANES) * BLOCK * size_of::<u16>()
    }
}

impl KvShape {
    fn start(&self, block: u32, layer: usize, head: usize) -> usize {
        ((block as usize * self.layers + layer) * self.kv_heads + head) * 2 * self.width * BLOCK
    }
}

/// Writes one layer's keys and values, each `[rows][kv_heads · head_width]`, to their places.
///
/// # Panics
/// When a span has fewer blocks than its tokens need.
pub(crate) fn store(pool: &Pool, kv: &mut KvStore, layer: usize, spans: &[Span<'_>], (keys, values): (&[f32], &[f32])) {
    let rows = spans.iter().map(|span| span.rows.end).max().unwrap_or(0);
    let run = if rows < 8 { rows.max(1) } else { rows.div_ceil(2 * pool.threads()) };
    let writer = Writer { layer, parts: Parts::new(kv.bits.reinterpret_cast_mut::<f16>()), kv: kv.shape };
    pool.each(rows.div_ceil(run), |index| {
        for span in spans {
            let (first, last) = (span.rows.start.max(index * run), span.rows.end.min(index * run + run));
            for row in first..last {
                writer.put(span, row, keys, values);
            }
        }
    });
}

struct Writer {
    kv: KvShape,
    layer: usize,
    parts: Parts<f16>,
}

impl Writer {
    fn put(&self, span: &Span<'_>, row: usize, keys: &[f32], values: &[f32]) {
        let KvShape { kv_heads, head_width, width, .. } = self.kv;
        let position = span.start + row - span.rows.start;
        let (block, slot) = (span.blocks[position / BLOCK], position % BLOCK);
        for head in 0..kv_heads {
            let from = (row * kv_heads + head) * head_width;
            let start = self.kv.start(block, self.layer, head);
            let mut halves = [f16::ZERO; 64];
            for (part, keys) in keys[from..from + head_width].chunks(halves.len()).enumerate() {
                let halves = &mut halves[..keys.len()];
                halves.convert_from_f32_slice(keys);
                for (i, half) in halves.iter().enumerate() {
                    // SAFETY: each row of a step is one thread's alone and has its own slot.
                    let place = unsafe { self.parts.part(start + (part * 64 + i) * BLOCK + slot, 1) };
                    place[0] = *half;
                }
            }
            // SAFETY: as above.
            let place = unsafe { self.parts.part(start + width * BLOCK + slot * width, head_width) };
            place.convert_from_f32_slice(&values[from..from + head_width]);
        }
    }
}

/// Causal attention of all rows of a batch: `queries` and `out` are `[rows][heads · head_width]`. `plan`: [`runs`] of the spans, with as
/// many heads to a head of keys as there are.
///
/// # Panics
/// When a span has fewer blocks than its tokens need, or heads are no multiple of the heads of keys.
pub(crate) fn attend(
    pool: &Pool,
    kv: &KvStore,
    layer: usize,
    (spans, plan): (&[Span<'_>], &[Run]),
    how: Attend,
    (queries, out): (&[f32], &mut [f32]),
) {
    assert!(how.heads.is_multiple_of(kv.shape.kv_heads), "each head of keys has as many heads of queries");
    let group = how.heads / kv.shape.kv_heads;
    let parts = Parts::new(out);
    // Where there are enough runs, and of one length, a thread takes all heads of one: they lie side by side.
    let alike = plan.len() >= 2 * pool.threads() && plan.iter().all(|run| run.tokens.len() == 1);
    let heads = if alike { kv.shape.kv_heads } else { 1 };
    pool.each(plan.len() * kv.shape.kv_heads / heads, |item| {
        let (run, first) = (&plan[item * heads / kv.shape.kv_heads], item * heads % kv.shape.kv_heads);
        let spans = &spans[run.spans.clone()];
        for head in first..first + heads {
            let last = head + 1 == first + heads;
            Tile { kv, layer, head, how, group, spans, run, last }.attend(pool, queries, &parts);
        }
    });
}

/// Queries that share keys: a run's tokens, the heads of one group.
struct Tile<'a> {
    kv: &'a KvStore,
    layer: usize,
    head: usize,
    how: Attend,
    group: usize,
    /// The run's.
    spans: &'a [Span<'a>],
    run: &'a Run,
    /// Whether the thread goes on to another run, and not to the next head of this one.
    last: bool,
}

/// A tile's queries, and what they have gathered so far.
#[derive(Default)]
struct Gathered {
    /// `[query][width]`, scaled.
    queries: Vec<f32>,
    /// Which positions each query sees.
    sees: Vec<Range<usize>>,
    highest: Vec<f32>,
    weight: Vec<f32>,
    /// `[query][width]`.
    sums: Vec<f32>,
    /// `[query][BLOCK]`
    scores: Vec<f32>,
    /// A block's keys and values in single precision.
    wide: Vec<f32>,
}

thread_local! {
    static GATHERED: std::cell::RefCell<Gathered> = std::cell::RefCell::default();
}

impl Tile<'_> {
    fn attend(&self, pool: &Pool, queries: &[f32], parts: &Parts<f32>) {
        let mut gathered = GATHERED.take();
        self.gather(queries, &mut gathered);
        let (shared, each) = (self.run.shared, self.run.tokens.len() * self.group);
        self.over(pool, &mut gathered, &self.spans[0], 0..each * self.spans.len(), 0..shared);
        for (number, span) in self.spans.iter().enumerate() {
            let end = span.start + self.run.tokens.end;
            self.over(pool, &mut gathered, span, number * each..(number + 1) * each, shared..end.div_ceil(BLOCK));
        }
        self.put(&gathered, parts);
        GATHERED.set(gathered);
    }

    /// Takes some of the queries over some of a span's blocks, from the first that one of them sees.
    fn over(&self, pool: &Pool, gathered: &mut Gathered, span: &Span<'_>, range: Range<usize>, blocks: Range<usize>) {
        let width = self.kv.shape.width;
        let bits = |block: usize, head: usize| {
            let start = self.kv.shape.start(span.blocks[block], self.layer, head);
            &self.kv.bits[start..start + 2 * width * BLOCK]
        };
        let seen = gathered.sees[range.clone()].iter().map(|sees| sees.start).min().unwrap_or(0);
        let first = blocks.start.max(seen / BLOCK);
        for block in first..blocks.end {
            let next = match block + 1 < blocks.end {
                true => bits(block + 1, self.head),
                false if self.last => bits(block, self.head),
                false => bits(first, self.head + 1),
            };
            block::take(pool.level(), gathered, range.clone(), (bits(block, self.head), next), block * BLOCK);
        }
    }

    /// Each query's position, and where it lies in the rows of queries.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let row_width = self.how.heads * self.kv.shape.head_width;
        let tokens = |span: &Span<'_>| {
            let (start, row) = (span.start, span.rows.start);
            self.run.tokens.clone().map(move |token| (start + token, row + token))
        };
        self.spans.iter().flat_map(tokens).flat_map(move |(position, row)| {
            let head = |i: usize| (self.head * self.group + i) * self.kv.shape.head_width;
            (0..self.group).map(move |i| (position, row * row_width + head(i)))
        })
    }

    fn gather(&self, queries: &[f32], into: &mut Gathered) {
        let width = self.kv.shape.width;
        let count = self.spans.len() * self.run.tokens.len() * self.group;
        into.queries.clear();
        into.queries.resize(count * width, 0.0);
        into.sees.clear();
        for (index, (position, at)) in self.places().enumerate() {
            let query = &mut into.queries[index * width..][..self.kv.shape.head_width];
            for (to, from) in query.iter_mut().zip(&queries[at..at + self.kv.shape.head_width]) {
                *to = from * self.how.scale;
            }
            let first = self.how.window.map_or(0, |window| (position + 1).saturating_sub(window));
            into.sees.push(first..position + 1);
        }
        into.highest.clear();
        into.highest.resize(count, f32::NEG_INFINITY);
        into.weight.clear();
        into.weight.resize(count, 0.0);
        into.sums.clear();
        into.sums.resize(count * width, 0.0);
        into.scores.resize(count * BLOCK, 0.0);
    }

    fn put(&self, gathered: &Gathered, parts: &Parts<f32>) {
        for (index, (_, at)) in self.places().enumerate() {
            // SAFETY: each tile has its own tokens and heads, and each tile is one thread's alone.
            let out = unsafe { parts.part(at, self.kv.shape.head_width) };
            let inverse = 1.0 / gathered.weight[index];
            for (out, sum) in out.iter_mut().zip(&gathered.sums[index * self.kv.shape.width..]) {
                *out = sum * inverse;
            }
        }
    }
}

#[cfg(test)]
mod tests;
