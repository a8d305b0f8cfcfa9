//! Configs as they are published, and what is refused by its name.

use serde_json::json;

use super::*;

fn read(family: Family, config: Value) -> Result<Shape, LoadFault> {
    Shape::of_config(config.as_object().expect("an object"), family)
}

/// Llama 3.2 of 1 B, but for what does not matter.
fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
        "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
        "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1,
        "rms_norm_eps": 1e-5,
        "rope_scaling": { "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3" },
        "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "vocab_size": 128256,
    })
}

/// Gemma 3 of 1 B.
fn gemma() -> Value {
    json!({
        "attention_bias": false, "attn_logit_softcapping": null, "final_logit_softcapping": null, "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "intermediate_size": 6912,
        "max_position_embeddings": 32768, "model_type": "gemma3_text", "num_attention_heads": 4,
        "num_hidden_layers": 26, "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-6,
        "rope_local_base_freq": 10000, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": 512,
        "sliding_window_pattern": 6, "vocab_size": 262144,
    })
}

fn qwen2() -> Value {
    json!({
        "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864, "max_position_embeddings": 32768,
        "max_window_layers": 21, "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "sliding_window": 32768,
        "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936,
    })
}

/// Phi 3 mini of 4 K.
fn phi3() -> Value {
    json!({
        "attention_bias": false, "hidden_act": "silu", "hidden_size": 3072, "intermediate_size": 8192,
        "max_position_embeddings": 4096, "model_type": "phi3", "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 32, "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
        "rope_scaling": null, "rope_theta": 10000.0, "sliding_window": 2047, "tie_word_embeddings": false,
        "vocab_size": 32064,
    })
}

fn with(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

#[test]
fn published_configs_are_read_as_they_are_meant() {
    let shape = read(Family::Llama, llama()).expect("it is sound");
    assert_eq!((shape.layers, shape.width, shape.heads, shape.kv_heads, shape.head_width), (16, 2048, 32, 8, 64));
    assert_eq!((shape.vocabulary, shape.context, shape.separate_output), (128_256, 131_072, false));
    assert_eq!((shape.rotary.pairs, shape.rotary.base, shape.sliding), (Pairs::Halves, 500_000.0, None));
    let factors = shape.rotary_factors.expect("it has them");
    assert_eq!((factors.len(), factors[0], factors[31]), (32, 1.0, 32.0));
    assert!(factors.is_sorted() && factors.iter().any(|factor| *factor > 1.0 && *factor < 32.0), "{factors:?}");

    let shape = read(Family::Gemma3, gemma()).expect("it is sound");
    assert_eq!((shape.attention_scale, shape.norm_shift, shape.separate_output), (1.0 / 16.0, 1.0, false));
    assert_eq!(
        (shape.window(0), shape.window(4), shape.window(5), shape.window(25)),
        (Some(512), Some(512), None, Some(512))
    );
    assert_eq!(shape.sliding.expect("it slides").base, Some(10_000.0));

    let shape = read(Family::Qwen2, qwen2()).expect("it is sound");
    assert_eq!((shape.head_width, shape.sliding, shape.norm_shift), (64, None, 0.0));

    let shape = read(Family::Phi3, phi3()).expect("it is sound");
    assert_eq!((shape.head_width, shape.rotary.width, shape.separate_output), (96, 96, true));
    assert_eq!((shape.window(0), shape.window(31)), (Some(2047), Some(2047)));
}

#[test]
fn windows_are_of_the_layers_that_the_config_names() {
    let windows = |config: Value| {
        let shape = read(Family::Qwen2, config).expect("it is sound");
        (0..24).filter(|layer| shape.window(*layer).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(windows(with(qwen2(), "use_sliding_window", json!(true))), [21, 22, 23]);
    let types: Vec<&str> =
        (0..24).map(|layer| if layer == 7 { "sliding_attention" } else { "full_attention" }).collect();
    let listed = with(with(qwen2(), "use_sliding_window", json!(true)), "layer_types", json!(types));
    assert_eq!(windows(listed.clone()), [7]);
    let short = read(Family::Qwen2, with(listed.clone(), "layer_types", json!(["full_attention"])));
    assert!(matches!(short, Err(LoadFault::BadMetadata { key, .. }) if key == "layer_types"));
    let strange = read(Family::Qwen2, with(listed.clone(), "layer_types", json!(vec!["chunked_attention"; 24])));
    assert!(matches!(strange, Err(LoadFault::Unsupported(_))));
    let nowhere = read(Family::Qwen2, with(listed, "sliding_window", Value::Null));
    assert!(matches!(nowhere, Err(LoadFault::MissingKey(key)) if key == "sliding_window"));
}

#[test]
fn newer_configs_have_positions_in_one_place() {
    let parameters = json!({
        "full_attention": { "rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0 },
        "sliding_attention": { "rope_type": "default", "rope_theta": 20000.0 },
    });
    let mut newer = with(gemma(), "rope_parameters", parameters);
    for key in ["rope_theta", "rope_local_base_freq", "rope_scaling"] {
        newer.as_object_mut().expect("an object").remove(key);
    }
    let shape = read(Family::Gemma3, newer).expect("it is sound");
    assert_eq!((shape.rotary.base, shape.rotary.scale), (1e6, 0.125));
    assert_eq!(shape.sliding.expect("it slides").base, Some(20_000.0));
}

#[test]
fn what_would_be_ignored_is_refused_by_its_name() {
    let scaling = |kind: &str| with(llama(), "rope_scaling", json!({ "rope_type": kind, "factor": 4.0 }));
    for (family, config, said) in [
        (Family::Llama, with(llama(), "quantization_config", json!({ "quant_method": "gptq" })), "`gptq`"),
        (Family::Llama, with(llama(), "compression_config", json!({})), "`compression_config`"),
        (Family::Llama, with(llama(), "attention_bias", json!(true)), "`attention_bias`"),
        (Family::Llama, with(llama(), "mlp_bias", json!(true)), "`mlp_bias`"),
        (Family::Llama, with(llama(), "hidden_act", json!("gelu")), "`gelu`"),
        (Family::Llama, with(llama(), "partial_rotary_factor", json!(0.5)), "`partial_rotary_factor`"),
        (Family::Llama, scaling("yarn"), "`yarn`"),
        (Family::Llama, scaling("dynamic"), "`dynamic`"),
        (Family::Phi3, with(phi3(), "rope_scaling", json!({ "type": "longrope" })), "`longrope`"),
        (Family::Gemma3, with(gemma(), "final_logit_softcapping", json!(30.0)), "`final_logit_softcapping`"),
        (Family::Gemma3, with(gemma(), "use_bidirectional_attention", json!(true)), "`use_bidirectional_attention`"),
        (Family::Gemma3, with(gemma(), "model_type", json!("gemma3")), "images"),
    ] {
        let found = read(family, config).expect_err(said);
        assert!(matches!(found, LoadFault::Unsupported(_)) && found.to_string().contains(said), "{said}: {found}");
    }
    let other = read(Family::Llama, with(llama(), "model_type", json!("mixtral")));
    assert!(matches!(other, Err(LoadFault::UnknownArchitecture { found }) if found == "mixtral"));
}

#[test]
fn nonsense_is_refused_at_its_key() {
    for (key, value) in [
        ("hidden_size", json!(0)),
        ("hidden_size", json!(-1)),
        ("hidden_size", json!("2048")),
        ("num_hidden_layers", json!(100_000)),
        ("num_attention_heads", json!(1.5)),
        ("num_key_value_heads", json!(5)),
        ("head_dim", json!(63)),
        ("vocab_size", json!(u64::MAX)),
        ("rms_norm_eps", json!(0.0)),
        ("rms_norm_eps", json!(1e-60)),
        ("rope_theta", json!(1e60)),
        ("tie_word_embeddings", json!("yes")),
        ("model_type", json!(["llama"])),
        ("rope_scaling", json!("llama3")),
    ] {
        let found = read(Family::Llama, with(llama(), key, value.clone())).expect_err(key);
        assert!(
            matches!(&found, LoadFault::BadMetadata { key: named, .. } if named == key),
            "{key} = {value}: {found}"
        );
    }
    let bands = |key: &str, value: Value| {
        let mut scaling = llama()["rope_scaling"].clone();
        scaling[key] = value;
        read(Family::Llama, with(llama(), "rope_scaling", scaling))
    };
    assert!(matches!(bands("high_freq_factor", json!(1.0)), Err(LoadFault::BadMetadata { .. })));
    assert!(matches!(bands("factor", Value::Null), Err(LoadFault::MissingKey(key)) if key == "factor"));
}
