//! The gate: without a certificate for exactly these bytes the local model is not attempted.

use std::{fs, os::unix::fs::FileExt as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    client::question,
    config::{Config, PATIENT},
    home::Home,
    prepared::{self, MODEL, TARGET},
    vendor::{Reply, Vendor},
};

async fn ladder() -> (Vendor, String) {
    let broken = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let config = Config::strict()
        .vendor("first", "openai", &broken.url())
        .route_with("chat", &["first/a", TARGET], &format!("criticality: critical, deadlines: {PATIENT}"))
        .text();
    (broken, config)
}

/// The vendor is down and the local model is left out: nobody answers, and everything says why.
async fn is_not_attempted(home: &Home, why: &str) {
    let gateway = home.serve();
    let answer = gateway.client().chat(&question("chat", "Say hello.")).await.expect(503);
    answer.openai_error();
    assert_eq!(answer.header("x-backstop-served-by"), None, "{why}");
    let ready = gateway.client().get("/readyz").await;
    assert!(ready.body.contains(TARGET), "{why}: /readyz says what is left out: {}", ready.body);
    let log = gateway.stop();
    assert!(log.contains(MODEL), "{why}: the log says so: {log}");
    let said = home.run(&["check"]).expect_failure();
    assert!(said.contains(MODEL), "{why}: check fails on it: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_certified_model_is_attempted_and_check_is_content() {
    let _turn = prepared::turn().await;
    let (_broken, config) = ladder().await;
    let home = prepared::home(&config);
    home.ok(&["check"]);
    let gateway = home.serve();
    let mut body = question("chat", "Say hello.");
    body["max_tokens"] = json!(4);
    let answer = gateway.client().chat(&body).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), TARGET);
    assert_eq!(answer.header("x-backstop-caution"), None);
    gateway.client().get("/readyz").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_any_certificate_it_is_not_attempted() {
    let (_broken, config) = ladder().await;
    let home = prepared::home(&config);
    fs::remove_dir_all(home.state().join("eval")).expect("the certificates are there");
    is_not_attempted(&home, "no certificate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_changed_byte_of_the_weights_ends_it() {
    let (_broken, config) = ladder().await;
    let home = prepared::home(&config);
    let weights = prepared::own_weights(&home);
    let file = fs::File::options().read(true).write(true).open(&weights).expect("a file of our own");
    let (mut byte, middle) = ([0], file.metadata().expect("a file").len() / 2);
    file.read_exact_at(&mut byte, middle).expect("a long file");
    file.write_all_at(&[byte[0] ^ 1], middle).expect("a file of our own");
    is_not_attempted(&home, "changed weights").await;
    let said = home.run(&["models", "verify", MODEL]).expect_failure();
    assert!(said.contains(MODEL), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_changed_template_ends_it() {
    let (_broken, config) = ladder().await;
    let home = prepared::home(&config);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/catalog").join(format!("{MODEL}.toml"));
    let manifest = fs::read_to_string(manifest).expect("the built-in manifest");
    let template = "chat_template = \"{% for m in messages %}{{ m.content }} {% endfor %}\"\n";
    let catalog = home.state().join("catalog");
    fs::create_dir_all(&catalog).expect("the state directory can be written");
    fs::write(catalog.join(format!("{MODEL}.toml")), format!("{template}{manifest}")).expect("likewise");
    is_not_attempted(&home, "changed template").await;
}

/// In a file that the catalog knows, so that nothing but the certificate is against it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_generation_config_ends_it_until_the_old_one_is_back() {
    let (_broken, config) = ladder().await;
    let home = prepared::home(&config);
    let shown = home.ok(&["eval", "certs", "--json"]);
    let certs: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let file = certs[0]["file"].as_str().expect("a path");
    let envelope: serde_json::Value = serde_json::from_slice(&fs::read(file).expect("it is there")).expect("JSON");
    let payload = STANDARD.decode(envelope["payload"].as_str().expect("a text")).expect("base64");
    let statement: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
    let subjects = statement["subject"].as_array().expect("a list");
    assert!(subjects.iter().any(|subject| subject["name"] == "generation-config"), "{subjects:?}");
    let weights = prepared::own_weights(&home);
    let good = fs::read(&weights).expect("a file of our own");
    let key = b"tokenizer.ggml.eos_token_id";
    let at = good.windows(key.len()).position(|bytes| bytes == key).expect("it says which token ends an answer");
    let mut changed = good.clone();
    // Behind the key stands the type, in four bytes.
    changed[at + key.len() + 4] ^= 3;
    fs::write(&weights, &changed).expect("a file of our own");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/catalog").join(format!("{MODEL}.toml"));
    let manifest = fs::read_to_string(manifest).expect("the built-in manifest");
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    assert!(manifest.contains(&digest(&good)));
    let own = home.state().join("catalog").join(format!("{MODEL}.toml"));
    fs::create_dir_all(home.state().join("catalog")).expect("the state directory can be written");
    fs::write(&own, manifest.replace(&digest(&good), &digest(&changed))).expect("likewise");
    let said = home.run(&["check"]).expect_failure();
    assert!(said.contains("the generation config's digest differs: certified "), "{said}");
    is_not_attempted(&home, "changed generation config").await;
    fs::write(&weights, &good).expect("a file of our own");
    fs::remove_file(&own).expect("likewise");
    home.ok(&["check"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_changed_suite_ends_it() {
    let (_broken, config) = ladder().await;
    let home = prepared::home(&config);
    let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("eval/suites");
    let own = home.state().join("suites");
    fs::create_dir_all(&own).expect("the state directory can be written");
    let mut changed = 0;
    for entry in fs::read_dir(&suites).expect("the stored suites") {
        let path = entry.expect("a readable directory").path();
        let name = path.file_name().expect("a file has a name");
        if name.to_string_lossy().starts_with("stage2-continuity") && path.is_file() {
            let mut text = fs::read_to_string(&path).expect("a suite is text");
            if path.extension().is_some_and(|extension| extension == "yaml") {
                text.push('\n');
                changed += 1;
            }
            fs::write(own.join(name), text).expect("likewise");
        }
    }
    assert!(changed > 0, "the suite `stage2-continuity` is among the stored ones");
    is_not_attempted(&home, "changed suite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn in_warn_mode_it_is_attempted_and_says_so() {
    let _turn = prepared::turn().await;
    let (_broken, config) = ladder().await;
    let home = prepared::home(&config.replace("enforcement: strict", "enforcement: warn"));
    fs::remove_dir_all(home.state().join("eval")).expect("the certificates are there");
    let gateway = home.serve();
    let mut body = question("chat", "Say hello.");
    body["max_tokens"] = json!(4);
    let answer = gateway.client().chat(&body).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), TARGET);
    answer.expect_header("x-backstop-caution");
    assert!(gateway.client().get("/readyz").await.expect(200).body.contains(TARGET));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_that_adds_an_uncertified_fallback_is_refused() {
    let (_broken, config) = ladder().await;
    let home = Home::new(&config.replace(&format!(", {TARGET}"), "").replace("chat:", "other:"));
    let gateway = home.serve();
    home.configure(&config);
    gateway.signal("HUP");
    gateway.logged(TARGET).await;
    let answer = gateway.client().chat(&question("chat", "Say hello.")).await;
    assert_eq!(answer.status, 404, "the last good config is in force, without the route: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_suite_can_fail() {
    let _turn = prepared::turn().await;
    let wrong = Vendor::openai(super::vendor::Say::Text("I would rather talk about the weather.")).await;
    let config = Config::warn().vendor("wrong", "openai", &wrong.url()).route("chat", &["wrong/a"]);
    let home = Home::new(&config.text());
    let ran = home.run(&["eval", "run", "--suite", "stage2-continuity", "--target", "wrong/a", "--certify"]);
    assert_eq!(ran.code, Some(10), "{}", ran.said());
    assert!(!wrong.seen().is_empty());
    let certificates = home.run(&["eval", "certs", "--json"]);
    assert!(!certificates.stdout.contains("wrong/a"), "a failed run certifies nothing: {}", certificates.stdout);
}
