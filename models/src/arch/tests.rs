//! Logits against candle-transformers' own models on the same files, and against themselves in every other order.

use std::fs::File;
use std::io::BufReader;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::{
    quantized_gemma3, quantized_llama, quantized_phi3, quantized_qwen2, quantized_qwen3,
};

use super::*;
use crate::files::{Family, ModelFiles};
use crate::kernel::Gate;
use crate::load::LoadFault;
use crate::load::tiny::{FAMILIES, Tiny};

mod safetensors;
mod speed;

pub(super) const TOKENS: [u32; 40] = [
    5, 6, 7, 8, 40, 41, 42, 99, 100, 7, 7, 7, 12, 250, 3, 9, 33, 34, 35, 36, 37, 38, 5, 6, 7, 8, 40, 41, 42, 99, 100,
    7, 7, 7, 12, 250, 3, 9, 33, 34,
];

pub(super) fn load(files: &ModelFiles) -> Transformer {
    let header = crate::load::read_header(files).expect("it is sound");
    Transformer::load(&header, 256, 2).expect("it is sound")
}

/// The logits after the last of `tokens`, by candle.
fn reference(files: &ModelFiles, tokens: &[u32]) -> Vec<f32> {
    let mut reader = BufReader::new(File::open(&files.weights).expect("it is there"));
    let content = Content::read(&mut reader).expect("it is sound");
    let device = Device::Cpu;
    let input = Tensor::new(tokens, &device).and_then(|input| input.unsqueeze(0)).expect("a tensor");
    let logits = match files.family {
        Family::Llama => quantized_llama::ModelWeights::from_gguf(content, &mut reader, &device)
            .and_then(|mut model| model.forward(&input, 0)),
        Family::Qwen2 => quantized_qwen2::ModelWeights::from_gguf(content, &mut reader, &device)
            .and_then(|mut model| model.forward(&input, 0)),
        Family::Qwen3 => quantized_qwen3::ModelWeights::from_gguf(content, &mut reader, &device)
            .and_then(|mut model| model.forward(&input, 0)),
        Family::Gemma3 => quantized_gemma3::ModelWeights::from_gguf(content, &mut reader, &device)
            .and_then(|mut model| model.forward(&input, 0)),
        Family::Phi3 => quantized_phi3::ModelWeights::from_gguf(false, content, &mut reader, &device)
            .and_then(|mut model| model.forward(&input, 0)),
        Family::Bert => unreachable!("it has no logits"),
    };
    logits.and_then(|logits| logits.flatten_all()?.to_dtype(DType::F32)?.to_vec1()).expect("it computes")
}

/// Runs `parts` of one sequence one after the other; the logits after the last.
pub(super) fn run(model: &dyn Forward, cache: &mut Cache, sequence: &mut Sequence, parts: &[&[u32]]) -> Vec<f32> {
    let (mut scratch, mut logits) = (Scratch::default(), Vec::new());
    for part in parts {
        sequence.reserve(part.len()).expect("there is room");
        let piece = Piece { tokens: part, sequence, want: Want::Last };
        model.forward(&[piece], cache, &mut scratch, &mut logits).expect("it computes");
        sequence.advance(part);
    }
    logits
}

fn new_cache(model: &Transformer) -> Cache {
    Cache::new(model.cache_shape(), 40 * model.cache_shape().block_bytes(), 256)
}

pub(super) fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

pub(super) fn spread(logits: &[f32]) -> f32 {
    let mean = logits.iter().sum::<f32>() / logits.len() as f32;
    (logits.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / logits.len() as f32).sqrt()
}

#[test]
fn frequencies_that_are_divided_by_nonsense_are_refused() {
    for (value, sound) in [(1.0, true), (0.0, false), (-1.0, false), (f32::NAN, false), (f32::INFINITY, false)] {
        let tiny = Tiny::new();
        let width = load(&tiny.write().files).shape.rotary.width;
        let written = tiny.with("rope_freqs.weight", &[width / 2], value).write();
        let header = crate::load::read_header(&written.files).expect("it is sound");
        let fault = Transformer::load(&header, 64, 1).err().map(|error| error.fault);
        match fault {
            None => assert!(sound, "{value}"),
            Some(fault) => assert!(
                !sound && matches!(&fault, LoadFault::BadTensor { name, .. } if name == "rope_freqs.weight"),
                "{value}: {fault}"
            ),
        }
    }
}

#[test]
fn every_family_gives_the_logits_that_candle_gives() {
    for family in FAMILIES {
        // Both quantize their inputs for integer weights, and round a little differently.
        for (dtype, tolerance) in [(GgmlDType::F32, 2e-3), (GgmlDType::Q8_0, 0.08), (GgmlDType::Q4_1, 0.08)] {
            let written = Tiny::of(family, dtype).write();
            let mut model = load(&written.files);
            if family == Family::Gemma3 {
                // candle's gates with SiLU where the model was trained with GELU.
                model.shape.gate = Gate::Silu;
            }
            let mut cache = new_cache(&model);
            let mut sequence = cache.begin(&TOKENS);
            let ours = run(&model, &mut cache, &mut sequence, &[&TOKENS]);
            let theirs = reference(&written.files, &TOKENS);
            let off = furthest(&ours, &theirs) / spread(&theirs);
            assert!(off < tolerance, "{family:?} {dtype:?}: off by {off} of the spread");
        }
    }
}

#[test]
fn chunked_batched_and_from_the_cache_are_what_whole_alone_and_cold_are() {
    for family in FAMILIES {
        for dtype in [GgmlDType::F32, GgmlDType::Q4_1] {
            let model = load(&Tiny::of(family, dtype).write().files);
            let mut cache = new_cache(&model);
            let mut whole = cache.begin(&TOKENS);
            let expected = run(&model, &mut cache, &mut whole, &[&TOKENS]);
            drop(whole);

            let mut warm = cache.begin(&TOKENS);
            assert_eq!(warm.len(), 32, "a whole block is there");
            assert_eq!(run(&model, &mut cache, &mut warm, &[&TOKENS[32..]]), expected, "{family:?}: from the cache");

            let mut cold = new_cache(&model);
            let mut chunked = cold.begin(&TOKENS);
            let parts = [&TOKENS[..7], &TOKENS[7..8], &TOKENS[8..39], &TOKENS[39..]];
            assert_eq!(run(&model, &mut cold, &mut chunked, &parts), expected, "{family:?}: chunked");

            let other: Vec<u32> = TOKENS.iter().rev().copied().collect();
            let mut alone = new_cache(&model);
            let mut sequence = alone.begin(&other);
            let expected_other = run(&model, &mut alone, &mut sequence, &[&other]);
            let mut together = new_cache(&model);
            let (mut first, mut second) = (together.begin(&TOKENS), together.begin(&other));
            let (mut scratch, mut logits) = (Scratch::default(), Vec::new());
            run(&model, &mut together, &mut first, &[&TOKENS[..20]]);
            first.reserve(20).expect("there is room");
            second.reserve(40).expect("there is room");
            let batch = [
                Piece { tokens: &TOKENS[20..], sequence: &first, want: Want::Last },
                Piece { tokens: &other, sequence: &second, want: Want::Last },
            ];
            model.forward(&batch, &mut together, &mut scratch, &mut logits).expect("it computes");
            let rows: Vec<&[f32]> = logits.chunks_exact(model.vocabulary()).collect();
            assert_eq!(rows.len(), 2);
            assert_eq!(rows[0], expected, "{family:?}: batched");
            assert_eq!(rows[1], expected_other, "{family:?}: batched");
        }
    }
}

#[test]
fn what_is_asked_for_changes_nothing_but_what_is_told() {
    for family in FAMILIES {
        let model = load(&Tiny::of(family, GgmlDType::Q4_1).write().files);
        let other: Vec<u32> = TOKENS.iter().rev().copied().collect();
        let asked = |wants: [Want; 3]| {
            let mut cache = new_cache(&model);
            let tokens = [&TOKENS[..], &other[..], &TOKENS[..7]];
            let mut sequences = tokens.map(|_| cache.begin(&[]));
            for (sequence, tokens) in sequences.iter_mut().zip(tokens) {
                sequence.reserve(tokens.len() + 1).expect("there is room");
            }
            let (mut scratch, mut logits) = (Scratch::default(), Vec::new());
            let mut step = |sequences: &[Sequence; 3], tokens: [&[u32]; 3], wants: [Want; 3]| -> Vec<Vec<f32>> {
                let pieces = sequences.iter().zip(tokens).zip(wants);
                let batch: Vec<_> = pieces.map(|((sequence, tokens), want)| Piece { tokens, sequence, want }).collect();
                model.forward(&batch, &mut cache, &mut scratch, &mut logits).expect("it computes");
                logits.chunks_exact(model.vocabulary()).map(<[f32]>::to_vec).collect()
            };
            let told = step(&sequences, tokens, wants);
            sequences.iter_mut().zip(tokens).for_each(|(sequence, tokens)| sequence.advance(tokens));
            (told, step(&sequences, [&[3], &[4], &[5]], [Want::Last; 3]))
        };
        let (all, after) = asked([Want::All; 3]);
        assert_eq!(all.len(), 40 + 40 + 7);
        for wants in [
            [Want::Last; 3],
            [Want::Nothing; 3],
            [Want::Nothing, Want::All, Want::Last],
            [Want::All, Want::Nothing, Want::Nothing],
        ] {
            let (told, then) = asked(wants);
            let ends = [0..40, 40..80, 80..87].into_iter().zip(wants);
            let expected: Vec<_> =
                ends.flat_map(|(rows, want)| &all[rows.end - want.rows(rows.len())..rows.end]).collect();
            assert!(told.iter().eq(expected), "{family:?} {wants:?}: of the step itself");
            assert_eq!(then, after, "{family:?} {wants:?}: of the step after it");
        }
    }
}

#[test]
fn what_cannot_be_computed_is_an_error() {
    let model = load(&Tiny::new().write().files);
    let mut cache = new_cache(&model);
    let mut sequence = cache.begin(&[]);
    sequence.reserve(300).expect("there is room");
    for tokens in [vec![1_000_000], vec![1; 257]] {
        let batch = [Piece { tokens: &tokens, sequence: &sequence, want: Want::Last }];
        let error = model.forward(&batch, &mut cache, &mut Scratch::default(), &mut Vec::new());
        assert!(error.is_err());
    }
}
