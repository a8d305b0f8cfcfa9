//! Each vendor's own words for what was used, as its API has them, at a price by hand.

use serde_json::{Value, json};

use super::{attempt, micros};
use crate::{
    client::{Answer, anthropic_question, question, responses_question},
    config::Config,
    home::Home,
    vendor::{End, Reply, Vendor},
};

const PRICES: &str = "prices: [{ input_per_mtok: 100, cached_input_per_mtok: 10, cache_write_per_mtok: 125, \
     cache_write_1h_per_mtok: 200, audio_input_per_mtok: 1000, output_per_mtok: 400, audio_output_per_mtok: 2000, \
     reasoning_per_mtok: 300, per_request: 0.5, batch_factor: 0.5, tiers: [{ above_tokens: 5000, input_per_mtok: 150 }] }]";

/// What an hour of these is worth, per token, in micro-dollars.
const REQUEST: i64 = 500_000;

struct Asked {
    home: Home,
    answer: Answer,
}

impl Asked {
    /// The usage and the cost in the ledger, and that the header tells the same.
    fn told(&self) -> (Value, i64) {
        let attempt = attempt(&self.home, &self.answer);
        assert_eq!(
            (&attempt["priced"], &attempt["usage_source"]),
            (&json!("valid"), &json!("reported")),
            "{attempt:#}"
        );
        assert!(attempt["price_row"].as_str().is_some_and(|row| row == "config:always"), "{attempt:#}");
        let cost = attempt["cost"].as_i64().expect("it has a price");
        if let Some(header) = self.answer.header("x-backstop-cost-usd") {
            assert_eq!(micros(header), cost);
        }
        (attempt["usage"].clone(), cost)
    }
}

async fn ask(vendor: Vendor, entry: &str, path: &str, body: Value) -> Asked {
    let config =
        Config::warn().vendor_with("near", &entry.replace("URL", &vendor.url())).route("chat", &["near/fake-1"]);
    let home = Home::new(&config.more(&format!("models: {{ near/fake-1: {{ {PRICES} }} }}")).text());
    home.secret("near", "sk-test");
    let gateway = home.serve();
    let request = gateway.client().post(path, &body).header("anthropic-version", "2023-06-01");
    let answer = crate::client::send(request).await.expect(200);
    gateway.stop();
    Asked { home, answer }
}

fn openai_usage() -> Value {
    json!({
        "prompt_tokens": 1000, "completion_tokens": 300, "total_tokens": 1300,
        "prompt_tokens_details": {"cached_tokens": 200, "audio_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 50, "audio_tokens": 20}
    })
}

/// 700 plain, 200 cached, 100 of sound; 230 plain, 50 thought, 20 of sound.
const OPENAI: i64 = 700 * 100 + 200 * 10 + 100 * 1000 + 230 * 400 + 50 * 300 + 20 * 2000 + REQUEST;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn openai_chat_with_sound_and_flexible_processing() {
    for (tier, factor) in [("default", 1), ("flex", 2)] {
        let vendor = Vendor::start(move |_, _| {
            let message = json!({"role": "assistant", "content": "hi", "refusal": null});
            Reply::json(
                200,
                &json!({
                    "id": "c", "object": "chat.completion", "created": 1, "model": "m", "service_tier": tier,
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": openai_usage()
                }),
            )
        })
        .await;
        let entry = "kind: openai, base_url: \"URL/v1\"";
        let asked = ask(vendor, entry, "/v1/chat/completions", question("chat", "hi")).await;
        let (usage, cost) = asked.told();
        assert_eq!(cost, OPENAI / factor, "{tier}: {usage:#}");
        assert_eq!((&usage["audio_input"], &usage["audio_output"]), (&json!(100), &json!(20)), "{usage:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn openai_chat_as_a_stream_that_says_its_class_first() {
    let vendor = Vendor::start(|_, _| {
        let chunk = |choices: Value, usage: Value, tier: Value| {
            let chunk = json!({
                "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices,
                "usage": usage, "service_tier": tier
            });
            format!("data: {chunk}\n\n")
        };
        let say = json!([{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": null}]);
        let end = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
        let events = [
            chunk(say, Value::Null, json!("flex")),
            chunk(end, Value::Null, Value::Null),
            chunk(json!([]), openai_usage(), Value::Null),
            "data: [DONE]\n\n".to_owned(),
        ];
        Reply::events(&events, End::Whole)
    })
    .await;
    let mut body = question("chat", "hi");
    body["stream"] = json!(true);
    let asked = ask(vendor, "kind: openai, base_url: \"URL/v1\"", "/v1/chat/completions", body).await;
    assert_eq!(asked.told().1, OPENAI / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn openai_responses() {
    let vendor = Vendor::start(|_, _| {
        let content = json!([{"type": "output_text", "text": "hi", "annotations": []}]);
        let item = json!({"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": content});
        Reply::json(
            200,
            &json!({
                "id": "resp", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [item],
                "service_tier": "flex",
                "usage": {
                    "input_tokens": 6000, "input_tokens_details": {"cached_tokens": 1000}, "output_tokens": 100,
                    "output_tokens_details": {"reasoning_tokens": 40}, "total_tokens": 6100
                }
            }),
        )
    })
    .await;
    let entry = "kind: openai, base_url: \"URL/v1\"";
    let asked = ask(vendor, entry, "/v1/responses", responses_question("chat", "hi")).await;
    // A prompt over 5,000 tokens: the tier's input; all of it in flexible processing.
    let whole = 5000 * 150 + 1000 * 10 + 60 * 400 + 40 * 300 + REQUEST;
    assert_eq!(asked.told().1, whole / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn anthropic_with_caches_of_both_lifetimes_whole_and_streamed() {
    // 100 read anew, 50 from a cache, 300 into one: 100 of those for an hour.
    let expected = 100 * 100 + 50 * 10 + 200 * 125 + 100 * 200 + 70 * 400 + REQUEST;
    for stream in [false, true] {
        let vendor = Vendor::start(move |_, _| {
            let usage = json!({
                "input_tokens": 100, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 50,
                "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
                "output_tokens": 70, "service_tier": "standard"
            });
            let head = json!({"id": "msg", "type": "message", "role": "assistant", "model": "m"});
            if !stream {
                let mut whole = head;
                (whole["content"], whole["usage"]) = (json!([{"type": "text", "text": "hi"}]), usage);
                (whole["stop_reason"], whole["stop_sequence"]) = (json!("end_turn"), Value::Null);
                return Reply::json(200, &whole);
            }
            let mut message = head;
            message["content"] = json!([]);
            message["usage"] = usage;
            message["usage"]["output_tokens"] = json!(1);
            let event = |data: Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default());
            let events = [
                event(json!({"type": "message_start", "message": message})),
                event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
                event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}})),
                event(json!({"type": "content_block_stop", "index": 0})),
                event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 70}})),
                event(json!({"type": "message_stop"})),
            ];
            Reply::events(&events, End::Whole)
        })
        .await;
        let mut body = anthropic_question("chat", "hi");
        body["stream"] = json!(stream);
        let asked = ask(vendor, "kind: anthropic, base_url: \"URL/v1\"", "/v1/messages", body).await;
        let (usage, cost) = asked.told();
        assert_eq!(cost, expected, "streamed: {stream}, {usage:#}");
        assert_eq!((&usage["cache_write"], &usage["cache_write_1h"]), (&json!(300), &json!(100)), "{usage:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn gemini_with_sound_and_thoughts() {
    let vendor = Vendor::start(|_, _| {
        let candidate =
            json!({"content": {"role": "model", "parts": [{"text": "hi"}]}, "index": 0, "finishReason": "STOP"});
        Reply::json(
            200,
            &json!({
                "candidates": [candidate],
                "usageMetadata": {
                    "promptTokenCount": 500, "cachedContentTokenCount": 100, "candidatesTokenCount": 40,
                    "thoughtsTokenCount": 25, "totalTokenCount": 565,
                    "promptTokensDetails": [
                        {"modality": "TEXT", "tokenCount": 420}, {"modality": "AUDIO", "tokenCount": 80},
                        {"modality": "SOMETHING_NEW", "tokenCount": 0}
                    ]
                }
            }),
        )
    })
    .await;
    let entry = "kind: gemini, base_url: \"URL/v1\"";
    let asked = ask(vendor, entry, "/v1/chat/completions", question("chat", "hi")).await;
    let (usage, cost) = asked.told();
    assert_eq!(cost, 320 * 100 + 100 * 10 + 80 * 1000 + 40 * 400 + 25 * 300 + REQUEST, "{usage:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bedrock_with_caches_of_both_lifetimes() {
    let vendor = Vendor::start(|_, _| {
        Reply::json(
            200,
            &json!({
                "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn",
                "metrics": {"latencyMs": 5},
                "usage": {
                    "inputTokens": 100, "outputTokens": 30, "totalTokens": 480, "cacheReadInputTokens": 50,
                    "cacheWriteInputTokens": 300,
                    "cacheDetails": [{"ttl": "1h", "inputTokens": 100}, {"ttl": "5m", "inputTokens": 200}]
                }
            }),
        )
    })
    .await;
    let entry = "kind: bedrock, base_url: \"URL\", region: eu-central-1";
    let asked = ask(vendor, entry, "/v1/chat/completions", question("chat", "hi")).await;
    let (usage, cost) = asked.told();
    assert_eq!(cost, 100 * 100 + 50 * 10 + 200 * 125 + 100 * 200 + 30 * 400 + REQUEST, "{usage:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cohere_bills_less_than_it_reads() {
    let vendor = Vendor::start(|_, _| {
        Reply::json(
            200,
            &json!({
                "id": "x", "finish_reason": "COMPLETE",
                "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
                "usage": {
                    "billed_units": {"input_tokens": 20, "output_tokens": 5},
                    "tokens": {"input_tokens": 80, "output_tokens": 9}
                }
            }),
        )
    })
    .await;
    let entry = "kind: cohere, base_url: \"URL/v2\"";
    let asked = ask(vendor, entry, "/v1/chat/completions", question("chat", "hi")).await;
    let (usage, cost) = asked.told();
    assert_eq!(cost, 20 * 100 + 5 * 400 + REQUEST, "{usage:#}");
    assert_eq!((&usage["input"], &usage["output"]), (&json!(80), &json!(9)), "{usage:#}");
}
