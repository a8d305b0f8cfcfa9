//! What a prompt counts as against limits of tokens, before its vendor has counted it: by a tokenizer where one is known.

use serde_json::{Value, json};

use super::{
    client::{Answer, anthropic_question, question},
    config::{Config, PATIENT},
    gateway::Gateway,
    home::Home,
    prepared::{self, TARGET},
    vendor::{Say, Vendor},
};

const LIMIT: i64 = 10_000_000;

fn limited(config: &Config) -> String {
    config.text().replace("acme: {}", &format!("acme: {{ tpm: {LIMIT} }}"))
}

/// What a call was counted as when it was admitted, but for the ten tokens of its answer.
fn counted(answer: &Answer) -> i64 {
    let left: i64 = answer.expect_header("x-ratelimit-remaining-tokens").parse().expect("a number");
    LIMIT - left - 10
}

fn short(text: &str) -> Value {
    let mut body = question("chat", text);
    body["max_tokens"] = json!(10);
    body
}

/// The count of each question by itself: what a call before it has used is told by its vendor, 18 tokens each.
async fn counts(gateway: &Gateway, questions: &[Value]) -> Vec<i64> {
    let (client, mut counts) = (gateway.client(), Vec::new());
    for (before, body) in questions.iter().enumerate() {
        let answer = client.chat(body).await.expect(200);
        counts.push(counted(&answer) - 18 * before as i64);
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn prompts_count_as_the_tokenizer_of_the_models_family_says() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let config = |target: &str, more: &str| {
        limited(&Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &[target]).more(more))
    };
    let mut with_tools = short("hi");
    with_tools["tools"] = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    let mut with_image = short("hi");
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}});
    with_image["messages"][0]["content"] = json!([{"type": "text", "text": "hi"}, image]);
    // Blanks are few tokens of many bytes, and this is many tokens of few bytes.
    let blanks = short(&format!("{}hi", " ".repeat(2000)));
    let dense = short(&"}]{[~^".repeat(50));
    let questions = [short("hi"), with_tools, with_image, blanks, dense];

    let home = Home::new(&config("near/gpt-4o-mini", ""));
    let gateway = home.serve();
    let by_family = counts(&gateway, &questions).await;
    // The role, the word, three around the message and three before the answer.
    assert_eq!(by_family[0], 8, "{by_family:?}");
    assert!((10..30).contains(&(by_family[1] - 8)), "{by_family:?}");
    assert_eq!(by_family[2] - 8, 85, "{by_family:?}");
    assert!(by_family[3] < 50 && by_family[4] > 120, "{by_family:?}");
    // In the other dialect likewise, and a prompt of megabytes is counted in no time.
    let mut other = anthropic_question("chat", "hi");
    other["max_tokens"] = json!(10);
    let answer = gateway.client().messages(&other).await.expect(200);
    let left: i64 = answer.expect_header("anthropic-ratelimit-tokens-remaining").parse().expect("a number");
    assert_eq!(LIMIT - left - 10 - 18 * 5, 8);
    let answer = gateway.client().chat(&short(&"a".repeat(4 << 20))).await.expect(200);
    assert!(((4 << 17)..(4 << 19)).contains(&counted(&answer)), "{}", counted(&answer));
    drop(gateway);
    let counted_by = |home: &Home| home.json(&["routes", "explain", "chat"])["targets"][0]["counted_by"].clone();
    assert_eq!(counted_by(&home), "o200k");

    // Where nothing is known of the name, by its length; and as the config says.
    for (target, more, blanks, dense) in [
        ("near/fake-1", "", 450..600, 80..110),
        ("near/fake-1", "models: { near/fake-1: { tokenizer: cl100k } }", 9..60, 120..400),
        ("near/gpt-4o", "models: { near/gpt-4o: { tokenizer: estimate } }", 450..600, 80..110),
    ] {
        let home = Home::new(&config(target, more));
        let gateway = home.serve();
        let counts = counts(&gateway, &questions[3..]).await;
        drop(gateway);
        assert_eq!(counted_by(&home) == "cl100k", more.contains("cl100k"), "{more}");
        assert!(blanks.contains(&counts[0]) && dense.contains(&counts[1]), "{target} {more}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_engine_of_ones_own_is_counted_by_the_local_models_tokenizer() {
    let _turn = prepared::turn().await;
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let own = format!("kind: vllm, base_url: \"{}/v1\", tokenizer: \"local:{}\"", vendor.url(), prepared::MODEL);
    let config = Config::warn().vendor_with("own", &own).route_with(
        "chat",
        &["own/fake-1", TARGET],
        &format!("deadlines: {PATIENT}"),
    );
    let home = prepared::home(&limited(&config));
    let gateway = home.serve();
    let counts = counts(&gateway, &[short("hi"), short(&format!("hi{}", " hello world".repeat(100)))]).await;
    assert_eq!((counts[0], counts[1] - counts[0]), (8, 200), "{counts:?}");
}
