//! Releases.

use super::{
    super::{home, token},
    agree, needs_role,
};
use crate::admin::remote::Desk;

const SHOWN: &[&[&str]] = &[
    &["release", "status"],
    &["release", "status", "--json"],
    &["release", "status", "chat", "--json"],
    &["release", "history", "chat"],
    &["release", "history", "chat", "--json"],
    &["release", "history", "nowhere"],
    &["release", "canary", "chat", "--show"],
    &["release", "canary", "chat", "--show", "--json"],
    &["release", "diff", "chat", "1", "2"],
    &["release", "diff", "chat", "1", "2", "--json"],
    &["release", "diff", "chat", "1", "9"],
    &["release", "notes", "chat", "2"],
    &["release", "notes", "chat", "2", "--json"],
    &["release", "card", "near/fake-2"],
    &["release", "card", "near/fake-2", "--json"],
    &["release", "pending"],
    &["release", "pending", "--json"],
    &["release", "rules", "test", "--since", "1m"],
    &["release", "rules", "test", "--since", "1m", "--json"],
    &["release", "rules", "test", "--rule", "none"],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn releases_are_the_same_in_both_forms() {
    let (home, _vendor) = home("rules: [{ name: r, when: \"error_rate > 5%\" }]").await;
    let gateway = home.serve();
    let desk = Desk::at(&gateway, &token(&home, "release-manager")).await;
    let on = |args: &[&str]| desk.ok(&[&["--server", desk.url()], args].concat());

    let made = desk.ok(&["release", "propose", "chat", "--targets", "near/fake-2,near/fake-1", "--reason", "newer"]);
    assert!(made.starts_with("release 2 of chat"), "{made}");
    home.ok(&["release", "propose", "chat", "--targets", "near/fake-3", "--reason", "newer still"]);
    agree(&desk, &home, SHOWN);
    let canary = ["release", "canary", "chat", "2", "--pct", "10", "--reason", "a look first"];
    assert_eq!(desk.ok(&canary), "chat: release 2 answers 10 % of the calls, by client key; 1 serves the rest\n");
    agree(&desk, &home, SHOWN);
    // What is refused is so in the same words.
    agree(&desk, &home, &[&canary, &["release", "canary", "chat", "3", "--pct", "5", "--reason", "x"]]);
    assert_eq!(
        on(&["release", "canary", "chat", "--stop", "--reason", "enough"]),
        "release 2 is not tried on chat any more\n"
    );
    home.ok(&["release", "canary", "chat", "3", "--pct", "5", "--reason", "x"]);
    let moved = desk.ok(&["release", "promote", "chat", "2", "--reason", "evaluated", "--json"]);
    assert!(moved.contains("\"to\": 2") && moved.contains("\"cautions\""), "{moved}");
    agree(&desk, &home, SHOWN);
    agree(
        &desk,
        &home,
        &[
            &["release", "promote", "chat", "2", "--reason", "again"],
            &["release", "promote", "chat", "9", "--reason", "again"],
            &["release", "retire", "chat", "1", "--reason", "too early"],
        ],
    );
    let back = on(&["release", "rollback", "chat", "--reason", "worse", "--from", "2", "--to", "1"]);
    assert_eq!(back, "chat serves release 1 in the place of 2: near/fake-1\n");
    let stale = ["release", "rollback", "chat", "--reason", "worse", "--from", "2"];
    let (there, here) = (desk.run(&[&["--server", desk.url()], &stale[..]].concat()), home.run(&stale));
    assert_eq!((there.code, &there.stderr), (Some(1), &here.stderr), "{here:?}");
    agree(&desk, &home, SHOWN);
    home.ok(&["release", "promote", "chat", "3", "--reason", "evaluated"]);
    assert_eq!(desk.ok(&["release", "import", "--all"]), "chat serves release 1 in the place of 3: near/fake-1\n");
    assert_eq!(desk.ok(&["release", "import", "--all"]), "");
    agree(&desk, &home, SHOWN);

    let vouching = desk.run(&["release", "promote", "chat", "2", "--reason", "x", "--approve-by", "somebody"]);
    assert!(vouching.code == Some(2) && vouching.stderr.contains("nobody vouches for another"), "{vouching:?}");
    let viewer = Desk::at(&gateway, &token(&home, "viewer")).await;
    needs_role(
        &viewer,
        "release-manager",
        &[
            &["release", "propose", "chat", "--targets", "near/fake-4", "--reason", "x"],
            &["release", "promote", "chat", "2", "--reason", "x"],
            &["release", "canary", "chat", "2", "--pct", "5", "--reason", "x"],
            &["release", "import", "chat"],
            &["release", "retire", "chat", "1", "--reason", "x"],
        ],
    );
    needs_role(&viewer, "coe-lead", &[&["release", "approve", "chat", "2"]]);
    let back = ["--server", viewer.url(), "release", "rollback", "chat", "--reason", "x"];
    needs_role(
        &viewer,
        "operator",
        &[&back, &["--server", viewer.url(), "release", "canary", "chat", "--stop", "--reason", "x"]],
    );
    assert!(!desk.home.state().exists(), "the desk has a state directory of its own");
    gateway.stop();
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: "));
}
