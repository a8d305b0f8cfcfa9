//! The gate with the real default model: whole, it passes; damaged, it fails.
//!
//! Run with the weights' path in `BACKSTOP_TEST_GGUF`: `cargo test --release -p backstop-eval --test real_model -- --ignored`.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use backstop_eval::{
    report::{Report, Verdict},
    run::{RunOptions, Silent, run},
    sha256_hex,
    subject::LocalSubject,
    suite::Suite,
};
use backstop_models::{
    engine::{Engine, EngineOptions},
    files::{Capabilities, Family, ModelFiles},
};

/// Another model's way to write a conversation, and no sign where the answer begins.
const WRONG_TEMPLATE: &str =
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}";

fn weights() -> PathBuf {
    PathBuf::from(std::env::var_os("BACKSTOP_TEST_GGUF").expect("BACKSTOP_TEST_GGUF names a GGUF file"))
}

fn files(weights: &Path) -> ModelFiles {
    ModelFiles {
        id: "smollm2-135m-instruct".into(),
        family: Family::Llama,
        weights: weights.to_owned(),
        weights_sha256: sha256_hex(&fs::read(weights).expect("the weights can be read")),
        checkpoint: None,
        tokenizer: None,
        chat_template: None,
        context_tokens: 8192,
        capabilities: Capabilities::default(),
    }
}

async fn examined(files: ModelFiles) -> Report {
    let options = EngineOptions { queue: 1, ..EngineOptions::default() };
    let engine =
        tokio::task::spawn_blocking(move || Engine::start(files, options)).await.expect("no panic").expect("a model");
    let suite = Suite::find("stage2-continuity", Path::new("/nonexistent")).expect("it is built in");
    let report = run(&suite, &LocalSubject::new(engine), RunOptions::default(), &Silent).await;
    for gate in &report.gates {
        println!("{}", gate.describe());
    }
    for item in report.items.iter().filter(|item| item.scores.values().any(|score| !score.passed)) {
        println!("{}: {:?} {:?}", item.id, item.scores, item.answers);
    }
    println!("{} in {}", report.verdict, report.finished_at - report.started_at);
    report
}

#[tokio::test]
#[ignore = "needs BACKSTOP_TEST_GGUF"]
async fn the_default_model_passes_with_room_to_spare() {
    let report = examined(files(&weights())).await;
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", report.why);
    let sense = report.gates.iter().find(|gate| gate.id == "sense").expect("there is such a gate");
    assert!(sense.k + 2 >= sense.n, "{sense:?}");
}

#[tokio::test]
#[ignore = "needs BACKSTOP_TEST_GGUF"]
async fn zeroed_weights_fail() {
    let damaged = tempfile::NamedTempFile::new().expect("a file");
    fs::copy(weights(), damaged.path()).expect("copied");
    let mut file = fs::OpenOptions::new().read(true).write(true).open(damaged.path()).expect("opened");
    // Two megabytes inside the layers' tensors, far behind the metadata.
    let middle = file.metadata().expect("it is there").len() * 2 / 3;
    file.seek(SeekFrom::Start(middle)).expect("in the file");
    file.write_all(&vec![0; 2 << 20]).expect("written");
    drop(file);
    let report = examined(files(damaged.path())).await;
    assert_eq!(report.verdict, Verdict::Fail);
}

#[tokio::test]
#[ignore = "needs BACKSTOP_TEST_GGUF"]
async fn swapped_weights_fail() {
    let damaged = tempfile::NamedTempFile::new().expect("a file");
    fs::copy(weights(), damaged.path()).expect("copied");
    let mut file = fs::OpenOptions::new().read(true).write(true).open(damaged.path()).expect("opened");
    let length = file.metadata().expect("it is there").len();
    let mut early = vec![0; 4 << 20];
    file.seek(SeekFrom::Start(length / 2)).expect("in the file");
    file.read_exact(&mut early).expect("read");
    file.seek(SeekFrom::Start(length * 3 / 4)).expect("in the file");
    file.write_all(&early).expect("written");
    drop(file);
    let report = examined(files(damaged.path())).await;
    assert_eq!(report.verdict, Verdict::Fail);
}

#[tokio::test]
#[ignore = "needs BACKSTOP_TEST_GGUF"]
async fn a_wrong_template_fails() {
    let wrong = ModelFiles { chat_template: Some(WRONG_TEMPLATE.into()), ..files(&weights()) };
    let report = examined(wrong).await;
    assert_eq!(report.verdict, Verdict::Fail);
}
