//! Weights on a device: floats as they are stored where the device multiplies in that type, else in single precision;
//! quantized blocks as they are, for candle's kernels.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{DType, Device, Error, Module as _, Tensor};

use crate::arch::tensors::Pack;
use crate::kernel::Source;

/// A matrix of weights that never changes.
pub(super) enum Linear {
    /// `[out][in]`
    Floats(Tensor),
    Blocks(QMatMul),
}

impl Linear {
    /// The products with each of `rows`, both in single precision.
    pub(super) fn apply(&self, rows: &Tensor) -> Result<Tensor, Error> {
        match self {
            Self::Floats(weights) => rounded(rows, weights.dtype())?.matmul(&weights.t()?)?.to_dtype(DType::F32),
            Self::Blocks(weights) => weights.forward(&rows.contiguous()?),
        }
    }
}

/// Half precision ends at 65504: what is beyond stays a number.
fn rounded(rows: &Tensor, dtype: DType) -> Result<Tensor, Error> {
    match dtype {
        DType::F16 => {
            let most = half::f16::MAX.to_f32();
            rows.clamp(-most, most)?.to_dtype(dtype)
        }
        dtype => rows.to_dtype(dtype),
    }
}

/// Puts weights onto a device.
pub(super) struct ToDevice<'a> {
    device: &'a Device,
    /// The types of halves that it multiplies in: older GPUs lack one, and so does candle's CPU.
    halves: Vec<DType>,
}

impl<'a> ToDevice<'a> {
    pub(super) fn new(device: &'a Device) -> Self {
        let multiplies = |dtype: &DType| {
            let square = Tensor::zeros((2, 2), DType::F32, device)?.to_dtype(*dtype)?;
            square.matmul(&square)?.to_dtype(DType::F32)?.to_vec2::<f32>()
        };
        let halves = [DType::F16, DType::BF16].into_iter().filter(|dtype| multiplies(dtype).is_ok()).collect();
        Self { device, halves }
    }

    fn floats(&self, dtype: DType, shape: (usize, usize), bytes: &[u8]) -> Result<Linear, Error> {
        let stored = Tensor::from_raw_buffer(bytes, dtype, &[shape.0, shape.1], &Device::Cpu)?;
        // Widened before it goes over: a device that does not multiply in a type may not convert it either.
        let kept = if self.halves.contains(&dtype) { stored } else { stored.to_dtype(DType::F32)? };
        Ok(Linear::Floats(kept.to_device(self.device)?))
    }
}

impl Pack for ToDevice<'_> {
    type Matrix = Linear;
    type Vector = Tensor;

    fn matrix(&self, dtype: GgmlDType, shape: (usize, usize), source: &dyn Source) -> Result<Linear, Error> {
        // One tensor at a time is in the host's memory.
        let mut bytes = vec![0; source.len()];
        source.read(0, &mut bytes)?;
        match dtype {
            GgmlDType::F32 => self.floats(DType::F32, shape, &bytes),
            GgmlDType::F16 => self.floats(DType::F16, shape, &bytes),
            GgmlDType::BF16 => self.floats(DType::BF16, shape, &bytes),
            // candle has kernels of every other type that the reader lets in.
            blocks => {
                let stored = QStorage::from_data(Cow::Borrowed(&bytes), self.device, blocks)?;
                Ok(Linear::Blocks(QMatMul::from_qtensor(QTensor::new(stored, shape)?)?))
            }
        }
    }

    fn vector(&self, values: Vec<f32>) -> Result<Tensor, Error> {
        let count = values.len();
        Tensor::from_vec(values, count, self.device)
    }
}
