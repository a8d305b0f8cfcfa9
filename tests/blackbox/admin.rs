//! Operators over the admin API: who is let in, what each role may, writes that are repeated, and what stands in the audit log.

pub mod both;
mod document;
mod login;
pub mod oidc;
mod quality;
mod releases;
pub mod remote;
mod reports;
pub mod rollback;
mod triggers;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::{Answer, Client, question, send},
    config::Config,
    gateway::Gateway,
    home::Home,
    vendor::{Say, Vendor},
};

const ROLES: [&str; 5] = ["viewer", "operator", "release-manager", "coe-lead", "security"];

/// One route to a fake, with an operators' listener.
async fn home(more: &str) -> (Home, Vendor) {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    (Home::new(&config.more("admin: { listen: 127.0.0.1:0 }").more(more).text()), vendor)
}

pub fn token(home: &Home, role: &str) -> String {
    let token = home.ok(&["admin", "token", "issue", "--role", role]).trim().to_owned();
    assert!(token.starts_with("bs-adm-") && token.lines().count() == 1, "only the token: {token}");
    token
}

/// A client of the admin API.
pub async fn admin(gateway: &Gateway, token: &str) -> Client {
    gateway.logged("admin API: ").await;
    let log = gateway.log();
    let (_, rest) = log.split_once("admin API: ").expect("was just seen");
    let url = rest.split_whitespace().next().expect("names a place");
    Client::new(url, token)
}

pub async fn put(client: &Client, method: Method, path: &str, body: &Value) -> Answer {
    send(request(client, method, path, body)).await
}

fn request(client: &Client, method: Method, path: &str, body: &Value) -> reqwest::RequestBuilder {
    let (client, token) = (client, client.key());
    client.bare(method, path).bearer_auth(token).header("content-type", "application/json").body(body.to_string())
}

fn code(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_lets_in_until_it_is_revoked_and_nobody_else_comes_in() {
    let (home, _vendor) = home("").await;
    let gateway = home.serve();
    let viewer = token(&home, "viewer");
    let client = admin(&gateway, &viewer).await;
    let me = client.get("/me").await.expect(200);
    assert_eq!(me.json()["role"], "viewer");
    for header in ["x-content-type-options", "cache-control", "content-security-policy", "x-frame-options"] {
        me.expect_header(header);
    }
    assert_eq!(me.header("access-control-allow-origin"), None);
    let bare = send(client.bare(Method::GET, "/tenants")).await.expect(401);
    assert_eq!((code(&bare).as_str(), bare.header("www-authenticate")), ("unauthenticated", Some("Bearer")));
    let mut wrong = viewer.clone();
    wrong.replace_range(viewer.len() - 1.., if viewer.ends_with('A') { "B" } else { "A" });
    let refused = client.with_key(&wrong).get("/tenants").await.expect(401);
    assert!(!refused.body.contains(&wrong[15..]), "{refused:?}");
    client.with_key(gateway.key()).get("/tenants").await.expect(401);
    // Neither listener serves the other's paths.
    client.get("/../../v1/models").await.expect(404);
    gateway.client().with_key(&viewer).get("/admin/v1/me").await.expect(404);

    home.ok(&["admin", "token", "revoke", &viewer]);
    let deadline = Instant::now() + Duration::from_secs(5);
    while client.get("/me").await.status != 401 {
        assert!(Instant::now() < deadline, "a revoked token still opens");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let brief = home.ok(&["admin", "token", "issue", "--role", "viewer", "--expires", "1s"]).trim().to_owned();
    let brief = client.with_key(&brief);
    while brief.get("/me").await.status != 401 {
        assert!(Instant::now() < deadline + Duration::from_secs(5), "an expired token still opens");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let listed = home.json(&["admin", "token", "list"]);
    let states: Vec<&str> = listed.as_array().into_iter().flatten().filter_map(|row| row["state"].as_str()).collect();
    assert!(states.contains(&"revoked") && states.contains(&"expired"), "{listed:#}");
    assert!(!listed.to_string().contains(&viewer), "a token is shown once");
    let audited = home.json(&["audit", "list", "--action", "admin_token"]);
    assert_eq!(audited.as_array().map(Vec::len), Some(3), "{audited:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_role_may_what_the_document_says_and_no_more() {
    let (home, _vendor) = home("").await;
    let gateway = home.serve();
    let security = admin(&gateway, &token(&home, "security")).await;
    let document = send(security.bare(Method::GET, "/openapi.json")).await.expect(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    let rank = |role: &str| ROLES.iter().position(|known| *known == role).expect("is a role");
    let mut asked = 0;
    for role in ROLES {
        let client = security.with_key(&token(&home, role));
        for (path, operations) in document["paths"].as_object().expect("has paths") {
            for (method, operation) in operations.as_object().expect("has operations") {
                let Some(least) = operation["x-least-role"].as_str() else { continue };
                let may = match (role, least) {
                    ("security", least) => matches!(least, "viewer" | "security"),
                    (_, "security") => false,
                    (role, least) => rank(role) >= rank(least),
                };
                let path = path.strip_prefix("/admin/v1").expect("all are there").replace(['{', '}'], "");
                // A body that no write takes: what is let through fails there, and changes nothing.
                let method: Method = method.to_uppercase().parse().expect("is a method");
                let given = if method == Method::GET { Value::Null } else { json!({"no-such-member": 1}) };
                let answer = put(&client, method.clone(), &path, &given).await;
                let refused = answer.status == 403;
                assert_eq!(refused, !may, "{role} {method} {path}: {answer:?}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 5 * 30, "only {asked} were asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_made_over_the_api_works_and_is_audited_with_its_maker() {
    let (home, vendor) = home("").await;
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    let made = put(&client, Method::POST, "/tenants", &json!({"name": "initech", "limits": {"rpm": 60}})).await;
    assert_eq!(made.expect(201).json()["rpm"], 60);
    let again = put(&client, Method::POST, "/tenants", &json!({"name": "initech"})).await.expect(409);
    assert_eq!(code(&again), "exists");
    let issued = put(&client, Method::POST, "/keys", &json!({"tenant": "initech", "routes": ["chat"]})).await;
    let issued = issued.expect(201).json();
    let key = issued["key"].as_str().expect("is shown once");
    let served = gateway.client().with_key(key).chat(&question("chat", "hi")).await.expect(200);
    let call = served.expect_header("x-request-id").to_owned();
    assert_eq!(vendor.seen_count(), 1);
    let shown = client.get(&format!("/calls/{call}")).await.expect(200).json();
    assert_eq!((&shown["tenant"], &shown["served"]), (&json!("initech"), &json!("near/fake-1")));
    let usage = client.get("/usage?by=tenant,route").await.expect(200).json();
    assert_eq!((&usage[0]["tenant"], &usage[0]["calls"]), (&json!("initech"), &json!(1)), "{usage:#}");
    let limits = client.get("/tenants/initech/limits").await.expect(200).json();
    assert_eq!((&limits[0]["limit"], &limits[0]["used"]), (&json!("rpm"), &json!(1)), "{limits:#}");
    put(&client, Method::DELETE, &format!("/keys/{}", issued["key_id"].as_str().expect("has one")), &json!({}))
        .await
        .expect(200);
    let deadline = Instant::now() + Duration::from_secs(5);
    while gateway.client().with_key(key).chat(&question("chat", "hi")).await.status != 401 {
        assert!(Instant::now() < deadline, "a revoked key still opens");
    }
    for (path, status) in [
        ("/tenants/nobody/limits", 404),
        ("/calls/nonsense", 400),
        ("/usage?by=colour", 400),
        ("/calls?limit=0", 400),
        ("/calls?colour=red", 400),
        ("/routes/nowhere", 404),
        ("/nothing", 404),
    ] {
        let answer = client.get(path).await.expect(status);
        assert!(answer.json()["error"]["message"].is_string(), "{path}: {answer:?}");
    }
    let form = client.bare(Method::POST, "/tenants").bearer_auth(client.key()).header("content-type", "text/plain");
    send(form.body(r#"{"name": "x"}"#)).await.expect(400);
    put(&client, Method::POST, "/tenants", &json!({"name": "a".repeat(2 << 20)})).await.expect(413);
    put(&client, Method::PATCH, "/tenants", &json!({})).await.expect(405);

    let entries = client.get("/audit?actor=admin_token").await.expect(200).json();
    let actions: Vec<&str> =
        entries.as_array().into_iter().flatten().filter_map(|one| one["action"].as_str()).collect();
    assert_eq!(actions, ["key.revoke", "key.issue", "tenant.add"]);
    let by = entries[0]["actor"]["authenticated_by"].as_str().expect("is text");
    assert!(by.starts_with("admin token bs-adm-") && by.ends_with("role operator"), "{by}");
    assert_eq!(entries[0]["known"], json!({}), "persons are not for everyone");
    assert!(!entries.to_string().contains(key), "a key is in the log");
    client.get("/audit?actor=root").await.expect(403);
    let seq = entries[0]["seq"].as_u64().expect("has one");
    let proof = client.get(&format!("/audit/{seq}/proof")).await.expect(200).json();
    assert!(proof["text"].as_str().is_some_and(|text| text.starts_with("c2sp.org/tlog-proof@v1")), "{proof}");
    gateway.stop();
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_repeated_write_is_done_once_and_its_secret_is_not_kept() {
    let (home, _vendor) = home("").await;
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    let issue = |key: &str, tenant: &str| {
        request(&client, Method::POST, "/keys", &json!({"tenant": tenant})).header("idempotency-key", key)
    };
    let first = send(issue("one", "acme")).await.expect(201);
    let again = send(issue("one", "acme")).await.expect(201);
    assert_eq!(again.expect_header("idempotency-replayed"), "true");
    let secret = first.json()["key"].as_str().expect("is shown once").to_owned();
    assert_eq!((&again.json()["key_id"], &again.json()["key"]), (&first.json()["key_id"], &Value::Null));
    assert_eq!(code(&send(issue("one", "initech")).await.expect(422)), "idempotency_key_reused");
    let failed = send(issue("two", "nobody")).await.expect(404);
    assert_eq!(send(issue("two", "nobody")).await.expect(404).body, failed.body);
    send(issue("with blank", "acme")).await.expect(400);
    // Another operator's keys are their own.
    let other = client.with_key(&token(&home, "operator"));
    let others = request(&other, Method::POST, "/keys", &json!({"tenant": "acme"})).header("idempotency-key", "one");
    assert_ne!(send(others).await.expect(201).json()["key_id"], first.json()["key_id"]);
    let race = super::client::many(8, 8, |_| issue("race", "acme")).await;
    let won = race.iter().filter(|answer| answer.status == 201 && answer.header("idempotency-replayed").is_none());
    assert_eq!(won.count(), 1, "{race:?}");
    assert!(race.iter().all(|answer| matches!(answer.status, 201 | 409)), "{race:?}");
    gateway.stop();

    // The answer outlives the process, and the secret is nowhere in the database.
    let gateway = home.serve();
    let client = admin(&gateway, client.key()).await;
    let after =
        send(request(&client, Method::POST, "/keys", &json!({"tenant": "acme"})).header("idempotency-key", "one"));
    assert_eq!(after.await.expect(201).json()["key_id"], first.json()["key_id"]);
    gateway.stop();
    for file in ["backstop.db", "backstop.db-wal"] {
        let bytes = std::fs::read(home.state().join(file)).unwrap_or_default();
        let holds = |what: &str| bytes.windows(what.len()).any(|window| window == what.as_bytes());
        assert!(!holds(&secret) && !holds(client.key()), "{file} holds a secret");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn secrets_come_in_and_never_go_out() {
    const CANARY: &str = "sk-canary-admin-9931-never-shown";
    let (home, vendor) = home("").await;
    home.secret("near", "sk-first-secret-of-the-vendor");
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "security")).await;
    let set = put(&client, Method::PUT, "/vault/near", &json!({"value": CANARY})).await.expect(200);
    assert_eq!((set.json()["last_four"].as_str(), set.json()["version"].as_u64()), (Some("hown"), Some(2)));
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(vendor.seen()[0].header("authorization"), Some(format!("Bearer {CANARY}").as_str()));
    put(&client, Method::PUT, "/vault/..%2Fx", &json!({"value": "v"})).await.expect(400);
    put(&client, Method::DELETE, "/vault/nothing", &json!({})).await.expect(404);
    let mut said = String::new();
    for path in
        ["/vault", "/config", "/status", "/audit", "/audit/export", "/audit/export/personal", "/routes", "/tokens"]
    {
        said.push_str(&client.get(path).await.expect(200).body);
    }
    assert!(said.contains("near") && !said.contains(CANARY) && !said.contains(&client.key()[15..]), "{said}");
    put(&client, Method::DELETE, "/vault/near", &json!({})).await.expect(200);
    let log = gateway.stop();
    assert!(!log.contains(CANARY), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_guesses_tokens_is_turned_away_and_its_neighbours_are_not() {
    let (home, _vendor) = home("").await;
    let gateway = home.serve();
    let right = token(&home, "viewer");
    let client = admin(&gateway, &right).await;
    client.get("/me").await.expect(200);
    let guess = format!("bs-adm-{}", "x".repeat(43));
    let answers = super::client::many(60, 4, |_| client.bare(Method::GET, "/me").bearer_auth(&guess)).await;
    let last = answers.iter().rfind(|answer| answer.status == 429).expect("turned away after 30");
    last.expect_header("retry-after");
    assert!(answers.iter().all(|answer| matches!(answer.status, 401 | 429)));
    client.get("/me").await.expect(200);
}
