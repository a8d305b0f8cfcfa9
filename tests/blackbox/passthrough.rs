//! Caller and vendor speak the same dialect: what we do not know survives, both ways.

use serde_json::{Value, json};

use super::{
    client::{anthropic_question, question, send},
    config::{one_anthropic, one_openai},
    home::Home,
    vendor::{Reply, Say, Vendor, openai_frames},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_openai_body_arrives_as_it_was_sent_but_for_the_model() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    home.secret("near", "sk-vendor-1");
    let gateway = home.serve();
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}});
    let mut body = question("chat", "what is this?");
    body["messages"][0]["content"] = json!([{"type": "text", "text": "what is this?"}, image]);
    body["tools"] = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    body["field_of_the_future"] = json!({"deep": [1, 2.50, null, "ü"]});
    let answer = gateway.client().chat(&body).await.expect(200);

    let seen = vendor.only();
    body["model"] = json!("fake-1");
    assert_eq!(seen.json(), body);
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(
        seen.header("authorization"),
        Some("Bearer sk-vendor-1"),
        "the vendor gets its secret, not the caller's key"
    );
    assert_eq!(answer.chat_text(), "hello");
    assert_eq!(answer.json()["field_of_the_future"]["kept"], true);
    assert_eq!(answer.json()["system_fingerprint"], "fp_fake");
    assert_eq!(answer.expect_header("x-backstop-served-by"), "near/fake-1");
    assert_eq!(answer.expect_header("x-backstop-fallback"), "0");
    assert_eq!(answer.expect_header("x-backstop-attempts"), "1");
    assert!(answer.expect_header("x-request-id").starts_with("req_"));
    assert!(answer.expect_header("x-backstop-overhead-ms").parse::<f64>().is_ok_and(|ms| (0.0..1000.0).contains(&ms)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn numbers_keep_their_digits() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let text =
        r#"{"model":"chat","messages":[{"role":"user","content":"hi"}],"big":12345678901234567890123,"small":1.10}"#;
    let request = gateway.client().post("/v1/chat/completions", &Value::Null).body(text);
    send(request).await.expect(200);
    let arrived = String::from_utf8(vendor.only().body).expect("UTF-8");
    assert!(arrived.contains("12345678901234567890123") && arrived.contains("1.10"), "{arrived}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_openai_stream_arrives_frame_by_frame_with_what_we_do_not_know() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let mut body = question("chat", "hi");
    body["stream"] = json!(true);
    let answer = gateway.client().chat(&body).await.expect(200);
    assert!(answer.expect_header("content-type").starts_with("text/event-stream"));
    assert_eq!(answer.streamed_text(), "hello");
    assert!(answer.data().iter().all(|chunk| chunk["field_of_the_future"] == 1), "{}", answer.body);
    assert_eq!(answer.events().last().map(|event| event.data.clone()).as_deref(), Some("[DONE]"));
    assert!(answer.data().iter().all(|chunk| chunk["usage"].is_null()), "nobody asked for usage: {}", answer.body);

    body["stream_options"] = json!({"include_usage": true});
    let answer = gateway.client().chat(&body).await.expect(200);
    let usage: Vec<Value> = answer.data().into_iter().filter(|chunk| chunk["usage"].is_object()).collect();
    assert_eq!(usage.len(), 1, "{}", answer.body);
    assert_eq!((&usage[0]["usage"]["prompt_tokens"], &usage[0]["choices"]), (&json!(11), &json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_first_word_leaves_before_the_last_one_is_known() {
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let told = std::sync::Arc::clone(&go);
    let vendor = Vendor::start(move |_, _| {
        let mut pieces: Vec<_> = openai_frames("ab").into_iter().map(super::vendor::Piece::Text).collect();
        pieces.insert(2, super::vendor::Piece::Until(std::sync::Arc::clone(&told)));
        Reply::Stream { pieces, end: super::vendor::End::Whole }
    })
    .await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let mut stream = gateway.client().chat_stream(&question("chat", "hi")).await;
    assert_eq!(stream.first_text().await, "a");
    go.notify_one();
    assert_eq!(stream.rest().await.last().map(|event| event.data.clone()).as_deref(), Some("[DONE]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_anthropic_body_and_its_version_headers_arrive_as_they_were_sent() {
    let vendor = Vendor::anthropic(Say::Text("hello")).await;
    let home = Home::new(&one_anthropic(&vendor.url()));
    home.secret("near", "sk-vendor-2");
    let gateway = home.serve();
    let mut body = anthropic_question("chat", "hi");
    body["system"] = json!([{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]);
    body["field_of_the_future"] = json!([1]);
    let request = gateway.client().bare(reqwest::Method::POST, "/v1/messages").body(body.to_string());
    let request = request.header("content-type", "application/json").header("x-api-key", gateway.key());
    let request = request.header("anthropic-version", "2023-06-01").header("anthropic-beta", "future-2026-01-01");
    let answer = send(request).await.expect(200);

    let seen = vendor.only();
    body["model"] = json!("fake-2");
    assert_eq!(seen.json(), body);
    assert_eq!(seen.path, "/v1/messages");
    assert_eq!(seen.header("x-api-key"), Some("sk-vendor-2"));
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(seen.header("anthropic-beta"), Some("future-2026-01-01"));
    assert_eq!(answer.json()["content"][0]["text"], "hello");
    assert_eq!(answer.json()["field_of_the_future"]["kept"], true);
    assert_eq!(answer.expect_header("request-id"), answer.expect_header("x-request-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_anthropic_stream_keeps_its_events() {
    let vendor = Vendor::anthropic(Say::Text("hi!")).await;
    let home = Home::new(&one_anthropic(&vendor.url()));
    let gateway = home.serve();
    let mut body = anthropic_question("chat", "hi");
    body["stream"] = json!(true);
    let answer = gateway.client().messages(&body).await.expect(200);
    let names: Vec<String> = answer.events().into_iter().filter_map(|event| event.name).collect();
    let letters = std::iter::repeat_n("content_block_delta", 3);
    let content: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != "ping").collect();
    let expected: Vec<&str> = ["message_start", "content_block_start"]
        .into_iter()
        .chain(letters)
        .chain(["content_block_stop", "message_delta", "message_stop"])
        .collect();
    assert_eq!(content, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_vendor_connection_is_used_again() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    for _ in 0..5 {
        gateway.client().chat(&question("chat", "hi")).await.expect(200);
    }
    assert_eq!(vendor.connections(), 1);
}
