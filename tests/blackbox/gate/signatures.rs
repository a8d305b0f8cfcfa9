//! Four eyes, and a certificate read where nothing is but its file and public keys.

use std::fs;

use serde_json::json;

use super::{SUITE, certificate, certify, echo, forge::Forge, ladder, with_suite};
use crate::home::Home;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_four_eyes_the_second_signature_opens_the_route() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let file = certificate(&home);
    let (file, keys) = (file.to_str().expect("a path"), home.path().join("release-lead"));
    let keys_text = keys.to_str().expect("a path");
    let said = home.ok(&["eval", "certify", "--file", file, "--key-dir", keys_text]);
    assert!(said.contains("does not count here yet"), "{said}");
    let key = fs::read_to_string(keys.join("signing.pub")).expect("its public half").trim().to_owned();
    home.configure(&format!("{config}gate: {{ signers: [\"{key}\"], signatures: 2 }}\n"));
    home.ok(&["check"]);
    let said = home.ok(&["eval", "verify", file]);
    assert!(said.contains(" and sha256:"), "both signers are named: {said}");
    // A certificate of one hand is none.
    certify(&home);
    let said = home.run(&["check"]).expect_failure();
    assert!(said.contains("it has 1 of 2 signatures"), "{said}");
    home.ok(&["eval", "certify", "--file", file, "--key-dir", keys_text]);
    home.ok(&["check"]);
    let said = home.run(&["eval", "certify", "--file", file, "--key-dir", keys_text]).expect_failure();
    assert!(said.contains("has signed it already"), "{said}");
    let signed = home.json(&["audit", "list", "--action", "certificate.sign"]);
    let done = signed.as_array().expect("a list").iter().filter(|entry| entry["stage"] == "begun").count();
    assert!(done >= 2, "each signature is in the log: {signed}");
    // More signatures than there are signers cannot be asked for.
    home.configure(&format!("{config}gate: {{ signers: [\"{key}\"], signatures: 3 }}\n"));
    assert!(home.run(&["check"]).expect_failure().contains("from 1 to 2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_verified_offline_with_public_keys_alone() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let file = certificate(&home);
    let second = home.path().join("second");
    let (second_text, file_text) = (second.to_str().expect("a path"), file.to_str().expect("a path"));
    home.ok(&["eval", "certify", "--file", file_text, "--key-dir", second_text]);
    // An auditor's machine: nothing of the installation is there, and nothing is made.
    let auditor = Home::without_config();
    let at = |name: &str| auditor.path().join(name).to_str().expect("a path").to_owned();
    fs::copy(&file, at("certificate.json")).expect("it can be copied");
    fs::copy(home.state().join("eval/signing.pub"), at("first.pub")).expect("likewise");
    fs::copy(second.join("signing.pub"), at("second.pub")).expect("likewise");
    let (cert, first, other) = (at("certificate.json"), at("first.pub"), at("second.pub"));
    let one = auditor.ok(&["eval", "verify", &cert, "--key", &first]);
    assert!(one.contains("verified: signed by sha256:") && !one.contains(" and sha256:"), "{one}");
    for said in [
        "target: second/echo",
        "suite: echoes 1.0.0",
        "use cases: echoing",
        "tiers: batch, standard, critical",
        "60 of 60",
    ] {
        assert!(one.contains(said), "`{said}`: {one}");
    }
    let both = auditor.ok(&["eval", "verify", &cert, "--key", &first, "--key", &other, "--signatures", "2"]);
    assert!(both.contains(" and sha256:"), "{both}");
    let said = auditor.run(&["eval", "verify", &cert, "--key", &first, "--signatures", "2"]);
    assert_eq!(said.code, Some(1), "{}", said.said());
    assert!(said.stderr.contains("it has 1 of 2 signatures"), "{}", said.said());
    let stranger = at("stranger.pub");
    fs::write(
        &stranger,
        format!("{}\n", hex::encode(ed25519_dalek::SigningKey::from_bytes(&[9; 32]).verifying_key().as_bytes())),
    )
    .expect("it can be written");
    let said = auditor.run(&["eval", "verify", &cert, "--key", &stranger]).expect_failure();
    assert!(said.contains("it is signed by sha256:"), "{said}");
    Forge::of(at("certificate.json").into()).edit(|statement| statement["predicate"]["attempt"] = json!(7));
    let said = auditor.run(&["eval", "verify", &cert, "--key", &first]);
    assert_eq!(said.code, Some(1), "{}", said.said());
    assert!(said.stderr.contains("its signature does not fit its content"), "{}", said.said());
    assert!(!auditor.state().exists(), "verifying offline made a state directory");
    // Here, what was taken back since is known.
    home.ok(&["eval", "verify", file_text]);
    home.ok(&["eval", "revoke", file_text, "--reason", "it flatters"]);
    assert!(home.run(&["eval", "verify", file_text]).expect_failure().contains("it was revoked: it flatters"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_outcome_has_its_exit_code_and_ci_reads_it() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    let run = ["eval", "run", "--suite", SUITE, "--target", "second/echo"];
    assert_eq!(home.run(&run).code, Some(0));
    assert_eq!(home.run(&["eval", "run", "--suite", "nothing", "--target", "second/echo"]).code, Some(1));
    assert_eq!(home.run(&["eval", "run", "--target", "second/echo"]).code, Some(2));
    assert_eq!(home.run(&[&run[..], &["--format", "yaml"]].concat()).code, Some(2));
    // A vendor that is not there answers nothing: inconclusive, and no pass.
    let gone = home.run(&["eval", "run", "--suite", SUITE, "--target", "first/a", "--format", "junit"]);
    assert_eq!(gone.code, Some(11), "{}", gone.said());
    assert!(gone.stdout.starts_with("<?xml") && gone.stdout.contains("errors=\"60\""), "{}", gone.stdout);
}
