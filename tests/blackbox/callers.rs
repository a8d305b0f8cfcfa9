//! Who may call: what a key is allowed, from where, until when; and what a guesser of keys meets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    client::{Answer, Client, anthropic_question, question, send},
    config::Config,
    home::Home,
    ledger::Rows,
    vendor::{Say, Vendor},
};

/// Two routes to one fake; callers' addresses are what the test says they are.
async fn home(more: &str) -> (Home, Vendor) {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url());
    let config = config.route("chat", &["near/fake-1"]).route("other", &["near/fake-1"]).more(more);
    (Home::new(&config.text()), vendor)
}

fn key(home: &Home, args: &[&str]) -> String {
    let key = home.ok(&[&["keys", "issue", "--tenant", "acme"], args].concat());
    let key = key.trim().to_owned();
    assert!(key.starts_with("sk-bs-") && key.lines().count() == 1, "only the key: {key}");
    key
}

async fn from(client: &Client, address: &str) -> Answer {
    send(client.post("/v1/chat/completions", &question("chat", "hi")).header("x-forwarded-for", address)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_opens_its_routes_features_and_networks_and_nothing_else() {
    let (home, vendor) = home("trusted_proxies: [127.0.0.1]").await;
    let gateway = home.serve();
    let narrow =
        key(&home, &["--route", "chat", "--feature", "search", "--feature", "chat", "--network", "10.1.0.0/16"]);
    let client = gateway.client().with_key(&narrow);

    let answer = from(&client, "10.1.2.3").await.expect(200);
    let refused = from(&client, "10.2.2.3").await.expect(403).openai_error();
    assert_eq!(refused["code"], "ip_not_authorized", "{refused:#}");
    from(&client, "10.1.2.3, 192.0.2.1").await.expect(403);

    let ask = |route: &str, feature: Option<&str>| {
        let request = client.post("/v1/chat/completions", &question(route, "hi")).header("x-forwarded-for", "10.1.2.3");
        feature.into_iter().fold(request, |request, feature| request.header("x-backstop-feature", feature))
    };
    let refused = send(ask("other", None)).await.expect(403).openai_error();
    assert!(
        refused["message"].as_str().is_some_and(|text| text.contains("`other`") && text.contains("chat")),
        "{refused}"
    );
    send(ask("chat", Some("chat"))).await.expect(200);
    send(ask("chat", Some("billing"))).await.expect(403);
    let mut by_metadata = question("chat", "hi");
    by_metadata["metadata"] = json!({"feature": "chat"});
    let request = client.post("/v1/chat/completions", &by_metadata).header("x-forwarded-for", "10.1.2.3");
    let by_metadata = send(request).await.expect(200);

    let models = send(
        client.bare(reqwest::Method::GET, "/v1/models").bearer_auth(&narrow).header("x-forwarded-for", "10.1.2.3"),
    );
    let models = models.await.expect(200).json();
    assert_eq!(models["data"].as_array().map(Vec::len), Some(1), "{models:#}");
    assert_eq!(vendor.seen_count(), 3);
    gateway.stop();
    let rows = Rows::of(&home);
    assert_eq!(rows.only(answer.expect_header("x-request-id"))["feature"], "search", "the first feature of the key");
    assert_eq!(rows.only(by_metadata.expect_header("x-request-id"))["feature"], "chat");
    let listed = home.json(&["keys", "list"]);
    let row = listed.as_array().and_then(|rows| rows.iter().find(|row| row["routes"] == json!(["chat"])));
    assert_eq!(row.map(|row| &row["networks"]), Some(&json!(["10.1.0.0/16"])), "{listed:#}");
}

/// A proxy of ours stands in the key's networks. Who makes its word doubtful has not come from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn contradictory_headers_open_no_network() {
    let (home, vendor) = home("trusted_proxies: [127.0.0.1]").await;
    let gateway = home.serve();
    let client = gateway.client().with_key(&key(&home, &["--network", "::ffff:127.0.0.0/104"]));
    let ask = || client.post("/v1/chat/completions", &question("chat", "hi"));
    send(ask()).await.expect(200);
    from(&client, "127.0.0.2").await.expect(200);
    from(&client, "192.0.2.1").await.expect(403);
    let refused = send(ask().header("x-forwarded-for", "192.0.2.1").header("forwarded", "for=1.2.3.4")).await;
    let error = refused.expect(403).openai_error();
    assert_eq!(error["code"], "ip_not_authorized", "{error:#}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("not known")), "{error:#}");
    for unreadable in ["nonsense", "unknown"] {
        from(&client, unreadable).await.expect(403);
    }
    assert_eq!(vendor.seen_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_expire_and_overlap_when_they_are_rotated() {
    let (home, _vendor) = home("").await;
    let gateway = home.serve();
    let status = async |key: &str| gateway.client().with_key(key).chat(&question("chat", "hi")).await.status;
    // Long enough for a busy machine to ask in time.
    let brief = key(&home, &["--expires", "15s"]);
    assert_eq!(status(&brief).await, 200);
    let old = key(&home, &["--route", "chat"]);
    let new = home.ok(&["keys", "rotate", &old, "--overlap", "15s"]).trim().to_owned();
    assert_eq!((status(&old).await, status(&new).await), (200, 200));
    let deadline = Instant::now() + Duration::from_secs(60);
    while status(&brief).await != 401 || status(&old).await != 401 {
        assert!(Instant::now() < deadline, "keys still open after their time");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(status(&new).await, 200);
    let forbidden = gateway.client().with_key(&new).chat(&question("other", "hi")).await;
    assert_eq!(forbidden.status, 403, "the new key may what the old one may");
    for (args, word) in [
        (&["keys", "issue", "--tenant", "acme", "--route", "nowhere"][..], "nowhere"),
        (&["keys", "issue", "--tenant", "acme", "--network", "10.0.0.0/99"], "network"),
        (&["keys", "issue", "--tenant", "acme", "--expires", "2001-01-01"], "past"),
        (&["keys", "issue", "--tenant", "acme", "--feature", "a b"], "feature"),
        (&["keys", "rotate", "sk-bs-AAAAAAAA"], "sk-bs-AAAAAAAA"),
    ] {
        let said = home.run(args).expect_failure();
        assert!(said.contains(word), "{args:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whoever_guesses_keys_is_turned_away_and_locks_nobody_out() {
    let (home, vendor) = home("limits: { failed_auth_per_minute: 5 }\ntrusted_proxies: [127.0.0.1]").await;
    let gateway = home.serve();
    let client = gateway.client();
    let guess = |number: usize| client.with_key(&format!("sk-bs-{number:0>43}"));
    let mut statuses = Vec::new();
    for number in 0..8 {
        statuses.push(from(&guess(number), "192.0.2.66").await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    let refused = from(&guess(9), "192.0.2.66").await;
    let wait: u64 = refused.expect_header("retry-after").parse().expect("seconds");
    assert!((1..=62).contains(&wait), "{wait}");
    assert_eq!(refused.openai_error()["code"], "rate_limit_exceeded");
    // Neither a key that is no key, nor none at all, nor another dialect is a way around.
    from(&client.with_key("nonsense"), "192.0.2.66").await.expect(429);
    let none = client.bare(reqwest::Method::POST, "/v1/messages").header("x-forwarded-for", "192.0.2.66").body("{}");
    assert_eq!(send(none).await.expect(429).anthropic_error()["type"], "rate_limit_error");
    // Those who share the address, and those who do not, go on.
    from(&client, "192.0.2.66").await.expect(200);
    from(&guess(10), "192.0.2.67").await.expect(401);
    assert_eq!(vendor.seen_count(), 1);
    let metrics = send(client.bare(reqwest::Method::GET, "/metrics")).await.body;
    assert!(metrics.contains("backstop_refused_total{reason=\"request_rate\"}"), "{metrics}");
}

/// Every field that a caller or an operator may write, with what should break it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn odd_names_are_data_and_nothing_more() {
    let (home, _vendor) = home("").await;
    let gateway = home.serve();
    let client = gateway.client();
    client.chat(&question("chat", "hi")).await.expect(200);
    let odd = [
        "'; DROP TABLE calls; --",
        "\u{202e}gnp.exe",
        "日本語",
        "a\u{0}b",
        "𝕒𝕔𝕞𝕖",
        "../../etc/passwd",
        "\" OR \"1\"=\"1",
    ];
    for text in odd {
        client.chat(&question(text, "hi")).await.expect(404);
        client.messages(&anthropic_question(text, "hi")).await.expect(404);
        let mut body = question("chat", text);
        (body["user"], body["metadata"]) = (json!(text), json!({"team": text}));
        client.chat(&body).await.expect(200);
        body["metadata"] = json!({"feature": text});
        client.chat(&body).await.expect(400);
        if let Ok(value) = reqwest::header::HeaderValue::from_bytes(text.as_bytes()) {
            let request = client.post("/v1/chat/completions", &question("chat", "hi"));
            send(request.header("x-backstop-feature", value.clone())).await.expect(400);
            let bare = client.bare(reqwest::Method::POST, "/v1/chat/completions").header("x-api-key", value);
            send(bare).await.expect(401);
        }
        if !text.contains('\0') {
            home.run(&["tenants", "add", text]).expect_failure();
            home.run(&["keys", "issue", "--tenant", text]).expect_failure();
            home.run(&["limits", "show", text]).expect_failure();
            home.run(&["keys", "revoke", text]).expect_failure();
            // A key's name is for people: any text.
            key(&home, &["--name", text]);
        }
    }
    for (field, values) in [
        ("max_tokens", vec![json!(-1), json!(0), json!(1.5), json!("many"), json!(1e300), json!(u64::MAX)]),
        ("n", vec![json!(-1), json!(0), json!("all"), json!(u64::MAX)]),
    ] {
        for value in values {
            let mut body = question("chat", "hi");
            body[field] = value.clone();
            let error = client.chat(&body).await.expect(400).openai_error();
            assert_eq!(error["param"], field, "{value}: {error:#}");
        }
    }
    gateway.stop();
    assert_eq!(Rows::of(&home).answered(), 1 + odd.len());
    let used: Value = home.json(&["usage", "--by", "tenant"]);
    assert_eq!(used[0]["calls"], json!(1 + odd.len()), "{used:#}");
}
