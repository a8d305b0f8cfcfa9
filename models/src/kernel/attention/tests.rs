//! Attention against its definition, in double precision, over scattered blocks.

use proptest::prelude::*;

use super::*;
use crate::kernel::Level;
use crate::kernel::samples::random;
use crate::sample::SplitMix;

struct Case {
    kv_heads: usize,
    heads: usize,
    head_width: usize,
    window: Option<usize>,
    /// Tokens there already, and new ones.
    sequences: Vec<(usize, usize)>,
    /// So many blocks that those begin with which are long enough.
    shared: usize,
}

impl Case {
    /// How many of a sequence's blocks are those that others have, too.
    fn shared_by(&self, old: usize) -> usize {
        if old >= self.shared * BLOCK { self.shared } else { 0 }
    }
}

/// By definition: for one query, over all keys it sees.
fn defined(case: &Case, (queries, keys, values): (&[f32], &[f32], &[f32]), position: usize) -> Vec<f32> {
    let Case { kv_heads, heads, head_width, window, .. } = *case;
    let mut out = Vec::new();
    for head in 0..heads {
        let shared = head / (heads / kv_heads);
        let at = |token: usize| token * kv_heads * head_width + shared * head_width;
        let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
        let scores: Vec<f64> = (first..=position)
            .map(|token| {
                let query = &queries[head * head_width..][..head_width];
                query.iter().zip(&keys[at(token)..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() * 0.5
            })
            .collect();
        let highest = scores.iter().copied().fold(f64::MIN, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
        let total: f64 = weights.iter().sum();
        for i in 0..head_width {
            let sum: f64 =
                weights.iter().zip(first..).map(|(weight, token)| weight * f64::from(values[at(token) + i])).sum();
            out.push((sum / total) as f32);
        }
    }
    out
}

fn check(case: &Case, seed: u64) -> Result<(), TestCaseError> {
    let (kv_width, width) = (case.kv_heads * case.head_width, case.heads * case.head_width);
    for level in Level::all().into_iter().filter(|level| level.is_here()) {
        let pool = Pool::with_level(2, level);
        let needed: usize = case.sequences.iter().map(|(old, new)| (old + new).div_ceil(BLOCK)).sum();
        let spare = case.shared + 3;
        let mut kv = KvStore::new(needed + spare, 2, case.kv_heads, case.head_width);
        // Blocks in no order.
        let mut free: Vec<u32> = (0..(needed + spare) as u32).rev().collect();
        free.rotate_left(1);
        let common = free.split_off(free.len() - case.shared);
        let (mut spans, mut queries, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        let tables: Vec<Vec<u32>> = case
            .sequences
            .iter()
            .map(|(old, new)| {
                let shared = case.shared_by(*old);
                let own = (shared..(old + new).div_ceil(BLOCK)).map(|_| free.pop().expect("enough"));
                common[..shared].iter().copied().chain(own).collect()
            })
            .collect();
        for (number, ((old, new), blocks)) in case.sequences.iter().zip(&tables).enumerate() {
            let (first_seed, seed) = (seed, seed.wrapping_add((number as u64 + 1) * 10));
            let [keys, values] = [0, 2].map(|which| {
                let mut all = random((old + new) * kv_width, seed ^ which);
                let shared = case.shared_by(*old) * BLOCK * kv_width;
                all[..shared].copy_from_slice(&random(shared, first_seed ^ which));
                all
            });
            let asked = random(new * width, seed ^ 3);
            for layer in 0..2 {
                let span = Span { blocks, start: 0, rows: 0..old + new };
                store(&pool, &mut kv, layer, &[span], (&keys, &values));
            }
            for token in 0..*new {
                let query = &asked[token * width..][..width];
                expected.extend(defined(case, (query, &keys, &values), old + token));
            }
            let first = queries.len() / width;
            queries.extend(asked);
            spans.push(Span { blocks, start: *old, rows: first..first + new });
        }
        let how = Attend { heads: case.heads, scale: 0.5, window: case.window };
        let mut out = vec![f32::NAN; queries.len()];
        let group = case.heads / case.kv_heads;
        attend(&pool, &kv, 1, (&spans, &runs(&spans, group)), how, (&queries, &mut out));
        for (ours, theirs) in out.iter().zip(&expected) {
            // Values are up to 2, weights and values of 13 bits, scores up to some twenty units of 12.
            prop_assert!((ours - theirs).abs() < 2e-3, "{level:?}: {ours} {theirs}");
        }
        for span in &spans {
            let rows = span.rows.start * width..span.rows.end * width;
            let mut alone = vec![0.0; rows.len()];
            let span = Span { rows: 0..span.rows.len(), ..span.clone() };
            let spans = [span];
            attend(&pool, &kv, 1, (&spans, &runs(&spans, group)), how, (&queries[rows.clone()], &mut alone));
            prop_assert_eq!(&alone[..], &out[rows], "alone as together");
        }
    }
    Ok(())
}

/// Integers of at most `most`, both ends among them.
fn integers(count: usize, most: i16, seed: u64) -> Vec<i16> {
    let mut numbers = SplitMix::new(seed);
    let spread = 2 * i64::from(most) + 1;
    let mut all: Vec<i16> = (0..count).map(|_| ((numbers.next() >> 33) as i64 % spread) as i16 - most).collect();
    for (index, edge) in all.iter_mut().enumerate().filter(|(index, _)| index % 7 == 0) {
        *edge = if index % 2 == 0 { most } else { -most };
    }
    all
}

proptest! {
    #[test]
    fn every_level_gives_the_same_integers(lanes in 1..17usize, queries in 1..9usize, seed: u64) {
        let width = lanes * LANES;
        let most = Most::of(width);
        let (keys, values) = (integers(width * BLOCK, most.key, seed), integers(width * BLOCK, most.value, seed ^ 1));
        let asked = integers(queries * width, most.query, seed ^ 2);
        let weights: Vec<i16> = integers(queries * BLOCK, most.weight, seed ^ 3).iter().map(|x| x.abs()).collect();
        let units = random(queries, seed ^ 4);
        // By definition: key `t` at `[i / 2][t][i % 2]`, value `t` at `[t / 2][i][t % 2]`.
        let score = |query: usize, t: usize| -> i64 {
            let key = |i: usize| i64::from(keys[(i / 2 * BLOCK + t) * 2 + i % 2]);
            (0..width).map(|i| i64::from(asked[query * width + i]) * key(i)).sum()
        };
        let sum = |query: usize, i: usize| -> i64 {
            let value = |t: usize| i64::from(values[(t / 2 * width + i) * 2 + t % 2]);
            (0..BLOCK).map(|t| i64::from(weights[query * BLOCK + t]) * value(t)).sum()
        };
        for level in Level::all().into_iter().filter(|level| level.is_here()) {
            let mut scores = vec![0; queries * BLOCK];
            block::score(level, &asked, (&keys, &keys), &mut scores);
            let mut sums = vec![1.0; queries * width];
            block::weigh(level, (&weights, &units), (&values, &values), &mut sums);
            for query in 0..queries {
                for t in 0..BLOCK {
                    prop_assert_eq!(i64::from(scores[query * BLOCK + t]), score(query, t), "{:?}", level);
                }
                for i in 0..width {
                    let (ours, exact) = (sums[query * width + i], 1.0 + sum(query, i) as f32 * units[query]);
                    prop_assert!((ours - exact).abs() <= exact.abs() * 1e-6 + 1e-3, "{:?}: {} {}", level, ours, exact);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn attention_is_what_it_is_defined_as(
        (kv_heads, group) in (1..4usize, 1..5usize), head_width in 1..40usize, window in prop::option::of(1..90usize),
        sequences in prop::collection::vec((0..120usize, prop_oneof![Just(1), 1..50usize]), 1..6), shared in 0..3usize,
        seed in any::<u64>(),
    ) {
        check(&Case { kv_heads, heads: kv_heads * group, head_width, window, sequences, shared }, seed)?;
    }
}
