//! Bad input over HTTP: a clear error in the caller's dialect, and nothing changes.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::{Answer, Client, anthropic_question, question, send},
    config::one_openai,
    home::Home,
    ledger::Rows,
    vendor::{Say, Vendor},
};

fn openai_says(answer: Answer, status: u16, word: &str) {
    let answer = answer.expect(status);
    assert!(answer.expect_header("x-request-id").starts_with("req_"));
    let error = answer.openai_error();
    assert!(error["message"].as_str().is_some_and(|message| message.contains(word)), "{word}: {error:#}");
}

fn anthropic_says(answer: Answer, status: u16, kind: &str) {
    let answer = answer.expect(status);
    assert_eq!(answer.json()["request_id"], answer.expect_header("request-id"));
    assert_eq!(answer.anthropic_error()["type"], kind);
}

fn raw(client: &Client, key: &str, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    client.bare(Method::POST, path).bearer_auth(key).header("content-type", "application/json").body(body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_bad_request_gets_its_own_error_and_nobody_is_asked() {
    let vendor = Vendor::openai(Say::Text("never")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let (client, key) = (gateway.client(), gateway.key());
    let (chat, messages) = ("/v1/chat/completions", "/v1/messages");

    for broken in ["{\"model\": \"chat\", ", "", "[]", "nul", "\u{0}"] {
        openai_says(send(raw(&client, key, chat, broken.to_owned())).await, 400, "");
        anthropic_says(send(raw(&client, key, messages, broken.to_owned())).await, 400, "invalid_request_error");
    }
    for (body, field) in [
        (json!({"messages": []}), "model"),
        (json!({"model": 5, "messages": []}), "model"),
        (json!({"model": "chat"}), "messages"),
        (json!({"model": "chat", "messages": "hi"}), "messages"),
    ] {
        openai_says(send(client.post(chat, &body)).await, 400, field);
    }
    openai_says(client.chat(&question("chta", "hi")).await, 404, "`chat`");
    assert_eq!(client.chat(&question("chta", "hi")).await.openai_error()["code"], "model_not_found");
    anthropic_says(client.messages(&anthropic_question("chta", "hi")).await, 404, "not_found_error");
    openai_says(client.with_key("sk-bs-wrong").chat(&question("chat", "hi")).await, 401, "key");
    anthropic_says(
        client.with_key("sk-bs-wrong").messages(&anthropic_question("chat", "hi")).await,
        401,
        "authentication_error",
    );
    openai_says(
        send(client.bare(Method::POST, chat).header("content-type", "application/json").body("{}")).await,
        401,
        "key",
    );
    let text = client.bare(Method::POST, chat).bearer_auth(key).header("content-type", "text/plain").body("{}");
    openai_says(send(text).await, 415, "application/json");
    openai_says(send(client.bare(Method::POST, chat).bearer_auth(key).body("{}")).await, 415, "application/json");
    openai_says(send(client.bare(Method::POST, "/v1/nowhere").bearer_auth(key)).await, 404, "/v1/nowhere");
    openai_says(send(client.bare(Method::GET, chat).bearer_auth(key)).await, 405, "GET");
    let request = client.post(chat, &question("chat", "hi")).header("x-backstop-timeout-ms", "soon");
    openai_says(send(request).await, 400, "x-backstop-timeout-ms");

    assert!(vendor.seen().is_empty());
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    gateway.stop();
    assert_eq!(Rows::of(&home).count(), 1, "only the good call is in the ledger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_body_of_50_mb_is_refused_without_being_kept() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let client = gateway.client();
    client.chat(&question("chat", "hi")).await.expect(200);
    let before = gateway.resident();
    let large = question("chat", &"x".repeat(50 << 20)).to_string();
    // The rest is taken and dropped: who is cut off while it sends reads of a broken connection instead of the reason.
    send(raw(&client, gateway.key(), "/v1/chat/completions", large.clone())).await.expect(413);
    // Without a length said beforehand.
    let pieces =
        large.into_bytes().chunks(1 << 16).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    send(raw(&client, gateway.key(), "/v1/chat/completions", stream)).await.expect(413);
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{} MB more than before", grown >> 20);
    client.chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(vendor.seen_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_413_is_told_in_the_callers_dialect() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&format!("{}limits: {{ max_body: 1KiB }}\n", one_openai(&vendor.url())));
    let gateway = home.serve();
    let long = "x".repeat(2000);
    openai_says(gateway.client().chat(&question("chat", &long)).await, 413, "1024");
    anthropic_says(gateway.client().messages(&anthropic_question("chat", &long)).await, 413, "request_too_large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_work_where_each_sdk_puts_them_and_end_when_revoked() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let client = gateway.client();
    client.chat(&question("chat", "hi")).await.expect(200);
    client.messages(&anthropic_question("chat", "hi")).await.expect(200);
    let bearer = client.post("/v1/messages", &anthropic_question("chat", "hi"));
    send(bearer).await.expect(200);

    let second = home.key();
    client.with_key(&second).chat(&question("chat", "hi")).await.expect(200);
    let listed = home.json(&["keys", "list"]);
    assert!(!listed.to_string().contains(&second), "a key is shown once, when it is issued");
    let models = client.get("/v1/models").await.expect(200).json();
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&json!("list"), &json!("chat")));
    assert_eq!(models["data"][0]["object"], "model");
    client.with_key("sk-bs-wrong").get("/v1/models").await.expect(401);

    for path in ["/livez", "/readyz", "/metrics"] {
        send(client.bare(Method::GET, path)).await.expect(200);
    }
    let metrics = send(client.bare(Method::GET, "/metrics")).await.body;
    assert!(metrics.lines().any(|line| line.starts_with("backstop_") && line.contains("near")), "{metrics}");
    let _: Value = send(client.bare(Method::GET, "/readyz")).await.json();

    home.ok(&["keys", "revoke", &second]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while client.with_key(&second).chat(&question("chat", "hi")).await.status != 401 {
        assert!(std::time::Instant::now() < deadline, "a revoked key still opens after 20 s");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    client.chat(&question("chat", "hi")).await.expect(200);
}
