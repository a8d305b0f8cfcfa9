//! Numbers and matrices that tests compute with.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use super::{Matrix, Pool};
use crate::sample::SplitMix;

/// From −2 to 2.
pub(super) fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut numbers = SplitMix::new(seed);
    (0..count).map(|_| (numbers.next() >> 40) as f32 / (1 << 22) as f32 - 2.0).collect()
}

pub(super) fn matrix(dtype: GgmlDType, (rows, columns): (usize, usize), seed: u64) -> Matrix {
    let values = Tensor::from_vec(random(rows * columns, seed), (rows, columns), &Device::Cpu).expect("a tensor");
    let bytes = QTensor::quantize(&values, dtype).and_then(|q| Ok(q.data()?.to_vec())).expect("it is quantized");
    Matrix::pack(&Pool::new(1), dtype, (rows, columns), &bytes).expect("it is packed")
}
