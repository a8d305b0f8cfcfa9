//! Sound, damaged and hostile files, all made here.

use std::io::Cursor;
use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use proptest::prelude::*;

use super::tiny::{Tiny, files};
use super::*;
use crate::files::Family;

fn fault(files: &ModelFiles) -> LoadFault {
    match identify(files, Device::Cpu) {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error.fault,
    }
}

fn bytes_of(tiny: &Tiny) -> Vec<u8> {
    std::fs::read(&tiny.write().files.weights).expect("it was written")
}

fn parse(bytes: &[u8]) -> Result<GgufHeader, LoadFault> {
    gguf::read(Cursor::new(bytes), bytes.len() as u64)
}

#[test]
fn a_sound_file_is_identified_and_computes() {
    let tiny = Tiny::new().write();
    let identity = identify(&tiny.files, Device::Cpu).expect("it is sound");
    assert_eq!(identity.weights, tiny.files.weights_sha256);
    assert_eq!(identity.engine, ENGINE);
    let on_gpu = identify(&tiny.files, Device::Cuda(0)).expect("it is sound");
    assert_ne!(on_gpu.engine, ENGINE, "a certificate of the CPU says nothing about a GPU");
    assert_eq!(Identity { engine: ENGINE.to_owned(), ..on_gpu }, identity);
    load_weights(&tiny.files, 64, 1, Device::Cpu).expect("it is sound");
}

#[test]
fn each_part_of_the_identity_has_its_own_digest() {
    let base = identify(&Tiny::new().write().files, Device::Cpu).expect("it is sound");
    let template = Tiny::new().set("tokenizer.chat_template", Value::String("{{ messages }}".into()));
    let other = identify(&template.write().files, Device::Cpu).expect("it is sound");
    assert_ne!(other.template, base.template);
    let bos = Tiny::new().set("tokenizer.ggml.bos_token_id", Value::U32(2));
    assert_ne!(identify(&bos.write().files, Device::Cpu).expect("it is sound").tokenizer, base.tokenizer);
    let warm = Tiny::new().set("general.sampling.temp", Value::F32(0.7));
    let warm = identify(&warm.write().files, Device::Cpu).expect("it is sound");
    assert_ne!(warm.generation_config, base.generation_config);
    assert_eq!((warm.template, warm.tokenizer), (base.template.clone(), base.tokenizer.clone()));
    let ends = Tiny::new().set("tokenizer.ggml.eos_token_id", Value::U32(1));
    let ends = identify(&ends.write().files, Device::Cpu).expect("it is sound");
    assert_ne!(ends.generation_config, base.generation_config);
    let mut overridden = Tiny::new().write();
    overridden.files.chat_template = Some("{{ messages }}".to_owned());
    let overridden = identify(&overridden.files, Device::Cpu).expect("it is sound");
    assert_eq!((overridden.template, overridden.tokenizer), (other.template, base.tokenizer));
}

#[test]
fn the_engine_names_the_candle_that_is_built_in() {
    let lock =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).expect("a lock file");
    let entry =
        lock.split("[[package]]").find(|entry| entry.contains("name = \"candle-core\"")).expect("it is built in");
    let version = entry.split('"').nth(3).expect("it has a version");
    for named in [ENGINE, crate::embed::ENGINE, &engine(Device::Cuda(0))] {
        let said = named.split_once(" candle ").and_then(|(_, rest)| rest.split(' ').next());
        assert_eq!(said, Some(version), "{named}");
    }
}

#[test]
fn what_a_file_lacks_is_named() {
    for layer_part in ["token_embd.weight", "output_norm.weight", "blk.1.ffn_down.weight"] {
        let found = fault(&Tiny::new().without(layer_part).write().files);
        assert!(matches!(&found, LoadFault::MissingTensor(name) if name == layer_part), "{found}");
    }
    for key in ["general.architecture", "llama.block_count", "llama.rope.dimension_count"] {
        let found = fault(&Tiny::new().without(key).write().files);
        assert!(matches!(&found, LoadFault::MissingMetadata(name) if name == key), "{found}");
    }
    assert!(matches!(fault(&Tiny::new().without("tokenizer.chat_template").write().files), LoadFault::NoTemplate));
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    let arch = Tiny::new().set("general.architecture", Value::String("mamba".into()));
    assert!(matches!(fault(&arch.write().files), LoadFault::UnknownArchitecture { found } if found == "mamba"));
    let mut family = Tiny::new().write();
    family.files.family = Family::Qwen2;
    assert!(matches!(fault(&family.files), LoadFault::WrongFamily { .. }));
    let experts = Tiny::new().set("llama.expert_count", Value::U32(8));
    assert!(matches!(fault(&experts.write().files), LoadFault::Unsupported(_)));
    for (key, value) in [
        ("llama.attention.head_count", 0),
        ("llama.attention.head_count", 5),
        ("llama.attention.head_count_kv", 3),
        ("llama.block_count", u32::MAX),
        ("llama.rope.dimension_count", 7),
    ] {
        let found = fault(&Tiny::new().set(key, Value::U32(value)).write().files);
        assert!(
            matches!(&found, LoadFault::BadMetadata { key: named, .. } if named == key),
            "{key} = {value}: {found}"
        );
    }
    let wide = Tiny::new().set("llama.feed_forward_length", Value::U32(65));
    assert!(matches!(fault(&wide.write().files), LoadFault::BadTensor { .. }));
}

#[test]
fn files_that_are_no_models_are_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("weights.gguf");
    assert!(matches!(fault(&files(path.clone())), LoadFault::Io(_)), "a missing file");
    for content in [&b""[..], b"GG", b"<html>not found</html>"] {
        std::fs::write(&path, content).expect("it is written");
        assert!(matches!(fault(&files(path.clone())), LoadFault::NotGguf));
    }
    assert!(matches!(parse(b"GGUF\x00\x00\x00\x03rest of it"), Err(LoadFault::Version(_))), "big-endian");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = bytes_of(&Tiny::new());
    // The last tensor's padding is no part of it.
    for length in (4..whole.len() - 32).step_by(97) {
        let cut = parse(&whole[..length]);
        assert!(matches!(cut, Err(LoadFault::Truncated { .. })), "cut at {length} of {}", whole.len());
    }
}

#[test]
fn absurd_sizes_are_refused_without_being_believed() {
    let header = |tensors: u64, entries: u64, rest: &[u8]| {
        let counts =
            [3u32.to_le_bytes().to_vec(), tensors.to_le_bytes().to_vec(), entries.to_le_bytes().to_vec()].concat();
        parse(&[b"GGUF", counts.as_slice(), rest].concat())
    };
    let huge = u64::MAX.to_le_bytes();
    assert!(matches!(header(u64::MAX, 0, &[]), Err(LoadFault::Absurd { .. })), "tensors");
    assert!(matches!(header(60_000, 0, &[]), Err(LoadFault::Truncated { .. })), "tensors that do not fit");
    assert!(matches!(header(0, u64::MAX, &[]), Err(LoadFault::Absurd { .. })), "entries");
    assert!(matches!(header(0, 1, &[&huge[..], &[0; 16]].concat()), Err(LoadFault::Absurd { .. })), "a string");
    let key = [1u64.to_le_bytes().as_slice(), b"k"].concat();
    let array = |kind: u32, count: u64| {
        [&key[..], &9u32.to_le_bytes(), &kind.to_le_bytes(), &count.to_le_bytes(), &[0; 64]].concat()
    };
    assert!(matches!(header(0, 1, &array(0, u64::MAX)), Err(LoadFault::Absurd { .. })), "an array");
    assert!(matches!(header(0, 1, &array(8, 1 << 20)), Err(LoadFault::Truncated { .. })), "an array that does not fit");
    assert!(matches!(header(0, 1, &array(9, 1)), Err(LoadFault::BadMetadata { .. })), "an array of arrays");
    let tensor = |dims: &[u64], offset: u64| {
        let dims_bytes: Vec<u8> = dims.iter().flat_map(|dim| dim.to_le_bytes()).collect();
        let count = (dims.len() as u32).to_le_bytes();
        [&key[..], &count, &dims_bytes, &0u32.to_le_bytes(), &offset.to_le_bytes(), &[0; 256]].concat()
    };
    assert!(header(1, 0, &tensor(&[8, 4], 0)).is_ok());
    assert!(matches!(header(1, 0, &tensor(&[1 << 40], 0)), Err(LoadFault::Absurd { .. })), "a side");
    assert!(matches!(header(1, 0, &tensor(&[1000; 4], 0)), Err(LoadFault::Truncated { .. })), "a tensor");
    assert!(matches!(header(1, 0, &tensor(&[8], u64::MAX - 8)), Err(LoadFault::Truncated { .. })), "an offset");
    assert!(matches!(header(1, 0, &tensor(&[1; 5], 0)), Err(LoadFault::Absurd { .. })), "dimensions");
}

proptest! {
    #[test]
    fn no_damage_makes_the_reader_panic(damage in prop::collection::vec((0usize..4000, any::<u8>()), 1..8)) {
        static WHOLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| bytes_of(&Tiny::new()));
        let mut bytes = WHOLE.clone();
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        // Damage may well be harmless; what matters is that it is told from harm without a panic.
        if let Ok(header) = parse(&bytes)
            && let Ok(shape) = Shape::of_gguf(&header, Family::Llama)
        {
            let _ = arch::check(&header.tensors(Path::new("tiny.gguf")), &shape);
        }
    }
}
