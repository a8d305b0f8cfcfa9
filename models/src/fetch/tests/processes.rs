//! What needs a process of its own: the environment, two processes at once, a full disk.
//!
//! The test binary starts itself again, with the environment set for the child alone.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use super::{Answer, FakeHub, HUB_SOURCE, ModelStore, Silent, manifest, weights};

const CHILD: &str = "fetch::tests::processes::a_child_that_pulls";

/// The child: pulls into the store that it is told, as its environment says.
#[test]
#[ignore = "run as a child process by the tests beside it"]
fn a_child_that_pulls() {
    let models = env::var_os("BACKSTOP_TEST_MODELS").expect("the parent test sets it");
    match ModelStore::new(models).pull(&manifest(HUB_SOURCE), &Silent) {
        Ok(files) => println!("pulled {}", files.weights.display()),
        Err(error) => println!("failed {error}"),
    }
}

fn pull_in_child(models: &Path, environment: &[(&str, &str)]) -> Child {
    start(Command::new(env::current_exe().unwrap()), models, environment)
}

fn start(mut command: Command, models: &Path, environment: &[(&str, &str)]) -> Child {
    command
        .args(["--exact", CHILD, "--ignored", "--nocapture", "--test-threads=1"])
        .env_remove("HF_HUB_OFFLINE")
        .env("BACKSTOP_TEST_MODELS", models)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(output: Output) -> String {
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_hubs_own_environment_variables_count() {
    let hub = FakeHub::start(weights(), &[Answer::Whole]);
    let dir = tempfile::tempdir().unwrap();
    let (models, home) = (dir.path().join("models"), dir.path().join("hf"));
    let home = home.to_str().unwrap();

    let offline = [("HF_ENDPOINT", hub.url.as_str()), ("HF_HOME", home), ("HF_HUB_OFFLINE", "1")];
    let answer = said(pull_in_child(&models, &offline).wait_with_output().unwrap());
    assert!(answer.contains("HF_HUB_OFFLINE is set"), "{answer}");
    assert!(hub.seen().is_empty());

    let slash = format!("{}/", hub.url);
    let online = [("HF_ENDPOINT", slash.as_str()), ("HF_HOME", home)];
    let answer = said(pull_in_child(&models, &online).wait_with_output().unwrap());
    assert!(answer.contains("pulled "), "{answer}");
    assert!(hub.seen()[0].path.starts_with("/own/er/resolve/"));
    assert!(Path::new(home).join("hub/models--own--er/blobs").is_dir());

    fs::remove_dir_all(&models).unwrap();
    let answer = said(pull_in_child(&models, &offline).wait_with_output().unwrap());
    assert!(answer.contains("pulled "), "{answer}");
    assert_eq!(hub.seen().len(), 1);
}

#[test]
fn processes_with_one_store_and_with_one_hub_cache_download_once() {
    let hub = FakeHub::start(weights(), &[Answer::Whole]);
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("hf");
    let environment = [("HF_ENDPOINT", hub.url.as_str()), ("HF_HOME", home.to_str().unwrap())];
    let children = ["one", "one", "two"].map(|store| pull_in_child(&dir.path().join(store), &environment));
    for child in children {
        let answer = said(child.wait_with_output().unwrap());
        assert!(answer.contains("pulled "), "{answer}");
    }
    for store in ["one", "two"] {
        assert_eq!(fs::read(dir.path().join(store).join("tiny/w.gguf")).unwrap(), weights());
    }
    assert_eq!(hub.seen().len(), 1);
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing_that_counts() {
    let hub = FakeHub::start(weights(), &[Answer::Whole]);
    let dir = tempfile::tempdir().unwrap();
    let (models, home) = (dir.path().join("models"), dir.path().join("hf"));
    // A limit on a file's size ends a write as a full disk does, and needs no disk.
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 64; exec "$0" "$@""#]).arg(env::current_exe().unwrap());
    let environment = [("HF_ENDPOINT", hub.url.as_str()), ("HF_HOME", home.to_str().unwrap())];
    let answer = said(start(limited, &models, &environment).wait_with_output().unwrap());
    assert!(answer.contains("no space left") && answer.contains("300000 bytes are needed"), "{answer}");

    let blobs = fs::read_dir(home.join("hub/models--own--er/blobs")).unwrap();
    let left: Vec<_> = blobs.map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.extension().is_some_and(|extension| extension == "lock")), "{left:?}");
    assert!(!models.join("tiny/w.gguf").exists());
}
