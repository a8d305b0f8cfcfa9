//! A tiny model with random weights: what must hold whatever they are.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::files::{Capabilities, Checkpoint};
use crate::machine::Machine;

const WORDS: [&str; 8] = ["the", "invoice", "is", "due", "on", "friday", "paid", "late"];

struct Written {
    files: ModelFiles,
    _dir: tempfile::TempDir,
}

fn write() -> Written {
    let dir = tempfile::tempdir().expect("there is room");
    let at = |name: &str| dir.path().join(name);
    let config = json!({ "vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "max_position_embeddings": 24, "type_vocab_size": 2,
        "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0, "model_type": "bert" });
    std::fs::write(at("config.json"), config.to_string()).expect("there is room");
    let mut vocab: serde_json::Map<String, serde_json::Value> =
        (0..).zip(["[PAD]", "[UNK]", "[CLS]", "[SEP]"]).map(|(id, word)| (word.to_owned(), json!(id))).collect();
    vocab.extend((4..).zip(WORDS).map(|(id, word)| (word.to_owned(), json!(id))));
    let special = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "special": true, "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false })
    };
    let tokenizer = json!({ "version": "1.0",
        // As real files have it: neither is wanted.
        "truncation": { "max_length": 5, "strategy": "LongestFirst", "stride": 0 },
        "padding": { "strategy": { "Fixed": 12 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0,
            "pad_token": "[PAD]" },
        "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
        "normalizer": { "type": "Lowercase" }, "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] }, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]" } });
    std::fs::write(at("tokenizer.json"), tokenizer.to_string()).expect("there is room");
    candle_core::safetensors::save(&weights(), at("model.safetensors")).expect("there is room");
    let files = ModelFiles {
        id: "tiny-bert".to_owned(),
        family: Family::Bert,
        weights: at("model.safetensors"),
        weights_sha256: "00".repeat(32),
        checkpoint: Some(Checkpoint::of_config(at("config.json"))),
        tokenizer: Some(at("tokenizer.json")),
        chat_template: None,
        context_tokens: 16,
        capabilities: Capabilities::default(),
    };
    Written { files, _dir: dir }
}

fn weights() -> HashMap<String, Tensor> {
    let mut out = HashMap::new();
    let mut put = |name: &str, shape: &[usize]| {
        let tensor = Tensor::randn(0f32, 0.5, shape, &Device::Cpu).expect("it is computed");
        out.insert(name.to_owned(), tensor);
    };
    for (name, rows) in [("word", 16), ("position", 24), ("token_type", 2)] {
        put(&format!("embeddings.{name}_embeddings.weight"), &[rows, 8]);
    }
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..2 {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        norms.extend([at("attention.output.LayerNorm"), at("output.LayerNorm")]);
        for (part, shape) in [
            ("attention.self.query", [8, 8]),
            ("attention.self.key", [8, 8]),
            ("attention.self.value", [8, 8]),
            ("attention.output.dense", [8, 8]),
            ("intermediate.dense", [12, 8]),
            ("output.dense", [8, 12]),
        ] {
            put(&at(&format!("{part}.weight")), &shape);
            put(&at(&format!("{part}.bias")), &shape[..1]);
        }
    }
    for norm in norms {
        put(&format!("{norm}.weight"), &[8]);
        put(&format!("{norm}.bias"), &[8]);
    }
    out
}

fn options(queue: usize) -> EngineOptions {
    EngineOptions { queue, threads: Some(1), ..EngineOptions::default() }
}

fn load(written: &Written) -> Embedder {
    Embedder::load(&written.files, &options(4)).expect("it is sound")
}

fn embed(embedder: &Embedder, texts: &[String]) -> Result<Embedded, EmbedFault> {
    embedder.shared.embed(texts, || false).map(|made| made.expect("it is not given up"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_text_has_its_own_embedding_whatever_it_is_embedded_with(
        texts in prop::collection::vec(prop::collection::vec(prop::sample::select(&WORDS[..]), 1..14), 1..40),
    ) {
        let written = write();
        let embedder = load(&written);
        let texts: Vec<String> = texts.iter().map(|words| words.join(" ")).collect();
        let together = embed(&embedder, &texts).expect("they fit");
        prop_assert_eq!(together.vectors.len(), texts.len());
        let words: usize = texts.iter().map(|text| text.split(' ').count() + 2).sum();
        prop_assert_eq!(together.input_tokens, words as u64);
        for (text, vector) in texts.iter().zip(&together.vectors) {
            let alone = embed(&embedder, std::slice::from_ref(text)).expect("it fits");
            prop_assert_eq!(vector.len(), embedder.dimension());
            let length: f32 = vector.iter().map(|number| number * number).sum();
            prop_assert!((length - 1.0).abs() < 1e-5, "{}", length);
            for (a, b) in vector.iter().zip(&alone.vectors[0]) {
                prop_assert!((a - b).abs() < 1e-5, "{a} {b} of {text}");
            }
        }
    }
}

#[tokio::test]
async fn texts_that_are_too_long_or_empty_are_named() {
    let written = write();
    let embedder = load(&written);
    let long = ["late"; 15].join(" ");
    let ask = |texts: &[&str]| embedder.embed(texts.iter().map(|text| (*text).to_owned()).collect());
    assert_eq!(ask(&["paid", &long]).await, Err(EmbedFault::TooLong { index: 1, tokens: 17, limit: 16 }));
    assert_eq!(ask(&["paid", " \n"]).await, Err(EmbedFault::Empty { index: 1 }));
    assert!(ask(&["paid", &long["late ".len()..]]).await.is_ok(), "as long as it reads");
    assert_eq!(embedder.calls(), 0);
}

#[tokio::test]
async fn only_so_many_calls_wait() {
    let written = write();
    let embedder = load(&written);
    let turn = Arc::clone(&embedder.shared.turn).acquire_owned().await.expect("it is open");
    let texts = || vec!["paid".to_owned()];
    let waiting: Vec<_> = (0..4).map(|_| embedder.ticket().expect("there is room")).collect();
    assert_eq!(embedder.embed(texts()).await, Err(EmbedFault::Busy));
    drop(waiting);
    drop(turn);
    assert!(embedder.embed(texts()).await.is_ok());
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_with_its_batch_and_frees_the_turn() {
    let written = write();
    let embedder = load(&written);
    let texts: Vec<String> = (0..BATCH * 3).map(|_| "paid".to_owned()).collect();
    let batches = AtomicUsize::new(0);
    assert_eq!(embedder.shared.embed(&texts, || batches.fetch_add(1, Ordering::Relaxed) == 1), Ok(None));
    assert_eq!(batches.into_inner(), 2, "it is asked before each batch");
    // From outside: the caller goes as soon as it is computed for.
    let mut call = Box::pin(embedder.embed(texts));
    std::future::poll_fn(|context| {
        assert!(call.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    drop(call);
    assert!(embedder.embed(vec!["late".to_owned()]).await.is_ok(), "the turn is free");
}

#[test]
fn what_is_no_such_model_is_said_by_file() {
    let said = |spoil: &dyn Fn(&mut ModelFiles)| {
        let mut written = write();
        spoil(&mut written.files);
        Embedder::load(&written.files, &options(1)).expect_err("it is not sound").to_string()
    };
    assert!(said(&|files| files.checkpoint = None).contains("`[config]`"));
    assert!(said(&|files| files.family = Family::Llama).contains("family `bert`"));
    let cut = said(&|files| std::fs::write(&files.weights, b"\x08\0\0\0\0\0\0\0{\"a\":").expect("there is room"));
    assert!(cut.contains("model.safetensors cannot be loaded"), "{cut}");
    let config = said(&|files| std::fs::write(files.config().expect("it has one"), b"{}").expect("room"));
    assert!(config.contains("config.json is malformed: missing field"), "{config}");
    let heads = said(&|files| {
        let path = files.config().expect("it has one");
        let text = std::fs::read_to_string(path).expect("it was written");
        std::fs::write(path, text.replace("\"num_attention_heads\":2", "\"num_attention_heads\":3")).expect("room");
    });
    assert!(heads.contains("no multiple"), "{heads}");
}

#[test]
fn another_config_is_another_model() {
    let written = write();
    let before = identify(&written.files).expect("it is sound");
    assert_eq!(&before, load(&written).identity());
    let path = written.files.config().expect("it has one");
    let text = std::fs::read_to_string(path).expect("it was written");
    std::fs::write(path, text.replace("gelu", "relu")).expect("there is room");
    assert_ne!(before, identify(&written.files).expect("it is sound"));
}

#[test]
fn what_does_not_fit_the_memory_is_refused_in_figures_and_what_goes_gives_it_back() {
    let written = write();
    let mut options = options(1);
    let needs = options.needs(&size(&written.files).expect("it is sound"));
    options.machine = Machine::with_memory(needs.with_cache(0));
    let first = Embedder::load(&written.files, &options).expect("it fits");
    let said = Embedder::load(&written.files, &options).expect_err("it is full").to_string();
    assert!(said.contains("needs ") && said.contains(" are left"), "{said}");
    drop(first);
    assert_eq!(options.machine.memory.left(), options.machine.memory.total());
}

#[test]
fn batches_are_bounded_in_texts_and_tokens() {
    let lengths = [1, 1, 2, 100, 250, 256, 256, 600, 700];
    let order: Vec<usize> = (0..lengths.len()).collect();
    let batches: Vec<Vec<usize>> = batches(&order, |index| lengths[index]).into_iter().map(<[usize]>::to_vec).collect();
    assert_eq!(batches, [vec![0, 1, 2, 3], vec![4, 5], vec![6], vec![7], vec![8]]);
    let many: Vec<usize> = (0..40).collect();
    assert!(super::batches(&many, |_| 3).iter().map(|batch| batch.len()).eq([16, 16, 8]));
}
