//! Whatever moment a promotion dies at: its customers are told of it exactly when it stands, and once.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::shim::{deaths, run, twin, writes};
use crate::{
    config::{Config, QUICK},
    gateway::Gateway,
    home::Home,
};

/// So many of the deaths after which the promotion stands are followed by a gateway, which takes a second each.
const FOLLOWED: usize = 5;
const PROMOTE: [&str; 6] = ["release", "promote", "chat", "2", "--reason", "evaluated"];
const PAPERS: [&str; 4] =
    ["card-new-m-uncertified.json", "card-new-m-uncertified.md", "notes-chat-2.json", "notes-chat-2.md"];

fn config(portal: &str) -> String {
    let url = "http://127.0.0.1:9";
    Config::warn()
        .vendor("old", "openai", url)
        .vendor("new", "openai", url)
        .route_with("chat", &["old/m"], &format!("deadlines: {QUICK}"))
        .more(&format!("release: {{ publish: [{{ kind: file, dir: {portal} }}] }}"))
        .text()
}

fn listed(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it was made").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Waits until nothing is pending and the portal has all papers.
fn told(home: &Home, portal: &Path, gateway: &Gateway) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while listed(portal) != PAPERS || home.json(&["release", "pending"]) != serde_json::json!([]) {
        assert!(Instant::now() < deadline, "the portal has {:?}:\n{}", listed(portal), gateway.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn customers_are_told_of_a_promotion_that_died() {
    let base = Home::new(&config("/nowhere"));
    base.ok(&["release", "propose", "chat", "--targets", "new/m,old/m", "--reason", "better"]);
    let all = deaths(writes(&twin(&base), &PROMOTE, ""));
    let mut stands = Vec::new();
    for death in all {
        let home = twin(&base);
        run(&home, &PROMOTE, "", death);
        if home.json(&["release", "status", "chat"])[0]["serving"] == 2 {
            stands.push((death, home));
        }
    }
    let nth = stands.len().div_ceil(FOLLOWED).max(1);
    assert!(stands.len() >= 2, "it is killed before and after it stands");
    for (death, home) in stands.into_iter().step_by(nth) {
        let portal = home.path().join("portal");
        fs::create_dir(&portal).expect("the temporary directory can be written");
        home.configure(&config(portal.to_str().expect("is text")));
        let gateway = home.serve();
        told(&home, &portal, &gateway);
        let notes = fs::read_to_string(portal.join("notes-chat-2.md")).expect("it is there");
        assert!(notes.contains("Why: better"), "after {death:?}: {notes}");
        // What was told is not told again.
        fs::remove_file(portal.join("notes-chat-2.md")).expect("it is there");
        gateway.stop();
        let gateway = home.serve();
        gateway.stop();
        assert!(!portal.join("notes-chat-2.md").exists(), "it was told twice after {death:?}");
    }
}
