//! Logits on candle's CPU against those of the own forward pass, and against themselves in every other order.

use candle_core::DType;
use candle_core::quantized::GgmlDType;

use super::*;
use crate::arch::tests::{TOKENS, furthest, load, run, spread};
use crate::arch::{Transformer, Want};
use crate::cache::Sequence;
use crate::files::{Family, ModelFiles};
use crate::load::tiny::{FAMILIES, Tiny, TinyCheckpoint};

fn on_device(files: &ModelFiles) -> DeviceTransformer {
    let header = crate::load::read_header(files).expect("it is sound");
    DeviceTransformer::load(&header, 256, 2, &Device::Cpu).expect("it is sound")
}

fn new_cache(model: &dyn Forward) -> Cache {
    model.cache(40 * model.cache_shape().block_bytes(), 256).expect("there is room")
}

fn whole(model: &dyn Forward, tokens: &[u32]) -> Vec<f32> {
    let mut cache = new_cache(model);
    let mut sequence = cache.begin(tokens);
    run(model, &mut cache, &mut sequence, &[tokens])
}

fn agree(what: &str, (ours, theirs): (&[f32], &[f32]), tolerance: f32) {
    let off = furthest(ours, theirs) / spread(theirs);
    assert!(off < tolerance, "{what}: off by {off} of the spread");
}

#[test]
fn every_family_gives_the_logits_of_the_other_forward_pass() {
    for family in FAMILIES {
        // Keys and values are rounded to half precision, and to integers of as many digits, inputs to the type of half precision weights; those of quantized
        // ones by both, and a little differently.
        for (dtype, tolerance) in
            [(GgmlDType::F32, 2e-3), (GgmlDType::F16, 5e-3), (GgmlDType::Q8_0, 0.08), (GgmlDType::Q4_1, 0.08)]
        {
            let written = Tiny::of(family, dtype).write();
            let cpu: Transformer = load(&written.files);
            let (ours, theirs) = (whole(&on_device(&written.files), &TOKENS), whole(&cpu, &TOKENS));
            agree(&format!("{family:?} {dtype:?}"), (&ours, &theirs), tolerance);
        }
        for (dtype, tolerance) in [(DType::F32, 2e-3), (DType::F16, 5e-3), (DType::BF16, 0.03)] {
            let written = TinyCheckpoint::of(family, dtype, 8).write();
            let cpu: Transformer = load(&written.files);
            let (ours, theirs) = (whole(&on_device(&written.files), &TOKENS), whole(&cpu, &TOKENS));
            agree(&format!("{family:?} {dtype:?} from safetensors"), (&ours, &theirs), tolerance);
        }
    }
}

#[test]
fn windows_and_partly_turned_heads_are_those_of_the_other_forward_pass() {
    let window = |size: usize| {
        TinyCheckpoint::new()
            .untied()
            .set("model_type", serde_json::json!("mistral"))
            .set("sliding_window", serde_json::json!(size))
    };
    let partial = TinyCheckpoint::of(Family::Phi3, DType::F32, 8).set("partial_rotary_factor", serde_json::json!(0.5));
    for (what, tiny) in [("a window", window(7)), ("a window of one", window(1)), ("half a head turned", partial)] {
        let written = tiny.write();
        let model = on_device(&written.files);
        let (ours, theirs) = (whole(&model, &TOKENS), whole(&load(&written.files), &TOKENS));
        agree(what, (&ours, &theirs), 1e-3);
        let mut cache = new_cache(&model);
        let mut sequence = cache.begin(&TOKENS);
        let parts = [&TOKENS[..7], &TOKENS[7..8], &TOKENS[8..39], &TOKENS[39..]];
        agree(what, (&run(&model, &mut cache, &mut sequence, &parts), &ours), 1e-3);
    }
}

#[test]
fn chunked_batched_and_from_the_cache_are_what_whole_alone_and_cold_are() {
    let other: Vec<u32> = TOKENS.iter().rev().copied().collect();
    for family in FAMILIES {
        for (dtype, tolerance) in [(GgmlDType::F32, 1e-3), (GgmlDType::Q4_1, 2e-3)] {
            let model = on_device(&Tiny::of(family, dtype).write().files);
            let (expected, expected_other) = (whole(&model, &TOKENS), whole(&model, &other));
            let mut cache = new_cache(&model);
            let mut chunked = cache.begin(&TOKENS);
            let parts = [&TOKENS[..7], &TOKENS[7..8], &TOKENS[8..39], &TOKENS[39..]];
            let logits = run(&model, &mut cache, &mut chunked, &parts);
            agree(&format!("{family:?} chunked"), (&logits, &expected), tolerance);
            drop(chunked);

            let mut warm = cache.begin(&TOKENS);
            assert_eq!(warm.len(), 32, "a whole block is there");
            let logits = run(&model, &mut cache, &mut warm, &[&TOKENS[32..]]);
            agree(&format!("{family:?} from the cache"), (&logits, &expected), tolerance);

            let rows = batched(&model, &other);
            // A prompt of 40, one token that follows 39, and a prompt that shares 32 tokens with nobody.
            for (row, expected) in rows.iter().zip([&expected_other, &expected, &expected_other]) {
                agree(&format!("{family:?} batched"), (row, expected), tolerance);
            }
        }
    }
}

#[test]
fn a_step_that_would_take_much_memory_is_computed_in_parts() {
    let other: Vec<u32> = TOKENS.iter().rev().copied().collect();
    for family in [Family::Llama, Family::Gemma3] {
        let mut model = on_device(&Tiny::of(family, GgmlDType::F32).write().files);
        let expected = batched(&model, &other);
        for most in [1, 500, 2000] {
            model.most_values = most;
            for (row, expected) in batched(&model, &other).iter().zip(&expected) {
                agree(&format!("{family:?} in parts of {most}"), (row, expected), 1e-3);
            }
        }
    }
}

/// Sequences of unlike lengths in one step, with logits of their last tokens.
fn batched(model: &DeviceTransformer, other: &[u32]) -> Vec<Vec<f32>> {
    let mut cache = new_cache(model);
    let mut sequences: Vec<Sequence> = (0..4).map(|_| cache.begin(&[])).collect();
    for (sequence, known) in sequences.iter_mut().zip([&[][..], &TOKENS[..39], &other[..39], &TOKENS[..3]]) {
        if !known.is_empty() {
            run(model, &mut cache, sequence, &[known]);
        }
        sequence.reserve(40 - known.len()).expect("there is room");
    }
    let parts = [other, &TOKENS[39..], &other[39..], &TOKENS[3..4]];
    let wants = [Want::Last, Want::Last, Want::Last, Want::Nothing];
    let pieces = sequences.iter().zip(parts).zip(wants);
    let batch: Vec<Piece<'_>> = pieces.map(|((sequence, tokens), want)| Piece { tokens, sequence, want }).collect();
    let (mut scratch, mut logits) = (Scratch::default(), Vec::new());
    model.forward(&batch, &mut cache, &mut scratch, &mut logits).expect("it computes");
    let rows: Vec<Vec<f32>> = logits.chunks_exact(model.vocabulary()).map(<[f32]>::to_vec).collect();
    assert_eq!(rows.len(), 3);
    rows
}

#[test]
fn the_logits_of_every_token_come_in_the_order_of_the_tokens() {
    let written = Tiny::new().write();
    let (model, cpu) = (on_device(&written.files), load(&written.files));
    let all = |model: &dyn Forward| {
        let mut cache = new_cache(model);
        let (mut short, mut long) = (cache.begin(&[]), cache.begin(&[]));
        short.reserve(5).expect("there is room");
        long.reserve(40).expect("there is room");
        let batch = [
            Piece { tokens: &TOKENS, sequence: &long, want: Want::All },
            Piece { tokens: &TOKENS[..5], sequence: &short, want: Want::All },
        ];
        let (mut scratch, mut logits) = (Scratch::default(), Vec::new());
        model.forward(&batch, &mut cache, &mut scratch, &mut logits).expect("it computes");
        logits
    };
    agree("all logits", (&all(&model), &all(&cpu)), 2e-3);
}

#[test]
fn what_cannot_be_computed_is_an_error() {
    let written = Tiny::new().write();
    let model = on_device(&written.files);
    let mut cache = new_cache(&model);
    let mut sequence = cache.begin(&[]);
    sequence.reserve(300).expect("there is room");
    let (mut scratch, mut logits) = (Scratch::default(), Vec::new());
    let mut error = |tokens: &[u32], cache: &mut Cache| {
        let piece = Piece { tokens, sequence: &sequence, want: Want::Last };
        model.forward(&[piece], cache, &mut scratch, &mut logits).expect_err("it cannot").0
    };
    assert_eq!(error(&[99_999], &mut cache), "there is no token 99999");
    assert_eq!(error(&[7; 257], &mut cache), "a sequence is longer than the context");
    let mut other = new_cache(&load(&written.files));
    assert_eq!(error(&[7], &mut other), "keys and values are not where this model computes");
}
