//! Keys and values in blocks of 32 tokens, and attention over them where they lie.
//!
//! Keys are stored transposed, so that the scores of a query against a block are sums over whole vectors. A tile of queries
//! that share keys (the heads of a group, some tokens) goes over the blocks once with a running maximum (Milakov and
//! Gimelshein, 2018; Dao et al., 2022): no row of scores is ever longer than a block. What a query gives does not depend on
//! which queries it is computed with.

use std::ops::Range;

use super::float::{fma, leveled};
use super::ops::exp;
use super::pool::{Place, Pool};

/// Tokens of a block.
pub(crate) const BLOCK: usize = 32;
/// Queries of a tile.
const QUERIES: usize = 32;
/// Queries that go through a block together.
const TOGETHER: usize = 4;
const LANES: usize = 16;

/// The blocks of all sequences and layers.
pub(crate) struct KvStore {
    layers: usize,
    kv_heads: usize,
    head_width: usize,
    /// `head_width`, rounded up to whole vectors; what is beyond is zero.
    width: usize,
    /// `[block][layer][head]`: keys `[width][BLOCK]`, values `[BLOCK][width]`.
    values: Vec<f32>,
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
        let width = head_width.next_multiple_of(LANES);
        Self { layers, kv_heads, head_width, width, values: vec![0.0; blocks * layers * kv_heads * 2 * width * BLOCK] }
    }

    /// Bytes of one block.
    pub(crate) fn block_bytes(layers: usize, kv_heads: usize, head_width: usize) -> usize {
        layers * kv_heads * 2 * head_width.next_multiple_of(LANES) * BLOCK * size_of::<f32>()
    }

    fn start(&self, block: u32, layer: usize, head: usize) -> usize {
        ((block as usize * self.layers + layer) * self.kv_heads + head) * 2 * self.width * BLOCK
    }
}

/// Writes one layer's keys and values, each `[rows][kv_heads · head_width]`, to their places.
///
/// # Panics
/// When a span has fewer blocks than its tokens need.
pub(crate) fn store(kv: &mut KvStore, layer: usize, spans: &[Span<'_>], keys: &[f32], values: &[f32]) {
    let (head_width, width) = (kv.head_width, kv.width);
    let row_width = kv.kv_heads * head_width;
    for span in spans {
        for (position, row) in (span.start..).zip(span.rows.clone()) {
            let (block, slot) = (span.blocks[position / BLOCK], position % BLOCK);
            for head in 0..kv.kv_heads {
                let from = row * row_width + head * head_width;
                let start = kv.start(block, layer, head);
                let (to_keys, to_values) = kv.values[start..start + 2 * width * BLOCK].split_at_mut(width * BLOCK);
                for (to, key) in to_keys.chunks_exact_mut(BLOCK).zip(&keys[from..from + head_width]) {
                    to[slot] = *key;
                }
                to_values[slot * width..][..head_width].copy_from_slice(&values[from..from + head_width]);
            }
        }
    }
}

/// Causal attention of all rows of a batch: `queries` and `out` are `[rows][heads · head_width]`.
///
/// # Panics
/// When a span has fewer blocks than its tokens need, or heads are no multiple of the heads of keys.
pub(crate) fn attend(
    pool: &Pool,
    kv: &KvStore,
    layer: usize,
    spans: &[Span<'_>],
    how: Attend,
    (queries, out): (&[f32], &mut [f32]),
) {
    assert!(how.heads.is_multiple_of(kv.kv_heads), "each head of keys has as many heads of queries");
    let group = how.heads / kv.kv_heads;
    let tokens = (QUERIES / group).max(1);
    let place = Place::new(out);
    let runs = |span: &Span<'_>| span.rows.len().div_ceil(tokens);
    let total: usize = spans.iter().map(runs).sum();
    pool.each(total * kv.kv_heads, |item| {
        let (mut run, head) = (item / kv.kv_heads, item % kv.kv_heads);
        for span in spans {
            if run < runs(span) {
                let first = run * tokens;
                let last = span.rows.len().min(first + tokens);
                let tile = Tile { kv, layer, head, how, group, span, tokens: first..last };
                tile.attend(pool, queries, &place);
                return;
            }
            run -= runs(span);
        }
    });
}

/// Queries that share keys: some tokens of a span, the heads of one group.
struct Tile<'a> {
    kv: &'a KvStore,
    layer: usize,
    head: usize,
    how: Attend,
    group: usize,
    span: &'a Span<'a>,
    /// Of the span's new tokens.
    tokens: Range<usize>,
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
}

thread_local! {
    static GATHERED: std::cell::RefCell<Gathered> = std::cell::RefCell::default();
}

impl Tile<'_> {
    fn attend(&self, pool: &Pool, queries: &[f32], place: &Place) {
        let mut gathered = GATHERED.take();
        self.gather(queries, &mut gathered);
        let width = self.kv.width;
        let end = self.span.start + self.tokens.end;
        let begin = gathered.sees.first().map_or(0, |first| first.start);
        for block in begin / BLOCK..end.div_ceil(BLOCK) {
            let start = self.kv.start(self.span.blocks[block], self.layer, self.head);
            let (keys, values) = self.kv.values[start..start + 2 * width * BLOCK].split_at(width * BLOCK);
            block_step(pool.level(), &mut gathered, keys, values, block * BLOCK);
        }
        self.put(&gathered, place);
        GATHERED.set(gathered);
    }

    /// Where a query lies in the rows of queries.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let row_width = self.how.heads * self.kv.head_width;
        self.tokens.clone().flat_map(move |token| {
            let row = (self.span.rows.start + token) * row_width;
            (0..self.group).map(move |i| (token, row + (self.head * self.group + i) * self.kv.head_width))
        })
    }

    fn gather(&self, queries: &[f32], into: &mut Gathered) {
        let width = self.kv.width;
        let count = (self.tokens.len() * self.group).next_multiple_of(TOGETHER);
        into.queries.clear();
        into.queries.resize(count * width, 0.0);
        into.sees.clear();
        for (index, (token, at)) in self.places().enumerate() {
            let query = &mut into.queries[index * width..][..self.kv.head_width];
            for (to, from) in query.iter_mut().zip(&queries[at..at + self.kv.head_width]) {
                *to = from * self.how.scale;
            }
            let position = self.span.start + token;
            let first = self.how.window.map_or(0, |window| (position + 1).saturating_sub(window));
            into.sees.push(first..position + 1);
        }
        // Rows that fill the last four see nothing.
        into.sees.resize(count, 0..0);
        into.highest.clear();
        into.highest.resize(count, f32::NEG_INFINITY);
        into.weight.clear();
        into.weight.resize(count, 0.0);
        into.sums.clear();
        into.sums.resize(count * width, 0.0);
        into.scores.resize(count * BLOCK, 0.0);
    }

    fn put(&self, gathered: &Gathered, place: &Place) {
        for (index, (_, at)) in self.places().enumerate() {
            // SAFETY: each tile has its own tokens and heads, and each tile is one thread's alone.
            let out = unsafe { place.part(at, self.kv.head_width) };
            let inverse = 1.0 / gathered.weight[index];
            for (out, sum) in out.iter_mut().zip(&gathered.sums[index * self.kv.width..]) {
                *out = sum * inverse;
            }
        }
    }
}

leveled! {
    /// Takes one block of keys and values, the first of which stands at position `first`.
    fn block_step(gathered: &mut Gathered, keys: &[f32], values: &[f32], first: usize) = block_plainly
}

#[inline(always)]
fn block_plainly<const FUSED: bool>(gathered: &mut Gathered, keys: &[f32], values: &[f32], first: usize) {
    let width = keys.len() / BLOCK;
    let count = gathered.sees.len();
    for four in (0..count).step_by(TOGETHER) {
        let queries = &gathered.queries[four * width..][..TOGETHER * width];
        let scores = &mut gathered.scores[four * BLOCK..][..TOGETHER * BLOCK];
        score::<FUSED>(queries, keys, scores);
        for i in 0..TOGETHER {
            let index = four + i;
            let scores = &mut scores[i * BLOCK..][..BLOCK];
            let sees = &gathered.sees[index];
            let from = sees.start.saturating_sub(first).min(BLOCK);
            let to = sees.end.saturating_sub(first).min(BLOCK).max(from);
            scores[..from].fill(f32::NEG_INFINITY);
            scores[to..].fill(f32::NEG_INFINITY);
            if from == to {
                scores.fill(0.0);
                continue;
            }
            let highest = scores.iter().fold(gathered.highest[index], |a, b| if *b > a { *b } else { a });
            if highest > gathered.highest[index] {
                let factor = exp::<FUSED>(gathered.highest[index] - highest);
                gathered.weight[index] *= factor;
                gathered.sums[index * width..][..width].iter_mut().for_each(|sum| *sum *= factor);
                gathered.highest[index] = highest;
            }
            let mut weights = [0f32; BLOCK];
            for (weight, score) in weights.iter_mut().zip(scores.iter()) {
                *weight = exp::<FUSED>(score - highest);
            }
            // What is masked has no weight at all, not just next to none.
            weights[..from].fill(0.0);
            weights[to..].fill(0.0);
            scores.copy_from_slice(&weights);
            gathered.weight[index] += weights.iter().sum::<f32>();
        }
        weigh::<FUSED>(scores, values, &mut gathered.sums[four * width..][..TOGETHER * width]);
    }
}

/// `scores = queries · keys`, four queries against a block.
#[inline(always)]
fn score<const FUSED: bool>(queries: &[f32], keys: &[f32], scores: &mut [f32]) {
    let width = queries.len() / TOGETHER;
    let (a, rest) = queries.split_at(width);
    let (b, rest) = rest.split_at(width);
    let (c, d) = rest.split_at(width);
    for half in 0..BLOCK / LANES {
        let mut sums = [[0f32; LANES]; TOGETHER];
        for (keys, ((a, b), (c, d))) in keys.chunks_exact(BLOCK).zip(a.iter().zip(b).zip(c.iter().zip(d))) {
            let keys = &keys[half * LANES..][..LANES];
            for (sums, query) in sums.iter_mut().zip([a, b, c, d]) {
                for lane in 0..LANES {
                    sums[lane] = fma::<FUSED>(*query, keys[lane], sums[lane]);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            scores[i * BLOCK + half * LANES..][..LANES].copy_from_slice(sums);
        }
    }
}

/// `sums += weights · values`, four queries.
#[inline(always)]
fn weigh<const FUSED: bool>(weights: &[f32], values: &[f32], sums: &mut [f32]) {
    let width = sums.len() / TOGETHER;
    for at in (0..width).step_by(LANES) {
        let mut totals = [[0f32; LANES]; TOGETHER];
        for (i, totals) in totals.iter_mut().enumerate() {
            totals.copy_from_slice(&sums[i * width + at..][..LANES]);
        }
        for (token, values) in values.chunks_exact(width).enumerate() {
            let values = &values[at..at + LANES];
            for (i, totals) in totals.iter_mut().enumerate() {
                let weight = weights[i * BLOCK + token];
                for lane in 0..LANES {
                    totals[lane] = fma::<FUSED>(weight, values[lane], totals[lane]);
                }
            }
        }
        for (i, totals) in totals.iter().enumerate() {
            sums[i * width + at..][..LANES].copy_from_slice(totals);
        }
    }
}

#[cfg(test)]
mod tests;
