//! The catalog model as its makers publish it, in safetensors: its GGUF file turned back, weights in half precision.

use std::collections::HashMap;

use candle_core::DType;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::files::{Checkpoint, Family};
use crate::load::Names;

/// Writes the checkpoint; the directory lives as long as its handle.
fn turned_back(bench: &Bench) -> (TempDir, ModelFiles) {
    let mut reader = BufReader::new(File::open(&bench.files.weights).expect("it is there"));
    let content = Content::read(&mut reader).expect("it is sound");
    let tensors: HashMap<String, Tensor> = content
        .tensor_infos
        .keys()
        .map(|name| {
            let stored = content.tensor(&mut reader, name, &Device::Cpu).expect("it is sound");
            let weights = stored.dequantize(&Device::Cpu).expect("it computes");
            let turned = match name.ends_with("attn_q.weight") || name.ends_with("attn_k.weight") {
                true => side_by_side_to_halves(&weights, bench.header.shape.head_width),
                false => weights,
            };
            let own = Names::Transformers(Family::Llama).own(name).into_owned();
            (own, turned.to_dtype(DType::F16).expect("it computes"))
        })
        .collect();
    let shape = &bench.header.shape;
    let config = json!({
        "model_type": "llama", "hidden_size": shape.width, "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads,
        "vocab_size": shape.vocabulary, "max_position_embeddings": shape.context, "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.rotary.base, "tie_word_embeddings": !shape.separate_output,
    });
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (weights, config_path) = (directory.path().join("model.safetensors"), directory.path().join("config.json"));
    candle_core::safetensors::save(&tensors, &weights).expect("it is written");
    std::fs::write(&config_path, config.to_string()).expect("it is written");
    let checkpoint = Checkpoint::of_config(config_path);
    let files = ModelFiles { checkpoint: Some(checkpoint), ..crate::load::tiny::files(weights) };
    (directory, files)
}

/// Undoes what converters do to the rows of queries and keys.
fn side_by_side_to_halves(weights: &Tensor, head_width: usize) -> Tensor {
    let (rows, columns) = weights.dims2().expect("a matrix");
    let heads = weights.reshape((rows / head_width, head_width / 2, 2, columns)).expect("whole heads");
    let turned = heads.transpose(1, 2).and_then(|heads| heads.contiguous()?.reshape((rows, columns)));
    turned.expect("it computes")
}

/// Neither side rounds inputs here, so they agree far more often than with integer weights.
#[test]
#[ignore = "needs the catalog model: set BACKSTOP_TEST_GGUF to its path"]
fn as_a_checkpoint_it_says_what_the_exact_model_says() {
    let bench = Bench::open();
    let (_directory, files) = turned_back(&bench);
    let header = crate::load::read_header(&files).expect("it is sound");
    let model = Transformer::load(&header, 512, 2).expect("it is sound");
    let (mut positions, mut same, mut texts, mut sure) = (0, 0, 0, 0f32);
    for (text, exact) in PROMPTS.lines().zip(read(EXACT)) {
        let ours = along(&model, &bench.prompt(text), &exact);
        let others: Vec<f32> = exact
            .iter()
            .zip(&ours)
            .filter(|((token, _), ours)| token != *ours)
            .map(|((_, margin), _)| *margin)
            .collect();
        positions += exact.len();
        same += exact.len() - others.len();
        texts += usize::from(others.is_empty());
        sure = others.into_iter().fold(sure, f32::max);
    }
    println!("{same} of {positions} tokens and {texts} texts are the exact model's; surest where not: {sure}");
    assert!(same * 500 >= positions * 499, "{same} of {positions}");
    assert!(sure < 0.05, "no near tie: {sure}");
}
