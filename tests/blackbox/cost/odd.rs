//! Usage as no API has it: it costs nobody a good answer, and what it does not tell is estimated, never free and never absurd.

use serde_json::{Value, json};

use super::attempt;
use crate::{
    client::{Answer, anthropic_question, question, responses_question, send},
    config::Config,
    home::Home,
    vendor::{End, Reply, Seen, Vendor, anthropic_frames, openai_frames, responses_frames},
};

/// What vendors write in the place of a count: a number, or none.
const COUNTS: [(&str, Option<u64>); 11] = [
    ("7", Some(7)),
    ("7.0", Some(7)),
    ("\"7\"", Some(7)),
    ("-1", None),
    ("-3.5", None),
    ("18446744073709551615", None),
    ("1e30", None),
    ("\"many\"", None),
    ("[7]", None),
    ("true", None),
    ("0", None),
];

/// Bytes of the question stand in its `content`: the count that the vendor gives.
fn count_of(seen: &Seen) -> String {
    let body = seen.json();
    let text = body["messages"][0]["content"].as_str().or(body["input"].as_str());
    text.expect("a text").to_owned()
}

fn with_count(reply: &Value, count: &str) -> Vec<u8> {
    reply.to_string().replace("\"COUNT\"", count).into_bytes()
}

fn whole(seen: &Seen) -> Reply {
    let usage = |input: &str, output: &str| json!({input: 11, output: "COUNT"});
    let text = json!({"type": "text", "text": "hello"});
    let body = match seen.path.rsplit('/').next() {
        Some("messages") => json!({
            "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [text], "stop_reason": "end_turn",
            "stop_sequence": null, "usage": usage("input_tokens", "output_tokens")
        }),
        Some("responses") => json!({
            "id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed",
            "usage": usage("input_tokens", "output_tokens"), "output": [{
                "type": "message", "id": "m", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "hello", "annotations": []}]
            }]
        }),
        _ => json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": usage("prompt_tokens", "completion_tokens")
        }),
    };
    let headers = vec![("content-type", "application/json".to_owned())];
    Reply::Whole { status: 200, headers, body: with_count(&body, &count_of(seen)) }
}

/// The fakes' streams, whose last word on the answer's tokens is 7.
fn streamed(seen: &Seen) -> Reply {
    let (frames, name) = match seen.path.rsplit('/').next() {
        Some("messages") => (anthropic_frames("hello"), "output_tokens"),
        Some("responses") => (responses_frames("hello"), "output_tokens"),
        _ => (openai_frames("hello"), "completion_tokens"),
    };
    let (said, count) = (format!("\"{name}\":7"), format!("\"{name}\":{}", count_of(seen)));
    assert!(frames.iter().any(|frame| frame.contains(&said)), "{frames:?}");
    Reply::events(&frames.iter().map(|frame| frame.replace(&said, &count)).collect::<Vec<_>>(), End::Whole)
}

async fn odd_vendor() -> Vendor {
    Vendor::start(|_, seen| if seen.wants_stream() { streamed(seen) } else { whole(seen) }).await
}

fn home(vendor: &Vendor) -> Home {
    let config = Config::warn()
        .vendor("near", "openai", &vendor.url())
        .vendor("other", "anthropic", &vendor.url())
        .route("chat", &["near/fake-1"])
        .route("message", &["other/fake-1"])
        .more("models: { near/fake-1: { input_per_mtok: 100, output_per_mtok: 200 }, other/fake-1: { input_per_mtok: 100, output_per_mtok: 200 } }");
    let home = Home::new(&config.text());
    home.secret("near", "sk-test");
    home.secret("other", "sk-test");
    home
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_count_that_is_none_costs_nobody_an_answer_and_is_estimated() {
    let vendor = odd_vendor().await;
    let home = home(&vendor);
    let gateway = home.serve();
    let client = gateway.client();
    let mut answered: Vec<(String, Option<u64>, Answer)> = Vec::new();
    for (count, read) in COUNTS {
        for stream in [false, true] {
            let asked = [
                ("/v1/chat/completions", question("chat", count)),
                ("/v1/responses", responses_question("chat", count)),
                ("/v1/messages", anthropic_question("message", count)),
            ];
            for (path, mut body) in asked {
                body["stream"] = json!(stream);
                let answer = send(client.post(path, &body).header("anthropic-version", "2023-06-01")).await.expect(200);
                assert!(!answer.body.contains("\"error\":{"), "{path} {count}: {}", answer.body);
                answered.push((format!("{path} {count}, stream: {stream}"), read, answer));
            }
        }
    }
    gateway.stop();
    for (what, read, answer) in answered {
        let attempt = attempt(&home, &answer);
        let (usage, source) = (&attempt["usage"], &attempt["usage_source"]);
        assert!(usage["input"].as_u64().is_some_and(|input| (1..100).contains(&input)), "{what}: {attempt:#}");
        let output = usage["output"].as_u64().expect("a count");
        match read {
            Some(read) => assert_eq!((output, source), (read, &json!("reported")), "{what}: {attempt:#}"),
            // Anthropic's stream says one at its start, and what is no count takes nothing back.
            None if what.starts_with("/v1/messages") && what.ends_with("true") => {
                assert!((1..=2).contains(&output), "{what}: {attempt:#}");
            }
            // `hello`: two tokens at four bytes.
            None => assert_eq!((output, source), (2, &json!("estimated")), "{what}: {attempt:#}"),
        }
        assert!(attempt["cost"].as_i64().is_some_and(|cost| (100..20_000).contains(&cost)), "{what}: {attempt:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn usage_of_another_form_is_no_usage() {
    let vendor = Vendor::start(|_, seen| {
        let usage = count_of(seen);
        let body = json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": "COUNT",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]
        });
        let headers = vec![("content-type", "application/json".to_owned())];
        Reply::Whole { status: 200, headers, body: with_count(&body, &usage) }
    })
    .await;
    let home = home(&vendor);
    let gateway = home.serve();
    let mut answers = Vec::new();
    let zeros = r#"{"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}"#;
    let details = r#"{"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": "", "completion_tokens_details": []}"#;
    for usage in ["null", "{}", "[]", "\"none\"", "7", zeros, details] {
        answers.push((usage, gateway.client().chat(&question("chat", usage)).await.expect(200)));
    }
    gateway.stop();
    for (usage, answer) in answers {
        let attempt = attempt(&home, &answer);
        let source = if usage == details { "reported" } else { "estimated" };
        assert_eq!(attempt["usage_source"], source, "{usage}: {attempt:#}");
        assert!(attempt["cost"].as_i64().is_some_and(|cost| cost >= 1000), "{usage}: {attempt:#}");
    }
}

/// Ten tokens can be hundreds of bytes: a budget is not overspent by an estimate of what a vendor does not tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_estimate_is_no_longer_than_the_answer_that_was_asked_for() {
    let vendor = Vendor::start(|_, _| {
        let message = json!({"role": "assistant", "content": "internationalization ".repeat(10)});
        let choice = json!({"index": 0, "message": message, "finish_reason": "length"});
        Reply::json(
            200,
            &json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}),
        )
    })
    .await;
    let home = home(&vendor);
    let gateway = home.serve();
    let mut body = question("chat", "hi");
    body["max_tokens"] = json!(10);
    let answer = gateway.client().chat(&body).await.expect(200);
    gateway.stop();
    let attempt = attempt(&home, &answer);
    assert_eq!(
        (&attempt["usage"]["output"], &attempt["usage_source"]),
        (&json!(10), &json!("estimated")),
        "{attempt:#}"
    );
}

/// Megabytes of an image are no megabytes of text, where the caller goes before the vendor has counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_image_is_not_estimated_as_text() {
    let vendor = Vendor::start(|_, _| Reply::Silence).await;
    let home = home(&vendor);
    let gateway = home.serve();
    let image = format!("data:image/png;base64,{}", "A".repeat(2_000_000));
    let body = json!({"model": "chat", "max_tokens": 10, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": image}}
    ]}]});
    let patience = std::time::Duration::from_millis(1500);
    let request = gateway.client().post("/v1/chat/completions", &body).timeout(patience);
    assert!(request.send().await.is_err_and(|error| error.is_timeout()));
    vendor.all_hung_up().await;
    gateway.stop();
    let used = home.json(&["usage", "--by", "tenant"]);
    let input = used[0]["input_tokens"].as_u64().expect("a count");
    assert!((700..2000).contains(&input), "{used:#}");
}

/// What Anthropic's stream says at its start is no count of an answer that has come to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_first_word_on_an_answer_is_not_the_last() {
    let vendor = Vendor::start(|_, _| {
        let frames = anthropic_frames(&"internationalization ".repeat(40)).into_iter();
        Reply::events(
            &frames.map(|frame| frame.replace("\"output_tokens\":7", "\"tokens\":7")).collect::<Vec<_>>(),
            End::Whole,
        )
    })
    .await;
    let home = home(&vendor);
    let gateway = home.serve();
    let mut body = anthropic_question("message", "hi");
    (body["stream"], body["max_tokens"]) = (json!(true), json!(1000));
    let answer = send(gateway.client().post_message(&body)).await.expect(200);
    gateway.stop();
    let attempt = attempt(&home, &answer);
    assert_eq!(
        (&attempt["usage"]["output"], &attempt["usage_source"]),
        (&json!(210), &json!("estimated")),
        "{attempt:#}"
    );
}
