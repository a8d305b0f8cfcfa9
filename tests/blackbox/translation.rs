//! Caller and vendor speak different dialects: everything is carried, or refused by its name.

use serde_json::{Value, json};

use super::{
    client::{anthropic_question, question},
    config::{one_anthropic, one_openai},
    home::Home,
    vendor::{Say, Vendor},
};

fn weather() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

fn rich_openai_question() -> Value {
    json!({
        "model": "chat",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "weather in Graz?"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Graz\"}"}}]},
            {"role": "tool", "tool_call_id": "call_a", "content": "rain"},
            {"role": "user", "content": [{"type": "text", "text": "and in Linz?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "now", "parameters": weather()}}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "max_tokens": 40, "temperature": 0.5, "top_p": 0.9, "stop": ["END"]
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_openai_question_reaches_anthropic_whole() {
    let vendor = Vendor::anthropic(Say::Text("sun")).await;
    let home = Home::new(&one_anthropic(&vendor.url()));
    let gateway = home.serve();
    let answer = gateway.client().chat(&rich_openai_question()).await.expect(200);

    let asked = vendor.only().json();
    assert!(asked["system"].to_string().contains("be brief"), "{asked:#}");
    assert_eq!(asked["model"], "fake-2");
    assert_eq!(asked["max_tokens"], 40);
    assert_eq!((&asked["temperature"], &asked["top_p"]), (&json!(0.5), &json!(0.9)));
    assert_eq!(asked["stop_sequences"], json!(["END"]));
    assert_eq!(asked["tools"][0]["name"], "weather");
    assert_eq!(asked["tools"][0]["description"], "now");
    assert_eq!(asked["tools"][0]["input_schema"], weather());
    assert_eq!((&asked["tool_choice"]["type"], &asked["tool_choice"]["name"]), (&json!("tool"), &json!("weather")));
    let text = asked["messages"].to_string();
    assert!(!text.contains("be brief"), "the system prompt is not a message there");
    let call = &asked["messages"][1]["content"][0];
    assert_eq!(
        (&call["type"], &call["name"], &call["input"]),
        (&json!("tool_use"), &json!("weather"), &json!({"city": "Graz"}))
    );
    let result = &asked["messages"][2]["content"][0];
    assert_eq!((&asked["messages"][2]["role"], &result["type"]), (&json!("user"), &json!("tool_result")));
    assert_eq!(result["tool_use_id"], call["id"]);
    assert!(result["content"].to_string().contains("rain"));
    assert!(text.contains(r#""media_type":"image/png""#) && text.contains(r#""data":"AAAA""#), "{text}");

    let body = answer.json();
    assert_eq!((&body["object"], &body["choices"][0]["finish_reason"]), (&json!("chat.completion"), &json!("stop")));
    assert_eq!(answer.chat_text(), "sun");
    let usage = &body["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]),
        (&json!(11), &json!(7), &json!(18))
    );
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_anthropic_question_reaches_openai_whole() {
    let vendor = Vendor::openai(Say::Tool("weather", json!({"city": "Linz"}))).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let body = json!({
        "model": "chat", "max_tokens": 40, "system": "be brief", "temperature": 0.5, "stop_sequences": ["END"],
        "messages": [
            {"role": "user", "content": "weather in Graz?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_a", "name": "weather", "input": {"city": "Graz"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_a", "content": "rain"},
                {"type": "text", "text": "and in Linz?"}]}
        ],
        "tools": [{"name": "weather", "description": "now", "input_schema": weather()}],
        "tool_choice": {"type": "any"}
    });
    let answer = gateway.client().messages(&body).await.expect(200).json();

    let asked = vendor.only().json();
    assert_eq!(
        (&asked["messages"][0]["role"], &asked["messages"][0]["content"]),
        (&json!("system"), &json!("be brief"))
    );
    assert_eq!((&asked["max_completion_tokens"], &asked["stop"]), (&json!(40), &json!(["END"])));
    assert_eq!(asked["tool_choice"], "required");
    assert_eq!(asked["tools"][0]["function"]["parameters"], weather());
    let call = &asked["messages"][2]["tool_calls"][0];
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().expect("text")).expect("JSON");
    assert_eq!((&call["function"]["name"], &arguments), (&json!("weather"), &json!({"city": "Graz"})));
    let result = &asked["messages"][3];
    assert_eq!(
        (&result["role"], &result["tool_call_id"], &result["content"]),
        (&json!("tool"), &call["id"], &json!("rain"))
    );

    assert_eq!(
        (&answer["type"], &answer["role"], &answer["stop_reason"]),
        (&json!("message"), &json!("assistant"), &json!("tool_use"))
    );
    let block =
        answer["content"].as_array().expect("blocks").iter().find(|block| block["type"] == "tool_use").expect("a call");
    assert_eq!((&block["name"], &block["input"]), (&json!("weather"), &json!({"city": "Linz"})));
    // Anthropic counts what was read from the cache apart.
    assert_eq!((&answer["usage"]["input_tokens"], &answer["usage"]["cache_read_input_tokens"]), (&json!(8), &json!(3)));
    assert_eq!(answer["usage"]["output_tokens"], 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tool_call_comes_back_to_its_vendor_under_its_own_id() {
    let vendor = Vendor::anthropic(Say::Tool("weather", json!({"city": "Linz"}))).await;
    let home = Home::new(&one_anthropic(&vendor.url()));
    let gateway = home.serve();
    let mut body = rich_openai_question();
    let answer = gateway.client().chat(&body).await.expect(200).json();
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let message = answer["choices"][0]["message"].clone();
    let result = json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sun"});
    let messages = body["messages"].as_array_mut().expect("messages");
    messages.extend([message, result]);
    gateway.client().chat(&body).await.expect(200);
    let asked = vendor.seen()[1].body.clone();
    let text = String::from_utf8(asked).expect("UTF-8");
    assert_eq!(text.matches("toolu_fake1").count(), 2, "the call and its result carry the vendor's own id: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn streamed_tool_calls_add_up_in_openais_dialect() {
    let vendor = Vendor::anthropic(Say::Tool("weather", json!({"city": "Linz"}))).await;
    let home = Home::new(&one_anthropic(&vendor.url()));
    let gateway = home.serve();
    let mut body = rich_openai_question();
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let answer = gateway.client().chat(&body).await.expect(200);
    let data = answer.data();
    let calls: Vec<&Value> =
        data.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0)).collect();
    assert_eq!(calls[0]["function"]["name"], "weather");
    assert!(calls[0]["id"].is_string() && calls.iter().all(|call| call["index"] == 0));
    let arguments: String = calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).expect("the fragments add up"), json!({"city": "Linz"}));
    let finishes: Vec<&Value> =
        data.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).filter(|f| f.is_string()).collect();
    assert_eq!(finishes, ["tool_calls"]);
    let usage = data.iter().find(|chunk| chunk["usage"].is_object()).expect("usage was asked for");
    assert_eq!((&usage["usage"]["prompt_tokens"], &usage["usage"]["completion_tokens"]), (&json!(11), &json!(7)));
    assert_eq!(answer.events().last().map(|event| event.data.clone()).as_deref(), Some("[DONE]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn streams_of_text_and_tools_are_whole_in_anthropics_dialect() {
    for (say, delta, stop) in [
        (Say::Text("hello"), "text_delta", "end_turn"),
        (Say::Tool("weather", json!({"city": "Linz"})), "input_json_delta", "tool_use"),
    ] {
        let vendor = Vendor::openai(say).await;
        let home = Home::new(&one_openai(&vendor.url()));
        let gateway = home.serve();
        let mut body = anthropic_question("chat", "hi");
        body["stream"] = json!(true);
        let answer = gateway.client().messages(&body).await.expect(200);
        let events = answer.events();
        for event in &events {
            let data: Value = serde_json::from_str(&event.data).expect("every event of this dialect is JSON");
            assert_eq!(data["type"].as_str(), event.name.as_deref());
        }
        let names: Vec<&str> =
            events.iter().filter_map(|event| event.name.as_deref()).filter(|name| *name != "ping").collect();
        assert_eq!((names[0], names[1]), ("message_start", "content_block_start"));
        assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
        let data = answer.data();
        let pieces: String = data
            .iter()
            .filter(|event| event["delta"]["type"] == delta)
            .filter_map(|event| event["delta"]["text"].as_str().or(event["delta"]["partial_json"].as_str()))
            .collect();
        assert!(
            pieces == "hello" || serde_json::from_str::<Value>(&pieces).ok() == Some(json!({"city": "Linz"})),
            "{pieces}"
        );
        let ending = data.iter().find(|event| event["type"] == "message_delta").expect("an ending");
        assert_eq!((&ending["delta"]["stop_reason"], &ending["usage"]["output_tokens"]), (&json!(stop), &json!(7)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_cannot_be_carried_is_refused_by_its_name_and_nobody_is_asked() {
    let (openai, anthropic) = (Vendor::openai(Say::Text("x")).await, Vendor::anthropic(Say::Text("x")).await);
    let config = super::config::Config::warn()
        .vendor("near", "openai", &openai.url())
        .vendor("far", "anthropic", &anthropic.url())
        .route("to-openai", &["near/fake-1"])
        .route("to-anthropic", &["far/fake-2"]);
    let home = Home::new(&config.text());
    let gateway = home.serve();
    for (field, value) in [
        ("logit_bias", json!({"50256": -100})),
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("field_of_the_future", json!({"x": 1})),
        ("frequency_penalty", json!(0.5)),
    ] {
        let mut body = question("to-anthropic", "hi");
        body[field] = value;
        let answer = gateway.client().chat(&body).await.expect(400);
        let error = answer.openai_error();
        assert!(error["message"].as_str().is_some_and(|message| message.contains(field)), "{error:#}");
        assert_eq!(error["param"], field, "{error:#}");
    }
    for (field, value) in [("top_k", json!(5)), ("field_of_the_future", json!({"x": 1}))] {
        let mut body = anthropic_question("to-openai", "hi");
        body[field] = value;
        let error = gateway.client().messages(&body).await.expect(400).anthropic_error();
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(field)), "{error:#}");
    }
    assert!(openai.seen().is_empty() && anthropic.seen().is_empty());
}
