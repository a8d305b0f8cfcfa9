//! Keys and values in blocks of 32 tokens, and attention over them where they lie.
//!
//! They are kept in 16 bits, as integers of which each token and head has one unit: what decoding for many waits for is their
//! bytes, and the products of integers need half as many instructions as those of floats, and no conversion. Queries, and the
//! weights of a block, are rounded to integers, too, with as many digits as a sum over all of them has room for: about as many
//! as half precision has, and far more than the inputs of quantized products. A tile of queries
//! that share keys (the heads of a group, some tokens) goes over the blocks once with a running maximum (Milakov and
//! Gimelshein, 2018; Dao et al., 2022): no row of scores is ever longer than a block. What a query gives does not depend on
//! which queries it is computed with.

use std::ops::Range;

use super::level::Level;
use super::pool::{Parts, Pool};

mod block;
mod round;
mod runs;

use block::Block;
#[cfg(target_arch = "x86_64")]
pub(super) use block::Meeting;
pub(super) use round::Most;
#[cfg(target_arch = "x86_64")]
pub(super) use round::of_largest;
use round::{round, unit};

pub(crate) use runs::{Run, runs};

/// Tokens of a block.
pub(crate) const BLOCK: usize = 32;
/// Queries that go through a block together.
const TOGETHER: usize = 4;
const LANES: usize = 16;
/// Integers of a cache line.
const LINE: usize = 32;

/// The blocks of all sequences and layers.
pub(crate) struct KvStore {
    shape: KvShape,
    /// `[block][layer][head]`: keys `[width / 2][BLOCK][2]`, values `[BLOCK / 2][width][2]`. What one instruction adds up lies
    /// side by side.
    integers: Vec<i16>,
    /// Where the first block begins: at a cache line.
    begin: usize,
    /// What the integers are multiples of: `[block][layer][head]`, of each token's key, then of each token's value.
    units: Vec<f32>,
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
        let shape = KvShape::new(layers, kv_heads, head_width);
        // Numbers that are zero come from the system untouched.
        let integers = vec![0i16; (blocks * shape.blocks(1)).next_multiple_of(LINE) + LINE];
        let begin = integers.as_ptr().align_offset(LINE * size_of::<i16>()).min(LINE);
        Self { shape, integers, begin, units: vec![0.0; blocks * shape.all_units(1)] }
    }

    /// Copies all of a block.
    pub(crate) fn copy(&mut self, from: u32, to: u32) {
        let (from, to) = (from as usize, to as usize);
        let at = |block| self.begin + self.shape.blocks(block);
        let (range, place) = (at(from)..at(from + 1), at(to));
        self.integers.copy_within(range, place);
        self.units.copy_within(self.shape.all_units(from)..self.shape.all_units(from + 1), self.shape.all_units(to));
    }

    /// Bytes of one block.
    pub(crate) fn block_bytes(layers: usize, kv_heads: usize, head_width: usize) -> usize {
        let shape = KvShape::new(layers, kv_heads, head_width);
        shape.blocks(1) * size_of::<i16>() + shape.all_units(1) * size_of::<f32>()
    }

    /// One layer's and head's part of a block.
    fn block(&self, block: u32, layer: usize, head: usize) -> Block<'_> {
        let place = self.shape.place(block, layer, head);
        let half = self.shape.width * BLOCK;
        let (keys, values) = self.integers[self.begin + 2 * half * place..][..2 * half].split_at(half);
        Block { keys, values, units: &self.units[2 * BLOCK * place..][..2 * BLOCK] }
    }
}

impl KvShape {
    fn new(layers: usize, kv_heads: usize, head_width: usize) -> Self {
        Self { layers, kv_heads, head_width, width: head_width.next_multiple_of(LANES) }
    }

    /// How many parts of blocks are before that one.
    fn place(&self, block: u32, layer: usize, head: usize) -> usize {
        (block as usize * self.layers + layer) * self.kv_heads + head
    }

    /// Integers of so many blocks.
    fn blocks(&self, count: usize) -> usize {
        count * self.layers * self.kv_heads * 2 * self.width * BLOCK
    }

    fn all_units(&self, count: usize) -> usize {
        count * self.layers * self.kv_heads * 2 * BLOCK
    }
}

/// Writes one layer's keys and values, each `[rows][kv_heads · head_width]`, to their places.
///
/// # Panics
/// When a span has fewer blocks than its tokens need.
pub(crate) fn store(pool: &Pool, kv: &mut KvStore, layer: usize, spans: &[Span<'_>], (keys, values): (&[f32], &[f32])) {
    let rows = spans.iter().map(|span| span.rows.end).max().unwrap_or(0);
    let run = if rows < 8 { rows.max(1) } else { rows.div_ceil(2 * pool.threads()) };
    let (integers, units) = (Parts::new(&mut kv.integers[kv.begin..]), Parts::new(&mut kv.units));
    let writer = Writer { level: pool.level(), layer, integers, units, kv: kv.shape };
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
    level: Level,
    kv: KvShape,
    layer: usize,
    integers: Parts<i16>,
    units: Parts<f32>,
}

impl Writer {
    fn put(&self, span: &Span<'_>, row: usize, keys: &[f32], values: &[f32]) {
        let KvShape { kv_heads, head_width, width, .. } = self.kv;
        let position = span.start + row - span.rows.start;
        let (block, slot) = (span.blocks[position / BLOCK], position % BLOCK);
        let most = Most::of(width);
        for head in 0..kv_heads {
            let from = (row * kv_heads + head) * head_width;
            let place = self.kv.place(block, self.layer, head);
            let start = 2 * width * BLOCK * place;
            let key = |i: usize| start + (i / 2 * BLOCK + slot) * 2 + i % 2;
            let value = |i: usize| start + width * BLOCK + (slot / 2 * width + i) * 2 + slot % 2;
            // SAFETY: each row of a step is one thread's alone and has its own slot.
            let units = |which: usize| unsafe { self.units.part((2 * place + which) * BLOCK + slot, 1) };
            // SAFETY: as above.
            self.round(&keys[from..from + head_width], most.key, &mut units(0)[0], |first, all| unsafe {
                self.integers.spread(key(first), 2 * BLOCK, all.iter().step_by(2));
                self.integers.spread(key(first + 1), 2 * BLOCK, all.iter().skip(1).step_by(2));
            });
            // SAFETY: as above.
            self.round(&values[from..from + head_width], most.value, &mut units(1)[0], |first, all| unsafe {
                self.integers.spread(value(first), 2, all.iter());
            });
        }
    }

    /// Rounds a head's row, and hands its integers over a part at a time, each with where it begins.
    fn round(&self, row: &[f32], most: i16, unit_place: &mut f32, put: impl Fn(usize, &[i16])) {
        let (one, inverse) = unit(self.level, row, most);
        *unit_place = one;
        let mut rounded = [0i16; 64];
        for (part, row) in row.chunks(rounded.len()).enumerate() {
            round(self.level, row, inverse, &mut rounded[..row.len()]);
            put(part * rounded.len(), &rounded[..row.len()]);
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
    /// `[query][width]`, and what each query's integers are multiples of, scaled.
    queries: Vec<i16>,
    units: Vec<f32>,
    /// Which positions each query sees.
    sees: Vec<Range<usize>>,
    highest: Vec<f32>,
    /// The sum of weights so far, in parts.
    weight: Vec<[f32; LANES]>,
    /// `[query][width]`.
    sums: Vec<f32>,
    /// `[query][BLOCK]`, of a block.
    scores: Vec<i32>,
    /// `[query][BLOCK]`, of a block, times the units of its values; and what each query's are multiples of.
    weights: Vec<i16>,
    weight_units: Vec<f32>,
}

thread_local! {
    static GATHERED: std::cell::RefCell<Gathered> = std::cell::RefCell::default();
}

impl Tile<'_> {
    fn attend(&self, pool: &Pool, queries: &[f32], parts: &Parts<f32>) {
        let mut gathered = GATHERED.take();
        self.gather(pool.level(), queries, &mut gathered);
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
        let of = |block: usize, head: usize| self.kv.block(span.blocks[block], self.layer, head);
        let seen = gathered.sees[range.clone()].iter().map(|sees| sees.start).min().unwrap_or(0);
        let first = blocks.start.max(seen / BLOCK);
        for block in first..blocks.end {
            let next = match block + 1 < blocks.end {
                true => of(block + 1, self.head),
                false if self.last => of(block, self.head),
                false => of(first, self.head + 1),
            };
            block::take(pool.level(), gathered, range.clone(), (of(block, self.head), next), block * BLOCK);
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

    fn gather(&self, level: Level, queries: &[f32], into: &mut Gathered) {
        let (width, head_width) = (self.kv.shape.width, self.kv.shape.head_width);
        let count = self.spans.len() * self.run.tokens.len() * self.group;
        let most = Most::of(width).query;
        into.queries.clear();
        into.queries.resize(count * width, 0);
        into.units.clear();
        into.sees.clear();
        for (index, (position, at)) in self.places().enumerate() {
            let query = &queries[at..at + head_width];
            let (one, inverse) = unit(level, query, most);
            round(level, query, inverse, &mut into.queries[index * width..][..head_width]);
            into.units.push(one * self.how.scale);
            let first = self.how.window.map_or(0, |window| (position + 1).saturating_sub(window));
            into.sees.push(first..position + 1);
        }
        into.highest.clear();
        into.highest.resize(count, f32::NEG_INFINITY);
        into.weight.clear();
        into.weight.resize(count, [0.0; LANES]);
        into.sums.clear();
        into.sums.resize(count * width, 0.0);
        into.scores.resize(count * BLOCK, 0);
        into.weights.resize(count * BLOCK, 0);
        into.weight_units.resize(count, 0.0);
    }

    fn put(&self, gathered: &Gathered, parts: &Parts<f32>) {
        for (index, (_, at)) in self.places().enumerate() {
            // SAFETY: each tile has its own tokens and heads, and each tile is one thread's alone.
            let out = unsafe { parts.part(at, self.kv.shape.head_width) };
            let inverse = 1.0 / gathered.weight[index].iter().sum::<f32>();
            for (out, sum) in out.iter_mut().zip(&gathered.sums[index * self.kv.shape.width..]) {
                *out = sum * inverse;
            }
        }
    }
}

#[cfg(test)]
mod tests;
