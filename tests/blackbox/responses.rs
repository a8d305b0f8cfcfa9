//! OpenAI's responses: forwarded to vendors that have them, translated for all others, and never ended clean when cut.

use serde_json::{Value, json};

use super::{
    client::{Answer, responses_question, send},
    config::{Config, one_anthropic, one_openai},
    home::Home,
    ledger::Rows,
    vendor::{End, Reply, Say, Vendor, anthropic_frames, openai_frames, responses_frames},
};

/// A vendor that has responses.
async fn native(say: Say) -> Vendor {
    Vendor::start(move |_, seen| Reply::responses(seen, &say)).await
}

fn weather() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

fn rich_question() -> Value {
    json!({
        "model": "chat", "instructions": "be brief", "max_output_tokens": 40, "temperature": 0.5, "top_p": 0.9,
        "input": [
            {"role": "user", "content": "weather in Graz?"},
            {"type": "function_call", "id": "fc_a", "call_id": "call_a", "name": "weather", "arguments": "{\"city\":\"Graz\"}"},
            {"type": "function_call_output", "call_id": "call_a", "output": "rain"},
            {"role": "user", "content": [{"type": "input_text", "text": "and in Linz?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}]}
        ],
        "tools": [{"type": "function", "name": "weather", "description": "now", "parameters": weather(), "strict": false}],
        "tool_choice": {"type": "function", "name": "weather"}, "metadata": {"team": "a"}
    })
}

/// The types of a stream's events, which are also its events' names and numbered in order.
fn kinds(answer: &Answer) -> Vec<String> {
    let events = answer.events();
    let kinds = events.iter().enumerate().map(|(number, event)| {
        let data: Value = serde_json::from_str(&event.data).expect("every event of this dialect is JSON");
        assert_eq!(data["type"].as_str(), event.name.as_deref());
        assert_eq!(data["sequence_number"], number, "{}", answer.body);
        event.name.clone().expect("a name")
    });
    kinds.collect()
}

fn streamed_text(answer: &Answer) -> String {
    let data = answer.data();
    let deltas = data.iter().filter(|event| event["type"] == "response.output_text.delta");
    deltas.filter_map(|event| event["delta"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_body_arrives_as_it_was_sent_but_for_the_model() {
    let vendor = native(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    home.secret("near", "sk-vendor-1");
    let gateway = home.serve();
    let mut body = rich_question();
    body["previous_response_id"] = json!("resp_1");
    body["tools"] = json!([{"type": "web_search"}, {"type": "mcp", "server_label": "a"}]);
    body["field_of_the_future"] = json!({"deep": [1, 2.50, null, "ü"]});
    let request = gateway.client().post("/v1/responses", &body).header("openai-beta", "future");
    let answer = send(request).await.expect(200);

    let seen = vendor.only();
    body["model"] = json!("fake-1");
    assert_eq!(seen.json(), body);
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/responses"));
    assert_eq!(
        (seen.header("authorization"), seen.header("openai-beta")),
        (Some("Bearer sk-vendor-1"), Some("future"))
    );
    assert_eq!(answer.json()["id"], "resp_fake");
    assert_eq!(answer.json()["field_of_the_future"]["kept"], true);
    assert_eq!(answer.expect_header("x-backstop-served-by"), "near/fake-1");
    let id = answer.expect_header("x-request-id").to_owned();
    gateway.stop();
    let rows = Rows::of(&home);
    let row = rows.only(&id);
    assert_eq!((&row["dialect"], &row["ending"]), (&json!("openai_responses"), &json!("answered")));
    assert_eq!(row["attempts"][0]["usage"]["input"], 11, "{row:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_arrives_as_its_vendor_sent_it() {
    let vendor = native(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let mut body = responses_question("chat", "hi");
    body["stream"] = json!(true);
    let answer = gateway.client().responses(&body).await.expect(200);
    assert!(answer.expect_header("content-type").starts_with("text/event-stream"));
    assert_eq!(answer.body, responses_frames("hello").concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_question_reaches_chat_completions_whole() {
    let vendor = Vendor::openai(Say::Tool("weather", json!({"city": "Linz"}))).await;
    let config = Config::warn().vendor("near", "openai_compatible", &vendor.url()).route("chat", &["near/fake-1"]);
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let answer = gateway.client().responses(&rich_question()).await.expect(200).json();

    let seen = vendor.only();
    let asked = seen.json();
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(asked["messages"][0], json!({"role": "system", "content": "be brief"}));
    assert_eq!(asked["messages"][2]["tool_calls"][0]["id"], "call_a");
    assert_eq!((&asked["messages"][3]["role"], &asked["messages"][3]["content"]), (&json!("tool"), &json!("rain")));
    assert_eq!(
        asked["messages"][4]["content"][1]["image_url"],
        json!({"url": "data:image/png;base64,AAAA", "detail": "low"})
    );
    assert_eq!((&asked["max_tokens"], &asked["temperature"], &asked["top_p"]), (&json!(40), &json!(0.5), &json!(0.9)));
    assert_eq!(asked["tools"][0]["function"]["parameters"], weather());
    assert_eq!(asked["tool_choice"], json!({"type": "function", "function": {"name": "weather"}}));
    assert_eq!(asked.get("metadata"), None);

    assert_eq!(
        (&answer["object"], &answer["status"], &answer["model"]),
        (&json!("response"), &json!("completed"), &json!("chat"))
    );
    let call = &answer["output"][0];
    assert_eq!(
        (&call["type"], &call["name"], &call["call_id"]),
        (&json!("function_call"), &json!("weather"), &json!("call_fake1"))
    );
    assert_eq!(call["arguments"], "{\"city\":\"Linz\"}");
    assert_eq!((&answer["usage"]["input_tokens"], &answer["usage"]["total_tokens"]), (&json!(11), &json!(18)));
    assert_eq!(answer["usage"]["input_tokens_details"]["cached_tokens"], 3);
    assert_eq!(answer["usage"]["output_tokens_details"]["reasoning_tokens"], 2);
    let asked = rich_question();
    for repeated in ["tools", "tool_choice", "instructions", "max_output_tokens", "temperature", "metadata"] {
        assert_eq!(answer[repeated], asked[repeated], "{repeated}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_question_reaches_anthropic_whole_and_its_answer_goes_on() {
    let vendor = Vendor::anthropic(Say::Tool("weather", json!({"city": "Linz"}))).await;
    let home = Home::new(&one_anthropic(&vendor.url()));
    let gateway = home.serve();
    let mut body = rich_question();
    let answer = gateway.client().responses(&body).await.expect(200).json();
    assert_eq!(answer["output"][0]["call_id"], "toolu_fake1");
    let input = body["input"].as_array_mut().expect("items");
    input.extend(answer["output"].as_array().expect("items").clone());
    input.push(json!({"type": "function_call_output", "call_id": "toolu_fake1", "output": "sun"}));
    gateway.client().responses(&body).await.expect(200);
    let asked = vendor.seen()[1].json();
    assert_eq!(asked["messages"][0]["content"], "weather in Graz?");
    let text = asked.to_string();
    assert_eq!(text.matches("toolu_fake1").count(), 2, "the call and its result carry the vendor's own id: {text}");
    assert!(text.contains("be brief") && text.contains(r#""media_type":"image/png""#), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn streams_of_other_dialects_are_whole_responses() {
    let openai = Vendor::start(|_, seen| match seen.json()["model"].as_str() {
        Some("text") => Reply::openai(seen, &Say::Text("hello")),
        _ => Reply::openai(seen, &Say::Tool("weather", json!({"city": "Linz"}))),
    })
    .await;
    let anthropic = Vendor::start(|_, seen| match seen.json()["model"].as_str() {
        Some("text") => Reply::anthropic(seen, &Say::Text("hello")),
        _ => Reply::anthropic(seen, &Say::Tool("weather", json!({"city": "Linz"}))),
    })
    .await;
    let mut config = Config::warn().vendor("near", "openai, responses: false", &openai.url()).vendor(
        "far",
        "anthropic",
        &anthropic.url(),
    );
    for target in ["near/text", "near/tool", "far/text", "far/tool"] {
        config = config.route(&target.replace('/', "-"), &[target]);
    }
    let home = Home::new(&config.text());
    let gateway = home.serve();
    for route in ["near-text", "near-tool", "far-text", "far-tool"] {
        let mut body = responses_question(route, "hi");
        body["stream"] = json!(true);
        let answer = gateway.client().responses(&body).await.expect(200);
        let kinds = kinds(&answer);
        assert_eq!(kinds[..3], ["response.created", "response.in_progress", "response.output_item.added"], "{route}");
        assert_eq!(kinds[kinds.len() - 2..], ["response.output_item.done", "response.completed"], "{route}");
        let last = answer.data().pop().expect("an end");
        let item = &last["response"]["output"][0];
        if route.ends_with("text") {
            assert_eq!((streamed_text(&answer).as_str(), &item["content"][0]["text"]), ("hello", &json!("hello")));
        } else {
            assert!(kinds.iter().any(|kind| kind == "response.function_call_arguments.delta"), "{route}");
            assert_eq!((&item["name"], &item["arguments"]), (&json!("weather"), &json!("{\"city\":\"Linz\"}")));
        }
        assert_eq!(last["response"]["usage"]["output_tokens"], 7, "{route}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn before_the_first_content_a_native_stream_falls_back_in_silence() {
    let failed = |event: &str| format!("event: x\ndata: {event}\n\n");
    let near = Vendor::start(move |_, seen| {
        let begun = &responses_frames("x")[..4];
        let with = |event: String| Reply::events(&[begun, &[event]].concat(), End::Whole);
        match seen.json()["model"].as_str().expect("a model") {
            "500" => Reply::openai_error(500, "server_error"),
            "cut" => Reply::events(begun, End::Cut),
            "ended" => Reply::events(begun, End::Whole),
            "error" => with(failed(r#"{"type":"error","code":"server_error","message":"x","param":null}"#)),
            "failed" => {
                with(failed(r#"{"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}"#))
            }
            "empty" => with(failed(r#"{"type":"response.completed","response":{"status":"completed","output":[]}}"#)),
            _ => Reply::Silence,
        }
    })
    .await;
    let far = Vendor::anthropic(Say::Text("rescued")).await;
    let cases = ["500", "cut", "ended", "error", "failed", "empty", "silence"];
    let mut config = Config::warn().vendor("far", "anthropic", &far.url());
    for case in cases {
        let vendor = format!("near-{case}");
        config = config.vendor(&vendor, "openai", &near.url());
        config = config.route(case, &[&format!("{vendor}/{case}"), "far/fake-2"]);
    }
    let home = Home::new(&config.text());
    let gateway = home.serve();
    for case in cases {
        let mut body = responses_question(case, "hi");
        body["stream"] = json!(true);
        let answer = gateway.client().responses(&body).await.expect(200);
        assert_eq!(streamed_text(&answer), "rescued", "{case}");
        assert_eq!(kinds(&answer).last().map(String::as_str), Some("response.completed"), "{case}");
        assert_eq!(answer.expect_header("x-backstop-served-by"), "far/fake-2", "{case}");
    }
    let mut body = responses_question("500", "hi");
    let whole = gateway.client().responses(&body).await.expect(200);
    assert_eq!(whole.json()["output"][0]["content"][0]["text"], "rescued");
    // What was asked of the vendor that is down cannot be asked of the other: there is nothing to mend, only to wait.
    body["previous_response_id"] = json!("resp_1");
    assert_eq!(gateway.client().responses(&body).await.expect(503).openai_error()["code"], "no_target_available");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_is_cut_after_its_first_content_fails_and_is_never_completed() {
    let native = Vendor::start(|_, _| Reply::events(&responses_frames("hello")[..6], End::Cut)).await;
    let openai = Vendor::start(|_, _| Reply::events(&openai_frames("hello")[..3], End::Cut)).await;
    let anthropic = Vendor::start(|_, _| Reply::events(&anthropic_frames("hello")[..5], End::Cut)).await;
    let config = Config::warn()
        .vendor("native", "openai", &native.url())
        .vendor("near", "openai_compatible", &openai.url())
        .vendor("far", "anthropic", &anthropic.url())
        .route("native", &["native/a"])
        .route("near", &["near/b"])
        .route("far", &["far/c"]);
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let mut ids = Vec::new();
    for route in ["native", "near", "far"] {
        let mut body = responses_question(route, "hi");
        body["stream"] = json!(true);
        let answer = gateway.client().responses(&body).await.expect(200);
        assert_eq!(streamed_text(&answer), "he", "{route}: {}", answer.body);
        let kinds = kinds(&answer);
        assert_eq!(kinds.last().map(String::as_str), Some("error"), "{route}: {kinds:?}");
        assert!(!answer.body.contains("response.completed"), "{route}: {}", answer.body);
        let error = answer.data().pop().expect("an end");
        assert!(error["error"]["message"].is_string(), "the SDKs look for it here: {error:#}");
        assert_eq!(error["message"], error["error"]["message"]);
        if route != "native" {
            assert_eq!(kinds[kinds.len() - 2], "response.failed", "{route}");
        }
        ids.push(answer.expect_header("x-request-id").to_owned());
    }
    gateway.stop();
    let rows = Rows::of(&home);
    for id in ids {
        assert_eq!(rows.only(&id)["ending"], "interrupted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_only_the_vendors_servers_know_is_refused_by_name_elsewhere() {
    let (native, far) = (native(Say::Text("x")).await, Vendor::anthropic(Say::Text("x")).await);
    let config = Config::warn()
        .vendor("near", "openai", &native.url())
        .vendor("far", "anthropic", &far.url())
        .route("far", &["far/fake-2"])
        .route("both", &["far/fake-2", "near/fake-1"]);
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let client = gateway.client();
    for (param, field, value) in [
        ("previous_response_id", "previous_response_id", json!("resp_1")),
        ("conversation", "conversation", json!("conv_1")),
        ("prompt", "prompt", json!({"id": "pmpt_1"})),
        ("tools[0].type", "tools", json!([{"type": "web_search"}])),
        ("field_of_the_future", "field_of_the_future", json!({"x": 1})),
        ("text.format.type", "text", json!({"format": {"type": "json_object"}})),
        ("input[0].id", "input", json!([{"type": "item_reference", "id": "msg_1"}])),
    ] {
        let mut body = responses_question("far", "hi");
        body[field] = value;
        let error = client.responses(&body).await.expect(400).openai_error();
        assert_eq!(error["param"], param, "{error:#}");
        body["model"] = json!("both");
        let answer = client.responses(&body).await.expect(200);
        assert_eq!(answer.expect_header("x-backstop-served-by"), "near/fake-1", "{param}");
    }
    assert!(far.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reasoning_of_our_own_making_never_reaches_a_vendor_of_this_dialect() {
    let vendor = native(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let said = json!({"role": "user", "content": "hi"});
    let own = json!({"type": "reasoning", "id": "rs_bs1_0_0", "summary": [], "encrypted_content": "c2ln"});
    let body = json!({"model": "chat", "input": [said, own, {"role": "assistant", "content": "a"}, said]});
    gateway.client().responses(&body).await.expect(200);
    let asked = vendor.only().json();
    assert_eq!(asked["input"], json!([said, {"role": "assistant", "content": "a"}, said]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn errors_have_openais_form() {
    let vendor = native(Say::Text("never")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let client = gateway.client();
    for (body, param) in [
        (json!({"model": "chat"}), json!("input")),
        (json!({"model": "chat", "input": []}), json!("input")),
        (json!({"model": "chat", "input": "hi", "background": true}), json!("background")),
        (json!([]), Value::Null),
    ] {
        let answer = client.responses(&body).await.expect(400);
        assert_eq!(answer.openai_error()["param"], param, "{answer:?}");
        assert!(answer.expect_header("x-request-id").starts_with("req_"));
    }
    assert_eq!(
        client.responses(&responses_question("chta", "hi")).await.expect(404).openai_error()["code"],
        "model_not_found"
    );
    client.with_key("sk-bs-wrong").responses(&responses_question("chat", "hi")).await.expect(401).openai_error();
    client.get("/v1/responses/resp_1").await.expect(404).openai_error();
    assert!(vendor.seen().is_empty());
}
