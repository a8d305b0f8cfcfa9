//! The console as an operator's browser meets it: coming in and going out, what each role sees, the buttons, and what a hostile page or
//! name can do (nothing).

mod acts;
pub mod browser;
mod chromium;
mod oidc;
mod pages;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::browser::Browser;
use super::{
    admin::token,
    config::Config,
    gateway::Gateway,
    home::Home,
    vendor::{Say, Vendor},
};

/// One route to a fake, with an operators' listener.
async fn home() -> (Home, Vendor) {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    (Home::new(&config.more("admin: { listen: 127.0.0.1:0 }").text()), vendor)
}

async fn browser(gateway: &Gateway) -> Browser {
    let admin = super::admin::admin(gateway, "nothing").await;
    Browser::new(admin.base().trim_end_matches("/admin/v1"))
}

/// A browser whose operator has this role, and is called `Alice`.
async fn logged_in(home: &Home, gateway: &Gateway, role: &str) -> Browser {
    let token = home.ok(&["admin", "token", "issue", "--role", role, "--name", "Alice"]).trim().to_owned();
    let browser = browser(gateway).await;
    browser.log_in(&token).await;
    browser
}

fn entries(home: &Home, action: &str) -> Vec<Value> {
    let listed = home.json(&["audit", "list", "--action", action, "--limit", "1000"]);
    listed.as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_logs_in_and_a_logout_ends_it_and_both_are_on_record() {
    let (home, _vendor) = home().await;
    let gateway = home.serve();
    let browser = browser(&gateway).await;
    for path in ["/console", "/console/audit", "/console/routes/chat", "/console/routes/chat/rollback"] {
        assert_eq!(browser.get(path).await.expect(303).location(), "/console/login", "{path}");
    }
    let page = browser.get("/console/login").await.expect(200);
    let policy = page.expect_header("content-security-policy");
    for part in ["default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part) && !policy.contains("unsafe") && !policy.contains("script"), "{policy}");
    }
    for (header, value) in [
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.expect_header(header), value);
    }
    assert!(browser.get("/console/style.css").await.expect(200).expect_header("content-type").starts_with("text/css"));

    let right = home.ok(&["admin", "token", "issue", "--role", "operator", "--name", "Alice"]).trim().to_owned();
    let mut wrong = right.clone();
    wrong.replace_range(right.len() - 1.., if right.ends_with('A') { "B" } else { "A" });
    for bad in [wrong.as_str(), "", "nonsense", gateway.key()] {
        let refused = browser.post("/console/login", &[("token", bad)]).await.expect(401);
        assert!(refused.body.contains("not valid here") && refused.header("set-cookie").is_none(), "{refused:?}");
        assert!(bad.len() < 20 || !refused.body.contains(&bad[15..]), "{refused:?}");
    }
    let arrived = browser.post("/console/login", &[("token", &right)]).await.expect(303);
    assert_eq!(arrived.location(), "/console");
    let cookie = arrived.expect_header("set-cookie");
    let (value, attributes) = cookie.split_once("; ").expect("has attributes");
    assert_eq!(attributes, "Path=/console; HttpOnly; SameSite=Strict");
    assert_eq!(value.split_once('=').map(|(name, id)| (name, id.len())), Some(("backstop_console", 43)), "256 bits");
    let overview = browser.get("/console").await.expect(200);
    assert!(overview.body.contains("Alice, operator") && overview.body.contains("near&#x2f;fake-1"), "{overview:?}");

    // Over TLS, as the browser itself says, no other host can set it.
    let safe = browser.fresh().post_from("https://HOST", "/console/login", &[("token", &right)]).await.expect(303);
    let safe = safe.expect_header("set-cookie");
    assert!(
        safe.starts_with("__Host-backstop_console=") && safe.contains("; Path=/; Secure; HttpOnly; SameSite=Strict"),
        "{safe}"
    );

    let before = browser.cookies();
    let out = browser.send_form("/console", "/console/logout", &[]).await.expect(303);
    assert_eq!(out.location(), "/console/login");
    assert!(out.expect_header("set-cookie").contains("Max-Age=0"), "{out:?}");
    let again = browser.fresh_with(&before);
    assert_eq!(again.get("/console").await.expect(303).location(), "/console/login", "its cookie opens nothing more");

    let logins = entries(&home, "admin");
    let actions: Vec<&str> =
        logins.iter().filter_map(|one| one["action"].as_str()).filter(|what| what.starts_with("admin.")).collect();
    assert_eq!(actions, ["admin.logout", "admin.login", "admin.login", "admin.login_refuse"], "{logins:#?}");
    assert_eq!(
        (&logins[0]["known"]["actor.name"], &logins[0]["object"]["kind"]),
        (&json!("Alice"), &json!("console_session"))
    );
    assert_eq!(logins[0]["object"]["name"], logins[2]["object"]["name"], "the same session");
    assert_eq!((&logins[1]["after"]["by"], &logins[1]["after"]["role"]), (&json!("token"), &json!("operator")));
    gateway.stop();
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_that_is_revoked_or_over_ends_its_session() {
    let (home, _vendor) = home().await;
    let gateway = home.serve();
    let revoked = token(&home, "viewer");
    let brief = home.ok(&["admin", "token", "issue", "--role", "viewer", "--expires", "4s"]).trim().to_owned();
    let (first, second) = (browser(&gateway).await, browser(&gateway).await);
    first.log_in(&revoked).await;
    second.log_in(&brief).await;
    first.get("/console/audit").await.expect(200);
    home.ok(&["admin", "token", "revoke", &revoked]);
    let ended = first.get("/console/audit").await.expect(303);
    assert_eq!(ended.location(), "/console/login?ended=1");
    assert!(ended.expect_header("set-cookie").contains("Max-Age=0"), "{ended:?}");
    assert!(first.get(ended.location()).await.expect(200).body.contains("Your session is over"));
    let deadline = Instant::now() + Duration::from_secs(15);
    while second.get("/console").await.status == 200 {
        assert!(Instant::now() < deadline, "a session outlives its token");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(second.get("/console").await.expect(303).location(), "/console/login");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_guesses_is_turned_away_and_who_is_logged_in_stays() {
    let (home, _vendor) = home().await;
    let gateway = home.serve();
    let inside = logged_in(&home, &gateway, "viewer").await;
    let guesser = browser(&gateway).await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(guesser.post("/console/login", &[("token", &format!("bs-adm-{}", "x".repeat(43)))]).await.status);
    }
    assert_eq!((statuses[0], statuses[39]), (401, 429), "{statuses:?}");
    guesser.get("/console").await.expect(429).expect_header("retry-after");
    inside.get("/console").await.expect(200);
    assert_eq!(entries(&home, "admin.login_refuse").len(), 1, "told once");
}
