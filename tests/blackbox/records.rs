//! What is kept beside the calls themselves: secrets, tenants, client keys, and the verbs that show them and usage.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::home::Home;

const CANARY: &str = "sk-canary-0b77-never-in-clear-41c2";
/// Names the tenant that [`Home::key`] wants, and a vendor whose secret is looked for.
const CONFIG: &str = "vendors:\n  openai: { kind: openai }\ntenants:\n  acme: {}\n";

/// Every file under `path`, with its mode and bytes.
fn files(path: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).expect("the directory can be read") {
        let path = entry.expect("the directory can be read").path();
        let data = fs::metadata(&path).expect("the file is there");
        if data.is_dir() {
            assert_eq!(data.permissions().mode() & 0o077, 0, "{path:?}");
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).expect("the file can be read");
            found.push((path.display().to_string(), data.permissions().mode() & 0o777, bytes));
        }
    }
    found
}

#[test]
fn a_secret_is_taken_from_standard_input_and_never_shown() {
    let home = Home::new(CONFIG);
    home.secret("openai", &format!("{CANARY}\n"));
    let listed = home.json(&["vault", "list"]);
    assert_eq!(listed[0]["name"], "openai");
    assert_eq!(listed[0]["last_four"], "41c2");
    let rotate = ["vault", "rotate", "openai"];
    let said = home.run_with(&rotate, CANARY);
    assert!(!said.said().contains("canary"), "{said:?}");
    assert_eq!(home.json(&["vault", "list"])[0]["version"], 2);
    for (file, mode, bytes) in files(home.state()) {
        assert_eq!(mode, 0o600, "{file}");
        assert!(!String::from_utf8_lossy(&bytes).contains("canary"), "{file}");
    }
    home.ok(&["vault", "rm", "openai"]);
    assert_eq!(home.json(&["vault", "list"]).as_array().map(Vec::len), Some(0));
}

#[test]
fn a_secret_that_no_header_can_carry_changes_nothing() {
    let home = Home::new(CONFIG);
    home.secret("openai", CANARY);
    for bad in ["", "\n", "two\nlines", "nul\0", &"x".repeat(70_000)] {
        home.run_with(&["vault", "set", "openai"], bad).expect_failure();
    }
    assert_eq!(home.json(&["vault", "list"])[0]["version"], 1);
    let said = home.run_with(&["vault", "set", "../openai"], CANARY).expect_failure();
    assert!(said.contains("cannot name a secret") && !said.contains("canary"), "{said}");
    home.run(&["vault", "rm", "mistral"]).expect_failure();
    home.run_with(&["vault", "rotate", "mistral"], CANARY).expect_failure();
}

#[test]
fn a_key_is_shown_once_and_known_by_its_id() {
    let home = Home::new(CONFIG);
    let key = home.key();
    let listed = home.json(&["keys", "list"]);
    assert_eq!((&listed[0]["tenant"], &listed[0]["state"]), (&"acme".into(), &"valid".into()));
    let id = listed[0]["key_id"].as_str().expect("has an id").to_owned();
    assert!(key.starts_with(&id) && !listed.to_string().contains(&key));

    let next = home.ok(&["keys", "rotate", &id]);
    assert!(next.trim().starts_with("sk-bs-") && next.trim() != key);
    let listed = home.json(&["keys", "list"]);
    assert_eq!((&listed[0]["state"], &listed[1]["state"]), (&"revoked".into(), &"valid".into()));
    home.run(&["keys", "revoke", &id]).expect_failure();
    home.ok(&["keys", "revoke", next.trim()]);
    assert!(home.ok(&["keys", "list"]).contains("revoked"));
    for (file, _, bytes) in files(home.state()) {
        assert!(!String::from_utf8_lossy(&bytes).contains(&key[14..]), "{file}");
    }
}

#[test]
fn tenants_are_made_listed_and_limited() {
    let home = Home::new(CONFIG);
    home.ok(&["tenants", "add", "initech"]);
    home.run(&["tenants", "add", "acme"]).expect_failure();
    home.ok(&["tenants", "limit", "initech", "--rpm", "60", "--budget-usd-per-month", "12.5"]);
    home.ok(&["tenants", "limit", "initech", "--rpm", "none", "--tpm", "1000"]);
    let listed = home.json(&["tenants", "list"]);
    assert_eq!((&listed[0]["tenant"], &listed[0]["source"]), (&"acme".into(), &"config".into()));
    let initech = &listed[1];
    assert_eq!(initech["budget_usd_per_month"], "12.500000");
    assert_eq!((initech["rpm"].is_null(), &initech["tpm"]), (true, &1000.into()));
    let said = home.run(&["keys", "issue", "--tenant", "initch"]).expect_failure();
    assert!(said.contains("did you mean `initech`?"), "{said}");
    assert_eq!(home.run(&["tenants", "limit", "initech"]).code, Some(2));
    assert_eq!(home.run(&["tenants", "limit", "initech", "--rpm", "-1"]).code, Some(2));
}

#[test]
fn usage_and_calls_of_a_new_installation_are_empty() {
    let home = Home::new(CONFIG);
    assert_eq!(home.json(&["usage"]).as_array().map(Vec::len), Some(0));
    assert_eq!(home.json(&["calls", "list"]).as_array().map(Vec::len), Some(0));
    assert!(home.ok(&["usage", "--by", "day,feature", "--csv"]).starts_with("day,feature,calls,failed,"));
    assert!(home.ok(&["usage", "--by", "tenant", "--since", "7d"]).starts_with("tenant  calls"));
    assert_eq!(home.run(&["usage", "--by", "colour"]).code, Some(2));
    home.run(&["calls", "show", "req_1"]).expect_failure();
}

#[test]
fn a_damaged_database_is_named_and_left_alone() {
    let home = Home::new(CONFIG);
    home.key();
    let database = home.state().join("backstop.db");
    for file in ["backstop.db-wal", "backstop.db-shm"] {
        let _ = fs::remove_file(home.state().join(file));
    }
    fs::write(&database, vec![b'x'; 40_000]).expect("the file can be written");
    let said = home.run(&["keys", "list"]).expect_failure();
    assert!(said.contains("backstop.db") && said.contains("damaged"), "{said}");
    assert_eq!(fs::read(&database).expect("the file can be read"), vec![b'x'; 40_000]);
}
