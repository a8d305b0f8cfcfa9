//! The database away, read-only or put back: what is done meanwhile is on record, and comes into the log once.

use std::fs;

use super::{CANARY, CONFIG, actions, entries, exported, offline, settle};
use crate::home::Home;

#[test]
fn what_is_done_while_the_database_is_away_comes_into_the_log_in_order() {
    let home = Home::new(CONFIG);
    home.key();
    let database = home.state().join("backstop.db");
    let aside = home.path().join("aside.db");
    fs::rename(&database, &aside).expect("renames");
    fs::create_dir(&database).expect("something that is no database is in its place");
    for name in ["first", "second", "third"] {
        let ran = home.run_with(&["vault", "set", name], CANARY);
        assert!(ran.stderr.contains("local journal"), "{ran:?}");
        ran.expect_success(&["vault", "set", name]);
    }
    home.run_with(&["vault", "set", "../x"], CANARY).expect_failure();
    // What is in the database cannot change while that is away, and says so.
    home.run(&["keys", "issue", "--tenant", "acme"]).expect_failure();
    fs::remove_dir(&database).expect("is empty");
    fs::rename(&aside, &database).expect("renames");
    home.key();
    let said: Vec<String> = actions(&home).into_iter().filter(|action| action != "audit.key").collect();
    assert_eq!(said, ["key.issue", "vault.set", "vault.set", "vault.set", "key.issue"]);
    let names: Vec<String> =
        entries(&home, &["--action", "vault"]).iter().rev().map(|entry| entry["object"]["name"].to_string()).collect();
    assert_eq!(names, ["\"first\"", "\"second\"", "\"third\""]);
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: "));
}

#[test]
fn an_older_database_that_is_put_back_is_found() {
    let home = Home::new(CONFIG);
    home.key();
    let (database, older) = (home.state().join("backstop.db"), home.path().join("older.db"));
    settle(&home);
    fs::copy(&database, &older).expect("copies");
    home.ok(&["tenants", "add", "evil"]);
    let published = home.path().join("published");
    fs::copy(home.state().join("audit/checkpoint"), &published).expect("is signed after each act");
    let key = home.ok(&["audit", "key"]).trim().to_owned();
    settle(&home);
    fs::copy(&older, &database).expect("copies");
    let ran = home.run(&["audit", "verify"]);
    assert!(ran.code == Some(1) && ran.stdout.contains("are gone"), "{ran:?}");
    // Nor does it help to remove what the host remembers of it.
    fs::remove_file(home.state().join("audit/checkpoint")).expect("removes");
    let export = exported(&home, "export.jsonl");
    offline(&export, &key, &[]).expect_success(&["verify"]);
    let published = published.to_str().expect("is text");
    let ran = offline(&export, &key, &["--checkpoint", published]);
    assert!(ran.code == Some(1) && ran.stdout.contains("are gone"), "{ran:?}");
    home.run(&["audit", "verify", "--checkpoint", published]).expect_failure();
}
