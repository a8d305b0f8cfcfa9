//! What is no chat: counting a question's tokens. One ladder, one ledger row each, like every call.

use serde_json::{Value, json};

use super::{
    client::{Answer, Client, anthropic_question, send},
    config::{Config, PATIENT},
    home::Home,
    prepared::{self, TARGET},
    vendor::{Reply, Say, Vendor},
};

/// A question whose tokens are to be counted: without a limit.
fn counted(route: &str) -> Value {
    let mut body = anthropic_question(route, "How many?");
    body.as_object_mut().expect("an object").remove("max_tokens");
    body
}

async fn count(client: &Client, body: &Value) -> Answer {
    let request = client.post("/v1/messages/count_tokens", body).header("anthropic-version", "2023-06-01");
    send(request).await
}

/// The call of `answer` as the ledger has it.
fn row(home: &Home, answer: &Answer) -> Value {
    home.json(&["calls", "show", answer.expect_header("x-request-id")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tokens_are_counted_by_a_vendor_that_counts_and_cost_nothing() {
    let chat = Vendor::openai(Say::Text("not asked")).await;
    let counter = Vendor::start(|number, _| match number {
        0 => Reply::json(200, &json!({"input_tokens": 14, "field_of_the_future": 1})),
        1 => Reply::anthropic_error(529, "overloaded_error"),
        2 => Reply::json(200, &json!({"input_tokens": 0})),
        _ => Reply::json(400, &json!({"type": "error", "error": {"type": "invalid_request_error", "message": "bad"}})),
    })
    .await;
    let gemini = Vendor::start(|_, _| Reply::json(200, &json!({"totalTokens": 9}))).await;
    let config = Config::warn()
        .vendor("near", "openai", &chat.url())
        .vendor("far", "anthropic", &counter.url())
        .vendor_with("google", &format!("kind: gemini, base_url: \"{}/v1beta\"", gemini.url()))
        .route("chat", &["near/fake-1", "far/fake-2", "google/gemini-2.5-flash"])
        .more("models: { far/fake-2: { input_per_mtok: 3, output_per_mtok: 15 } }");
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let client = gateway.client();

    let answer = count(&client, &counted("chat")).await.expect(200);
    assert_eq!(answer.json(), json!({"input_tokens": 14, "field_of_the_future": 1}), "the vendor's own words");
    assert_eq!(answer.expect_header("x-backstop-served-by"), "far/fake-2");
    assert_eq!(answer.expect_header("x-backstop-cost-usd"), "0.000000");
    let asked = counter.only();
    assert_eq!((asked.path.as_str(), &asked.json()["model"]), ("/v1/messages/count_tokens", &json!("fake-2")));
    assert_eq!(asked.header("anthropic-version"), Some("2023-06-01"));
    let told = row(&home, &answer);
    assert_eq!(
        (&told["task"], &told["ending"], &told["cost_micros"]),
        (&json!("count_tokens"), &json!("answered"), &json!(0))
    );
    assert_eq!(told["attempts"][0]["fault"], "unsupported", "passed over, with the reason: {told:#}");
    assert_eq!(
        (&told["attempts"][1]["usage_source"], &told["attempts"][1]["usage"]["input"]),
        (&json!("none"), &json!(0))
    );

    for _ in 0..2 {
        let answer = count(&client, &counted("chat")).await.expect(200);
        assert_eq!(answer.json(), json!({"input_tokens": 9}), "overloaded, or no count: the next counts");
        assert_eq!(answer.expect_header("x-backstop-served-by"), "google/gemini-2.5-flash");
    }
    let asked = &gemini.seen()[0];
    assert_eq!(asked.path, "/v1beta/models/gemini-2.5-flash:countTokens");
    assert_eq!(asked.json()["generateContentRequest"]["model"], "models/gemini-2.5-flash");
    assert_eq!(count(&client, &counted("chat")).await.expect(400).anthropic_error()["type"], "invalid_request_error");
    assert_eq!(chat.seen_count(), 0);
    let listed = home.json(&["calls", "list"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(4), "one row for each: {listed:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn where_nobody_counts_the_answer_says_so_and_has_no_number() {
    let chat = Vendor::openai(Say::Text("not asked")).await;
    let config = Config::warn().vendor("near", "openai", &chat.url()).route("chat", &["near/fake-1"]);
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let client = gateway.client();
    let answer = count(&client, &counted("chat")).await.expect(400);
    let error = answer.anthropic_error();
    assert_eq!(error["type"], "invalid_request_error");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("/v1/messages/count_tokens")), "{error:#}");
    assert_eq!((chat.seen_count(), &row(&home, &answer)["status"]), (0, &json!(400)));

    let mut empty = counted("chat");
    empty["messages"] = json!([]);
    assert_eq!(count(&client, &empty).await.expect(400).anthropic_error()["type"], "invalid_request_error");
    assert_eq!(count(&client, &counted("nowhere")).await.expect(404).anthropic_error()["type"], "not_found_error");
    let answer = client.messages(&counted("chat")).await.expect(400);
    assert!(answer.body.contains("max_tokens"), "an answer still needs its limit: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_local_model_counts_what_its_usage_says() {
    let _turn = prepared::turn().await;
    let route = format!("criticality: critical, deadlines: {PATIENT}");
    let home = prepared::home(&Config::strict().route_with("chat", &[TARGET], &route).text());
    let gateway = home.serve();
    let client = gateway.client();
    let mut body = counted("chat");
    body["system"] = json!("Be brief.");
    let answer = count(&client, &body).await.expect(200);
    let tokens = answer.json()["input_tokens"].as_u64().expect("a number");
    assert_eq!(row(&home, &answer)["task"], "count_tokens");
    let mut asked = body.clone();
    asked["max_tokens"] = json!(1);
    let usage = client.messages(&asked).await.expect(200).json()["usage"]["input_tokens"].as_u64();
    assert_eq!(usage, Some(tokens));
    // More than its context: no answer, and a count all the same.
    body["messages"][0]["content"] = json!("word ".repeat(20_000));
    let many = count(&client, &body).await.expect(200).json()["input_tokens"].as_u64();
    assert!(many.is_some_and(|many| many > 20_000), "{many:?}");
}
