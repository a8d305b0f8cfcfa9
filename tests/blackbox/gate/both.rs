//! Certificates over the admin API: shown as on the state directory, and taken back from another machine.

use super::{SUITE, certificate, certify, echo, ladder, until_left_out, with_suite};
use crate::admin::{
    both::{agree, needs_role},
    remote::Desk,
    token,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_taken_back_from_another_machine() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "admin: { listen: 127.0.0.1:0 }").await;
    let home = with_suite(&config);
    certify(&home);
    let gateway = home.serve();
    until_left_out(&gateway, false).await;
    let lead = Desk::at(&gateway, &token(&home, "coe-lead")).await;
    let shown: &[&[&str]] =
        &[&["eval", "certs"], &["eval", "certs", "--json"], &["routes", "explain", "chat", "--json"]];
    agree(&lead, &home, shown);
    let file = certificate(&home);
    let name = file.file_name().and_then(|name| name.to_str()).expect("has a name");
    let revoke = ["eval", "revoke", name, "--reason", "it says what it should not"];
    needs_role(&Desk::at(&gateway, &token(&home, "release-manager")).await, "coe-lead", &[&revoke]);
    let said = lead.ok(&revoke);
    assert!(said.starts_with(&format!("revoked: second/echo by {SUITE}\nrevocation: ")), "{said}");
    until_left_out(&gateway, true).await;
    agree(&lead, &home, shown);
    let unknown = lead.run(&["eval", "revoke", "nothing.json", "--reason", "x"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("no certificate nothing.json"), "{unknown:?}");
    // Certified anew, and taken back by its digest on the state directory.
    certify(&home);
    until_left_out(&gateway, false).await;
    let certs = home.json(&["eval", "certs"]);
    let valid = certs.as_array().into_iter().flatten().find(|one| one["fault"].is_null()).expect("is certified");
    home.ok(&["eval", "revoke", valid["digest"].as_str().expect("is text"), "--reason", "again"]);
    until_left_out(&gateway, true).await;
    agree(&lead, &home, shown);
    let entries = home.json(&["audit", "list", "--action", "certificate.revoke"]);
    assert_eq!(entries.as_array().map(Vec::len), Some(2), "{entries:#}");
}
