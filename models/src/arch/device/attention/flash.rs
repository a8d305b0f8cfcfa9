//! Attention by candle's FlashAttention over the blocks where they lie.

use candle_core::{DType, Device, Error, Tensor};

use super::Part;
use crate::arch::Shape;
use crate::cache::TensorStore;
use crate::kernel::BLOCK;

/// The widest head that its kernels are made for.
const WIDEST: usize = 256;

/// Whether its kernels compute such a model there.
pub(super) fn fits(shape: &Shape, device: &Device) -> bool {
    device.is_cuda() && shape.head_width.is_multiple_of(8) && shape.head_width <= WIDEST
}

/// A step's sequences, one after the other.
pub(super) struct Pages {
    /// `[sequence][block]`, filled up with the sequence's last.
    blocks: Tensor,
    /// Where each sequence's new tokens begin among all, and the end.
    new: Tensor,
    /// The same of all its tokens.
    all: Tensor,
    most_new: usize,
    most: usize,
}

impl Pages {
    /// Each sequence is one part.
    pub(super) fn new(parts: &[Part<'_>], device: &Device) -> Result<Self, Error> {
        let ends = |count: &dyn Fn(&Part<'_>) -> usize| {
            let running = parts.iter().scan(0, |sum, part| {
                *sum += count(part) as u32;
                Some(*sum)
            });
            let ends: Vec<u32> = std::iter::once(0).chain(running).collect();
            Tensor::new(ends.as_slice(), device)
        };
        let most = parts.iter().map(Part::end).max().unwrap_or(0);
        let columns = most.div_ceil(BLOCK);
        let table: Vec<u32> = parts
            .iter()
            .flat_map(|part| {
                let blocks = part.piece.sequence.blocks();
                let last = part.end().div_ceil(BLOCK) - 1;
                (0..columns).map(move |column| blocks[column.min(last)])
            })
            .collect();
        Ok(Self {
            blocks: Tensor::from_vec(table, (parts.len(), columns), device)?,
            new: ends(&Part::tokens)?,
            all: ends(&Part::end)?,
            most_new: parts.iter().map(Part::tokens).max().unwrap_or(0),
            most,
        })
    }

    pub(super) fn attend(
        &self,
        shape: &Shape,
        store: &TensorStore,
        (layer, windowed): (usize, bool),
        queries: &Tensor,
    ) -> Result<Tensor, Error> {
        let &Shape { heads, kv_heads, head_width, .. } = shape;
        let [keys, values] = store.pages(layer, kv_heads)?;
        let (rows, width) = queries.dims2()?;
        let queries = queries.reshape((rows, heads, head_width))?.to_dtype(DType::F16)?;
        // It counts the tokens to the left of a query, which sees itself too.
        let left = if windowed { shape.window(layer).map(|window| window - 1) } else { None };
        let gathered = candle_flash_attn::flash_attn_varlen_paged_windowed(
            &queries,
            &keys,
            &values,
            &self.new,
            &self.all,
            &self.blocks,
            None,
            self.most_new,
            self.most,
            shape.attention_scale,
            left,
            Some(0),
            BLOCK,
            None,
        )?;
        gathered.reshape((rows, width))?.to_dtype(DType::F32)
    }
}
