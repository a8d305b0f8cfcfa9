//! A certificate is for use cases and tiers; a route that is neither is closed to its target.

use super::{SUITE, certify, echo, ladder, served_by, until_left_out, with_suite};
use crate::{client::question, config::QUICK};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_of_another_tier_is_closed_and_the_one_it_was_certified_for_is_open() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let night = format!(
        "routes:\n  night: {{ criticality: batch, targets: [first/a, second/echo], suite: {SUITE}, deadlines: {QUICK} }}\n"
    );
    let config = config.replace("routes:\n", &night);
    let home = with_suite(&config);
    home.ok(&["eval", "run", "--suite", SUITE, "--target", "second/echo", "--certify", "--tier", "standard"]);
    let said = home.run(&["check"]).expect_failure();
    assert!(said.contains("its scope does not cover the tier `batch`: it is for standard"), "{said}");
    assert!(said.contains("routes.night.targets[1]") && !said.contains("routes.chat.targets"), "{said}");
    let gateway = home.serve();
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
    let before = fallback.seen_count();
    let refused = gateway.client().chat(&question("night", "hello")).await.expect(503);
    assert_eq!(refused.header("x-backstop-served-by"), None);
    assert_eq!(fallback.seen_count(), before, "it is not attempted");
    let ready = gateway.client().get("/readyz").await.json();
    let out = ready["degraded"].as_array().expect("a list");
    assert!(out.iter().any(|one| one["route"] == "night") && !out.iter().any(|one| one["route"] == "chat"), "{ready}");
    // Certified for both, both are open.
    certify(&home);
    until_left_out(&gateway, false).await;
    gateway.client().chat(&question("night", "hello")).await.expect(200);
    let certs = home.json(&["eval", "certs"]);
    assert_eq!(certs[0]["tiers"], serde_json::json!(["batch", "standard", "critical"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_says_what_it_is_for_needs_that_in_the_scope() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let of = |case: &str| config.replace(&format!("suite: {SUITE}"), &format!("suite: {SUITE}, use_case: {case}"));
    let home = with_suite(&of("echoing"));
    certify(&home);
    home.ok(&["check"]);
    home.configure(&of("paying"));
    let said = home.run(&["check"]).expect_failure();
    assert!(said.contains("its scope does not cover the use case `paying`: it is for echoing"), "{said}");
    let gateway = home.serve();
    assert!(until_left_out(&gateway, true).await.contains("the use case `paying`"));
    assert_eq!(served_by(&gateway).await, None);
    // A certificate cannot be for more than its suite is, and that is said before anybody is asked.
    let before = fallback.seen_count();
    let run = ["eval", "run", "--suite", SUITE, "--target", "second/echo", "--certify", "--use-case", "paying"];
    let said = home.run(&run).expect_failure();
    assert!(said.contains("`echoes` is not for the use case `paying`; it is for: echoing"), "{said}");
    assert_eq!(fallback.seen_count(), before);
    home.configure(&of("echoing"));
    gateway.signal("HUP");
    until_left_out(&gateway, false).await;
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
    // A reload that would close it is refused.
    home.configure(&of("paying"));
    gateway.signal("HUP");
    gateway.logged("config refused").await;
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suite_says_which_tiers_its_bar_is_high_enough_for() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    let header = home.state().join("suites").join(format!("{SUITE}.yaml"));
    let text = std::fs::read_to_string(&header).expect("the suite is there");
    std::fs::write(&header, text.replace("errors_allowed", "tiers: [batch]\nerrors_allowed")).expect("likewise");
    assert!(home.ok(&["eval", "show", SUITE]).contains("tiers: batch\n"));
    certify(&home);
    let said = home.run(&["check"]).expect_failure();
    assert!(said.contains("its scope does not cover the tier `standard`: it is for batch"), "{said}");
}
