//! Embeddings made in this process: when no vendor makes any, and of the very numbers that the model's definition gives.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    client::send,
    config::Config,
    home::Home,
    prepared,
    vendor::{Reply, Vendor},
};

const DECLARED: &str = "models: { local/all-minilm-l6-v2: { embedding_space: all-minilm-l6-v2 } }\n";

fn vectors(answer: &Value) -> Vec<Vec<f64>> {
    let data = answer["data"].as_array().expect("an answer has embeddings");
    let numbers = |item: &Value| item["embedding"].as_array().map(|all| all.iter().filter_map(Value::as_f64).collect());
    data.iter().filter_map(numbers).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn when_the_vendor_is_down_texts_are_embedded_here_by_the_model_s_definition() {
    let _turn = prepared::turn().await;
    let down = Vendor::start(|_, _| Reply::json(503, &json!({"error": {"message": "down"}}))).await;
    let config = Config::strict()
        .vendor("near", "openai_compatible", &down.url())
        .route("docs", &["near/all-minilm-l6-v2", "local/all-minilm-l6-v2"])
        .more(DECLARED);
    let home = prepared::home_that_embeds(&config.text());
    let gateway = home.serve();
    let client = gateway.client();
    let texts = [
        "The invoice is due on Friday.",
        "Payment for the bill must arrive by the end of the week.",
        "Penguins cannot fly.",
    ];
    let answer = send(client.post("/v1/embeddings", &json!({"model": "docs", "input": texts}))).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), "local/all-minilm-l6-v2");
    assert_eq!(answer.expect_header("x-backstop-fallback"), "1");
    let answer = answer.json();
    assert_eq!(answer["usage"], json!({"prompt_tokens": 32, "total_tokens": 32}));
    let made = vectors(&answer);
    // By a plain program in double precision that computes the model from its definition.
    let defined = [
        [-0.069142, 0.066695, 0.023119, -0.051278, -0.087635, -0.017772],
        [-0.015046, 0.06242, 0.005709, -0.012609, -0.029791, 0.04816],
        [0.030485, 0.049026, -0.03963, 0.049193, 0.044501, -0.047778],
    ];
    for (made, defined) in made.iter().zip(&defined) {
        assert_eq!(made.len(), 384);
        assert!(made.iter().zip(defined).all(|(a, b)| (a - b).abs() < 2e-5), "{:?} {defined:?}", &made[..6]);
    }
    assert!((cosine(&made[0], &made[1]) - 0.56873).abs() < 1e-4 && (cosine(&made[0], &made[2]) + 0.01625).abs() < 1e-4);

    let body = json!({"model": "docs", "input": texts[0], "encoding_format": "base64", "dimensions": 384});
    let packed = send(client.post("/v1/embeddings", &body)).await.expect(200).json();
    let bytes = STANDARD.decode(packed["data"][0]["embedding"].as_str().expect("it is text")).expect("it is base64");
    let first = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    assert_eq!(bytes.len(), 384 * 4);
    assert!((f64::from(first) - made[0][0]).abs() < 1e-6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn embedding_uses_no_more_threads_than_it_may() {
    let _turn = prepared::turn().await;
    let config = Config::strict().route_with(
        "docs",
        &["local/all-minilm-l6-v2"],
        &format!("deadlines: {}", super::config::PATIENT),
    );
    let home = prepared::home_that_embeds(&config.more(DECLARED).more("local: { threads: 1 }").text());
    let gateway = home.serve();
    let body = json!({"model": "docs", "input": vec!["a text of some words, and of some more"; 24]});
    send(gateway.client().post("/v1/embeddings", &body)).await.expect(200);
    let names = gateway.thread_names();
    let computing = names.iter().filter(|name| ["candle", "backstop-embed"].iter().any(|kind| name.starts_with(kind)));
    assert_eq!(computing.count(), 1, "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_the_local_model_cannot_embed_is_refused_by_name() {
    let _turn = prepared::turn().await;
    let home =
        prepared::home_that_embeds(&Config::strict().route("docs", &["local/all-minilm-l6-v2"]).more(DECLARED).text());
    let gateway = home.serve();
    let client = gateway.client();
    let refused = async |field: &str, value: Value| {
        let mut body = json!({"model": "docs", "input": "hello"});
        body[field] = value;
        let answer = send(client.post("/v1/embeddings", &body)).await.expect(400).json();
        answer["error"]["message"].as_str().expect("it says why").to_owned()
    };
    assert!(refused("dimensions", json!(64)).await.contains("384"));
    assert!(refused("input", json!([[1, 2, 3]])).await.contains("vocabulary"));
    assert!(refused("input", json!(["hello", ""])).await.contains("empty"));
    assert!(refused("input", json!(["hello", "word ".repeat(400)])).await.contains("256"));
    assert!(refused("input_type", json!("search_query")).await.contains("input_type"));
    let chat = json!({"model": "docs", "messages": [{"role": "user", "content": "hello"}]});
    let answer = send(client.post("/v1/chat/completions", &chat)).await;
    assert!(answer.status >= 400, "an embedding model does not chat");
}

#[test]
fn a_model_that_is_not_declared_to_make_embeddings_is_said_to_by_check() {
    let home = prepared::home_that_embeds(&Config::strict().route("docs", &["local/all-minilm-l6-v2"]).text());
    let said = home.run(&["check"]).expect_failure();
    assert!(said.contains("say which space they are of") && said.contains("embedding_space"), "{said}");
}

#[test]
fn a_declared_model_that_is_not_here_or_only_chats_is_said_to_by_check() {
    let embeds = Config::strict().route("docs", &["local/all-minilm-l6-v2"]).more(DECLARED).text();
    let said = Home::new(&embeds).run(&["check"]).expect_failure();
    assert!(said.contains("models pull all-minilm-l6-v2"), "{said}");
    let chats = Config::strict()
        .route("docs", &[prepared::TARGET])
        .more("models: { local/smollm2-135m-instruct: { embedding_space: s } }")
        .text();
    let said = prepared::home(&chats).run(&["check"]).expect_failure();
    assert!(said.contains("is a chat model and makes no embeddings"), "{said}");
}
