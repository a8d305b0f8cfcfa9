//! Acts of the command line: whenever one dies, it is done wholly or not at all, and can be done again.

use serde_json::Value;

use super::shim::{Death, deaths, run, twin, writes};
use crate::{
    config::{Config, QUICK},
    home::Home,
};

/// How an act and its audit entry belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// In one transaction: one is there exactly when the other is.
    With,
    /// Written ahead: whatever is done is told; what is told may not be done.
    Ahead,
}

struct Act<'a> {
    args: &'a [&'a str],
    input: &'a str,
    /// As the audit log calls it.
    action: &'a str,
    entry: Entry,
    /// What is to be seen of it: nothing before, the same whenever it is done.
    seen: &'a dyn Fn(&Home) -> bool,
}

/// Three vendors, so that nothing here needs a model; nobody is called.
fn config() -> String {
    let url = "http://127.0.0.1:9";
    Config::warn()
        .vendor("old", "openai", url)
        .vendor("new", "openai", url)
        .vendor_with("own", &format!("kind: openai_compatible, base_url: \"{url}/v1\", self_hosted: true"))
        .route_with("chat", &["old/m", "own/m"], &format!("deadlines: {QUICK}"))
        .text()
}

fn whole(home: &Home, of: &dyn std::fmt::Debug) {
    let verified = home.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{of:?}: {}", verified.said());
}

fn entries(home: &Home, action: &str) -> usize {
    let listed = home.json(&["audit", "list", "--limit", "1000", "--action", action]);
    listed.as_array().expect("a list").iter().filter(|entry| entry["stage"] != "failed").count()
}

fn at_every_write(base: &Home, act: &Act<'_>) {
    let count = writes(&twin(base), act.args, act.input);
    assert!(count > 0, "{:?} writes nothing", act.args);
    let mut killed = 0;
    for death in deaths(count) {
        let home = twin(base);
        let before = entries(&home, act.action);
        let ran = run(&home, act.args, act.input, death);
        killed += usize::from(ran.code.is_none());
        judge(&home, act, death, before, ran.code);
    }
    assert!(killed > 0, "{:?} died of nothing", act.args);
}

fn judge(home: &Home, act: &Act<'_>, death: Death, before: usize, code: Option<i32>) {
    let args = act.args;
    whole(home, &(args, death));
    let (done, told) = ((act.seen)(home), entries(home, act.action) - before);
    match act.entry {
        Entry::With => assert_eq!(usize::from(done), told, "{args:?} is done or told by half after {death:?}"),
        Entry::Ahead => assert!(told > 0 || !done, "{args:?} is done and not told after {death:?}"),
    }
    assert!(done || code != Some(0), "{args:?} ended well and did nothing: {death:?}");
    let again = home.run_with(args, act.input);
    // What is done already may be refused, by name.
    assert!(again.code == Some(0) || done, "{args:?} cannot be done again after {death:?}: {}", again.said());
    assert!(!again.said().contains("panicked"), "{}", again.said());
    assert!((act.seen)(home), "{args:?} was done again after {death:?}, and nothing is seen of it: {}", again.said());
    whole(home, &(args, death));
}

fn has(listed: &Value, field: &str, value: &str) -> bool {
    listed.as_array().is_some_and(|all| all.iter().any(|one| one[field] == value))
}

#[test]
fn the_first_act_of_all_makes_database_log_and_key() {
    let seen = |home: &Home| has(&home.json(&["tenants", "list"]), "tenant", "initech");
    let act =
        Act { args: &["tenants", "add", "initech"], input: "", action: "tenant.add", entry: Entry::With, seen: &seen };
    let base = Home::new(&config());
    std::fs::create_dir(base.state()).expect("the temporary directory can be written");
    at_every_write(&base, &act);
}

#[test]
fn tenants_and_their_limits() {
    let base = Home::new(&config());
    base.ok(&["tenants", "add", "initech"]);
    let seen = |home: &Home| has(&home.json(&["tenants", "list"]), "tenant", "hooli");
    let args = ["tenants", "add", "hooli"];
    at_every_write(&base, &Act { args: &args, input: "", action: "tenant.add", entry: Entry::With, seen: &seen });
    let seen = |home: &Home| home.json(&["tenants", "list"]).to_string().contains("\"rpm\":77");
    let args = ["tenants", "limit", "initech", "--rpm", "77"];
    at_every_write(&base, &Act { args: &args, input: "", action: "tenant.limit", entry: Entry::With, seen: &seen });
}

#[test]
fn client_keys_and_operators_tokens() {
    let base = Home::new(&config());
    base.ok(&["tenants", "add", "initech"]);
    let seen = |home: &Home| home.json(&["keys", "list"]).as_array().is_some_and(|keys| !keys.is_empty());
    let args = ["keys", "issue", "--tenant", "acme"];
    at_every_write(&base, &Act { args: &args, input: "", action: "key.issue", entry: Entry::With, seen: &seen });
    let seen = |home: &Home| home.json(&["admin", "token", "list"]).to_string().contains("dana");
    let args = ["admin", "token", "issue", "--role", "viewer", "--name", "dana"];
    at_every_write(
        &base,
        &Act { args: &args, input: "", action: "admin_token.issue", entry: Entry::With, seen: &seen },
    );
}

#[test]
fn secrets() {
    let base = Home::new(&config());
    base.secret("other", "sk-other");
    let seen = |home: &Home| has(&home.json(&["vault", "list"]), "name", "openai");
    let args = ["vault", "set", "openai"];
    at_every_write(&base, &Act { args: &args, input: "sk-1", action: "vault.set", entry: Entry::Ahead, seen: &seen });
    let seen = |home: &Home| !has(&home.json(&["vault", "list"]), "name", "other");
    let args = ["vault", "rm", "other"];
    at_every_write(&base, &Act { args: &args, input: "", action: "vault.remove", entry: Entry::Ahead, seen: &seen });
}

/// Release 2 is proposed; with `served` it serves, and release 1 is retained.
fn released(served: bool) -> Home {
    let base = Home::new(&config());
    base.ok(&["release", "propose", "chat", "--targets", "new/m,old/m,own/m", "--reason", "better"]);
    if served {
        base.ok(&["release", "promote", "chat", "2", "--reason", "evaluated"]);
    }
    base
}

fn serves(home: &Home) -> u64 {
    home.json(&["release", "status", "chat"])[0]["serving"].as_u64().expect("a release serves")
}

fn did(home: &Home, act: &str) -> bool {
    has(&home.json(&["release", "history", "chat"]), "act", act)
}

/// Whatever acts next carries over what waits for the database.
fn carry_over(home: &Home) {
    home.ok(&["release", "approve", "chat", "1", "--reason", "to carry over"]);
}

#[test]
fn releases_are_proposed_approved_and_tried() {
    let base = Home::new(&config());
    base.ok(&["tenants", "add", "initech"]);
    let args = ["release", "propose", "chat", "--targets", "new/m,own/m", "--reason", "better"];
    let seen = |home: &Home| home.json(&["release", "history", "chat"]).to_string().contains("new/m");
    at_every_write(&base, &Act { args: &args, input: "", action: "release.propose", entry: Entry::With, seen: &seen });
    let base = released(false);
    let args = ["release", "approve", "chat", "2", "--reason", "read it"];
    let seen = |home: &Home| did(home, "approved");
    at_every_write(&base, &Act { args: &args, input: "", action: "release.approve", entry: Entry::With, seen: &seen });
}

#[test]
fn a_promotion_is_all_or_nothing() {
    let args = ["release", "promote", "chat", "2", "--reason", "evaluated"];
    let seen = |home: &Home| {
        let (serving, promoted) = (serves(home), did(home, "promoted"));
        assert_eq!(serving == 2, promoted, "what serves is not what was done");
        let retained = home.json(&["release", "status", "chat"])[0]["retained"].to_string().contains("\"number\":1");
        assert_eq!(promoted, retained, "the old one is retained exactly when the new one serves");
        promoted
    };
    let act = Act { args: &args, input: "", action: "release.promote", entry: Entry::With, seen: &seen };
    at_every_write(&released(false), &act);
}

#[test]
fn a_rollback_stands_once_it_is_on_disk() {
    let args = ["release", "rollback", "chat", "--reason", "customers complain"];
    let seen = |home: &Home| {
        carry_over(home);
        assert_eq!(serves(home) == 1, did(home, "rolled_back"), "what serves is not what was done");
        serves(home) == 1
    };
    let act = Act { args: &args, input: "", action: "release.rollback", entry: Entry::With, seen: &seen };
    at_every_write(&released(true), &act);
}

#[test]
fn a_vendor_is_left() {
    let args = ["vendor", "evacuate", "old", "--pct", "25", "--reason", "it is down"];
    let seen = |home: &Home| {
        carry_over(home);
        did(home, "left")
    };
    let act = Act { args: &args, input: "", action: "vendor.evacuate", entry: Entry::With, seen: &seen };
    at_every_write(&released(false), &act);
}
