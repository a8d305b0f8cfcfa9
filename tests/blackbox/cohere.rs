//! Cohere as a vendor: callers of both dialects are answered by it, and its failures are told apart.

use serde_json::{Value, json};

use super::{
    client::{Answer, anthropic_question, question},
    config::Config,
    home::Home,
    vendor::{End, Reply, Say, Vendor, cohere_frames},
};

/// A route `chat` to Cohere and then to an OpenAI.
fn config(cohere: &str, next: &str) -> Config {
    Config::warn()
        .vendor_with("co", &format!("kind: cohere, base_url: \"{cohere}/v2\", secret: co"))
        .vendor("near", "openai", next)
        .route("chat", &["co/command-a-03-2025", "near/fake-1"])
}

fn home(cohere: &Vendor, next: &Vendor) -> Home {
    let home = Home::new(&config(&cohere.url(), &next.url()).text());
    home.secret("co", "co-secret");
    home
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_openai_caller_goes_through_a_tool_loop_whole_and_streamed() {
    let say = Say::Tool("weather", json!({"city": "Linz"}));
    let vendor = Vendor::start(move |_, seen| Reply::cohere(seen, &say)).await;
    let next = Vendor::openai(Say::Text("next")).await;
    let home = home(&vendor, &next);
    let gateway = home.serve();
    let mut body = question("chat", "weather in Linz?");
    body["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    body["tool_choice"] = json!({"type": "function", "function": {"name": "weather"}});
    let answer = gateway.client().chat(&body).await.expect(200).json();
    let usage = &answer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]), (&json!(11), &json!(3)));
    let message = answer["choices"][0]["message"].clone();
    assert_eq!(message["tool_calls"][0]["id"], "weather_fake:1");
    let result = json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sun"});
    body["messages"].as_array_mut().expect("messages").extend([message, result]);
    body["stream"] = json!(true);
    let data = gateway.client().chat(&body).await.expect(200).data();
    let arguments: String = data
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).expect("the fragments add up"), json!({"city": "Linz"}));

    let seen = vendor.seen();
    assert_eq!((seen[0].path.as_str(), seen[0].header("authorization")), ("/v2/chat", Some("Bearer co-secret")));
    assert_eq!((&seen[0].json()["tool_choice"], &seen[0].json()["stream"]), (&json!("REQUIRED"), &json!(false)));
    let turns = &seen[1].json()["messages"];
    assert_eq!((&turns[1]["tool_plan"], &turns[1]["content"]), (&json!("I will look."), &Value::Null));
    assert_eq!(turns[2], json!({"role": "tool", "tool_call_id": "weather_fake:1", "content": "sun"}));
    assert_eq!(next.seen_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_anthropic_caller_is_answered_whole_and_streamed() {
    let vendor = Vendor::start(|_, seen| Reply::cohere(seen, &Say::Text("hello"))).await;
    let next = Vendor::openai(Say::Text("next")).await;
    let home = home(&vendor, &next);
    let gateway = home.serve();
    let mut body = anthropic_question("chat", "hi");
    let answer = gateway.client().messages(&body).await.expect(200).json();
    assert_eq!((&answer["content"][0]["text"], &answer["stop_reason"]), (&json!("hello"), &json!("end_turn")));
    body["stream"] = json!(true);
    let answer = gateway.client().messages(&body).await.expect(200);
    let data = answer.data();
    let text: String = data.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    let ending = data.iter().find(|event| event["type"] == "message_delta").expect("an ending");
    assert_eq!((text.as_str(), &ending["usage"]["output_tokens"]), ("hello", &json!(7)));
    assert_eq!(answer.events().last().and_then(|event| event.name.clone()).as_deref(), Some("message_stop"));
}

/// A stream's answer where Cohere replies so and an OpenAI behind it says `next`, and how often that was asked.
async fn streamed(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (Answer, usize) {
    let vendor = Vendor::start(move |_, _| reply()).await;
    let next = Vendor::openai(Say::Text("next")).await;
    let home = home(&vendor, &next);
    let gateway = home.serve();
    let mut body = question("chat", "hi");
    body["stream"] = json!(true);
    (gateway.client().chat(&body).await.expect(200), next.seen_count())
}

/// The last event of an answer that failed.
fn failed() -> String {
    let end = json!({"type": "message-end", "delta": {"finish_reason": "ERROR"}});
    format!("event: message-end\ndata: {end}\n\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_it_refuses_or_breaks_before_content_goes_to_the_next() {
    let replies: [fn() -> Reply; 4] = [
        || Reply::json(429, &json!({"id": "x", "message": "trial token rate limit exceeded"})),
        || Reply::json(401, &json!({"id": "x", "message": "invalid api token"})),
        || Reply::events(&[cohere_frames("x").swap_remove(0), failed()], End::Whole),
        || Reply::events(&cohere_frames("hello")[..1], End::Cut),
    ];
    for reply in replies {
        let (answer, asked) = streamed(reply).await;
        assert_eq!((answer.streamed_text().as_str(), asked), ("next", 1), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_breaks_after_it_is_an_error_in_the_stream() {
    let replies: [fn() -> Reply; 2] = [
        || Reply::events(&cohere_frames("hello")[..4], End::Cut),
        || Reply::events(&[&cohere_frames("hello")[..4], &[failed()]].concat(), End::Whole),
    ];
    for reply in replies {
        let (answer, asked) = streamed(reply).await;
        assert_eq!((answer.streamed_text().as_str(), asked), ("he", 0), "{answer:?}");
        assert!(answer.body.contains(r#"{"error":"#) && !answer.body.contains("[DONE]"), "{answer:?}");
    }
}
