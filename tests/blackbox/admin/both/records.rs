//! The audit log, alerts, incidents, calls and money; tenants, tokens and certificates.

use super::{
    super::{home, token},
    agree, needs_role, stays_here,
};
use crate::{admin::remote::Desk, client::question, home::Home};

const SHOWN: &[&[&str]] = &[
    &["audit", "list"],
    &["audit", "list", "--action", "key", "--json"],
    &["audit", "show", "0"],
    &["audit", "show", "1", "--json"],
    &["audit", "show", "9999"],
    &["audit", "key"],
    &["audit", "prove", "1"],
    &["audit", "prove", "--from", "1"],
    &["audit", "prove", "2", "--from", "1"],
    &["audit", "prove", "9999"],
    &["audit", "export"],
    &["alerts", "list"],
    &["alerts", "list", "--json"],
    &["incidents", "list"],
    &["incidents", "list", "--route", "chat", "--json"],
    &["calls", "list"],
    &["usage", "--rerate"],
    &["usage", "--rerate", "--by", "route,tenant", "--json"],
    &["usage", "--rerate", "--csv"],
    &["usage", "--by", "route", "--json"],
    &["prices", "check"],
    &["prices", "check", "--calls", "--json"],
    &["tenants", "list"],
    &["tenants", "list", "--json"],
    &["keys", "list", "--json"],
    &["admin", "token", "list"],
    &["admin", "token", "list", "--json"],
    &["eval", "certs"],
    &["eval", "certs", "--json"],
    &["release", "rules", "test", "--since", "1m"],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn records_and_subjects_are_the_same_in_both_forms() {
    let (home, _vendor) = home("models: { near/fake-1: { input_per_mtok: 1, output_per_mtok: 1 } }").await;
    let gateway = home.serve();
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    let security = Desk::at(&gateway, &token(&home, "security")).await;
    let operator = Desk::at(&gateway, &token(&home, "operator")).await;
    agree(&security, &home, SHOWN);

    limited(&operator, &home);
    agree(&operator, &home, &[&["alerts", "test", "--sink", "slack"]]);

    let report = ["incidents", "report", "chat", "--severity", "4", "--title", "slow", "--id", "INC-7"];
    assert!(operator.ok(&report).starts_with("chat: "));
    operator.ok(&[&report[..], &["--resolved"]].concat());
    agree(&operator, &home, &[&["incidents", "list"], &["incidents", "list", "--json"]]);
    let here = home.run(&report);
    assert!(here.code == Some(2) && here.stderr.contains("name it with --server"), "{here:?}");

    let issued = security.ok(&["admin", "token", "issue", "--role", "viewer", "--name", "vera"]).trim().to_owned();
    assert!(issued.starts_with("bs-adm-") && issued.lines().count() == 1, "only the token: {issued}");
    let viewer = Desk::at(&gateway, &issued).await;
    let shown = viewer.ok(&["audit", "show", "0"]);
    assert!(shown.contains("(not for this role)") && !shown.contains("forgotten"), "{shown}");
    let forgotten = security.ok(&["audit", "forget", "vera", "--reason", "she left"]);
    assert!(forgotten.starts_with("erased "), "{forgotten}");
    agree(&security, &home, &[&["audit", "forget", "vera"], &["audit", "forget", "x", "--reason", "of x"]]);
    agree(&security, &home, SHOWN);
    let none = "0".repeat(64);
    let lead = Desk::at(&gateway, &token(&home, "coe-lead")).await;
    agree(&lead, &home, &[&["eval", "revoke", &none, "--reason", "x"]]);

    needs_role(
        &viewer,
        "operator",
        &[
            &["tenants", "add", "x"],
            &["tenants", "limit", "initech", "--rpm", "1"],
            &["keys", "issue", "--tenant", "initech"],
            &["keys", "revoke", "sk-bs-AbCdEfGh"],
            &["alerts", "test"],
            &report,
        ],
    );
    needs_role(
        &viewer,
        "security",
        &[
            &["audit", "forget", "x"],
            &["audit", "export", "--personal"],
            &["admin", "token", "issue", "--role", "viewer"],
            &["admin", "token", "list"],
            &["admin", "token", "revoke", &issued],
        ],
    );
    needs_role(&viewer, "coe-lead", &[&["eval", "revoke", &none, "--reason", "x"]]);
    security.ok(&["admin", "token", "revoke", &issued]);
    let export = security.home.path().join("log.jsonl");
    let export = export.to_str().expect("is text");
    security.ok(&["audit", "export", "--personal", "--out", export]);
    let key = security.ok(&["audit", "key"]);
    let verify = ["audit", "verify", "--export", export, "--public-key", key.trim()];
    assert!(security.ok(&verify).starts_with("whole: "));
    assert!(!security.home.state().exists(), "the desk has a state directory of its own");
}

/// A tenant made and limited from both sides.
fn limited(operator: &Desk, home: &Home) {
    operator.ok(&["tenants", "add", "initech", "--rpm", "60", "--budget-usd-per-month", "12.5"]);
    operator.ok(&["tenants", "limit", "initech", "--rpm", "none", "--tpm", "5000"]);
    operator.ok(&["tenants", "limit", "initech", "--feature", "summaries", "--rpd", "9"]);
    home.ok(&["tenants", "limit", "initech", "--model", "chat", "--concurrency", "2"]);
    let listed = operator.ok(&["tenants", "list"]);
    assert!(listed.contains("tpm 5000, budget_usd_per_month 12.500000") && !listed.contains("rpm 60,"), "{listed}");
    agree(
        operator,
        home,
        &[
            &["tenants", "list", "--json"],
            &["tenants", "limit", "acme", "--rpm", "700"],
            &["tenants", "limit", "initech"],
            &["tenants", "limit", "nobody", "--rpm", "1"],
            &["tenants", "limit", "initech", "--feature", "no spaces", "--rpm", "1"],
            &["tenants", "limit", "initech", "--model", "nowhere", "--rpm", "1"],
            &["tenants", "limit", "initech", "--model", "chat", "--budget-usd-per-day", "1"],
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_of_one_machine_says_so_when_a_server_is_named() {
    let (home, _vendor) = home("").await;
    let gateway = home.serve();
    let desk = Desk::at(&gateway, &token(&home, "operator")).await;
    let url = desk.url();
    for (verb, why) in [
        (&["vault", "list"][..], "secrets are set where they are kept"),
        (&["audit", "verify"], "`audit export` takes it with you"),
        (&["share", "simulate"], "where the ledger is"),
        (&["prices", "list"], "those of the config"),
        (&["prices", "show", "fake-1"], "those of the config"),
        (&["usage", "--format", "focus"], "where the ledger is"),
        (&["serve"], "a gateway runs where it is started"),
        (&["check"], "a config file is checked where it lies"),
        (&["models", "list"], "files of the machine"),
        (&["eval", "list"], "the gate works where"),
        (&["bench", "local"], "the machine that it runs on"),
        (&["import", "litellm", "x.yaml"], "a file is read where it lies"),
    ] {
        stays_here(&desk, url, verb, why);
        let ran = desk.run(&[&["--server", url], verb].concat());
        assert!(ran.stderr.contains("without --server"), "{verb:?} does not say what to do: {ran:?}");
    }
    gateway.stop();
    let missed = desk.run(&["--server", url, "release", "status"]);
    assert!(missed.code == Some(1) && missed.stderr.contains(url), "{missed:?}");
    let local = desk.run(&["release", "status"]);
    assert!(local.code == Some(0) && local.stderr.contains("working on the state directory"), "{local:?}");
}
