//! Gemini and Vertex AI behind callers of both dialects: answers, streams, a tool loop, fallback, and tokens.

use serde_json::{Value, json};

use super::{
    client::{anthropic_question, question},
    config::Config,
    home::Home,
    vendor::{End, Reply, Say, Seen, Vendor, anthropic_frames},
};

/// For these tests alone, as its name says.
const KEY: &str = include_str!("../../src/vendor/vertex/tests/test_only_key.pem");

fn chunk(parts: Value, more: Value) -> Value {
    let mut candidate = json!({ "content": { "parts": parts, "role": "model" }, "index": 0 });
    if let Some(finish) = more.get("finishReason") {
        candidate["finishReason"] = finish.clone();
    }
    let usage = json!({ "promptTokenCount": 11, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "cachedContentTokenCount": 3 });
    json!({ "candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3-pro", "responseId": "resp-1" })
}

/// What Gemini says to a question: `say`, or once it has a function's result, that result.
fn gemini(seen: &Seen, say: &Say) -> Reply {
    let asked = seen.json();
    let last = asked["contents"].as_array().and_then(|contents| contents.last()).expect("there are contents");
    let result = last["parts"][0]["functionResponse"]["response"]["output"].as_str();
    let parts = match (result, say) {
        (Some(result), _) => json!([{ "text": format!("it is {result}") }]),
        (None, Say::Text(text)) => json!([{ "text": text }]),
        (None, Say::Tool(name, args)) => {
            json!([{ "functionCall": { "name": name, "args": args }, "thoughtSignature": "c2lnbmF0dXJl" }])
        }
    };
    let end = json!({ "finishReason": "STOP" });
    if seen.path.ends_with(":streamGenerateContent?alt=sse") {
        let frames = [chunk(parts, json!({})), chunk(json!([{ "text": "" }]), end)];
        return Reply::events(&frames.map(|frame| format!("data: {frame}\r\n\r\n")), End::Whole);
    }
    Reply::json(200, &chunk(parts, end))
}

fn one_gemini(url: &str) -> String {
    Config::warn().vendor("near", "gemini", url).route("chat", &["near/gemini-3-pro"]).text()
}

fn service_account(tokens: &Vendor) -> Value {
    json!({
        "type": "service_account", "project_id": "my-project", "private_key_id": "k1", "private_key": KEY,
        "client_email": "backstop@my-project.iam.gserviceaccount.com", "token_uri": format!("{}/token", tokens.url()),
    })
}

fn with_weather(mut body: Value, tool: Value) -> Value {
    body["tools"] = json!([tool]);
    body
}

fn weather() -> Value {
    json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn callers_of_both_dialects_are_answered_whole_and_streamed() {
    let vendor = Vendor::start(|_, seen| gemini(seen, &Say::Text("hello"))).await;
    let home = Home::new(&one_gemini(&vendor.url()));
    home.secret("near", "AIza-test");
    let gateway = home.serve();
    let client = gateway.client();

    let answer = client.chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(answer.chat_text(), "hello");
    let usage = &answer.json()["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(11), &json!(7)), "{usage}");
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 3);
    let answer = client.messages(&anthropic_question("chat", "hi")).await.expect(200).json();
    assert_eq!((&answer["content"][0]["text"], &answer["stop_reason"]), (&json!("hello"), &json!("end_turn")));

    let mut streamed = question("chat", "hi");
    streamed["stream"] = json!(true);
    let answer = client.chat(&streamed).await.expect(200);
    assert_eq!(answer.streamed_text(), "hello");
    assert_eq!(answer.events().last().map(|event| event.data.clone()).as_deref(), Some("[DONE]"));
    let mut streamed = anthropic_question("chat", "hi");
    streamed["stream"] = json!(true);
    let events = client.messages(&streamed).await.expect(200).events();
    assert_eq!(events.last().and_then(|event| event.name.as_deref()), Some("message_stop"));

    let seen = vendor.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[0].path, "/v1/models/gemini-3-pro:generateContent");
    assert_eq!(seen[3].path, "/v1/models/gemini-3-pro:streamGenerateContent?alt=sse");
    for asked in &seen {
        assert_eq!(asked.header("x-goog-api-key"), Some("AIza-test"));
        assert_eq!(asked.header("authorization"), None, "the caller's key stays here");
        let part = &asked.json()["contents"][0]["parts"][0]["text"];
        assert_eq!(part, "hi");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tool_loop_brings_the_signature_back_through_both_dialects() {
    let call = Say::Tool("weather", json!({ "city": "Graz" }));
    let vendor = Vendor::start(move |_, seen| gemini(seen, &call)).await;
    let home = Home::new(&one_gemini(&vendor.url()));
    home.secret("near", "AIza-test");
    let gateway = home.serve();
    let client = gateway.client();

    let tool = json!({ "type": "function", "function": { "name": "weather", "parameters": weather() } });
    let mut body = with_weather(question("chat", "weather?"), tool);
    let answer = client.chat(&body).await.expect(200).json();
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let message = answer["choices"][0]["message"].clone();
    let result = json!({ "role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny" });
    body["messages"].as_array_mut().expect("messages").extend([message, result]);
    assert_eq!(client.chat(&body).await.expect(200).chat_text(), "it is sunny");

    let tool = json!({ "name": "weather", "input_schema": weather() });
    let mut body = with_weather(anthropic_question("chat", "weather?"), tool);
    let answer = client.messages(&body).await.expect(200).json();
    assert_eq!(answer["stop_reason"], "tool_use");
    let result = json!([{ "type": "tool_result", "tool_use_id": answer["content"][0]["id"], "content": "sunny" }]);
    let turns =
        [json!({ "role": "assistant", "content": answer["content"] }), json!({ "role": "user", "content": result })];
    body["messages"].as_array_mut().expect("messages").extend(turns);
    assert_eq!(client.messages(&body).await.expect(200).json()["content"][0]["text"], "it is sunny");

    let seen = vendor.seen();
    for asked in [&seen[1], &seen[3]] {
        let contents = asked.json()["contents"].clone();
        let part = &contents[1]["parts"][0];
        assert_eq!((&contents[1]["role"], &part["functionCall"]["name"]), (&json!("model"), &json!("weather")));
        assert_eq!(part["thoughtSignature"], "c2lnbmF0dXJl");
        assert_eq!(contents[2]["parts"][0]["functionResponse"]["name"], "weather");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_loop_that_gemini_began_goes_on_elsewhere_when_it_fails() {
    let call = Say::Tool("weather", json!({ "city": "Graz" }));
    let near = Vendor::start(move |number, seen| match number {
        0 => gemini(seen, &call),
        _ => Reply::json(503, &json!({ "error": { "code": 503, "message": "overloaded", "status": "UNAVAILABLE" } })),
    })
    .await;
    let far = Vendor::openai(Say::Text("cloudy")).await;
    let config = Config::warn().vendor("near", "gemini", &near.url()).vendor("far", "openai", &far.url());
    let home = Home::new(&config.route("chat", &["near/gemini-3-pro", "far/fake-1"]).text());
    let gateway = home.serve();
    let client = gateway.client();
    let tool = json!({ "type": "function", "function": { "name": "weather", "parameters": weather() } });
    let mut body = with_weather(question("chat", "weather?"), tool);
    let message = client.chat(&body).await.expect(200).json()["choices"][0]["message"].clone();
    let id = message["tool_calls"][0]["id"].as_str().expect("an id").to_owned();
    let result = json!({ "role": "tool", "tool_call_id": id, "content": "sunny" });
    body["messages"].as_array_mut().expect("messages").extend([message, result]);
    let answer = client.chat(&body).await.expect(200);
    assert_eq!(answer.chat_text(), "cloudy");
    assert_eq!(answer.expect_header("x-backstop-served-by"), "far/fake-1");
    let asked = far.only().json();
    let (called, answered) = (&asked["messages"][1]["tool_calls"][0]["id"], &asked["messages"][2]["tool_call_id"]);
    assert_eq!(called, answered);
    let short = called.as_str().expect("an id");
    assert!(id.starts_with(short) && short.len() <= 40, "OpenAI takes ids of at most 40 characters: {short}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_blocked_prompt_and_a_failure_inside_a_200_are_told_apart() {
    let near = Vendor::start(|number, _| match number {
        0 => Reply::json(200, &json!({ "promptFeedback": { "blockReason": "SAFETY" } })),
        1 => Reply::json(200, &json!({ "candidates": [{ "finishReason": "MALFORMED_FUNCTION_CALL", "index": 0 }] })),
        _ => Reply::events(&["data: {\"candidates\":[{\"content\":{\"parts\":[]}}]}\r\n\r\n".to_owned()], End::Whole),
    })
    .await;
    let far = Vendor::openai(Say::Text("far")).await;
    let config = Config::warn().vendor("near", "gemini", &near.url()).vendor("far", "openai", &far.url());
    let home = Home::new(&config.route("chat", &["near/gemini-2.5-flash", "far/fake-1"]).text());
    let gateway = home.serve();
    let client = gateway.client();
    client.chat(&question("chat", "hi")).await.expect(400).openai_error();
    assert_eq!(far.seen_count(), 0, "a content policy's refusal does not go on to the next");
    assert_eq!(client.chat(&question("chat", "hi")).await.expect(200).chat_text(), "far");
    let mut streamed = question("chat", "hi");
    streamed["stream"] = json!(true);
    assert_eq!(client.chat(&streamed).await.expect(200).streamed_text(), "far");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn vertex_is_asked_with_a_token_that_is_kept_and_bought_anew_once_when_refused() {
    let tokens = Vendor::start(|number, seen| {
        assert!(String::from_utf8_lossy(&seen.body).contains("&assertion=eyJ"), "a signed assertion buys it");
        Reply::json(
            200,
            &json!({ "access_token": format!("ya29.t{number}"), "expires_in": 3600, "token_type": "Bearer" }),
        )
    })
    .await;
    // The first token is taken back after two calls; the second is never any good.
    let refused = json!({ "error": { "code": 401, "message": "Request had invalid authentication credentials.", "status": "UNAUTHENTICATED" } });
    let vendor = Vendor::start(move |number, seen| match (number, seen.header("authorization")) {
        (0 | 1, Some("Bearer ya29.t0")) | (3, Some("Bearer ya29.t1")) => gemini(seen, &Say::Text("hello")),
        _ => Reply::json(401, &refused),
    })
    .await;
    let vendors = format!("{{ kind: vertex, region: europe-west4, base_url: \"{}/v1\" }}", vendor.url());
    let config = Config::warn().entry("near", &vendors).route("chat", &["near/gemini-2.5-flash"]);
    let home = Home::new(&config.text());
    home.secret("near", &service_account(&tokens).to_string());
    let gateway = home.serve();
    let client = gateway.client();
    for _ in 0..2 {
        assert_eq!(client.chat(&question("chat", "hi")).await.expect(200).chat_text(), "hello");
    }
    assert_eq!((tokens.seen_count(), vendor.seen_count()), (1, 2), "one token serves both");
    assert_eq!(client.chat(&question("chat", "hi")).await.expect(200).chat_text(), "hello");
    assert_eq!((tokens.seen_count(), vendor.seen_count()), (2, 4), "the refused token is replaced within the call");
    let error = client.chat(&question("chat", "hi")).await;
    assert!(error.status >= 500, "{error:?}");
    assert!(!error.body.contains("ya29") && !error.body.contains("my-project"), "{}", error.body);
    assert_eq!((tokens.seen_count(), vendor.seen_count()), (3, 6), "and once only");
    let path =
        "/v1/projects/my-project/locations/europe-west4/publishers/google/models/gemini-2.5-flash:generateContent";
    assert_eq!(vendor.seen()[0].path, path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn claude_on_vertex_is_asked_in_anthropics_wire() {
    let tokens = Vendor::start(|_, _| Reply::json(200, &json!({ "access_token": "ya29.t", "expires_in": 3600 }))).await;
    let vendor = Vendor::start(|_, seen| match seen.path.ends_with(":streamRawPredict") {
        true => Reply::events(&anthropic_frames("hello"), End::Whole),
        false => Reply::anthropic(seen, &Say::Text("hello")),
    })
    .await;
    let entry = format!("{{ kind: vertex_anthropic, region: us-east5, base_url: \"{}/v1\" }}", vendor.url());
    let config = Config::warn().entry("near", &entry).route("chat", &["near/claude-haiku-4-5@20251001"]);
    let home = Home::new(&config.text());
    home.secret("near", &service_account(&tokens).to_string());
    let gateway = home.serve();
    let client = gateway.client();
    assert_eq!(client.chat(&question("chat", "hi")).await.expect(200).chat_text(), "hello");
    let mut body = anthropic_question("chat", "hi");
    body["stream"] = json!(true);
    let events = client.messages(&body).await.expect(200).events();
    assert_eq!(events.last().and_then(|event| event.name.as_deref()), Some("message_stop"));
    let place = "/v1/projects/my-project/locations/us-east5/publishers/anthropic/models/claude-haiku-4-5@20251001";
    for (asked, method) in vendor.seen().iter().zip(["rawPredict", "streamRawPredict"]) {
        assert_eq!(asked.path, format!("{place}:{method}"));
        let body = asked.json();
        assert_eq!((&body["anthropic_version"], body.get("model")), (&json!("vertex-2023-10-16"), None));
        assert_eq!((asked.header("authorization"), asked.header("x-api-key")), (Some("Bearer ya29.t"), None));
    }
}
