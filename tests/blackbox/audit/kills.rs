//! kill -9 at any moment: what took effect is on record, nothing is there twice, and the log is whole.

use std::{
    collections::HashSet,
    io::Write as _,
    process::Stdio,
    time::{Duration, Instant},
};

use super::{CANARY, CONFIG, entries};
use crate::home::Home;

/// How long a verb takes here, about; kills are spread over that.
fn usual(home: &Home) -> Duration {
    let begun = Instant::now();
    home.secret("usual", CANARY);
    begun.elapsed()
}

/// Starts `vault set NAME` and ends it after `delay`, in whatever it is doing.
fn killed(home: &Home, name: &str, delay: Duration) {
    killed_in(home, &["vault", "set", name], delay);
}

fn killed_in(home: &Home, verb: &[&str], delay: Duration) {
    let mut command = home.command(verb);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the binary was built");
    let mut stdin = child.stdin.take().expect("is piped");
    let _ = stdin.write_all(CANARY.as_bytes());
    drop(stdin);
    std::thread::sleep(delay);
    let _ = child.kill();
    child.wait().expect("a killed process can be waited for");
}

fn is_whole(home: &Home) {
    let listed = home.json(&["vault", "list"]);
    let kept: HashSet<String> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["name"].as_str().expect("has one").to_owned())
        .collect();
    let entries = entries(home, &["--action", "vault.set"]);
    let mut ids = HashSet::new();
    let mut told = HashSet::new();
    for entry in &entries {
        assert!(ids.insert(entry["id"].to_string()), "an entry is there twice: {entry}");
        told.insert(entry["object"]["name"].as_str().expect("has one").to_owned());
    }
    let untold: Vec<&String> = kept.difference(&told).collect();
    assert!(untold.is_empty(), "these took effect and are not in the log: {untold:?}");
    let verified = home.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(!verified.stderr.contains("wait in the local journal"), "{verified:?}");
}

#[test]
fn with_the_database_there() {
    let home = Home::new(CONFIG);
    let usual = usual(&home);
    for number in 0..40_u32 {
        killed(&home, &format!("secret-{number}"), usual * (number % 20) / 16);
    }
    is_whole(&home);
}

#[test]
fn with_the_database_away_and_while_it_comes_back() {
    let home = Home::new(CONFIG);
    let usual = usual(&home);
    let database = home.state().join("backstop.db");
    let aside = home.path().join("aside.db");
    for round in 0..4_u32 {
        std::fs::rename(&database, &aside).expect("renames");
        std::fs::create_dir(&database).expect("no database is in its place");
        for number in 0..6 {
            killed(&home, &format!("away-{round}-{number}"), usual * number / 5);
        }
        std::fs::remove_dir(&database).expect("is empty");
        std::fs::rename(&aside, &database).expect("renames");
        // The first to come carries over what waited, and dies on the way.
        for number in 0..6 {
            killed(&home, &format!("back-{round}-{number}"), usual * number / 7);
        }
        is_whole(&home);
    }
}

/// What is one transaction with its entry: neither is there without the other.
#[test]
fn acts_of_the_database_are_there_with_their_entries_or_not_at_all() {
    let home = Home::new(CONFIG);
    let begun = Instant::now();
    home.ok(&["tenants", "add", "usual"]);
    let usual = begun.elapsed();
    for number in 0..40_u32 {
        killed_in(&home, &["tenants", "add", &format!("tenant-{number}")], usual * (number % 20) / 16);
    }
    let names = |listed: &serde_json::Value, name: &str| -> Vec<String> {
        let all = listed.as_array().expect("a list").iter();
        let mut names: Vec<String> = all.filter_map(|one| one[name].as_str().map(str::to_owned)).collect();
        names.sort();
        names
    };
    let mut kept = names(&home.json(&["tenants", "list"]), "tenant");
    kept.retain(|name| name != "acme");
    let mut told: Vec<String> = entries(&home, &["--action", "tenant.add"])
        .iter()
        .map(|entry| entry["object"]["name"].as_str().expect("has one").to_owned())
        .collect();
    told.sort();
    assert!(kept.contains(&"usual".to_owned()), "{kept:?}");
    assert_eq!(kept, told);
    let verified = home.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
