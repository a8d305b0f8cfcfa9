//! What is no chat: counting a question's tokens, and embeddings. One ladder, one ledger row each, like every call.

use serde_json::{Value, json};

use super::{
    client::{Answer, Client, anthropic_question, send},
    config::{Config, PATIENT},
    home::Home,
    prepared::{self, TARGET},
    vendor::{Reply, Say, Seen, Vendor},
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

/// OpenAI's answer with these embeddings.
fn embeddings(vectors: &[Value]) -> Value {
    let item = |(index, vector): (usize, &Value)| json!({"object": "embedding", "index": index, "embedding": vector});
    let data: Vec<Value> = vectors.iter().enumerate().map(item).collect();
    json!({"object": "list", "data": data, "model": "dated-1", "usage": {"prompt_tokens": 1000, "total_tokens": 1000},
        "field_of_the_future": 1})
}

/// A vendor that embeds any two texts.
fn two(_: usize, _: &Seen) -> Reply {
    Reply::json(200, &embeddings(&[json!([0.5, -0.25]), json!([1.0, 0.0])]))
}

fn texts(route: &str) -> Value {
    json!({"model": route, "input": ["one", "two"]})
}

async fn embed(client: &Client, body: &Value) -> Answer {
    send(client.post("/v1/embeddings", body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn embeddings_are_forwarded_as_they_are_and_paid_by_their_input() {
    let vendor = Vendor::start(two).await;
    let config = Config::warn()
        .vendor("near", "openai", &vendor.url())
        .route("docs", &["near/text-embedding-3-small"])
        .more("models: { near/text-embedding-3-small: { input_per_mtok: 20, embedding_space: small } }");
    let home = Home::new(&config.text());
    home.secret("near", "near-secret");
    let gateway = home.serve();
    let client = gateway.client();
    let mut body = texts("docs");
    (body["dimensions"], body["user"], body["of_the_future"]) = (json!(2), json!("u"), json!([1]));
    let answer = embed(&client, &body).await.expect(200);
    assert_eq!(answer.json(), embeddings(&[json!([0.5, -0.25]), json!([1.0, 0.0])]), "the vendor's own words");
    assert_eq!(answer.expect_header("x-backstop-served-by"), "near/text-embedding-3-small");
    assert_eq!(answer.expect_header("x-backstop-cost-usd"), "0.020000");
    let asked = vendor.only();
    body["model"] = json!("text-embedding-3-small");
    assert_eq!((asked.path.as_str(), asked.json()), ("/v1/embeddings", body));
    let told = row(&home, &answer);
    assert_eq!(
        (&told["task"], &told["ending"], &told["streamed"]),
        (&json!("embed"), &json!("answered"), &json!(false))
    );
    let attempt = &told["attempts"][0];
    assert_eq!((&attempt["usage"]["input"], &attempt["usage"]["output"]), (&json!(1000), &json!(0)));
    assert_eq!((&attempt["usage_source"], &attempt["cost"]), (&json!("reported"), &json!(20_000)));

    // An embedding model that is declared as one is never asked to chat.
    let chat = json!({"model": "docs", "messages": [{"role": "user", "content": "hi"}]});
    let error = client.chat(&chat).await.expect(400).openai_error();
    assert!(error["message"].as_str().is_some_and(|text| text.contains("embeddings")), "{error:#}");
    let error = embed(&client, &json!({"model": "docs", "input": []})).await.expect(400).openai_error();
    assert_eq!(error["param"], "input");
    assert_eq!(vendor.seen_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn embeddings_fall_over_to_the_same_space_and_never_to_another() {
    let near = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let (other, same) = (Vendor::start(two).await, Vendor::start(two).await);
    let azure = format!("kind: azure_openai, base_url: \"{}/openai/v1\", secret: azure", same.url());
    // Strict, and without any certificate: what is declared needs none.
    let config = Config::strict()
        .vendor("near", "openai_compatible", &near.url())
        .vendor("other", "openai_compatible", &other.url())
        .vendor_with("azure", &azure)
        .route("docs", &["near/small", "other/large", "other/small", "azure/emb-eu"])
        .route("alone", &["near/small", "other/large"])
        .more("models: { azure/emb-eu: { embedding_space: small } }");
    let home = Home::new(&config.text());
    home.secret("azure", "azure-key");
    let gateway = home.serve();
    let client = gateway.client();
    let answer = embed(&client, &texts("docs")).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), "azure/emb-eu");
    assert_eq!(answer.expect_header("x-backstop-fallback"), "3");
    assert_eq!((same.only().path.as_str(), &same.only().json()["model"]), ("/openai/v1/embeddings", &json!("emb-eu")));
    let told = row(&home, &answer);
    let detail = |at: usize| told["attempts"][at]["detail"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (&told["attempts"][0]["fault"], &told["attempts"][2]["fault"]),
        (&json!("server_error"), &json!("uncertified"))
    );
    assert!(detail(1).contains("cannot be compared"), "{told:#}");
    assert!(detail(2).contains("embedding_space"), "what would help is said: {told:#}");

    let answer = embed(&client, &texts("alone")).await.expect(503);
    assert_eq!(answer.openai_error()["code"], "no_target_available");
    assert_eq!(other.seen_count(), 0, "vectors of another model are worse than none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_that_is_not_whole_falls_over() {
    let near = Vendor::start(|number, _| match number {
        0 => Reply::json(200, &embeddings(&[])),
        1 => Reply::json(200, &embeddings(&[json!([1.0, 2.0])])),
        2 => Reply::json(200, &embeddings(&[json!([1.0, 2.0]), json!([1.0])])),
        _ => Reply::json(200, &embeddings(&[json!([]), json!([])])),
    })
    .await;
    let far = Vendor::start(two).await;
    let config = Config::warn()
        .vendor("near", "openai_compatible", &near.url())
        .vendor("far", "openai_compatible", &far.url())
        .route("docs", &["near/small", "far/small"]);
    let home = Home::new(&config.text());
    let gateway = home.serve();
    for fault in ["empty_answer", "malformed", "malformed", "empty_answer"] {
        let answer = embed(&gateway.client(), &texts("docs")).await.expect(200);
        assert_eq!(answer.expect_header("x-backstop-served-by"), "far/small");
        assert!(answer.header("x-backstop-caution").is_some(), "warn let it through");
        assert_eq!(row(&home, &answer)["attempts"][0]["fault"], fault);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn embeddings_of_other_vendors_come_back_in_openais_form() {
    let cohere = Vendor::start(|_, _| {
        Reply::json(
            200,
            &json!({"id": "1", "embeddings": {"float": [[0.5, -0.25], [1.0, 0.0]]}, "texts": ["one", "two"],
            "meta": {"billed_units": {"input_tokens": 4}}}),
        )
    })
    .await;
    let gemini = Vendor::start(|_, _| {
        Reply::json(200, &json!({"embeddings": [{"values": [0.5, -0.25]}, {"values": [1.0, 0.0]}]}))
    })
    .await;
    let config = Config::warn()
        .vendor_with("co", &format!("kind: cohere, base_url: \"{}/v2\"", cohere.url()))
        .vendor_with("google", &format!("kind: gemini, base_url: \"{}/v1beta\"", gemini.url()))
        .vendor("anthropic", "anthropic", "http://127.0.0.1:9")
        .route("co", &["co/embed-v4.0"])
        .route("google", &["google/gemini-embedding-001"])
        .route("chat", &["anthropic/claude-haiku-4-5"]);
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let client = gateway.client();

    let mut body = texts("co");
    body["dimensions"] = json!(2);
    let answer = embed(&client, &body).await.expect(200);
    let read = answer.json();
    assert_eq!((&read["object"], &read["model"]), (&json!("list"), &json!("co")));
    assert_eq!(read["data"][0], json!({"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}));
    assert_eq!(read["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    let asked = cohere.only();
    assert_eq!((asked.path.as_str(), &asked.json()["texts"]), ("/v2/embed", &json!(["one", "two"])));

    let mut body = texts("google");
    body["encoding_format"] = json!("base64");
    let answer = embed(&client, &body).await.expect(200);
    let packed = answer.json()["data"][0]["embedding"].clone();
    // 0.5 and -0.25 as little-endian 32-bit floats.
    assert_eq!(packed, json!("AAAAPwAAgL4="));
    assert_eq!(gemini.only().path, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
    assert_eq!(row(&home, &answer)["attempts"][0]["usage_source"], "estimated", "Gemini did not count");

    let tokens = json!({"model": "co", "input": [[1, 2], [3]]});
    assert_eq!(embed(&client, &tokens).await.expect(400).openai_error()["param"], "input");
    let error = embed(&client, &texts("chat")).await.expect(400).openai_error();
    assert!(error["message"].as_str().is_some_and(|text| text.contains("/v1/embeddings")), "{error:#}");
}
