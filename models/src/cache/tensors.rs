//! Keys and values as tensors on a device.
//!
//! The same blocks as on the CPU, in the same half precision: a token's place is its block and its slot there. A step writes
//! its places and reads whole sequences by a list of theirs.

use candle_core::{DType, Device, Error, Tensor};

use super::CacheShape;
use crate::kernel::BLOCK;

/// The blocks of all sequences.
pub(crate) struct TensorStore {
    /// Keys and values by layer, `[blocks · BLOCK][heads of keys · width]`.
    layers: Vec<[Tensor; 2]>,
}

impl TensorStore {
    pub(super) fn new(device: &Device, blocks: usize, shape: CacheShape) -> Result<Self, Error> {
        let dims = (blocks * BLOCK, shape.kv_heads * shape.head_width);
        let zeros = || Tensor::zeros(dims, DType::F16, device);
        let layers = (0..shape.layers).map(|_| Ok([zeros()?, zeros()?])).collect::<Result<_, Error>>()?;
        Ok(Self { layers })
    }

    /// Writes one layer's keys and values, a row of each for each of `places`.
    ///
    /// `places` has each place as often as a row has values ([`Self::places`]).
    pub(crate) fn put(&mut self, layer: usize, places: &Tensor, rows: [&Tensor; 2]) -> Result<(), Error> {
        for (stored, rows) in self.layers[layer].iter().zip(rows) {
            stored.scatter_set(places, &rows.to_dtype(DType::F16)?, 0)?;
        }
        Ok(())
    }

    /// Where rows are to be written, from their places.
    pub(crate) fn places(&self, device: &Device, places: &[u32]) -> Result<Tensor, Error> {
        let width = self.layers.first().map_or(Ok(1), |[keys, _]| keys.dim(1))?;
        Tensor::new(places, device)?.unsqueeze(1)?.broadcast_as((places.len(), width))?.contiguous()
    }

    /// The keys and values at `places`, in single precision.
    pub(crate) fn take(&self, layer: usize, places: &Tensor) -> Result<[Tensor; 2], Error> {
        let [keys, values] = &self.layers[layer];
        let take = |stored: &Tensor| stored.index_select(places, 0)?.to_dtype(DType::F32);
        Ok([take(keys)?, take(values)?])
    }

    /// All keys and values of a layer, `[blocks][BLOCK][heads of keys][width]`.
    #[cfg(feature = "flash-attn")]
    pub(crate) fn pages(&self, layer: usize, kv_heads: usize) -> Result<[Tensor; 2], Error> {
        let [keys, values] = &self.layers[layer];
        let pages = |stored: &Tensor| {
            let (slots, width) = stored.dims2()?;
            stored.reshape((slots / BLOCK, BLOCK, kv_heads, width / kv_heads))
        };
        Ok([pages(keys)?, pages(values)?])
    }
}
