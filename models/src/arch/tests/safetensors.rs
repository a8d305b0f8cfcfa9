//! The same of safetensors: against candle-transformers' own models of them, and against the same weights in a GGUF file.

use candle_core::quantized::QTensor;
use candle_nn::VarBuilder;
use candle_transformers::models::{gemma3, llama, mistral, phi3, qwen2, qwen3};
use serde_json::{Value, json};

use super::*;
use crate::load::Names;
use crate::load::tiny::TinyCheckpoint;

/// The logits after the last of [`TOKENS`], by candle, with weights in 32 bits.
fn theirs(tiny: &TinyCheckpoint) -> Vec<f32> {
    let device = Device::Cpu;
    let written = tiny.write();
    let bytes = std::fs::read(&written.files.weights).expect("it is there");
    let vars = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &device).expect("it is sound");
    let config = Value::Object(tiny.config.clone());
    let input = Tensor::new(&TOKENS[..], &device).and_then(|input| input.unsqueeze(0)).expect("a tensor");
    let kind = config["model_type"].as_str().expect("a text").to_owned();
    let logits = match kind.as_str() {
        "llama" => {
            let config: llama::LlamaConfig = serde_json::from_value(config).expect("it is a config");
            let config = config.into_config(false);
            let mut cache = llama::Cache::new(false, DType::F32, &config, &device).expect("a cache");
            llama::Llama::load(vars, &config).and_then(|model| model.forward(&input, 0, &mut cache))
        }
        "mistral" => {
            let config = serde_json::from_value(config).expect("it is a config");
            mistral::Model::new(&config, vars).and_then(|mut model| model.forward(&input, 0))
        }
        "qwen2" => {
            let config = serde_json::from_value(config).expect("it is a config");
            qwen2::ModelForCausalLM::new(&config, vars).and_then(|mut model| model.forward(&input, 0))
        }
        "qwen3" => {
            let config = serde_json::from_value(config).expect("it is a config");
            qwen3::ModelForCausalLM::new(&config, vars).and_then(|mut model| model.forward(&input, 0))
        }
        "gemma3_text" => {
            let config = serde_json::from_value(config).expect("it is a config");
            // Its cache takes only one token at a time.
            gemma3::Model::new(false, &config, vars).and_then(|mut model| {
                let steps = (0..TOKENS.len()).map(|at| model.forward(&input.narrow(1, at, 1)?, at));
                steps.last().expect("there are tokens")
            })
        }
        _ => {
            let config = serde_json::from_value(config).expect("it is a config");
            phi3::Model::new(&config, vars).and_then(|mut model| model.forward(&input, 0))
        }
    };
    logits.and_then(|logits| logits.flatten_all()?.to_vec1()).expect("it computes")
}

fn ours(files: &ModelFiles) -> Vec<f32> {
    let model = load(files);
    let mut cache = new_cache(&model);
    let mut sequence = cache.begin(&TOKENS);
    run(&model, &mut cache, &mut sequence, &[&TOKENS])
}

fn agree(what: &str, tiny: &TinyCheckpoint, reference: &TinyCheckpoint) {
    let theirs = theirs(reference);
    let off = furthest(&ours(&tiny.write().files), &theirs) / spread(&theirs);
    assert!(off < 2e-3, "{what}: off by {off} of the spread");
}

#[test]
fn every_family_gives_the_logits_that_candle_gives_of_the_same_checkpoint() {
    for family in FAMILIES {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let tiny = TinyCheckpoint::of(family, dtype, 8);
            agree(&format!("{family:?} {dtype:?}"), &tiny, &tiny);
        }
    }
}

#[test]
fn what_configs_say_of_heads_positions_and_logits_is_what_candle_makes_of_it() {
    for family in [Family::Qwen3, Family::Gemma3] {
        let wide = TinyCheckpoint::of(family, DType::F32, 16);
        agree(&format!("{family:?} with heads wider than their share"), &wide, &wide);
    }
    let untied = TinyCheckpoint::new().untied();
    agree("a matrix of its own for logits", &untied, &untied);
    let partial = TinyCheckpoint::of(Family::Phi3, DType::F32, 8).set("partial_rotary_factor", json!(0.5));
    agree("half a head turned", &partial, &partial);
    // Bands between which all three of the ways to scale come up: waves of 6 to 6,000 positions.
    let scaling = json!({ "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 300 });
    let scaled = TinyCheckpoint::new().set("rope_scaling", scaling.clone());
    agree("positions scaled by llama3", &scaled, &scaled);
    assert_ne!(theirs(&scaled), theirs(&TinyCheckpoint::new()), "which does something");

    let mut parameters = scaling;
    parameters["rope_theta"] = json!(10_000.0);
    let newer = TinyCheckpoint::new().without("rope_theta").set("rope_parameters", parameters);
    agree("the same, as newer configs say it", &newer, &scaled);
}

#[test]
fn mistral_s_window_has_as_many_tokens_as_its_config_says() {
    let mistral = |window: usize| {
        TinyCheckpoint::new().untied().set("model_type", json!("mistral")).set("sliding_window", json!(window))
    };
    // candle's window is wider by one than that of `transformers`.
    agree("a window", &mistral(8), &mistral(7));
    assert_ne!(theirs(&mistral(7)), theirs(&mistral(2000)), "which is narrower than the text");
    agree("a window wider than the text", &mistral(2000), &mistral(2000));
}

/// What converters do: llama's rotary pairs side by side, Gemma's norms with the one that they lack.
fn converted(tiny: &TinyCheckpoint, name: &str) -> Tensor {
    let own = Names::Transformers(tiny.family).own(name);
    let tensor = tiny.tensors[&*own].to_dtype(DType::F32).expect("a float");
    let moved = match tiny.family {
        Family::Llama if name.ends_with("attn_q.weight") || name.ends_with("attn_k.weight") => {
            let (rows, columns) = tensor.dims2().expect("a matrix");
            tensor
                .reshape((rows / 8, 2, 4, columns))
                .and_then(|tensor| tensor.transpose(1, 2)?.contiguous()?.reshape((rows, columns)))
        }
        Family::Gemma3 if name.ends_with("norm.weight") => tensor + 1.0,
        _ => Ok(tensor),
    };
    moved.expect("it computes")
}

#[test]
fn the_same_weights_as_gguf_and_as_safetensors_give_the_same_logits() {
    for family in FAMILIES {
        let checkpoint = TinyCheckpoint::of(family, DType::F16, 8);
        let mut gguf = Tiny::of(family, GgmlDType::F16);
        for (name, tensor) in &mut gguf.tensors {
            let dtype = tensor.dtype();
            *tensor = QTensor::quantize(&converted(&checkpoint, name), dtype).expect("it fits");
        }
        let (of_gguf, of_checkpoint) = (ours(&gguf.write().files), ours(&checkpoint.write().files));
        if family == Family::Llama {
            // Sums over a head come in another order.
            let off = furthest(&of_gguf, &of_checkpoint) / spread(&of_gguf);
            assert!(off < 1e-3, "{family:?}: off by {off} of the spread");
        } else {
            assert_eq!(of_gguf, of_checkpoint, "{family:?}");
        }
    }
}

#[test]
fn sharded_is_what_whole_is() {
    for family in FAMILIES {
        let tiny = TinyCheckpoint::of(family, DType::BF16, 8);
        let whole = ours(&tiny.write().files);
        for shards in [2, 5] {
            assert_eq!(ours(&tiny.write_shards(shards).files), whole, "{family:?} in {shards} files");
        }
    }
}
