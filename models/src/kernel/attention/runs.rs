//! Which queries go over blocks together. Pure: no keys, no values.
//!
//! Sequences that begin alike have the same blocks there, so those that write one token each go over these together, as in Juravsky
//! et al., "Hydragen" (2024): a system prompt that many calls share is read from memory once a step, not once for each of them.

use std::ops::Range;

use super::{BLOCK, Span};

/// Queries of a tile of one sequence.
const QUERIES: usize = 48;
/// Queries of a tile of several sequences: more would leave threads without work.
const SHARED_QUERIES: usize = 16;

/// A tile's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// One, or several that have one new token each.
    pub(super) spans: Range<usize>,
    /// Of its new tokens, the same of each span.
    pub(super) tokens: Range<usize>,
    /// So many first blocks are the same in all its spans, and stand before all its tokens; 0 when it is one span.
    pub(super) shared: usize,
}

/// The tiles of a step, for heads of keys that `group` heads of queries share.
pub(crate) fn runs(spans: &[Span<'_>], group: usize) -> Vec<Run> {
    let tokens = (QUERIES / group).max(1);
    let mut runs = Vec::with_capacity(spans.len());
    let mut first = 0;
    while first < spans.len() {
        let (count, shared) = alike(&spans[first..]);
        if count == 1 {
            let rows = spans[first].rows.len();
            let cut = (0..rows).step_by(tokens).map(|token| token..rows.min(token + tokens));
            runs.extend(cut.map(|tokens| Run { spans: first..first + 1, tokens, shared: 0 }));
        } else {
            let tiles = count.div_ceil((SHARED_QUERIES / group).max(1));
            let each = count.div_ceil(tiles);
            let cut = (first..first + count).step_by(each).map(|span| span..(first + count).min(span + each));
            runs.extend(cut.map(|spans| Run {
                shared: if spans.len() == 1 { 0 } else { shared },
                spans,
                tokens: 0..1,
            }));
        }
        first += count;
    }
    runs
}

/// How many of the spans, from the first on, have one new token each and begin alike, and in how many whole blocks.
fn alike(spans: &[Span<'_>]) -> (usize, usize) {
    let before = |span: &Span<'_>| if span.rows.len() == 1 { span.start / BLOCK } else { 0 };
    let mut shared = before(&spans[0]);
    for (count, span) in spans.iter().enumerate().skip(1) {
        let same = |(a, b): &(&u32, &u32)| a == b;
        let most = shared.min(before(span));
        let common = spans[0].blocks[..most].iter().zip(&span.blocks[..most]).take_while(same).count();
        // A long beginning is not given up for a short one.
        if common == 0 || (count > 1 && 2 * common < shared) {
            return if count == 1 { (1, 0) } else { (count, shared) };
        }
        shared = common;
    }
    if spans.len() == 1 { (1, 0) } else { (spans.len(), shared) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(blocks: &[u32], start: usize, row: usize) -> Span<'_> {
        Span { blocks, start, rows: row..row + 1 }
    }

    #[test]
    fn those_that_begin_alike_go_together_and_others_alone() {
        let tables: [&[u32]; 5] = [&[4, 7, 9, 1], &[4, 7, 9, 2], &[4, 7, 3], &[5, 6], &[5, 8]];
        let starts = [100, 127, 70, 40, 10];
        let mut spans: Vec<_> =
            tables.iter().zip(starts).enumerate().map(|(row, (blocks, start))| span(blocks, start, row)).collect();
        // The last one's first block is not whole, so it cannot be shared.
        let wanted = [(0..3, 2), (3..4, 0), (4..5, 0)];
        let of = |runs: &[Run]| runs.iter().map(|run| (run.spans.clone(), run.shared)).collect::<Vec<_>>();
        assert_eq!(of(&runs(&spans, 3)), wanted);
        // A prompt that is being read goes alone.
        spans[1].rows = 1..4;
        assert_eq!(of(&runs(&spans, 3))[0], (0..1, 0));
    }

    #[test]
    fn every_token_is_in_one_run() {
        let blocks: Vec<u32> = (0..8).collect();
        for (count, group) in [(1, 1), (7, 3), (16, 3), (9, 20)] {
            let mut spans: Vec<_> = (0..count).map(|row| span(&blocks, 200, row)).collect();
            spans.push(Span { blocks: &blocks, start: 3, rows: count..count + 100 });
            let mut seen = vec![0; count + 100];
            for run in runs(&spans, group) {
                assert!(run.spans.len() == 1 || run.shared == 6);
                for span in run.spans {
                    run.tokens.clone().for_each(|token| seen[spans[span].rows.start + token] += 1);
                }
            }
            assert!(seen.iter().all(|times| *times == 1), "{count} {group}");
        }
    }
}
