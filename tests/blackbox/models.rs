//! Models as files: a hub on loopback, digests that do not match, and GGUF files that are not what they say.

use std::{fs, path::Path};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    client::question,
    config::Config,
    home::Home,
    vendor::{Reply, Say, Seen, Vendor},
};

const REPO: &str = "acme/tiny-gguf";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Puts a manifest for `bytes` into the home's own catalog, with one source.
fn manifest(home: &Home, id: &str, bytes: &[u8], digest: &str, source: &str) {
    let catalog = home.state().join("catalog");
    fs::create_dir_all(&catalog).expect("the state directory can be written");
    let text = format!(
        "id = \"{id}\"\nname = \"A test's own\"\nfamily = \"llama\"\nlicense = \"Apache-2.0\"\ncontext_tokens = 512\n\
         [weights]\nfile = \"{id}.gguf\"\nsha256 = \"{digest}\"\nbytes = {}\n[[weights.source]]\n{source}\n",
        bytes.len()
    );
    fs::write(catalog.join(format!("{id}.toml")), text).expect("the state directory can be written");
}

/// The same, with the bytes in a file of this machine.
fn on_disk(home: &Home, id: &str, bytes: &[u8]) {
    let path = home.path().join(format!("{id}.source"));
    fs::write(&path, bytes).expect("the temporary directory can be written");
    manifest(home, id, bytes, &sha256(bytes), &format!("kind = \"file\"\npath = \"{}\"", path.display()));
}

/// A hub: metadata in the headers, and ranges.
fn hub(seen: &Seen, bytes: &[u8]) -> Reply {
    let wanted = format!("/{REPO}/resolve/{COMMIT}/tiny.gguf");
    if seen.path.split('?').next() != Some(wanted.as_str()) {
        return Reply::Whole { status: 404, headers: vec![], body: b"no such file".to_vec() };
    }
    let range = seen.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let (from, to) = range.map_or((0, bytes.len()), |(from, to)| {
        let end = to.parse::<usize>().map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
        (from.parse::<usize>().unwrap_or(0).min(end), end)
    });
    let headers = vec![
        ("etag", format!("\"{}\"", sha256(bytes))),
        ("x-repo-commit", COMMIT.to_owned()),
        ("x-linked-size", bytes.len().to_string()),
        ("accept-ranges", "bytes".to_owned()),
        ("content-range", format!("bytes {from}-{}/{}", to.saturating_sub(1), bytes.len())),
    ];
    Reply::Whole { status: if range.is_some() { 206 } else { 200 }, headers, body: bytes[from..to].to_vec() }
}

fn pulled(home: &Home, id: &str) -> bool {
    let models = home.json(&["models", "list"]);
    let row = models.as_array().expect("a list").iter().find(|row| row["id"] == id).cloned();
    row.unwrap_or_else(|| panic!("`{id}` is not in {models:#}"))["pulled"] == Value::Bool(true)
}

async fn pull(home: &Home, id: &str, endpoint: &str) -> super::home::Ran {
    let mut command = home.command(&["models", "pull", id]);
    command.env("HF_ENDPOINT", endpoint).env("HF_HOME", home.path().join("hf"));
    let ran = tokio::task::spawn_blocking(|| super::home::finish(command, "", std::time::Duration::from_secs(60)));
    ran.await.expect("the pull does not panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_model_is_pulled_from_a_hub_verified_and_removed() {
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let served = bytes.clone();
    let hub = Vendor::start(move |_, seen| hub(seen, &served)).await;
    let home = Home::new(&Config::warn().text());
    let source = format!("kind = \"hf\"\nrepo = \"{REPO}\"\nrevision = \"{COMMIT}\"\nfile = \"tiny.gguf\"");
    manifest(&home, "tiny", &bytes, &sha256(&bytes), &source);
    assert!(!pulled(&home, "tiny"));
    pull(&home, "tiny", &hub.url()).await.expect_success(&["models", "pull"]);
    assert!(pulled(&home, "tiny"));
    home.ok(&["models", "verify", "tiny"]);
    let asked = hub.seen_count();
    assert!(asked > 0);
    pull(&home, "tiny", &hub.url()).await.expect_success(&["models", "pull"]);
    assert_eq!(hub.seen_count(), asked, "what is here is not fetched again");
    home.ok(&["models", "rm", "tiny"]);
    assert!(!pulled(&home, "tiny"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_wrong_digest_is_told_and_nothing_is_kept() {
    let hub = Vendor::start(|_, seen| hub(seen, b"not what was promised")).await;
    let home = Home::new(&Config::warn().text());
    let source = format!("kind = \"hf\"\nrepo = \"{REPO}\"\nrevision = \"{COMMIT}\"\nfile = \"tiny.gguf\"");
    manifest(&home, "tiny", b"not what was promised", &sha256(b"what was promised"), &source);
    let said = pull(&home, "tiny", &hub.url()).await.expect_failure();
    assert!(said.to_lowercase().contains("sha-256") || said.contains("digest"), "{said}");
    assert!(!pulled(&home, "tiny"));
    assert!(said.contains(&sha256(b"what was promised")[..12]), "it says what was promised: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_pulls_at_once_do_no_harm() {
    let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let served = bytes.clone();
    let hub = Vendor::start(move |_, seen| hub(seen, &served)).await;
    let home = Home::new(&Config::warn().text());
    let source = format!("kind = \"hf\"\nrepo = \"{REPO}\"\nrevision = \"{COMMIT}\"\nfile = \"tiny.gguf\"");
    manifest(&home, "tiny", &bytes, &sha256(&bytes), &source);
    let url = hub.url();
    let (one, two) = tokio::join!(pull(&home, "tiny", &url), pull(&home, "tiny", &url));
    one.expect_success(&["models", "pull"]);
    two.expect_success(&["models", "pull"]);
    home.ok(&["models", "verify", "tiny"]);
}

/// A GGUF header: magic, version 3, and counts.
fn header(tensors: u64, pairs: u64) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(pairs.to_le_bytes());
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_bad_gguf_never_takes_the_gateway_down() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    // A key of 2^62 bytes; a string array of 2^60 strings; one tensor of absurd dimensions, of an unknown type.
    let mut long_key = header(0, 1);
    long_key.extend((1_u64 << 62).to_le_bytes());
    let mut long_array = header(0, 1);
    long_array.extend(1_u64.to_le_bytes());
    long_array.extend(b"a");
    long_array.extend(9_u32.to_le_bytes());
    long_array.extend(8_u32.to_le_bytes());
    long_array.extend((1_u64 << 60).to_le_bytes());
    let mut large_tensor = header(1, 0);
    large_tensor.extend(1_u64.to_le_bytes());
    large_tensor.extend(b"t");
    large_tensor.extend(4_u32.to_le_bytes());
    for _ in 0..4 {
        large_tensor.extend(u64::MAX.to_le_bytes());
    }
    large_tensor.extend(999_u32.to_le_bytes());
    large_tensor.extend(u64::MAX.to_le_bytes());
    let cases: [(&str, Vec<u8>); 7] = [
        ("cut-magic", b"GG".to_vec()),
        ("no-magic", vec![0; 4096]),
        ("cut-header", header(2, 2)[..12].to_vec()),
        ("absurd-counts", header(u64::MAX, u64::MAX)),
        ("long-key", long_key),
        ("long-array", long_array),
        ("large-tensor", large_tensor),
    ];
    let mut config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    for (id, _) in &cases {
        config = config.route(id, &["near/fake-1", &format!("local/{id}")]);
        config = config.route(&format!("only-{id}"), &[&format!("local/{id}")]);
    }
    let home = Home::new(&config.text());
    for (id, bytes) in &cases {
        on_disk(&home, id, bytes);
        let ran = home.run(&["models", "pull", id]);
        assert!(!ran.said().contains("panicked"), "{id}: {}", ran.said());
        let target = format!("local/{id}");
        home.run(&["eval", "run", "--suite", "stage2-continuity", "--target", &target]).expect_failure();
    }
    let gateway = home.serve();
    for (id, _) in &cases {
        gateway.client().chat(&question(id, "hi")).await.expect(200);
        let refused = gateway.client().chat(&question(&format!("only-{id}"), "hi")).await;
        assert!(refused.status >= 500, "{id}: {refused:?}");
        refused.openai_error();
    }
    let ready = gateway.client().get("/readyz").await;
    assert!(cases.iter().all(|(id, _)| ready.body.contains(id)), "{}", ready.body);
    assert!(gateway.resident() < 1 << 30, "an absurd size is not believed: {} MB", gateway.resident() >> 20);
    assert!(!gateway.stop().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn truncated_weights_are_told_apart_from_good_ones() {
    let home = super::prepared::home(&Config::warn().text());
    let weights = super::prepared::own_weights(&home);
    let bytes = fs::read(&weights).expect("the weights");
    // Whole header, half of the tensors: with a digest that fits, so that only reading it can tell.
    on_disk(&home, "half", &bytes[..bytes.len() / 2]);
    home.run(&["models", "pull", "half"]);
    let ran = home.run(&["eval", "run", "--suite", "stage2-continuity", "--target", "local/half"]);
    let said = ran.expect_failure();
    assert!(said.contains("half"), "{said}");
    // The very file that the store keeps, cut behind its back.
    let file = fs::File::options().write(true).open(&weights).expect("our own copy");
    file.set_len(bytes.len() as u64 / 2).expect("our own copy");
    home.run(&["models", "verify", super::prepared::MODEL]).expect_failure();
}

#[test]
fn an_unknown_model_is_told_with_the_nearest_name() {
    let home = Home::new(&Config::warn().text());
    let said = home.run(&["models", "pull", "smollm2-135m-instuct"]).expect_failure();
    assert!(said.contains(super::prepared::MODEL), "{said}");
    assert!(!Path::new(&home.state().join("models/smollm2-135m-instuct")).exists());
}
