//! The console in a real browser: `tests/browser/console.test.js` in Chromium, against a gateway and an identity provider on another site.
//!
//! What it needs is installed by `tests/run browser`; without it the test fails and says so.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use tokio::process::Command;

use super::entries;
use crate::{
    admin::rollback::served_by,
    config::{Config, QUICK},
    home::Home,
    issuer::{Issuer, Signer},
    vendor::{Say, Vendor},
};

const LIMIT: Duration = Duration::from_secs(240);
/// What would run, did any page show it as more than text.
const HOSTILE: &str = "<img src=x onerror=alert(1)><script>alert(2)</script>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_log_in_look_around_and_roll_back_in_a_real_browser() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let needs = directory.join("node_modules/playwright-core");
    assert!(needs.exists(), "{} is missing: run `tests/run browser`, which installs it", needs.display());
    let (old, new) = (Vendor::openai(Say::Text("old")).await, Vendor::openai(Say::Text("new")).await);
    let signer = Arc::new(Signer::ed25519("a"));
    let issuer = Issuer::start(&[&signer]).await;
    issuer.lets_in(&signer);
    let oidc =
        format!("{{ issuer: \"{}\", audience: backstop, roles: {{ ops: operator }}, client_id: web }}", issuer.url());
    let config = Config::warn()
        .vendor("old", "openai", &old.url())
        .vendor("new", "openai", &new.url())
        .route_with("chat", &["old/m", "new/m"], &format!("deadlines: {QUICK}"))
        .more(&format!("admin: {{ listen: 127.0.0.1:0, oidc: {oidc} }}"));
    let home = Home::new(&config.text());
    let propose = ["release", "propose", "chat", "--targets", "new/m,old/m", "--reason", HOSTILE];
    let number = home.json(&propose)["release"].to_string();
    home.ok(&["release", "promote", "chat", &number, "--reason", HOSTILE, "--approve-by", "a second person"]);
    let token = home.ok(&["admin", "token", "issue", "--role", "operator", "--name", HOSTILE]);
    let gateway = home.serve();
    served_by(&gateway, "new/m", Duration::from_secs(20)).await;
    let admin = crate::admin::admin(&gateway, "nothing").await;
    // By a name that is another site than the issuer's address.
    let console = admin.base().trim_end_matches("/admin/v1").replace("127.0.0.1", "localhost");

    let mut browser = Command::new("node");
    browser.args(["--test", "console.test.js"]).current_dir(&directory).stdin(Stdio::null()).kill_on_drop(true);
    browser.env("BACKSTOP_CONSOLE", console).env("BACKSTOP_TOKEN", token.trim()).env("BACKSTOP_HOSTILE", HOSTILE);
    let output = tokio::time::timeout(LIMIT, browser.output()).await;
    let output = output.unwrap_or_else(|_| panic!("no end after {LIMIT:?}")).expect("node starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", gateway.log());
    let done = entries(&home, "release.rollback");
    assert_eq!(done.len(), 1, "a button that is pressed twice, or by another site, does nothing more: {done:#?}");
    assert_eq!(done[0]["reason"].as_str(), Some("customers complain"));
    served_by(&gateway, "old/m", Duration::from_secs(20)).await;
}
