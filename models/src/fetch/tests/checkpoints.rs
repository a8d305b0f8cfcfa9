//! A model of several files: pulled, verified and described as one.

use std::{fmt::Write as _, fs, path::Path};

use super::{FetchError, Machine, Silent};
use crate::{
    catalog::Manifest,
    device::Device,
    load::{identify, tiny::TinyCheckpoint},
    verify::Digest,
};

/// A manifest of the files that lie here.
fn manifest(files: &crate::files::ModelFiles) -> Manifest {
    let checkpoint = files.checkpoint.as_ref().unwrap();
    let mut text = r#"
id = "tiny"
name = "Tiny"
family = "llama"
license = "MIT"
context_tokens = 128
"#
    .to_owned();
    let mut table = |table: &str, path: &Path| {
        let bytes = fs::read(path).unwrap();
        let (name, sha256) = (path.file_name().unwrap().to_str().unwrap(), Digest::of(bytes.as_slice()).unwrap());
        let (length, path) = (bytes.len(), path.display());
        writeln!(text, "{table}\nfile = \"{name}\"\nsha256 = \"{sha256}\"\nbytes = {length}").unwrap();
        writeln!(text, "source = [{{ kind = \"file\", path = \"{path}\" }}]").unwrap();
    };
    table("[weights]", &files.weights);
    checkpoint.shards.iter().for_each(|shard| table("[[shard]]", shard));
    table("[index]", checkpoint.index.as_deref().unwrap());
    table("[config]", &checkpoint.config);
    table("[generation_config]", checkpoint.generation_config.as_deref().unwrap());
    table("[tokenizer]", files.tokenizer.as_deref().unwrap());
    table("[tokenizer_config]", checkpoint.tokenizer_config.as_deref().unwrap());
    Manifest::parse(&text, Path::new("tiny.toml")).unwrap()
}

#[test]
fn a_checkpoint_is_pulled_verified_and_named_by_all_of_its_files() {
    let machine = Machine::with_hub("http://127.0.0.1:9");
    let written = TinyCheckpoint::new().write_shards(3);
    let manifest = manifest(&written.files);
    let pulled = machine.store.pull(&manifest, &Silent).unwrap();
    assert_eq!(pulled.weight_files().count(), 3);
    assert_eq!(pulled.paths().count(), 8, "index, three JSON files and the tokenizer beside the weights");
    assert_eq!(machine.store.open(&manifest).unwrap(), pulled);
    let identity = identify(&pulled, Device::Cpu).unwrap();

    // Other weights are another model, though header and config are the same.
    let other_machine = Machine::with_hub("http://127.0.0.1:9");
    let other = TinyCheckpoint::new().with("model.norm.weight", &[32]).write_shards(3);
    let other = other_machine.store.pull(&self::manifest(&other.files), &Silent).unwrap();
    assert_ne!(identify(&other, Device::Cpu).unwrap().weights, identity.weights);

    let shard = machine.path("models/tiny/model-00003-of-00003.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::remove_file(&shard).unwrap();
    fs::write(&shard, bytes).unwrap();
    assert!(matches!(machine.store.open(&manifest), Err(FetchError::Damaged { .. })));
    let again = machine.store.pull(&manifest, &Silent).unwrap();
    assert_eq!(identify(&again, Device::Cpu).unwrap(), identity);
}
