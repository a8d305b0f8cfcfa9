//! Attention of a ragged step by candle's operations.
//!
//! Sequences with as many new tokens are computed together, the shorter ones filled up with places that nobody sees; a long
//! prompt is cut where its scores would take too much memory. Scores and sums are in single precision. With the feature
//! `flash-attn` a GPU goes over the blocks where they lie instead ([`flash`]).

use std::ops::Range;

use candle_core::{Device, Error, Tensor};

use crate::arch::{Piece, Shape};
use crate::cache::TensorStore;
use crate::kernel::BLOCK;

#[cfg(feature = "flash-attn")]
mod flash;

/// Values of a tensor between queries and what they gather, at most, where that can be had: 64 MiB.
pub(super) const MOST_VALUES: usize = 1 << 24;

/// In which order a step's rows lie, and what each of them sees.
pub(super) struct Plan<'a> {
    shape: &'a Shape,
    /// In the order of their rows.
    parts: Vec<Part<'a>>,
    how: How,
}

/// Some of a piece's tokens, next to each other.
struct Part<'a> {
    piece: &'a Piece<'a>,
    /// Its rows in the batch.
    rows: Range<usize>,
    /// The position of its first token.
    start: usize,
}

enum How {
    Padded(Vec<Group>),
    #[cfg(feature = "flash-attn")]
    Flash(flash::Pages),
}

/// Parts with as many tokens each.
struct Group {
    /// The first of its rows.
    first: usize,
    parts: usize,
    tokens: usize,
    /// Of layers that see all, and of those with a window, where the model has such layers.
    views: [Option<View>; 2],
}

/// What the parts of a group see.
struct View {
    /// Of keys and values, as many for each part.
    places: Tensor,
    /// `[part][1][token][place]`: 0 for what is seen, else minus infinity.
    mask: Tensor,
}

impl Part<'_> {
    fn tokens(&self) -> usize {
        self.rows.len()
    }

    /// The position after its last token.
    fn end(&self) -> usize {
        self.start + self.tokens()
    }

    fn place(&self, position: usize) -> u32 {
        self.piece.sequence.blocks()[position / BLOCK] * BLOCK as u32 + (position % BLOCK) as u32
    }
}

impl<'a> Plan<'a> {
    /// With no tensor of more than `most` values, but where one token of one sequence needs more.
    pub(super) fn new(
        batch: &'a [Piece<'a>],
        shape: &'a Shape,
        device: &'a Device,
        most: usize,
    ) -> Result<Self, Error> {
        #[cfg(feature = "flash-attn")]
        if flash::fits(shape, device) {
            let parts = cut(batch, usize::MAX);
            let how = How::Flash(flash::Pages::new(&parts, device)?);
            return Ok(Self { shape, parts, how });
        }
        let mut parts = cut(batch, most / shape.heads);
        parts.sort_by_key(|part| (part.tokens(), part.end()));
        let groups = group(&parts, shape, device, most)?;
        Ok(Self { shape, parts, how: How::Padded(groups) })
    }

    /// Positions and values of the batch's rows in this order.
    pub(super) fn ordered(&self, positions: &[u32], rows: &[f32], width: usize) -> (Vec<u32>, Vec<f32>) {
        let (mut ordered, mut values) = (Vec::with_capacity(positions.len()), Vec::with_capacity(rows.len()));
        for Part { rows: at, .. } in &self.parts {
            ordered.extend(&positions[at.clone()]);
            values.extend(&rows[at.start * width..at.end * width]);
        }
        (ordered, values)
    }

    /// Where each row's keys and values belong.
    pub(super) fn places(&self) -> Vec<u32> {
        self.parts.iter().flat_map(|part| (part.start..part.end()).map(|position| part.place(position))).collect()
    }

    /// The rows after which logits are wanted, in the batch's order.
    pub(super) fn wanted(&self) -> Vec<u32> {
        let mut wanted = Vec::new();
        let mut row = 0;
        for part in &self.parts {
            let last = part.piece.sequence.len() + part.piece.tokens.len();
            let first = last - part.piece.want.rows(part.piece.tokens.len());
            for position in part.start..part.end() {
                if position >= first {
                    wanted.push((part.rows.start + position - part.start, row));
                }
                row += 1;
            }
        }
        wanted.sort_unstable();
        wanted.into_iter().map(|(_, row)| row).collect()
    }

    /// What each row gathers from the keys and values of a layer, which has a window or has none.
    pub(super) fn attend(
        &self,
        store: &TensorStore,
        (layer, windowed): (usize, bool),
        queries: &Tensor,
    ) -> Result<Tensor, Error> {
        match &self.how {
            How::Padded(groups) => {
                let queries = (queries * f64::from(self.shape.attention_scale))?;
                let of_group = |group: &Group| group.attend(self.shape, store, (layer, windowed), &queries);
                let gathered = groups.iter().map(of_group).collect::<Result<Vec<_>, _>>()?;
                Tensor::cat(&gathered, 0)
            }
            #[cfg(feature = "flash-attn")]
            How::Flash(pages) => pages.attend(self.shape, store, (layer, windowed), queries),
        }
    }
}

/// Cuts pieces so that tokens times what they see are no more than `most`.
fn cut<'a>(batch: &'a [Piece<'a>], most: usize) -> Vec<Part<'a>> {
    let (mut parts, mut row) = (Vec::new(), 0);
    for piece in batch {
        let (start, count) = (piece.sequence.len(), piece.tokens.len());
        let step = (most / (start + count).max(1)).clamp(1, count.max(1));
        for first in (0..count).step_by(step) {
            let rows = row + first..row + (first + step).min(count);
            parts.push(Part { piece, rows, start: start + first });
        }
        row += count;
    }
    parts
}

/// Puts parts together that are next to each other and have as many tokens, while filling them up at most doubles them.
fn group(parts: &[Part<'_>], shape: &Shape, device: &Device, most: usize) -> Result<Vec<Group>, Error> {
    let width = shape.kv_heads * shape.head_width;
    let sees = [
        (0..shape.layers).any(|layer| shape.window(layer).is_none()).then_some(usize::MAX),
        shape.sliding.as_ref().filter(|sliding| sliding.layers.contains(&true)).map(|sliding| sliding.window),
    ];
    let (mut groups, mut first, mut row) = (Vec::new(), 0, 0);
    while let Some(part) = parts.get(first) {
        let (tokens, mut count, mut sum) = (part.tokens(), 0, 0);
        for next in parts[first..].iter().take_while(|next| next.tokens() == tokens) {
            // They are sorted: this is the longest.
            let filled = (count + 1) * next.end();
            let fits = filled <= 2 * (sum + next.end()) && filled * width.max(shape.heads * tokens) <= most;
            if count > 0 && !fits {
                break;
            }
            (count, sum) = (count + 1, sum + next.end());
        }
        let together = &parts[first..first + count];
        let view = |window: Option<usize>| window.map(|window| View::new(together, window, device)).transpose();
        groups.push(Group { first: row, parts: count, tokens, views: [view(sees[0])?, view(sees[1])?] });
        (first, row) = (first + count, row + count * tokens);
    }
    Ok(groups)
}

impl View {
    fn new(parts: &[Part<'_>], window: usize, device: &Device) -> Result<Self, Error> {
        let tokens = parts.first().map_or(0, Part::tokens);
        let lowest = |position: usize| (position + 1).saturating_sub(window);
        let most = parts.iter().map(|part| part.end() - lowest(part.start)).max().unwrap_or(0);
        let mut places = Vec::with_capacity(parts.len() * most);
        let mut mask = Vec::with_capacity(parts.len() * tokens * most);
        for part in parts {
            let begin = lowest(part.start);
            // What fills up is the sequence's own, and not seen.
            places.extend((begin..begin + most).map(|position| part.place(position.min(part.end() - 1))));
            for position in part.start..part.end() {
                let sees = lowest(position)..position + 1;
                mask.extend((begin..begin + most).map(|at| if sees.contains(&at) { 0.0 } else { f32::NEG_INFINITY }));
            }
        }
        let mask = Tensor::from_vec(mask, (parts.len(), 1, tokens, most), device)?;
        Ok(Self { places: Tensor::new(places.as_slice(), device)?, mask })
    }
}

impl Group {
    fn attend(
        &self,
        shape: &Shape,
        store: &TensorStore,
        (layer, windowed): (usize, bool),
        queries: &Tensor,
    ) -> Result<Tensor, Error> {
        let &Shape { heads, kv_heads, head_width, .. } = shape;
        let &Self { first, parts, tokens, .. } = self;
        let group = heads / kv_heads;
        let Some(View { places, mask }) = &self.views[usize::from(windowed)] else {
            candle_core::bail!("layer {layer} sees what no layer was planned to see");
        };
        let seen = places.elem_count() / parts;
        // The heads of a group are more queries of the same keys: nothing is repeated.
        let queries = queries
            .narrow(0, first, parts * tokens)?
            .reshape((parts, tokens, kv_heads, group, head_width))?
            .permute((0, 2, 3, 1, 4))?
            .contiguous()?
            .reshape((parts, kv_heads, group * tokens, head_width))?;
        let by_head = |rows: Tensor| rows.reshape((parts, seen, kv_heads, head_width))?.transpose(1, 2)?.contiguous();
        let [keys, values] = store.take(layer, places)?;
        let scores = queries.matmul(&by_head(keys)?.t()?)?.reshape((parts, heads, tokens, seen))?;
        let weights = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(mask)?)?;
        weights
            .reshape((parts, kv_heads, group * tokens, seen))?
            .matmul(&by_head(values)?)?
            .reshape((parts, kv_heads, group, tokens, head_width))?
            .permute((0, 3, 1, 2, 4))?
            .contiguous()?
            .reshape((parts * tokens, heads * head_width))
    }
}
