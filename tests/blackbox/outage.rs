//! The main job: every vendor is gone, and a critical route is answered from our own process.

use serde_json::{Value, json};

use super::{
    client::{anthropic_capital_question, capital_question, question},
    config::{Config, PATIENT},
    ledger::Rows,
    prepared::{self, TARGET},
    vendor::{Reply, Vendor, closed_port},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_total_outage_is_answered_by_the_local_model() {
    let _turn = prepared::turn().await;
    let hole = Vendor::start(|_, _| Reply::Silence).await;
    let broken = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let limited = Vendor::start(|_, _| {
        Reply::json_with(
            429,
            ("retry-after", "60"),
            &json!({"type": "error", "error": {"type": "rate_limit_error", "message": "no"}}),
        )
    })
    .await;
    let ladder = ["gone/a", "hole/b", "broken/c", "limited/d", TARGET];
    // Short for the black hole; the local model's few tokens fit too.
    let deadlines = "{ connect: 1s, first_token: 8s, idle: 8s, attempt: 12s, total: 80s }";
    let config = Config::strict()
        .vendor("gone", "openai", &closed_port().await)
        .vendor("hole", "groq", &hole.url())
        .vendor("broken", "openai_compatible", &broken.url())
        .vendor("limited", "anthropic", &limited.url())
        .route_with("warned", &ladder, &format!("criticality: critical, deadlines: {deadlines}"));
    // Vendors that are fallbacks have no certificate: only `warn` attempts them.
    let home = prepared::home(&config.text().replace("enforcement: strict", "enforcement: warn"));
    let gateway = home.serve();
    let mut ids = Vec::new();

    let mut body = capital_question("warned");
    let answer = gateway.client().chat(&body).await.expect(200);
    assert!(answer.chat_text().contains("Tokyo"), "{answer:?}");
    assert_eq!(answer.expect_header("x-backstop-served-by"), TARGET);
    assert_eq!(answer.expect_header("x-backstop-fallback"), "4");
    assert!(answer.json()["usage"]["completion_tokens"].as_u64().is_some_and(|tokens| (1..=16).contains(&tokens)));
    ids.push(answer.expect_header("x-request-id").to_owned());

    body["stream"] = json!(true);
    let answer = gateway.client().chat(&body).await.expect(200);
    assert!(answer.streamed_text().contains("Tokyo"), "{answer:?}");
    assert_eq!(answer.events().last().map(|event| event.data.clone()).as_deref(), Some("[DONE]"));
    ids.push(answer.expect_header("x-request-id").to_owned());

    let body = anthropic_capital_question("warned");
    let answer = gateway.client().messages(&body).await.expect(200);
    assert!(answer.json()["content"][0]["text"].as_str().is_some_and(|text| text.contains("Tokyo")), "{answer:?}");
    ids.push(answer.expect_header("x-request-id").to_owned());
    gateway.stop();

    let rows = Rows::of(&home);
    assert_eq!(rows.count(), ids.len());
    let kinds = ["connect_refused", "attempt_timeout|first_token_timeout", "server_error", "rate_limited"];
    for id in &ids {
        let row = rows.only(id);
        let attempts = row["attempts"].as_array().expect("attempts");
        let rungs = attempts.iter().filter(|attempt| attempt["role"] == "rung");
        let targets: Vec<&str> = rungs.filter_map(|attempt| attempt["target"].as_str()).collect();
        assert_eq!(targets, ladder, "every target's turn is told");
        let served = attempts.last().expect("the local model's");
        assert!(served["fault"].is_null() && served["usage"]["output"].as_u64() > Some(0), "{row:#}");
        assert_eq!((&row["ending"], &row["served_by"]), (&json!("answered"), &json!(attempts.len() - 1)));
    }
    // On the first call nothing was known of anyone: each kind is what that vendor did.
    let first = rows.only(&ids[0])["attempts"].as_array().expect("attempts").clone();
    for (attempt, kinds) in first.iter().filter(|attempt| attempt["role"] == "rung").zip(kinds) {
        let noted = attempt["fault"].as_str().unwrap_or("none");
        assert!(kinds.split('|').any(|kind| kind == noted), "{attempt:#}, not {kinds}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn in_strict_mode_an_uncertified_fallback_is_passed_over_and_the_local_model_answers() {
    let _turn = prepared::turn().await;
    let broken = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let uncertified = Vendor::openai(super::vendor::Say::Text("never")).await;
    let config = Config::strict()
        .vendor("first", "openai", &broken.url())
        .vendor("second", "groq", &uncertified.url())
        .route_with("chat", &["first/a", "second/b", TARGET], &format!("criticality: critical, deadlines: {PATIENT}"));
    let home = prepared::home(&config.text());
    let gateway = home.serve();
    let mut body = question("chat", "Say hello.");
    body["max_tokens"] = json!(4);
    let answer = gateway.client().chat(&body).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), TARGET);
    assert!(uncertified.seen().is_empty(), "a fallback without a certificate is never attempted");
    let ready = gateway.client().get("/readyz").await.expect(200).json();
    assert!(ready.to_string().contains("second/b"), "{ready:#}");
    let metrics = gateway.client().get("/metrics").await.body;
    assert!(metrics.contains("uncertified"), "{metrics}");
    gateway.stop();
    let rows = Rows::of(&home);
    let skipped = &rows.only(answer.expect_header("x-request-id"))["attempts"][1];
    assert_eq!((&skipped["fault"], &skipped["duration_ms"]), (&json!("uncertified"), &Value::Null));
    let said = home.run(&["check"]).expect_failure();
    assert!(said.contains("second/b"), "check names what strict mode leaves out: {said}");
}
