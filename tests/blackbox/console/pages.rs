//! What the pages show, and that no name or reason can do more than be shown.

use std::collections::BTreeSet;

use serde_json::json;

use super::{entries, home, logged_in};
use crate::{
    admin::{admin, put, token},
    client::question,
    config::Config,
    home::Home,
    vendor::{Say, Vendor},
};

const ROUTE: &str = "<script>r(3)</script>";
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_pages_show_what_the_api_answers() {
    let (home, _vendor) = home().await;
    let gateway = home.serve();
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    let browser = logged_in(&home, &gateway, "operator").await;
    let client = admin(&gateway, &token(&home, "operator")).await;
    let incident = json!({"id": "INC-1", "route": "chat", "severity": 3, "title": "slow answers"});
    put(&client, reqwest::Method::POST, "/incidents", &incident).await.expect(200);
    for (path, shows) in [
        ("/console", vec!["near&#x2f;fake-1", "Nothing is open", "Vendors", "There are none"]),
        ("/console/routes/chat", vec!["Release 1", "near&#x2f;fake-1", "serves"]),
        ("/console/audit", vec!["admin.login", "console_session"]),
        ("/console/usage", vec!["acme", "near", "fake-1"]),
        ("/console/usage?by=tenant&by=vendor&vendor=near&days=7", vec!["acme", "near"]),
        ("/console/card?target=near%2Ffake-1", vec!["near&#x2f;fake-1"]),
        ("/console/certificates", vec!["There are none"]),
        ("/console/incidents", vec!["slow answers", "INC-1"]),
        ("/console/share", vec!["State of the cap"]),
    ] {
        let page = browser.get(path).await.expect(200);
        for what in shows {
            assert!(page.body.contains(what), "{path} does not show {what}: {}", page.body);
        }
        assert!(page.body.contains("Alice, operator") && !page.body.contains("<script"), "{path}: {}", page.body);
        assert!(!page.body.contains("cannot be shown"), "{path}: {}", page.body);
    }
    let none = browser.get("/console/usage?tenant=nobody").await.expect(200);
    assert!(!none.body.contains("<td>acme</td>"), "{}", none.body);
    for (path, status) in [
        ("/console/routes/nowhere", 404),
        ("/console/routes/nowhere/rollback", 404),
        ("/console/audit/999999", 404),
        ("/console/audit/x", 404),
        ("/console/card?target=nonsense", 400),
        ("/console/card", 400),
        ("/console/nothing", 404),
        ("/console/audit?before_seq=x", 400),
    ] {
        browser.get(path).await.expect(status);
    }
    // No post but a form's.
    browser.get("/console/logout").await.expect(405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn hostile_names_are_shown_and_do_nothing() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url());
    let config = config.route("chat", &["near/fake-1"]).route(&format!("'{ROUTE}'"), &["near/fake-1"]);
    let config = config.more("admin: { listen: 127.0.0.1:0 }").text().replace("acme: {}", "acme: {}, '<script>t': {}");
    let home = Home::new(&config);
    let gateway = home.serve();
    let key = home.ok(&["keys", "issue", "--tenant", "<script>t"]).trim().to_owned();
    gateway.client().with_key(&key).chat(&question(ROUTE, "hi")).await.expect(200);
    let args = ["admin", "token", "issue", "--role", "operator", "--name", HOSTILE];
    let token = home.ok(&args).trim().to_owned();
    let browser = super::browser(&gateway).await;
    browser.log_in(&token).await;
    let client = admin(&gateway, &token).await;
    let incident = json!({"id": HOSTILE, "route": "chat", "severity": 1, "title": HOSTILE});
    put(&client, reqwest::Method::POST, "/incidents", &incident).await.expect(200);
    home.ok(&["release", "propose", "chat", "--targets", "near/fake-1,near/<b>fake", "--reason", HOSTILE]);
    let seq = entries(&home, "release.propose")[0]["seq"].to_string();
    for path in [
        "/console".to_owned(),
        "/console/routes/chat".to_owned(),
        "/console/incidents".to_owned(),
        "/console/audit?action=release".to_owned(),
        format!("/console/audit?action={0}&object={0}&actor=admin_token", "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%27"),
        format!("/console/audit/{seq}"),
        "/console/usage?by=feature".to_owned(),
        "/console/usage?tenant=%3Cscript%3E&days=%3Cscript%3E&by=%3Cscript%3E".to_owned(),
        "/console/card?target=near%2F%3Cscript%3E".to_owned(),
        "/console/login?ended=%3Cscript%3E".to_owned(),
        "/console/routes/%3Cscript%3E".to_owned(),
        "/console/routes/%3Cscript%3Er(3)%3C%2Fscript%3E".to_owned(),
        "/console/routes/%3Cscript%3Er(3)%3C%2Fscript%3E/rollback".to_owned(),
        "/console/usage?by=tenant&by=route".to_owned(),
    ] {
        let page = browser.get(&path).await;
        assert!(page.status < 500, "{path}: {page:?}");
        for bad in ["<script", "<img", "<b>fake", "onerror=alert(2)>"] {
            assert!(!page.body.contains(bad), "{path} has {bad}: {}", page.body);
        }
        assert_eq!(page.expect_header("content-type"), "text/html; charset=utf-8");
    }
    let route = browser.get("/console/routes/chat").await.expect(200);
    assert!(route.body.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;"), "{}", route.body);
    let overview = browser.get("/console").await.expect(200).body;
    assert!(
        overview.contains("/console/routes/%3Cscript%3Er%283%29%3C%2Fscript%3E\">&lt;script&gt;r(3)"),
        "{overview}"
    );
    let usage = browser.get("/console/usage?by=tenant&by=route").await.expect(200).body;
    assert!(usage.contains("<td>&lt;script&gt;t</td><td>&lt;script&gt;r(3)&lt;&#x2f;script&gt;</td>"), "{usage}");
    let who = browser.get("/console").await.expect(200).body;
    assert!(who.contains("&lt;img src=x onerror=alert(2)&gt;, operator"), "{who}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_audit_log_is_read_page_by_page_to_its_first_entry() {
    let (home, _vendor) = home().await;
    let gateway = home.serve();
    let security = logged_in(&home, &gateway, "security").await;
    let client = admin(&gateway, &token(&home, "operator")).await;
    for number in 0..120 {
        let tenant = json!({"name": format!("tenant-{number}")});
        put(&client, reqwest::Method::POST, "/tenants", &tenant).await.expect(201);
    }
    let last = client.get("/audit?limit=1").await.expect(200).json()[0]["seq"].as_u64().expect("has one");
    let (mut seen, mut path, mut pages) = (Vec::new(), "/console/audit".to_owned(), 0);
    loop {
        let page = security.get(&path).await.expect(200).body;
        let on_page: Vec<u64> = page
            .split("<a href=\"/console/audit/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next()?.parse().ok())
            .collect();
        assert!(on_page.len() <= 50, "{on_page:?}");
        seen.extend(on_page);
        pages += 1;
        let Some((_, next)) = page.split_once("rel=\"next\" href=\"") else { break };
        path = next.split('"').next().expect("ends").replace("&amp;", "&").replace("&#x2f;", "/");
    }
    assert!(pages >= 3, "{pages}");
    let whole: Vec<u64> = (0..=last).rev().collect();
    assert_eq!(seen, whole, "each entry once, the newest first");
    // Narrowed, the pages stay narrow.
    let narrow = security.get("/console/audit?action=tenant.add").await.expect(200).body;
    assert!(narrow.contains("rel=\"next\"") && narrow.contains("&action=tenant.add"), "{narrow}");
    let before = client.get("/audit?before_seq=3&limit=2").await.expect(200).json();
    let seqs: BTreeSet<u64> = before.as_array().into_iter().flatten().filter_map(|one| one["seq"].as_u64()).collect();
    assert_eq!(seqs, BTreeSet::from([1, 2]));

    // Persons are for the role security alone.
    let seq = entries(&home, "admin.login")[0]["seq"].to_string();
    let shown = security.get(&format!("/console/audit/{seq}")).await.expect(200).body;
    assert!(shown.contains("actor.name") && shown.contains("Leaf (SHA-256)"), "{shown}");
    let viewer = logged_in(&home, &gateway, "viewer").await;
    let shown = viewer.get(&format!("/console/audit/{seq}")).await.expect(200).body;
    assert!(!shown.contains("<th>actor.name</th>") && shown.contains("admin.login"), "{shown}");
    viewer.get("/console/audit?actor=Alice").await.expect(403);
}
