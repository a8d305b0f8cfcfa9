//! Game days, getting away from a vendor, shares and their override, and what is told of routes.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    super::{rollback::home, token},
    agree, needs_role, stays_here,
};
use crate::{
    admin::remote::Desk,
    home::Home,
    vendor::{Say, Vendor},
};

const SHOWN: &[&[&str]] = &[
    &["drill", "status"],
    &["drill", "status", "--limit", "1"],
    &["drill", "report"],
    &["drill", "report", "--json"],
    &["drill", "report", "none"],
    &["vendor", "evacuate", "old", "--status"],
    &["vendor", "evacuate", "old", "--status", "--json"],
    &["vendor", "evacuate", "old", "--dry-run", "--json"],
    &["vendor", "evacuate", "nobody", "--dry-run"],
    &["share"],
    &["share", "--json"],
    &["routes", "explain", "chat", "--json"],
    &["routes", "explain", "chat", "--images", "--input-tokens", "100", "--max-tokens", "5", "--json"],
    &["routes", "explain", "nowhere"],
    &["routes", "latency"],
    &["routes", "latency", "chat", "--json"],
    &["release", "status", "--json"],
];

/// What the drill's calls took is known in both forms: it is looked up anew from time to time.
async fn until_timed(desk: &Desk, home: &Home) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let dry = ["vendor", "evacuate", "old", "--dry-run", "--json"];
    let is_timed = |said: &str| {
        let said: Value = serde_json::from_str(said).expect("JSON");
        said["routes"][0]["median_first_token_ms"][1].is_number()
    };
    loop {
        let (there, here) = (desk.ok(&dry), home.ok(&dry));
        if is_timed(&there) && is_timed(&here) {
            return;
        }
        assert!(Instant::now() < deadline, "20 s after the drill its times are not known: {there} {here}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The gateway has followed: its report is kept.
async fn until_ended(desk: &Desk) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let said = desk.run(&["drill", "report"]);
        if said.stdout.contains("stopped") {
            return;
        }
        assert!(Instant::now() < deadline, "the drill goes on 20 s after it was stopped: {said:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drills_evacuations_and_shares_are_the_same_in_both_forms() {
    let (old, new) = (Vendor::openai(Say::Text("old")).await, Vendor::openai(Say::Text("new")).await);
    let own = Vendor::openai(Say::Text("own")).await;
    let home = home(&old, &new, &own, "");
    let gateway = home.serve();
    let desk = Desk::at(&gateway, &token(&home, "release-manager")).await;
    agree(&desk, &home, SHOWN);

    // A drill that is asked for from elsewhere, and waited for.
    let drill = ["drill", "outage", "--route", "chat", "--vendors", "old", "--questions", "2", "--duration", "1s"];
    let report = desk.run(&drill);
    assert!(report.stdout.contains("seen as down: old") && report.stdout.contains("calls answered"), "{report:?}");
    until_timed(&desk, &home).await;
    agree(&desk, &home, SHOWN);
    agree(
        &desk,
        &home,
        &[
            &["drill", "stop"],
            &["drill", "outage", "--route", "nowhere"],
            &["drill", "outage", "--all", "--vendors", "nobody"],
            &["drill", "outage", "--all", "--duration", "0s"],
            &["drill", "outage", "--route", "chat", "--vendors", "local"],
        ],
    );
    let live =
        ["drill", "outage", "--route", "chat", "--vendors", "old", "--live-pct", "50", "--duration", "1m", "--detach"];
    home.ok(&live);
    let refused = desk.run(&live);
    assert!(refused.code == Some(1) && refused.stderr.contains("a drill is on already"), "{refused:?}");
    let seen = desk.ok(&["routes", "explain", "chat"]);
    assert!(seen.contains("a drill is on until"), "{seen}");
    agree(&desk, &home, &[&["release", "status"], &["drill", "status", "--json"]]);
    assert!(desk.ok(&["drill", "stop", "--reason", "seen enough"]).contains("a running gateway follows"));
    until_ended(&desk).await;

    let moved = desk.ok(&["vendor", "evacuate", "old", "--pct", "25", "--reason", "slow"]);
    assert!(moved.ends_with("25 % of the calls leave `old` on: chat; --back takes them back\n"), "{moved}");
    agree(&desk, &home, SHOWN);
    let steps = ["vendor", "evacuate", "old", "--steps", "50,100", "--every", "1h"];
    assert!(home.ok(&steps).contains("50 % of the calls leave `old`, then [100] %, every 1h"));
    agree(&desk, &home, SHOWN);
    agree(&desk, &home, &[&["vendor", "evacuate", "old", "--steps", "50,20"]]);
    assert!(desk.ok(&["vendor", "evacuate", "old", "--back"]).contains("`old` is asked in its place again on: chat"));
    agree(&desk, &home, &[&["vendor", "evacuate", "old", "--back"]]);

    stays_here(&desk, desk.url(), &["share", "simulate", "--without", "old"], "where the ledger is");
    let viewer = Desk::at(&gateway, &token(&home, "viewer")).await;
    agree(&viewer, &home, SHOWN);
    needs_role(&viewer, "release-manager", &[&drill]);
    needs_role(
        &viewer,
        "operator",
        &[
            &["drill", "stop"],
            &["vendor", "evacuate", "old"],
            &["vendor", "evacuate", "old", "--back"],
            &["share", "override", "--end"],
        ],
    );
    needs_role(&viewer, "coe-lead", &[&["share", "override", "--hours", "1", "--reason", "x"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_override_over_the_api_takes_two_tokens_of_two_persons() {
    let (old, new) = (Vendor::openai(Say::Text("old")).await, Vendor::openai(Say::Text("new")).await);
    let own = Vendor::openai(Say::Text("own")).await;
    let home = home(&old, &new, &own, "");
    let gateway = home.serve();
    let named =
        |name: &str| home.ok(&["admin", "token", "issue", "--role", "coe-lead", "--name", name]).trim().to_owned();
    let (mia, same, leo) = (named("mia"), named("Mia"), named("leo"));
    let (mia, same) = (Desk::at(&gateway, &mia).await, Desk::at(&gateway, &same).await);
    let leo = Desk::at(&gateway, &leo).await;
    let wanted = ["share", "override", "--hours", "2", "--reason", "ticket 4711"];
    let in_force = || home.json(&["share"])["override"].is_object();
    for desk in [&mia, &mia, &same] {
        assert!(desk.ok(&wanted).contains("it takes a second person"), "one person is one, whatever the token");
        assert!(!in_force());
    }
    assert!(leo.ok(&["share", "override", "--hours", "3", "--reason", "x"]).contains("it takes a second person"));
    assert!(!in_force(), "they want different things");
    assert!(leo.ok(&wanted).contains("the share cap refuses no call until"));
    assert!(in_force());
    agree(&mia, &home, &[&["share"], &["share", "--json"]]);
    let twice = ["share", "override", "--hours", "2", "--reason", "x"];
    assert!(mia.ok(&twice).contains("it takes a second person"), "what was asked before is used up");
    assert!(leo.run(&twice).stderr.contains("overridden already"));
    let entry = &home.json(&["audit", "list", "--action", "share.override"])[0];
    assert_eq!(entry["approvals"].as_array().map(Vec::len), Some(2), "{entry:#}");
    assert!(leo.ok(&["share", "override", "--end"]).contains("holds again"));
    assert!(!in_force());
    // On the state directory whoever acts names both.
    home.ok(&["share", "override", "--hours", "1", "--reason", "x", "--approver", "alice", "--approver", "bob"]);
    agree(&leo, &home, &[&["share"], &["share", "--json"]]);
    let vouching =
        leo.run(&["share", "override", "--hours", "1", "--reason", "x", "--approver", "a", "--approver", "b"]);
    assert!(vouching.code == Some(2) && vouching.stderr.contains("nobody vouches"), "{vouching:?}");
    assert!(mia.ok(&["share", "override", "--end", "--reason", "over"]).contains("holds again"));
    gateway.stop();
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: "));
}
