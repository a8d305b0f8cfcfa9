//! SQL, and worse, in every field that a caller or an operator may write: keys, tenants, features, metadata, paths, query strings, bodies
//! of the admin API, arguments of the verbs. It is data, or it is refused; never a crash, a broken database, or somebody else's rows.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    admin::{admin, put, token},
    client::{Answer, Client, question, send},
    config::Config,
    home::Home,
    vendor::{Say, Vendor},
};

const ODD: [&str; 8] = [
    "'; DROP TABLE calls; --",
    "' OR '1'='1",
    "\" OR 1=1; --",
    "x') UNION SELECT hash FROM client_keys --",
    "%' ESCAPE '\\",
    "\u{202e}日本語\u{1f4a9}",
    "../../etc/passwd",
    "NULL",
];

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// An answer to something odd: well-formed, and nobody's fault but the asker's.
fn sober(what: &str, answer: &Answer) {
    assert!(matches!(answer.status, 200..=299 | 400..=499), "{what}: {answer:?}");
    let said = answer.body.to_lowercase();
    for word in ["sqlite", "syntax error", "panicked", "near \"", "no such column"] {
        assert!(!said.contains(word), "{what} tells of the database: {answer:?}");
    }
}

async fn tables(home: &Home) -> Vec<(String, i64)> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.state().join("backstop.db")).read_only(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("opens");
    let check: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&pool).await.expect("runs");
    assert_eq!(check, "ok");
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
        .fetch_all(&pool)
        .await
        .expect("runs");
    let mut all = Vec::new();
    for name in names {
        let sql = format!("SELECT count(*) FROM \"{name}\"");
        all.push((name, sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.expect("runs")));
    }
    pool.close().await;
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_field_takes_sql_as_text_or_not_at_all() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    let home = Home::new(&config.more("admin: { listen: 127.0.0.1:0 }").text());
    home.secret("near", "sk-a-secret-of-the-vendor");
    let gateway = home.serve();
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    let security = admin(&gateway, &token(&home, "security")).await;
    let lead = security.with_key(&token(&home, "coe-lead"));
    let before = tables(&home).await;
    let document = send(security.bare(Method::GET, "/openapi.json")).await.expect(200).json();
    let mut asked = 0;
    for odd in ODD {
        callers(&gateway.client(), odd).await;
        for client in [&security, &lead] {
            asked += reads(client, &document, odd).await;
        }
        writes(&security, &lead, odd).await;
    }
    assert!(asked > 200, "only {asked} fields were tried");
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    gateway.stop();
    for odd in ODD {
        verbs(&home, odd);
    }
    let after = tables(&home).await;
    let names = |tables: &[(String, i64)]| tables.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after), "no table is gone");
    let rows = |name: &str| after.iter().find(|(known, _)| known == name).map(|(_, rows)| *rows);
    assert_eq!((rows("calls"), rows("attempts")), (Some(2 + 8), Some(2 + 8)), "{after:?}");
    home.ok(&["audit", "verify"]);
}

/// What a caller may write. One call of each is answered.
async fn callers(client: &Client, odd: &str) {
    let mut body = question("chat", odd);
    (body["user"], body["metadata"]) = (json!(odd), json!({odd: odd}));
    client.chat(&body).await.expect(200);
    body["metadata"] = json!({"feature": odd});
    // `NULL` is a name like others.
    if odd != "NULL" {
        client.chat(&body).await.expect(400);
    }
    client.chat(&question(odd, "hi")).await.expect(404);
    let models = client.get(&format!("/v1/models/{}", percent(odd))).await.expect(404);
    sober("models", &models);
    for header in ["authorization", "x-api-key", "x-backstop-feature", "x-backstop-timeout-ms", "x-forwarded-for"] {
        let Ok(value) = reqwest::header::HeaderValue::from_bytes(odd.as_bytes()) else { continue };
        let mut request = client.bare(Method::POST, "/v1/chat/completions").header("content-type", "application/json");
        // Without a body that could be answered.
        request = request.header(header, value).body("{}");
        let request =
            if matches!(header, "authorization" | "x-api-key") { request } else { request.bearer_auth(client.key()) };
        sober(header, &send(request).await);
    }
    for path in ["/readyz", "/v1/models", "/metrics"] {
        sober(
            path,
            &send(client.bare(Method::GET, &format!("{path}?a={}", percent(odd))).bearer_auth(client.key())).await,
        );
    }
}

/// Every parameter of every question that the document has.
async fn reads(client: &Client, document: &Value, odd: &str) -> usize {
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().expect("has paths") {
        let Some(read) = operations.get("get") else { continue };
        let place = path.strip_prefix("/admin/v1").expect("all are there");
        let fill = |with: &str| {
            let mut filled = place.to_owned();
            while let (Some(from), Some(to)) = (filled.find('{'), filled.find('}')) {
                filled.replace_range(from..=to, with);
            }
            filled
        };
        if place.contains('{') {
            sober(place, &client.get(&fill(&percent(odd))).await);
            asked += 1;
        }
        for parameter in read["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query") {
            let name = parameter["name"].as_str().expect("has a name");
            let answer = client.get(&format!("{}?{name}={}", fill("chat"), percent(odd))).await;
            sober(&format!("{place}?{name}"), &answer);
            // What narrows to a value that nothing has finds nothing.
            let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            assert!(!said.is_array() || said == json!([]), "{place}?{name}={odd}: {answer:?}");
            asked += 1;
        }
    }
    asked
}

async fn writes(security: &Client, lead: &Client, odd: &str) {
    let id = percent(odd);
    for (client, method, path, body) in [
        (lead, Method::POST, "/tenants".to_owned(), json!({"name": odd})),
        (lead, Method::PUT, format!("/tenants/{id}/limits"), json!({"limits": {"rpm": 1}})),
        (lead, Method::POST, "/keys".to_owned(), json!({"tenant": odd})),
        (lead, Method::POST, "/keys".to_owned(), json!({"tenant": "acme", "features": [odd], "name": odd})),
        (lead, Method::POST, "/keys".to_owned(), json!({"tenant": "acme", "routes": [odd]})),
        (lead, Method::POST, "/keys".to_owned(), json!({"tenant": "acme", "networks": [odd]})),
        (lead, Method::POST, format!("/keys/{id}/rotate"), json!({})),
        (lead, Method::DELETE, format!("/keys/{id}"), json!({})),
        (lead, Method::POST, "/incidents".to_owned(), json!({"id": odd, "route": odd, "severity": 4, "title": odd})),
        (lead, Method::POST, "/incidents".to_owned(), json!({"id": odd, "route": "chat", "severity": 4, "title": odd})),
        (lead, Method::POST, "/kpis".to_owned(), json!({"name": odd, "route": odd, "value": 1.0})),
        (lead, Method::POST, format!("/routes/{id}/rollback"), json!({"reason": odd})),
        (security, Method::PUT, format!("/vault/{id}"), json!({"secret": odd})),
        (security, Method::DELETE, format!("/vault/{id}"), json!({})),
        (security, Method::DELETE, format!("/tokens/{id}"), json!({})),
    ] {
        let what = format!("{method} {path}");
        if odd == "NULL" && (what == "POST /tenants" || path.starts_with("/vault")) {
            // It is a name.
            continue;
        }
        sober(&what, &put(client, method, &path, &body).await);
    }
    let key = reqwest::header::HeaderValue::from_bytes(odd.as_bytes());
    if let Ok(key) = key {
        let request = lead.bare(Method::POST, "/incidents").bearer_auth(lead.key());
        let body = json!({"id": "I-1", "route": "chat", "severity": 4, "title": odd}).to_string();
        let request = request.header("content-type", "application/json").header("idempotency-key", key).body(body);
        sober("idempotency-key", &send(request).await);
    }
    let unknown = send(security.bare(Method::GET, "/tenants").header("authorization", format!("Bearer {}", id))).await;
    sober("a token", &unknown.expect(401));
}

/// Arguments of verbs: an empty answer, or a refusal with a code of ours.
fn verbs(home: &Home, odd: &str) {
    let only = format!("tenant={odd}");
    for args in [
        &["calls", "list", "--tenant", odd][..],
        &["calls", "list", "--route", odd],
        &["calls", "show", odd],
        &["usage", "--tenant", odd],
        &["usage", "--feature", odd],
        &["usage", "--model", odd],
        &["usage", "--vendor", odd],
        &["usage", "--route", odd],
        &["usage", "--key", odd],
        &["usage", "--status", odd],
        &["usage", "--only", &only],
        &["usage", "--since", odd],
        &["usage", "--by", odd],
        &["limits", "show", odd],
        &["tenants", "limit", odd, "--rpm", "1"],
        &["tenants", "limit", "acme", "--feature", odd, "--rpm", "1"],
        &["keys", "revoke", odd],
        &["keys", "rotate", odd],
        &["keys", "issue", "--tenant", odd],
        &["keys", "issue", "--tenant", "acme", "--route", odd],
        &["keys", "issue", "--tenant", "acme", "--network", odd],
        &["keys", "issue", "--tenant", "acme", "--expires", odd],
        &["audit", "list", "--action", odd],
        &["audit", "list", "--object", odd],
        &["audit", "show", odd],
        &["share", "simulate", "--without", odd],
        &["prices", "show", odd],
        &["routes", "explain", odd],
        &["admin", "token", "revoke", odd],
        &["vault", "rm", odd],
        &["release", "history", odd],
    ] {
        let ran = home.run(args);
        let said = ran.said();
        assert!(matches!(ran.code, Some(0..=2)), "{args:?}: {ran:?}");
        for word in ["panicked", "syntax error", "near \"", "no such column"] {
            assert!(!said.contains(word), "{args:?} tells of the database: {said}");
        }
        if ran.code == Some(0) && matches!(args[..2], ["calls", "list"] | ["audit", "list"]) {
            let rows = home.json(args);
            assert_eq!(rows, json!([]), "{args:?}");
        }
    }
}
