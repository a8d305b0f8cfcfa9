//! Every level against the definition: rows dequantized by hand, inputs in double precision.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;
use crate::sample::SplitMix;

const TYPES: [GgmlDType; 11] = [
    GgmlDType::F32,
    GgmlDType::F16,
    GgmlDType::BF16,
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut numbers = SplitMix::new(seed);
    (0..count).map(|_| (numbers.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// A tensor's bytes, and what candle says its values are.
fn quantized(dtype: GgmlDType, rows: usize, columns: usize, seed: u64) -> (Vec<u8>, Vec<f32>) {
    let values = Tensor::from_vec(random(rows * columns, seed), (rows, columns), &Device::Cpu).expect("a tensor");
    let tensor = QTensor::quantize(&values, dtype).expect("it is quantized");
    let back = tensor.dequantize(&Device::Cpu).and_then(|back| back.flatten_all()?.to_vec1()).expect("values");
    (tensor.data().expect("bytes").to_vec(), back)
}

fn pools() -> Vec<Pool> {
    Level::all().into_iter().filter(|level| level.is_here()).map(|level| Pool::with_level(2, level)).collect()
}

#[test]
fn a_packed_row_is_the_row() {
    for dtype in TYPES {
        let (rows, columns) = (21, 512);
        let (bytes, values) = quantized(dtype, rows, columns, 7);
        let matrix = Matrix::pack(&Pool::new(2), dtype, (rows, columns), &bytes).expect("it is packed");
        for row in 0..rows {
            let mut out = vec![0.0; columns];
            matrix.row(row, &mut out);
            for (ours, theirs) in out.iter().zip(&values[row * columns..]) {
                // Scales of the K formats are products that half precision rounds.
                assert!((ours - theirs).abs() <= 2e-3, "{dtype:?}: {ours} {theirs}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_product_is_the_product(
        which in 0..TYPES.len(), rows in 1..70usize, blocks in 1..20usize, inputs in 1..40usize, seed in any::<u64>(),
    ) {
        let dtype = TYPES[which];
        let columns = blocks * dtype.block_size().max(32);
        let (bytes, values) = quantized(dtype, rows, columns, seed);
        let input = random(inputs * columns, seed ^ 1);
        let mut all: Vec<Vec<f32>> = Vec::new();
        for pool in pools() {
            let matrix = Matrix::pack(&pool, dtype, (rows, columns), &bytes).expect("it is packed");
            let mut activations = Activations::default();
            activations.set(&pool, &input, columns, &[&matrix]);
            let mut out = vec![f32::NAN; inputs * rows];
            multiply(&pool, &activations, &[&matrix], &mut [&mut out]);
            for (index, ours) in out.iter().enumerate() {
                let (input, weights) = (&input[index / rows * columns..], &values[index % rows * columns..]);
                let exact: f64 = input.iter().zip(weights).take(columns).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                // Inputs are rounded to 1/254 of their block's largest, weights of size 1: a random walk of such steps.
                let steps = (columns as f64).sqrt();
                prop_assert!((f64::from(*ours) - exact).abs() < 0.012 * steps, "{dtype:?} {:?}: {ours} {exact}", pool.level());
            }
            all.push(out);
        }
        for pair in all.windows(2) {
            for (a, b) in pair[0].iter().zip(&pair[1]) {
                prop_assert!((a - b).abs() < 2e-4 * (columns as f32).sqrt(), "levels agree: {a} {b}");
            }
        }
    }

    #[test]
    fn rows_give_together_what_they_give_alone(which in 0..TYPES.len(), inputs in 2..40usize, seed in any::<u64>()) {
        let dtype = TYPES[which];
        let (rows, columns) = (40, 768);
        let (bytes, _) = quantized(dtype, rows, columns, seed);
        let input = random(inputs * columns, seed ^ 1);
        for pool in pools() {
            let matrix = Matrix::pack(&pool, dtype, (rows, columns), &bytes).expect("it is packed");
            let mut activations = Activations::default();
            activations.set(&pool, &input, columns, &[&matrix]);
            let mut together = vec![0.0; inputs * rows];
            multiply(&pool, &activations, &[&matrix], &mut [&mut together]);
            for (row, together) in input.chunks_exact(columns).zip(together.chunks_exact(rows)) {
                let mut alone = vec![0.0; rows];
                let mut twice = vec![0.0; rows];
                activations.set(&pool, row, columns, &[&matrix]);
                multiply(&pool, &activations, &[&matrix, &matrix], &mut [&mut alone, &mut twice]);
                prop_assert_eq!(&alone[..], together, "to the last bit");
                prop_assert_eq!(&twice[..], together);
            }
        }
    }
}

#[test]
fn the_extremes_do_not_overflow() {
    // The largest nibbles and bytes against the largest inputs, all of one sign.
    for (dtype, block, weight) in [
        (GgmlDType::Q4_1, [vec![0, 0x3c, 0, 0], vec![0xff; 16]].concat(), 15.0),
        (GgmlDType::Q8_0, [vec![0, 0x3c], vec![0x80; 32]].concat(), -128.0),
        (GgmlDType::Q8_0, [vec![0, 0x3c], vec![0x7f; 32]].concat(), 127.0),
    ] {
        let bytes = block.repeat(3 * 4);
        for pool in pools() {
            let matrix = Matrix::pack(&pool, dtype, (3, 128), &bytes).expect("it is packed");
            for x in [1.0f32, -1.0] {
                let mut activations = Activations::default();
                activations.set(&pool, &[x; 128], 128, &[&matrix]);
                let mut out = [0.0; 3];
                multiply(&pool, &activations, &[&matrix], &mut [&mut out]);
                let exact = 128.0 * weight * x;
                assert!(out.iter().all(|ours| (ours - exact).abs() < exact.abs() * 1e-5), "{dtype:?} {out:?} {exact}");
            }
        }
    }
}

#[test]
fn what_is_not_a_number_stays_that() {
    let (bytes, _) = quantized(GgmlDType::Q4_1, 16, 64, 1);
    for pool in pools() {
        let matrix = Matrix::pack(&pool, GgmlDType::Q4_1, (16, 64), &bytes).expect("it is packed");
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut input = [0.5; 64];
            input[40] = bad;
            let mut activations = Activations::default();
            activations.set(&pool, &input, 64, &[&matrix]);
            let mut out = [0.0; 16];
            multiply(&pool, &activations, &[&matrix], &mut [&mut out]);
            assert!(out.iter().all(|x| !x.is_finite()), "{bad}: {out:?}");
        }
    }
}

#[test]
fn a_tensor_of_the_wrong_size_is_refused() {
    let pool = Pool::new(1);
    for (shape, bytes) in [((2, 32), 39), ((2, 33), 40), ((0, 32), 0), ((usize::MAX, 32), 40)] {
        assert!(Matrix::pack(&pool, GgmlDType::Q4_1, shape, &vec![0; bytes]).is_err(), "{shape:?}");
    }
}

#[test]
#[ignore = "says how fast it is"]
fn it_says_how_fast_products_are() {
    for (dtype, rows, columns) in [
        (GgmlDType::Q4_1, 1536, 576),
        (GgmlDType::Q4_1, 576, 1536),
        (GgmlDType::Q4K, 2048, 2048),
        (GgmlDType::Q8_0, 1536, 576),
    ] {
        let (bytes, _) = quantized(dtype, rows, columns, 7);
        for threads in [1, 2] {
            let pool = Pool::new(threads);
            let matrix = Matrix::pack(&pool, dtype, (rows, columns), &bytes).expect("it is packed");
            for inputs in [1, 4, 8, 16, 128, 512] {
                let input = random(inputs * columns, 1);
                let mut activations = Activations::default();
                activations.set(&pool, &input, columns, &[&matrix]);
                let mut out = vec![0.0; inputs * rows];
                let times = 4000 / inputs + 8;
                let rounds = (0..7).map(|_| {
                    let started = std::time::Instant::now();
                    for _ in 0..times {
                        multiply(&pool, &activations, &[&matrix], &mut [&mut out]);
                    }
                    started.elapsed().as_secs_f64() / times as f64
                });
                let best = rounds.fold(f64::INFINITY, f64::min);
                let operations = 2.0 * (rows * columns * inputs) as f64;
                println!(
                    "{dtype:?} {rows}x{columns}, {threads} threads, {inputs} rows: {:.0} GOP/s",
                    operations / best / 1e9
                );
            }
        }
    }
}
