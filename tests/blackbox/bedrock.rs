//! Bedrock as a vendor: callers of both dialects are answered by it, its requests are signed, its stream is binary.

use serde_json::{Value, json};

use super::{
    client::{Answer, anthropic_question, question},
    config::Config,
    home::Home,
    vendor::{End, Reply, Say, Seen, Vendor, bedrock_exception, bedrock_messages, signature},
};

const KEY_ID: &str = "AKIDFAKE";
const SECRET: &str = "wJalrXUtnFEMI/fake+secret";
const REGION: &str = "eu-central-1";
const MODEL: &str = "eu.anthropic.claude-haiku-4-5-20251001-v1:0";

/// A fake that answers only who signs with the shared secret.
async fn signed(say: Say) -> Vendor {
    Vendor::start(move |_, seen| match fault(seen) {
        None => Reply::bedrock(seen, &say),
        Some(fault) => {
            let kind = ("x-amzn-errortype", "InvalidSignatureException:http://internal.amazon.com/");
            Reply::json_with(403, kind, &json!({"message": fault}))
        }
    })
    .await
}

fn fault(seen: &Seen) -> Option<String> {
    signature::fault(seen, KEY_ID, SECRET, REGION)
}

fn credentials() -> String {
    json!({"access_key_id": KEY_ID, "secret_access_key": SECRET, "session_token": "a/session+token=="}).to_string()
}

/// A route `chat` to Bedrock.
fn bedrock(url: &str, model: &str) -> Config {
    Config::warn().vendor_with("aws", &fields(url)).route("chat", &[&format!("aws/{model}")])
}

fn fields(url: &str) -> String {
    format!("kind: bedrock, region: {REGION}, base_url: \"{url}\", secret: aws")
}

fn home(config: &Config) -> Home {
    let home = Home::new(&config.text());
    home.secret("aws", &credentials());
    home
}

fn weather() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_openai_caller_goes_through_a_tool_loop_whole_and_streamed() {
    let vendor = signed(Say::Tool("weather", json!({"city": "Linz"}))).await;
    let home = home(&bedrock(&vendor.url(), MODEL));
    let gateway = home.serve();
    let mut body = question("chat", "weather in Linz?");
    body["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": weather()}}]);
    let answer = gateway.client().chat(&body).await.expect(200).json();
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let usage = &answer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]), (&json!(11), &json!(3)));
    let message = answer["choices"][0]["message"].clone();
    let result = json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sun"});
    body["messages"].as_array_mut().expect("messages").extend([message, result]);

    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let answer = gateway.client().chat(&body).await.expect(200);
    let data = answer.data();
    let arguments: String = data
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).expect("the fragments add up"), json!({"city": "Linz"}));
    let usage = data.iter().find(|chunk| chunk["usage"].is_object()).expect("usage comes after the finish reason");
    assert_eq!((&usage["usage"]["prompt_tokens"], &usage["usage"]["completion_tokens"]), (&json!(11), &json!(7)));
    assert_eq!(answer.events().last().map(|event| event.data.clone()).as_deref(), Some("[DONE]"));

    let seen = vendor.seen();
    let model = "eu.anthropic.claude-haiku-4-5-20251001-v1%3A0";
    assert_eq!(seen[0].path, format!("/model/{model}/converse"));
    assert_eq!(seen[1].path, format!("/model/{model}/converse-stream"));
    assert!(seen.iter().all(|seen| seen.header("x-amz-security-token") == Some("a/session+token==")));
    let turns = &seen[1].json()["messages"];
    assert_eq!(turns[1]["content"][0]["toolUse"]["toolUseId"], "tooluse_fake1");
    assert_eq!(
        turns[2]["content"][0]["toolResult"],
        json!({"toolUseId": "tooluse_fake1", "content": [{"text": "sun"}]})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_anthropic_caller_is_answered_whole_and_streamed() {
    let vendor = signed(Say::Text("hello")).await;
    let profile = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-v1:0";
    let home = home(&bedrock(&vendor.url(), profile));
    let gateway = home.serve();
    let mut body = anthropic_question("chat", "hi");
    let answer = gateway.client().messages(&body).await.expect(200).json();
    assert_eq!((&answer["content"][0]["text"], &answer["stop_reason"]), (&json!("hello"), &json!("end_turn")));
    assert_eq!((&answer["usage"]["input_tokens"], &answer["usage"]["cache_read_input_tokens"]), (&json!(8), &json!(3)));
    body["stream"] = json!(true);
    let answer = gateway.client().messages(&body).await.expect(200);
    let data = answer.data();
    let text: String = data.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    let ending = data.iter().find(|event| event["type"] == "message_delta").expect("an ending");
    assert_eq!((text.as_str(), &ending["usage"]["output_tokens"]), ("hello", &json!(7)));
    assert_eq!(answer.events().last().and_then(|event| event.name.clone()).as_deref(), Some("message_stop"));
    // The ARN is one segment of the path, however many slashes and colons it has.
    assert!(vendor.seen()[0].path.contains("inference-profile%2Feu.anthropic.claude-v1%3A0/converse"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_api_key_is_a_bearer() {
    let vendor = Vendor::start(|_, seen| Reply::bedrock(seen, &Say::Text("hello"))).await;
    let home = Home::new(&bedrock(&vendor.url(), MODEL).text());
    home.secret("aws", "bedrock-api-key-abc123");
    let gateway = home.serve();
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    let seen = vendor.only();
    assert_eq!(seen.header("authorization"), Some("Bearer bedrock-api-key-abc123"));
    assert_eq!(seen.header("x-amz-date"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn credentials_that_cannot_sign_are_our_own_fault_and_nothing_is_sent() {
    let vendor = signed(Say::Text("hello")).await;
    let home = Home::new(&bedrock(&vendor.url(), MODEL).text());
    home.secret("aws", r#"{"access_key": "AKIDFAKE"}"#);
    let gateway = home.serve();
    let answer = gateway.client().chat(&question("chat", "hi")).await;
    assert!(answer.status >= 500 && !answer.body.contains("AKIDFAKE"), "{answer:?}");
    assert_eq!(vendor.seen_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_wrong_secret_falls_over_and_is_not_the_callers_fault() {
    let (vendor, next) = (signed(Say::Text("hello")).await, Vendor::openai(Say::Text("next")).await);
    let config = Config::warn().vendor_with("aws", &fields(&vendor.url())).vendor("near", "openai", &next.url());
    let home = Home::new(&config.route("chat", &[&format!("aws/{MODEL}"), "near/fake-1"]).text());
    home.secret("aws", &credentials().replace("wJalr", "other"));
    let gateway = home.serve();
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!((answer.chat_text().as_str(), vendor.seen_count()), ("next", 1));
}

/// The answer where Bedrock refuses with a 400 of this type, and an OpenAI behind it says `next`.
async fn refused(name: &'static str, message: &'static str) -> Answer {
    let aws =
        Vendor::start(move |_, _| Reply::json_with(400, ("x-amzn-errortype", name), &json!({"message": message})))
            .await;
    let next = Vendor::openai(Say::Text("next")).await;
    let config = Config::warn().vendor_with("aws", &fields(&aws.url())).vendor("near", "openai", &next.url());
    let home = home(&config.route("chat", &[&format!("aws/{MODEL}"), "near/fake-1"]));
    let gateway = home.serve();
    gateway.client().chat(&question("chat", "hi")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_error_is_told_by_the_header_that_names_it() {
    for (name, message) in [
        ("ServiceQuotaExceededException", "too many"),
        ("ValidationException", "Invocation of model ID x with on-demand throughput isn\u{2019}t supported."),
    ] {
        assert_eq!(refused(name, message).await.expect(200).chat_text(), "next", "{name}");
    }
    let blank = "The text field at messages.0 of arn:aws:iam::123456789012:user/x is blank.";
    let error = refused("ValidationException", blank).await.expect(400).openai_error();
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("is blank") && !message.contains("123456789012"), "{message}");
}

/// Bedrock sends what `messages` has and ends as `end`; then comes an OpenAI that says `next`.
async fn falls_over(messages: Vec<Vec<u8>>, end: fn() -> End) -> (Answer, usize) {
    let aws = Vendor::start(move |_, seen| match fault(seen) {
        None => Reply::aws_stream(messages.clone(), end()),
        Some(fault) => Reply::json(403, &json!({"message": fault})),
    })
    .await;
    let next = Vendor::openai(Say::Text("next")).await;
    let config = Config::warn().vendor_with("aws", &fields(&aws.url())).vendor("near", "openai", &next.url());
    let home = home(&config.route("chat", &[&format!("aws/{MODEL}"), "near/fake-1"]));
    let gateway = home.serve();
    let mut body = question("chat", "hi");
    body["stream"] = json!(true);
    (gateway.client().chat(&body).await.expect(200), next.seen_count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_breaks_before_the_first_content_is_not_seen() {
    let start = bedrock_messages("x").swap_remove(0);
    let mut damaged = bedrock_messages("x");
    damaged[1][20] ^= 1;
    for messages in [
        vec![bedrock_exception("throttlingException")],
        vec![start.clone(), bedrock_exception("modelStreamErrorException")],
        vec![start],
        damaged,
    ] {
        let (answer, asked) = falls_over(messages, || End::Whole).await;
        assert_eq!((answer.streamed_text().as_str(), asked), ("next", 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_breaks_after_it_is_an_error_in_the_stream() {
    let begun = bedrock_messages("hello")[..4].to_vec();
    let mut thrown = begun.clone();
    thrown.push(bedrock_exception("internalServerException"));
    let mut half = begun.clone();
    half.push(bedrock_messages("hello")[4][..20].to_vec());
    for (messages, end) in [(begun, (|| End::Cut) as fn() -> End), (thrown, || End::Whole), (half, || End::Whole)] {
        let (answer, asked) = falls_over(messages, end).await;
        assert_eq!((answer.streamed_text().as_str(), asked), ("hel", 0), "{answer:?}");
        assert!(answer.body.contains(r#"{"error":"#) && !answer.body.contains("[DONE]"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_whose_usage_is_cut_off_is_whole() {
    let mut messages = bedrock_messages("hello");
    messages.pop();
    let (answer, asked) = falls_over(messages, || End::Cut).await;
    assert_eq!((answer.streamed_text().as_str(), asked), ("hello", 0), "{answer:?}");
    assert!(answer.body.contains("[DONE]"), "{answer:?}");
}
