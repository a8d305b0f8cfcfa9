//! The forward pass over candle's tensors, for a GPU.
//!
//! The same families by the same [`Shape`] and the same reader as on the CPU, keys and values in the same blocks. Between the
//! products everything is in single precision; a product is in the type of its weights. A step's sequences are laid side by
//! side, those with as many new tokens together ([`attention`]). Embeddings stay in the memory of the host, which looks them up.
//! It runs on candle's CPU too, where the tests hold it against the other one.

use std::path::{Path, PathBuf};

use candle_core::{D, Device, Error, Tensor};

use super::shape::RotaryShape;
use super::tensors::{Layer, Reader};
use super::{Forward, ForwardError, Piece, Scratch, Shape, embed, rotaries};
use crate::cache::{Cache, CacheShape, Store, TensorStore};
use crate::kernel::{Gate, Matrix, Pairs, Pool, Rotary};
use crate::load::{Header, LoadError, LoadFault};

mod attention;
mod weights;

use attention::{MOST_VALUES, Plan};
use weights::{Linear, ToDevice};

/// A model on a device.
pub(crate) struct DeviceTransformer {
    shape: Shape,
    device: Device,
    embeddings: Matrix,
    layers: Vec<Layer<Linear, Tensor>>,
    norm: Tensor,
    output: Linear,
    /// How many positions there are.
    context: usize,
    rotary: Turns,
    /// Of layers with a window and a base of their own.
    local_rotary: Option<Turns>,
    /// [`MOST_VALUES`], or what a test puts here.
    most_values: usize,
    /// For errors.
    path: PathBuf,
}

/// Cosines and sines, `[position][half of what is turned]`.
#[derive(Clone)]
struct Turns {
    cosines: Tensor,
    sines: Tensor,
}

impl DeviceTransformer {
    /// Loads the weights of checked files onto `device`, for sequences of up to `context_tokens`. Blocking.
    pub(crate) fn load(
        header: &Header,
        context_tokens: usize,
        threads: usize,
        device: &Device,
    ) -> Result<Self, LoadError> {
        let Header { shape, tensors, .. } = header;
        let pool = Pool::new(threads);
        let reader = Reader::open(tensors, shape, &pool, &pool)?;
        let embeddings = reader.matrix("token_embd.weight")?;
        let (rotary, local_rotary) = rotaries(header, &reader, context_tokens)?;
        let failed = |error| tensors.at(0, LoadFault::Weights(error));
        let to_device = ToDevice::new(device);
        let reader = reader.into_form(&to_device);
        let turns = |rotary: &Rotary| Turns::of(rotary, device).map_err(failed);
        Ok(Self {
            embeddings,
            layers: (0..shape.layers).map(|layer| reader.layer(shape, layer)).collect::<Result<_, _>>()?,
            norm: reader.norm("output_norm.weight")?,
            output: reader.matrix(if shape.separate_output { "output.weight" } else { "token_embd.weight" })?,
            context: rotary.positions(),
            rotary: turns(&rotary)?,
            local_rotary: local_rotary.as_ref().map(turns).transpose()?,
            shape: shape.clone(),
            device: device.clone(),
            most_values: MOST_VALUES,
            path: tensors.files().first().map_or(Path::new(""), PathBuf::as_path).to_owned(),
        })
    }

    /// One step of checked pieces, each of which has room; the rows of logits that are wanted.
    fn step(
        &self,
        plan: &Plan<'_>,
        stream: Tensor,
        positions: &[u32],
        store: &mut TensorStore,
    ) -> Result<Vec<f32>, Error> {
        let at = Tensor::new(positions, &self.device)?;
        let turns = self.rotary.at(&at)?;
        let local_turns = self.local_rotary.as_ref().map(|turns| turns.at(&at)).transpose()?;
        let places = store.places(&self.device, &plan.places())?;
        let mut stream = stream;
        for (number, layer) in self.layers.iter().enumerate() {
            let windowed = self.shape.window(number).is_some();
            let turns = local_turns.as_ref().filter(|_| windowed).unwrap_or(&turns);
            let normed = self.normed(&stream, &layer.attention_norm)?;
            let [queries, keys, values] = self.queries_keys_values(layer, &normed, turns)?;
            store.put(number, &places, [&keys, &values])?;
            let attended = plan.attend(store, (number, windowed), &queries)?;
            stream = self.added(stream, layer.output.apply(&attended)?, layer.post_attention_norm.as_ref())?;
            let normed = self.normed(&stream, &layer.feed_norm)?;
            let (gate, up) = (layer.gate.apply(&normed)?, layer.up.apply(&normed)?);
            let gate = match self.shape.gate {
                Gate::Silu => candle_nn::ops::silu(&gate)?,
                Gate::Gelu => gate.gelu()?,
            };
            stream = self.added(stream, layer.down.apply(&(gate * up)?)?, layer.post_feed_norm.as_ref())?;
        }
        let wanted = plan.wanted();
        if wanted.is_empty() {
            // A GPU is only told so far; a step ends when it has computed, and so does its time.
            self.device.synchronize()?;
            return Ok(Vec::new());
        }
        let stream = stream.index_select(&Tensor::new(wanted.as_slice(), &self.device)?, 0)?;
        self.output.apply(&self.normed(&stream, &self.norm)?)?.flatten_all()?.to_vec1()
    }

    fn normed(&self, rows: &Tensor, weight: &Tensor) -> Result<Tensor, Error> {
        candle_nn::ops::rms_norm(&rows.contiguous()?, weight, self.shape.epsilon)
    }

    fn added(&self, stream: Tensor, more: Tensor, norm: Option<&Tensor>) -> Result<Tensor, Error> {
        match norm {
            Some(weight) => stream + self.normed(&more, weight)?,
            None => stream + more,
        }
    }

    /// Of each row, turned by its position.
    fn queries_keys_values(
        &self,
        layer: &Layer<Linear, Tensor>,
        normed: &Tensor,
        turns: &Turns,
    ) -> Result<[Tensor; 3], Error> {
        let mut all = [layer.query.apply(normed)?, layer.key.apply(normed)?, layer.value.apply(normed)?];
        if let Some(biases) = &layer.biases {
            for (rows, bias) in all.iter_mut().zip(biases) {
                *rows = rows.broadcast_add(bias)?;
            }
        }
        let [mut queries, mut keys, values] = all;
        let &Shape { head_width, .. } = &self.shape;
        if let Some([query, key]) = &layer.head_norms {
            for (rows, weight) in [(&mut queries, query), (&mut keys, key)] {
                let shape = rows.dims2()?;
                *rows = self.normed(&rows.reshape(((), head_width))?, weight)?.reshape(shape)?;
            }
        }
        let RotaryShape { width, pairs, .. } = self.shape.rotary;
        let turned = |rows: &Tensor| turns.turn(rows, head_width, width, pairs);
        Ok([turned(&queries)?, turned(&keys)?, values.contiguous()?])
    }
}

impl Turns {
    fn of(rotary: &Rotary, device: &Device) -> Result<Self, Error> {
        let dims = (rotary.positions(), rotary.half());
        let cosines: Vec<f32> = rotary.table().iter().map(|(cosine, _)| *cosine).collect();
        let sines: Vec<f32> = rotary.table().iter().map(|(_, sine)| *sine).collect();
        Ok(Self { cosines: Tensor::from_vec(cosines, dims, device)?, sines: Tensor::from_vec(sines, dims, device)? })
    }

    /// Those of the rows at `positions`.
    fn at(&self, positions: &Tensor) -> Result<Self, Error> {
        let of = |table: &Tensor| table.index_select(positions, 0);
        Ok(Self { cosines: of(&self.cosines)?, sines: of(&self.sines)? })
    }

    /// Turns the first `width` values of each head of each row.
    fn turn(&self, rows: &Tensor, head_width: usize, width: usize, pairs: Pairs) -> Result<Tensor, Error> {
        let (count, all) = rows.dims2()?;
        let heads = rows.reshape((1, count, all / head_width, head_width))?;
        let (turned, rest) = match head_width - width {
            0 => (heads, None),
            rest => (heads.narrow(D::Minus1, 0, width)?, Some(heads.narrow(D::Minus1, width, rest)?)),
        };
        let (cosines, sines) = (&self.cosines, &self.sines);
        let turned = match pairs {
            Pairs::Halves => candle_nn::rotary_emb::rope_thd(&turned.contiguous()?, cosines, sines)?,
            Pairs::Interleaved => {
                let by_head = turned.transpose(1, 2)?.contiguous()?;
                candle_nn::rotary_emb::rope_i(&by_head, cosines, sines)?.transpose(1, 2)?
            }
        };
        let whole = match rest {
            Some(rest) => Tensor::cat(&[&turned, &rest], D::Minus1)?,
            None => turned,
        };
        whole.contiguous()?.reshape((count, all))
    }
}

impl Forward for DeviceTransformer {
    fn cache_shape(&self) -> CacheShape {
        let &Shape { layers, kv_heads, head_width, .. } = &self.shape;
        CacheShape { layers, kv_heads, head_width }
    }

    fn cache(&self, bytes: usize, context_tokens: usize) -> Result<Cache, LoadError> {
        Cache::on(&self.device, self.cache_shape(), bytes, context_tokens)
            .map_err(|source| LoadError::new(&self.path, LoadFault::NoCache(Box::new(source))))
    }

    fn vocabulary(&self) -> usize {
        self.shape.vocabulary
    }

    fn forward(
        &self,
        batch: &[Piece<'_>],
        cache: &mut Cache,
        scratch: &mut Scratch,
        logits: &mut Vec<f32>,
    ) -> Result<(), ForwardError> {
        let Store::Device(store) = &mut cache.store else {
            return Err(ForwardError("keys and values are not where this model computes".to_owned()));
        };
        // Those of the step before are gone before the new ones come over.
        *logits = Vec::new();
        let Scratch { positions, stream, .. } = scratch;
        embed(&self.shape, &self.embeddings, self.context, batch, (positions, stream))?;
        let mut compute = || {
            let plan = Plan::new(batch, &self.shape, &self.device, self.most_values)?;
            let (positions, stream) = plan.ordered(positions, stream, self.shape.width);
            let stream = Tensor::from_vec(stream, (positions.len(), self.shape.width), &self.device)?;
            self.step(&plan, stream, &positions, store)
        };
        *logits = compute().map_err(|error: Error| ForwardError(error.to_string()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
