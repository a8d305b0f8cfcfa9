//! Sound, damaged and hostile checkpoints, all made here.

use std::fs;

use candle_core::DType;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::chat::{Chat, Fold, Message, Role};
use crate::device::Device;
use crate::engine::{Engine, EngineOptions};
use crate::files::Family;
use crate::load::tiny::{FAMILIES, TEMPLATE, TinyCheckpoint, Written};
use crate::load::{Identity, identify, load_weights};

fn error(files: &ModelFiles) -> LoadError {
    identify(files, Device::Cpu).expect_err("it was accepted")
}

fn fault(tiny: &TinyCheckpoint) -> LoadFault {
    error(&tiny.write().files).fault
}

fn beside(written: &mut Written) -> &mut Checkpoint {
    written.files.checkpoint.as_mut().expect("it is one")
}

/// A file with this header and so many bytes behind it.
fn parse(header: &str, bytes: usize) -> Result<Vec<format::Entry>, LoadFault> {
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; bytes]].concat();
    format::read(file.as_slice(), file.len() as u64)
}

#[tokio::test]
async fn a_sound_checkpoint_is_identified_loads_and_answers() {
    for family in FAMILIES {
        let written = TinyCheckpoint::of(family, DType::BF16, 8).write_shards(3);
        identify(&written.files, Device::Cpu).unwrap_or_else(|error| panic!("{family:?}: {error}"));
        load_weights(&written.files, 64, 1, Device::Cpu).unwrap_or_else(|error| panic!("{family:?}: {error}"));
    }
    let written = TinyCheckpoint::new().write();
    let engine = Engine::start(written.files.clone(), EngineOptions::default()).expect("it is sound");
    assert_eq!(engine.identity(), &identify(&written.files, Device::Cpu).expect("it is sound"));
    let messages = vec![Message::text(Role::User, "hello")];
    let mut answer = engine.ask(Chat { messages, max_tokens: Some(4), ..Chat::default() }).expect("there is room");
    let mut fold = Fold::default();
    while let Some(event) = answer.next().await {
        fold.push(event.expect("it is answered"));
    }
    assert!(fold.into_answer().is_some());
}

#[test]
fn every_file_is_part_of_the_identity() {
    let identity = |written: &Written| identify(&written.files, Device::Cpu).expect("it is sound");
    let tiny = TinyCheckpoint::new();
    let base = identity(&tiny.write());
    assert_eq!(identity(&tiny.write()), base, "the same bytes elsewhere are the same model");
    let changed = |change: &dyn Fn(&mut Written)| {
        let mut written = tiny.write();
        change(&mut written);
        let Identity { weights, tokenizer, template, generation_config, .. } = identity(&written);
        assert_eq!(generation_config, base.generation_config, "it has a file of its own");
        (weights != base.weights, tokenizer != base.tokenizer, template != base.template)
    };
    let drawn = |change: &dyn Fn(&mut Written)| {
        let mut written = tiny.write();
        change(&mut written);
        let now = identity(&written);
        assert_ne!(now.generation_config, base.generation_config);
        assert_eq!(Identity { generation_config: base.generation_config.clone(), ..now }, base, "nothing else differs");
    };
    let append =
        |path: &Path| fs::write(path, [&fs::read(path).expect("it is there")[..], b"\n"].concat()).expect("written");
    assert_eq!(changed(&|written| written.files.weights_sha256 = "11".repeat(32)), (true, false, false));
    assert_eq!(changed(&|written| append(&beside(written).config)), (true, false, false));
    drawn(&|written| append(beside(written).generation_config.as_deref().expect("a path")));
    drawn(&|written| beside(written).generation_config = None);
    assert_eq!(changed(&|written| append(written.files.tokenizer.as_deref().expect("a path"))), (false, true, false));
    assert_eq!(changed(&|w| append(beside(w).tokenizer_config.as_deref().expect("a path"))), (false, true, false));
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "{{ messages }}").expect("it is written");
    let jinja = |written: &mut Written| beside(written).chat_template = Some(file.path().to_owned());
    assert_eq!(changed(&jinja), (false, false, true), "before the one in the tokenizer's config");
    let own = |written: &mut Written| written.files.chat_template = Some("{{ messages }}".to_owned());
    assert_eq!(changed(&own), (false, false, true), "the manifest's is before all");
}

#[test]
fn of_several_templates_the_default_one_counts() {
    let mut tiny = TinyCheckpoint::new();
    let base = identify(&tiny.write().files, Device::Cpu).expect("it is sound").template;
    tiny.tokenizer_config["chat_template"] =
        json!([{ "name": "tool_use", "template": "{{ tools }}" }, { "name": "default", "template": TEMPLATE }]);
    assert_eq!(identify(&tiny.write().files, Device::Cpu).expect("it is sound").template, base);
    tiny.tokenizer_config["chat_template"] = json!([{ "name": "rag", "template": "{{ documents }}" }]);
    assert!(matches!(fault(&tiny), LoadFault::NoTemplate));
}

#[test]
fn what_a_checkpoint_lacks_is_named_as_its_files_name_it() {
    for family in FAMILIES {
        let tiny = TinyCheckpoint::of(family, DType::F16, 8);
        for name in tiny.tensors.keys() {
            let found = fault(&tiny.clone().without(name));
            assert!(matches!(&found, LoadFault::MissingTensor(named) if named == name), "{family:?} {name}: {found}");
        }
        for key in ["model_type", "hidden_size", "num_hidden_layers", "vocab_size", "rms_norm_eps", "intermediate_size"]
        {
            let found = fault(&tiny.clone().without(key));
            assert!(matches!(&found, LoadFault::MissingKey(named) if named == key), "{family:?} {key}: {found}");
        }
    }
    let mut written = TinyCheckpoint::new().write();
    fs::remove_file(&beside(&mut written).config).expect("it was there");
    let found = error(&written.files);
    assert!(found.path.ends_with("config.json") && matches!(found.fault, LoadFault::Io(_)), "{found}");
}

#[test]
fn what_would_be_ignored_is_refused_by_its_name() {
    let tiny = TinyCheckpoint::new;
    for name in ["model.layers.0.self_attn.q_proj.bias", "model.layers.2.mlp.up_proj.weight", "vision_tower.weight"] {
        let found = fault(&tiny().with(name, &[32]));
        assert!(matches!(&found, LoadFault::BadTensor { name: named, .. } if named == name), "{found}");
    }
    for idle in ["model.layers.0.self_attn.rotary_emb.inv_freq", "lm_head.weight"] {
        identify(&tiny().with(idle, &[4]).write().files, Device::Cpu).expect("it is not needed");
    }
    let misshapen = fault(&tiny().with("model.norm.weight", &[33]));
    assert!(
        misshapen.to_string().contains("`model.norm.weight`: its shape is [33] where [32] is needed"),
        "{misshapen}"
    );
    let mut of_integers = tiny();
    let norm = of_integers.tensors["model.norm.weight"].to_dtype(DType::I64).expect("it fits");
    of_integers.tensors.insert("model.norm.weight".to_owned(), norm);
    assert!(fault(&of_integers).to_string().contains("its type I64 is not supported; F32, F16 and BF16 are"));
}

#[test]
fn shards_are_held_against_their_index() {
    let tiny = TinyCheckpoint::new();
    identify(&tiny.write_shards(2).files, Device::Cpu).expect("it is sound");

    let mut short = tiny.write_shards(3);
    beside(&mut short).shards.pop();
    let found = error(&short.files).to_string();
    assert!(found.contains("names `model-00003-of-00003.safetensors`, which the manifest does not"), "{found}");
    beside(&mut short).index = None;
    assert!(matches!(error(&short.files).fault, LoadFault::MissingTensor(_)));

    let mut twice = tiny.write_shards(2);
    let copy = twice.directory.path().join("copy.safetensors");
    fs::copy(&twice.files.weights, &copy).expect("it is copied");
    beside(&mut twice).shards.push(copy);
    let found = error(&twice.files).to_string();
    assert!(found.contains("copy.safetensors has an unusable tensor") && found.contains("it is in "), "{found}");

    let mut lies = tiny.write_shards(2);
    let index = beside(&mut lies).index.clone().expect("a path");
    let text = fs::read_to_string(&index).expect("it is there");
    fs::write(&index, text.replace("model-00001-of", "model-00002-of")).expect("it is written");
    assert!(matches!(error(&lies.files).fault, LoadFault::MissingTensor(_)), "a tensor in another file");
    fs::write(&index, text.replace("model.norm.weight", "model.norm.wait")).expect("it is written");
    assert!(matches!(error(&lies.files).fault, LoadFault::MissingTensor(name) if name == "model.norm.wait"));
    fs::write(&index, r#"{ "weight_map": {} }"#).expect("it is written");
    assert!(error(&lies.files).to_string().contains("it does not list the tensor"));
    fs::write(&index, "{}").expect("it is written");
    assert!(matches!(error(&lies.files).fault, LoadFault::MissingKey(key) if key == "weight_map"));
}

#[test]
fn files_that_are_no_checkpoints_are_refused() {
    let mut written = TinyCheckpoint::new().write();
    for content in [&b""[..], b"short", b"GGUF\x03\x00\x00\x00\x00\x00\x00\x00", b"<html>not found</html>"] {
        fs::write(&written.files.weights, content).expect("it is written");
        assert!(matches!(error(&written.files).fault, LoadFault::NotSafetensors));
    }
    let whole = TinyCheckpoint::new().write();
    let config = beside(&mut written).config.clone();
    written.files.weights = whole.files.weights.clone();
    for content in ["", "[1]", "{\"model_type\": \"llama\"", &"[".repeat(100_000)] {
        fs::write(&config, content).expect("it is written");
        assert!(matches!(error(&written.files).fault, LoadFault::Json(_)), "{}", &content[..content.len().min(30)]);
    }
    fs::write(&config, " ".repeat(2 << 20)).expect("it is written");
    assert!(matches!(error(&written.files).fault, LoadFault::Absurd { .. }), "a huge config");

    let mut without = TinyCheckpoint::new().write();
    without.files.tokenizer = None;
    let started = Engine::start(without.files.clone(), EngineOptions::default());
    assert!(matches!(started.err().map(|error| error.fault), Some(LoadFault::Tokenizer(_))));
    // A GGUF model whose weights turn out to be safetensors, from a manifest of before.
    without.files.checkpoint = None;
    assert!(matches!(error(&without.files).fault, LoadFault::NotGguf));
}

#[test]
fn headers_that_lie_are_refused_without_being_believed() {
    let one = |rest: &str| format!(r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}{rest}}}"#);
    let two = |offsets: &str| one(&format!(r#","b":{{"dtype":"F16","shape":[2,2],"data_offsets":{offsets}}}"#));
    assert_eq!(parse(&two("[8,16]"), 16).expect("it is sound").len(), 2);
    assert_eq!(parse(&one(r#","__metadata__":{"format":"pt"}"#), 8).expect("it is sound").len(), 1);
    let bad = |header: &str, bytes: usize| parse(header, bytes).expect_err("it was accepted");
    let why = |header: &str, bytes: usize| bad(header, bytes).to_string();
    assert!(why(&two("[4,12]"), 12).contains("`b`: it overlaps another"));
    assert!(why(&two("[12,20]"), 20).contains("`b`: there is a hole before it"));
    assert!(why(&two("[8,15]"), 16).contains("do not lie from byte 8 to 15"));
    assert!(why(&two("[16,8]"), 16).contains("do not lie from byte 16 to 8"));
    assert!(matches!(bad(&two("[8,16]"), 15), LoadFault::Truncated { needed: 8, left: 7, .. }));
    assert!(why(&one(""), 9).contains("1 bytes that belong to no tensor"));
    assert!(why(&one("").replace("F32", "F33"), 8).contains("the tensor `a`: unknown variant `F33`"));
    assert!(why(&one(&one("")[1..].replacen('"', ",\"", 1).replace("}}", "}")), 8).contains("`a` is there twice"));
    assert!(why(&one("").replace("[2]", "[1,1,1,1,2]"), 8).contains("5 dimensions"));
    let huge = usize::MAX.to_string();
    assert!(why(&one("").replace("[2]", &format!("[{huge},{huge}]")), 8).contains("its size overflows"));
    assert!(matches!(bad(&one("").replace("[2]", "[-2]"), 8), LoadFault::Json(_)));
    let claim = |length: u64| [&length.to_le_bytes()[..], b"{\"a\": 1}"].concat();
    let read = |file: &[u8]| format::read(file, file.len() as u64).expect_err("it was accepted");
    assert!(matches!(read(&claim(u64::MAX)), LoadFault::Absurd { .. }));
    assert!(matches!(read(&claim(9)), LoadFault::Truncated { .. }));
}

#[test]
fn a_weights_file_cut_anywhere_is_refused() {
    let written = TinyCheckpoint::new().write();
    let whole = fs::read(&written.files.weights).expect("it is there");
    for length in (0..whole.len()).step_by(997).chain([whole.len() - 1]) {
        let cut = format::read(&whole[..length], length as u64);
        assert!(
            matches!(cut, Err(LoadFault::Truncated { .. } | LoadFault::NotSafetensors)),
            "cut at {length} of {}",
            whole.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Damage may well be harmless; what matters is that it is told from harm without a panic, up to the weights.
    #[test]
    fn no_damage_makes_the_reader_panic(
        which in 0usize..5,
        family in 0usize..5,
        damage in prop::collection::vec((0usize..4000, any::<u8>()), 1..8),
    ) {
        static WHOLE: std::sync::LazyLock<Vec<TinyCheckpoint>> = std::sync::LazyLock::new(|| {
            FAMILIES.into_iter().map(|family| TinyCheckpoint::of(family, DType::F16, 8)).collect()
        });
        let mut written = WHOLE[family].write_shards(2);
        let weights = written.files.weights.clone();
        let beside = beside(&mut written);
        let small = [&beside.index, &beside.generation_config, &beside.tokenizer_config];
        let path = match which {
            0 => weights,
            1 => beside.config.clone(),
            _ => small[which - 2].clone().expect("a path"),
        };
        let mut bytes = fs::read(&path).expect("it is there");
        let length = bytes.len();
        for (at, byte) in damage {
            bytes[at % length] = byte;
        }
        fs::write(&path, bytes).expect("it is written");
        if let Ok(header) = crate::load::read_header(&written.files) {
            let _ = crate::token::Vocabulary::load(&written.files, &header);
            let context = crate::load::context_tokens(&written.files, &header).min(64);
            let _ = crate::arch::Transformer::load(&header, context, 1);
        }
    }
}

#[test]
fn a_manifest_s_family_must_be_the_config_s() {
    let mut written = TinyCheckpoint::new().write();
    written.files.family = Family::Qwen2;
    assert!(matches!(error(&written.files).fault, LoadFault::WrongFamily { .. }));
}
