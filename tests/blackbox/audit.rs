//! The audit log as an operator, an auditor and someone with something to hide meet it.

mod away;
mod kills;
mod published;
mod s3;
mod tampered;
mod witness;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};

use super::home::{Home, Ran, finish};

const CONFIG: &str = "vendors:\n  openai: { kind: openai }\ntenants:\n  acme: {}\n";
const CANARY: &str = "sk-canary-audit-4471-never-logged";

/// Puts all of the database into its one file, which then can be copied or put back. A verb that ends leaves its last writes beside it.
fn settle(home: &Home) {
    let database = home.state().join("backstop.db");
    let settling = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(&database);
            let mut connection = options.connect().await.expect("opens");
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.expect("nobody else has it open");
            connection.close().await.expect("closes");
        });
    });
    settling.join().expect("does not panic");
    for file in ["backstop.db-wal", "backstop.db-shm"] {
        let _ = fs::remove_file(home.state().join(file));
    }
}

/// The actions of the log, the first first.
fn actions(home: &Home) -> Vec<String> {
    let mut listed = entries(home, &[]);
    listed.reverse();
    listed.iter().map(|entry| entry["action"].as_str().expect("has one").to_owned()).collect()
}

fn entries(home: &Home, filter: &[&str]) -> Vec<Value> {
    let listed = home.json(&[&["audit", "list", "--limit", "100000"], filter].concat());
    listed.as_array().expect("a list").clone()
}

/// The verifier in another language. Everything it needs is in its arguments.
pub(crate) fn python(export: &Path, key: &str, more: &[&str]) -> Ran {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/audit/verify_export.py")).arg(export).arg(key).args(more);
    finish(command, "", std::time::Duration::from_secs(60))
}

pub(crate) fn exported(home: &Home, name: &str) -> PathBuf {
    let path = home.path().join(name);
    home.ok(&["audit", "export", "--out", path.to_str().expect("is text")]);
    path
}

fn offline(export: &Path, key: &str, more: &[&str]) -> Ran {
    let export = export.to_str().expect("is text");
    // Somewhere else: nothing of the installation may be needed.
    let elsewhere = Home::without_config();
    let ran = elsewhere.run(&[&["audit", "verify", "--export", export, "--public-key", key], more].concat());
    assert!(!elsewhere.state().exists(), "verifying offline made a state directory");
    ran
}

#[test]
fn every_act_is_an_entry_with_its_actor_and_without_its_secret() {
    let home = Home::new(CONFIG);
    home.secret("openai", CANARY);
    home.run_with(&["vault", "rotate", "openai"], CANARY).expect_success(&["rotate"]);
    home.ok(&["vault", "rm", "openai"]);
    home.run(&["vault", "rm", "openai"]).expect_failure();
    home.ok(&["tenants", "add", "initech"]);
    home.run(&["tenants", "add", "initech"]).expect_failure();
    home.ok(&["tenants", "limit", "initech", "--rpm", "60"]);
    let key = home.key();
    let id = home.json(&["keys", "list"])[0]["key_id"].as_str().expect("has an id").to_owned();
    home.ok(&["keys", "rotate", &id]);
    home.run(&["models", "rm", "no-such-model"]).expect_failure();
    home.ok(&["models", "rm", "smollm2-135m-instruct"]);
    let mut said = actions(&home);
    said.retain(|action| action != "audit.key");
    assert_eq!(
        said,
        [
            "vault.set",
            "vault.rotate",
            "vault.remove",
            "vault.remove",
            "vault.remove",
            "tenant.add",
            "tenant.limit",
            "key.issue",
            "key.rotate",
            "model.remove"
        ]
    );
    let removed = entries(&home, &["--action", "vault.remove"]);
    assert_eq!((&removed[0]["stage"], &removed[0]["of"]), (&"failed".into(), &removed[1]["id"]));
    assert!(removed[0]["reason"].as_str().is_some_and(|why| why.contains("no secret")), "{}", removed[0]);
    let limited = &entries(&home, &["--object", "initech", "--action", "tenant.limit"])[0];
    assert_eq!((&limited["before"]["rpm"], &limited["after"]["rpm"]), (&Value::Null, &60.into()));
    assert_eq!(limited["actor"]["kind"], "os_user");
    let me = limited["known"]["actor.name"].as_str().expect("the test runs as someone").to_owned();
    assert!(entries(&home, &["--actor", &me]).len() >= 10);
    assert_eq!(entries(&home, &["--actor", "nobody-of-that-name"]), Vec::<Value>::new());
    assert_eq!(entries(&home, &["--since", "1h", "--action", "key"]).len(), 2);
    let shown = home.ok(&["audit", "show", &limited["seq"].to_string()]);
    assert!(shown.contains("action: tenant.limit") && shown.contains(&me), "{shown}");
    home.run(&["audit", "show", "99"]).expect_failure();
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: 11 entries"));
    let export = exported(&home, "export.jsonl");
    let text = fs::read_to_string(&export).expect("reads");
    assert!(!text.contains("canary") && !text.contains(&key[14..]), "a secret is in the log");
    assert!(!text.contains(&format!("\"{me}\"")), "a name is in an export that was asked for none");
}

#[test]
fn an_export_is_verified_offline_and_in_another_language() {
    let home = Home::new(CONFIG);
    for number in 0..6 {
        home.ok(&["tenants", "add", &format!("tenant-{number}")]);
    }
    let key = home.ok(&["audit", "key"]).trim().to_owned();
    let older = home.path().join("older.checkpoint");
    fs::copy(home.state().join("audit/checkpoint"), &older).expect("is signed after each act");
    for number in 6..13 {
        home.ok(&["tenants", "add", &format!("tenant-{number}")]);
    }
    let (inclusion, consistency) = (home.path().join("5.tlog-proof"), home.path().join("from-3"));
    fs::write(&inclusion, home.ok(&["audit", "prove", "5"])).expect("writes");
    fs::write(&consistency, home.ok(&["audit", "prove", "--from", "3"])).expect("writes");
    let export = exported(&home, "export.jsonl");
    let path = |path: &PathBuf| path.to_str().expect("is text").to_owned();
    let (older, inclusion, consistency) = (path(&older), path(&inclusion), path(&consistency));
    let whole = offline(&export, &key, &["--checkpoint", &older]).expect_success(&["verify"]);
    let proofs = ["--checkpoint", &older, "--inclusion", &inclusion, "--consistency", &consistency];
    let again = python(&export, &key, &proofs).expect_success(&["verify_export.py"]);
    let first_line = |text: &str| text.split(';').next().map(|text| text.trim().to_owned());
    assert_eq!(first_line(&whole), first_line(&again), "both name the same root");

    let text = fs::read_to_string(&export).expect("reads");
    let lines: Vec<&str> = text.lines().collect();
    let cases = [
        (text.replace("tenant-4", "tenant-X"), "entry 5:"),
        ([&lines[..3], &lines[4..], &[""]].concat().join("\n"), "entry 2:"),
        ([&lines[..lines.len() - 2], &lines[lines.len() - 1..], &[""]].concat().join("\n"), "entry 13:"),
    ];
    for (changed, place) in cases {
        let file = home.path().join("changed.jsonl");
        fs::write(&file, changed).expect("writes");
        let ran = offline(&file, &key, &[]);
        assert_eq!((ran.code, ran.stdout.contains("WRONG")), (Some(1), true), "{ran:?}");
        if place != "entry 13:" {
            assert!(ran.stdout.contains(place), "{ran:?}");
        }
        let ran = python(&file, &key, &[]);
        assert_eq!((ran.code, ran.stdout.contains(place)), (Some(1), true), "{ran:?}");
    }
    // Another installation's key, and its export under this one's checkpoint.
    let other = Home::new(CONFIG);
    other.key();
    let (others, other_key) = (exported(&other, "other.jsonl"), other.ok(&["audit", "key"]).trim().to_owned());
    for (export, key, more) in [
        (&export, other_key.as_str(), vec![]),
        (&others, key.as_str(), vec![]),
        (&others, other_key.as_str(), vec!["--checkpoint", older.as_str()]),
    ] {
        assert_eq!(offline(export, key, &more).code, Some(1));
        assert_eq!(python(export, key, &more).code, Some(1));
    }
    assert_eq!(offline(&export, "nonsense", &[]).code, Some(1));
    assert_eq!(home.run(&["audit", "prove"]).code, Some(2));
    home.run(&["audit", "prove", "99"]).expect_failure();
    home.run(&["audit", "prove", "--from", "99"]).expect_failure();
}

#[test]
fn a_forgotten_person_is_gone_and_the_log_still_verifies() {
    let home = Home::new(CONFIG);
    home.key();
    let me = entries(&home, &[])[0]["known"]["actor.name"].as_str().map(str::to_owned);
    let me = me.or_else(|| entries(&home, &["--action", "key"])[0]["known"]["actor.name"].as_str().map(str::to_owned));
    let me = me.expect("the test runs as someone");
    let with_names = home.path().join("names.jsonl");
    home.ok(&["audit", "export", "--personal", "--out", with_names.to_str().expect("is text")]);
    let key = home.ok(&["audit", "key"]).trim().to_owned();
    assert!(fs::read_to_string(&with_names).expect("reads").contains(&format!("\"value\":\"{me}\"")));
    python(&with_names, &key, &[]).expect_success(&["verify_export.py"]);
    assert_eq!(entries(&home, &["--action", "audit.export"]).len(), 1);

    let said = home.run(&["audit", "forget", &me, "--reason", &format!("{me} has left")]).expect_failure();
    assert!(said.contains("kept for ever"), "{said}");
    home.ok(&["audit", "forget", &me, "--reason", "has left"]);
    let listed = home.ok(&["audit", "list"]);
    assert!(listed.contains("os_user (forgotten)") && listed.contains("audit.forget"), "{listed}");
    let forgets = entries(&home, &["--action", "audit.forget"]);
    assert!(forgets[0]["after"]["values_erased"].as_u64().is_some_and(|values| values >= 2), "{forgets:?}");
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: "));
    offline(&exported(&home, "after.jsonl"), &key, &[]).expect_success(&["verify"]);
    home.run(&["audit", "forget", "nobody-of-that-name"]).expect_failure();
}
