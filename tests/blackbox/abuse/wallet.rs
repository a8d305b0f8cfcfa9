//! Bodies that ask for more than they seem to: what is set aside, and what ceilings allow, is what a vendor may make of them.

use serde_json::{Value, json};

use crate::{
    client::send,
    config::Config,
    home::Home,
    vendor::{Reply, Say, Vendor},
};

/// A dollar for a hundred thousand tokens in, and for ten thousand out.
const PRICE: &str = "models: { near/fake-1: { input_per_mtok: 10, output_per_mtok: 100 } }";

async fn vendor() -> Vendor {
    Vendor::start(|_, seen| {
        if seen.path.ends_with("/completions") && !seen.path.contains("chat") {
            let choice = json!({"index": 0, "text": "hi", "finish_reason": "stop", "logprobs": null});
            let usage = json!({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4});
            return Reply::json(200, &json!({
                "id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice], "usage": usage
            }));
        }
        if seen.path.ends_with("/responses") {
            return Reply::responses(seen, &Say::Text("hi"));
        }
        Reply::openai(seen, &Say::Text("hi"))
    })
    .await
}

fn home(vendor: &Vendor, tenant: &str) -> Home {
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    let home = Home::new(&config.more(PRICE).text().replace("acme: {}", &format!("acme: {{ {tenant} }}")));
    home.secret("near", "sk-test");
    home
}

fn chat(content: Value) -> Value {
    json!({"model": "chat", "max_tokens": 10, "messages": [{"role": "user", "content": content}]})
}

fn part(part: Value) -> Value {
    chat(json!([{"type": "text", "text": "what is this?"}, part]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_call_may_cost_is_known_whatever_its_body_is_like() {
    let vendor = vendor().await;
    // One image fits, and an answer of five thousand tokens.
    let home = home(&vendor, "max_usd_per_call: 0.6");
    let gateway = home.serve();
    let completion = |prompt: Value| json!({"model": "chat", "max_tokens": 100, "prompt": prompt});
    let image = json!({"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}});
    let images = chat(json!(vec![image.clone(); 3]));
    let by_id = json!({"type": "file", "file": {"file_id": "file-1"}});
    let response = |part: Value| {
        let content = json!([{"type": "input_text", "text": "what is this?"}, part]);
        json!({"model": "chat", "max_output_tokens": 10, "input": [{"role": "user", "content": content}]})
    };
    let many: Vec<String> = (0..100).map(|number| format!("{number} and")).collect();
    for (path, body) in [
        ("/v1/completions", completion(json!(many))),
        ("/v1/completions", completion(json!(vec![[1, 2, 3]; 100]))),
        ("/v1/chat/completions", images),
        ("/v1/chat/completions", part(by_id)),
        ("/v1/chat/completions", part(json!({"type": "video_url", "video_url": {"url": "https://films.example/1"}}))),
        ("/v1/responses", response(json!({"type": "input_file", "file_url": "https://papers.example/1.pdf"}))),
        ("/v1/responses", response(json!({"type": "input_file", "file_id": "file-1"}))),
        ("/v1/responses", {
            let mut body = json!({"model": "chat", "max_output_tokens": 10, "input": "hi"});
            body["tools"] = json!([{"type": "mcp", "server_label": "files", "server_url": "https://files.example"}]);
            body
        }),
        // Whichever of them the vendor hears.
        ("/v1/chat/completions", {
            let mut body = chat(json!("hi"));
            body["max_completion_tokens"] = json!(1);
            body["max_tokens"] = json!(10_000);
            body
        }),
    ] {
        let error = send(gateway.client().post(path, &body)).await.expect(400).openai_error();
        assert_eq!(error["code"], "cost_limit_exceeded", "{path} {body}: {error:#}");
    }
    assert_eq!(vendor.seen_count(), 0);
    for (path, body) in [
        ("/v1/completions", completion(json!(["one", "two"]))),
        ("/v1/completions", completion(json!([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))),
        ("/v1/completions", completion(json!("one"))),
        ("/v1/chat/completions", chat(json!([{"type": "text", "text": "hi"}]))),
        ("/v1/chat/completions", part(image)),
    ] {
        send(gateway.client().post(path, &body)).await.expect(200);
    }
    // A document whose text stands in the body is text.
    let document = |source: Value| {
        let content = json!([{"type": "document", "source": source}, {"type": "text", "text": "what is this?"}]);
        json!({"model": "chat", "max_tokens": 10, "messages": [{"role": "user", "content": content}]})
    };
    let url = document(json!({"type": "url", "url": "https://papers.example/1.pdf"}));
    let error = send(gateway.client().post("/v1/messages", &url)).await.expect(400).anthropic_error();
    assert!(error["message"].as_str().is_some_and(|text| text.contains("may cost")), "{error:#}");
    let text = document(json!({"type": "text", "media_type": "text/plain", "data": "a paper"}));
    let answer = send(gateway.client().post("/v1/messages", &text)).await;
    assert!(!answer.body.contains("may cost"), "{answer:?}");
}

/// What nobody here has a price for is not paid for out of a hard budget; without one it is the vendor's and the caller's affair.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tool_whose_price_is_not_known_is_kept_from_hard_budgets() {
    let vendor = vendor().await;
    let asking =
        |kind: &str| json!({"model": "chat", "max_output_tokens": 10, "input": "hi", "tools": [{"type": kind}]});
    let function = json!({
        "model": "chat", "max_output_tokens": 10, "input": "hi",
        "tools": [{"type": "function", "name": "image_generation", "parameters": {"type": "object"}}, {"type": "custom", "name": "b"}]
    });
    for tenant in ["budget_usd_per_day: 100", "max_usd_per_call: 5"] {
        let home = home(&vendor, tenant);
        let gateway = home.serve();
        for kind in ["image_generation", "oracle_20300101"] {
            let error = send(gateway.client().post("/v1/responses", &asking(kind))).await.expect(400).openai_error();
            assert_eq!(error["code"], "cost_limit_exceeded", "{error:#}");
            assert!(error["message"].as_str().is_some_and(|text| text.contains(kind)), "{error:#}");
        }
        send(gateway.client().post("/v1/responses", &function)).await.expect(200);
    }
    assert_eq!(vendor.seen_count(), 2);
    let home = home(&vendor, "rpm: 100");
    send(home.serve().client().post("/v1/responses", &asking("image_generation"))).await.expect(200);
}

/// A name that the vendor does not hear is no limit: its own default would hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_limit_by_a_name_of_another_api_bounds_nothing() {
    let vendor = vendor().await;
    let home = home(&vendor, "max_tokens: 100");
    let gateway = home.serve();
    let mut body = chat(json!("hi"));
    body.as_object_mut().expect("an object").remove("max_tokens");
    body["max_output_tokens"] = json!(5);
    send(gateway.client().post("/v1/chat/completions", &body)).await.expect(200);
    assert_eq!(vendor.seen()[0].json()["max_completion_tokens"], 100, "{}", vendor.seen()[0].json());
    let response = json!({"model": "chat", "max_tokens": 5, "max_completion_tokens": 5, "input": "hi"});
    send(gateway.client().post("/v1/responses", &response)).await.expect(200);
    let asked = vendor.seen()[1].json();
    assert!([&asked["max_output_tokens"], &asked["max_tokens"]].contains(&&json!(100)), "{asked:#}");
    let mut both = chat(json!("hi"));
    both["max_completion_tokens"] = json!(5);
    both["max_tokens"] = json!(101);
    let error = send(gateway.client().post("/v1/chat/completions", &both)).await.expect(400).openai_error();
    assert_eq!(error["code"], "max_tokens_exceeded", "{error:#}");
}
