//! The ladder over fake vendors: what advances to the next one, what does not, and what a caller sees of a broken stream.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    client::{anthropic_question, question},
    config::Config,
    home::Home,
    ledger::Rows,
    vendor::{End, Piece, Reply, Say, Vendor, anthropic_frames, closed_port, openai_frames},
};

/// What goes wrong, by the name of the model that is asked for, and the fault that the ledger should have.
const WHOLE: [(&str, &str); 14] = [
    ("500", "server_error"),
    ("503", "server_error|overloaded"),
    ("529", "overloaded|server_error"),
    ("429", "rate_limited"),
    ("401", "vendor_auth"),
    ("403", "vendor_auth"),
    ("404", "vendor_not_found"),
    ("302", "redirected"),
    ("reset", "reset"),
    ("silence", "attempt_timeout"),
    ("broken-json", "malformed"),
    ("empty", "empty_answer|malformed"),
    ("no-choices", "empty_answer|malformed"),
    ("error-in-200", "error_in_body|server_error"),
];

const STREAMED: [(&str, &str); 9] = [
    ("500", "server_error"),
    ("reset", "reset"),
    ("silence", "first_token_timeout"),
    ("role-then-error", "error_in_body|server_error"),
    ("role-then-silence", "first_token_timeout"),
    ("role-then-end", "truncated|empty_answer"),
    ("role-then-cut", "truncated|reset"),
    ("finish-without-content", "empty_answer"),
    ("broken-frame", "malformed"),
];

fn misbehave(model: &str) -> Reply {
    let events = |frames: &[String], end| Reply::events(frames, end);
    let role = openai_frames("x")[..1].to_vec();
    let with = |more: &str| [role.clone(), vec![more.to_owned()]].concat();
    match model {
        "429" => {
            Reply::json_with(429, ("retry-after", "1"), &json!({"error": {"message": "slow down", "type": "requests"}}))
        }
        "302" => Reply::json_with(302, ("location", "/elsewhere"), &json!({})),
        "reset" => Reply::Reset,
        "silence" => Reply::Silence,
        "broken-json" => Reply::Whole { status: 200, headers: vec![], body: b"{\"choices\": [".to_vec() },
        "empty" => Reply::Whole { status: 200, headers: vec![], body: vec![] },
        "no-choices" => Reply::json(200, &json!({"id": "x", "object": "chat.completion", "choices": []})),
        "error-in-200" => Reply::json(200, &json!({"error": {"message": "upstream failed", "type": "server_error"}})),
        "role-then-error" => {
            events(&with("data: {\"error\":{\"message\":\"x\",\"type\":\"server_error\"}}\n\n"), End::Whole)
        }
        "role-then-silence" => events(&role, End::Silence),
        "role-then-end" => events(&role, End::Whole),
        "role-then-cut" => events(&role, End::Cut),
        "finish-without-content" => events(&openai_frames(""), End::Whole),
        "broken-frame" => events(&with("data: {\"choices\": [\n\n"), End::Whole),
        // As OpenAI writes them: the type alone does not tell whose fault it is.
        "401" | "403" | "404" => Reply::openai_error(model.parse().expect("a status"), "invalid_request_error"),
        status => Reply::openai_error(status.parse().expect("every other name is a status"), "server_error"),
    }
}

async fn advances(cases: &[(&str, &str)], streamed: Value) {
    let bad = Vendor::start(|_, seen| misbehave(seen.json()["model"].as_str().expect("a model"))).await;
    let good = Vendor::anthropic(Say::Text("rescued")).await;
    let mut config = Config::warn().vendor("good", "anthropic", &good.url());
    for (case, _) in cases {
        let vendor = format!("bad-{case}");
        config = config.vendor(&vendor, "openai_compatible", &bad.url());
        config = config.route(&format!("route-{case}"), &[&format!("{vendor}/{case}"), "good/fake-2"]);
    }
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let mut ids = Vec::new();
    for (case, _) in cases {
        let mut body = question(&format!("route-{case}"), "hi");
        body["stream"] = streamed.clone();
        let answer = gateway.client().chat(&body).await;
        assert_eq!(answer.status, 200, "{case}: {answer:?}");
        let text = if streamed == true { answer.streamed_text() } else { answer.chat_text() };
        assert_eq!(text, "rescued", "{case}");
        assert_eq!(answer.expect_header("x-backstop-served-by"), "good/fake-2", "{case}");
        assert_eq!(answer.expect_header("x-backstop-fallback"), "1", "{case}");
        assert_eq!(answer.expect_header("x-backstop-attempts"), "2", "{case}");
        ids.push(answer.expect_header("x-request-id").to_owned());
    }
    gateway.stop();
    let rows = Rows::of(&home);
    for ((case, fault), id) in cases.iter().zip(&ids) {
        let row = rows.only(id);
        let attempts = row["attempts"].as_array().expect("attempts");
        let noted = attempts[0]["fault"].as_str().unwrap_or("none");
        assert!(fault.split('|').any(|kind| kind == noted), "{case}: the ledger says {noted}, not {fault}");
        assert!(attempts[1]["fault"].is_null(), "{case}: {row:#}");
        assert_eq!(row["ending"], "answered", "{case}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_vendors_failure_advances_to_the_next_vendor() {
    advances(&WHOLE, json!(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn before_the_first_content_a_stream_advances_in_silence() {
    advances(&STREAMED, json!(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_closed_port_advances() {
    let good = Vendor::openai(Say::Text("rescued")).await;
    let config = Config::warn().vendor("gone", "openai", &closed_port().await).vendor("good", "groq", &good.url());
    let home = Home::new(&config.route("chat", &["gone/x", "good/fake-1"]).text());
    let gateway = home.serve();
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    let id = answer.expect_header("x-request-id").to_owned();
    assert_eq!(answer.expect_header("x-backstop-served-by"), "good/fake-1");
    gateway.stop();
    assert_eq!(Rows::of(&home).only(&id)["attempts"][0]["fault"], "connect_refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fault_of_the_callers_neither_advances_nor_repeats() {
    let message = json!({"error": {"message": "messages: too few", "type": "invalid_request_error", "param": "messages", "code": null}});
    let picky = Vendor::start(move |_, _| Reply::json(400, &message)).await;
    let spare = Vendor::openai(Say::Text("never")).await;
    let config = Config::warn().vendor("picky", "openai", &picky.url()).vendor("spare", "groq", &spare.url());
    let home = Home::new(&config.route("chat", &["picky/x", "spare/y"]).text());
    let gateway = home.serve();
    let error = gateway.client().chat(&question("chat", "hi")).await.expect(400).openai_error();
    assert!(error["message"].as_str().is_some_and(|text| text.contains("too few")), "{error:#}");
    assert_eq!(error["type"], "invalid_request_error");
    picky.only();
    assert!(spare.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_breaks_after_content_ends_in_an_error_of_the_callers_dialect() {
    let frames = openai_frames("ab");
    let broken = Vendor::start(move |_, seen| match seen.json()["model"].as_str() {
        Some("cut") => Reply::events(&frames[..3], End::Cut),
        Some("end") => Reply::events(&frames[..3], End::Whole),
        Some("stall") => Reply::events(&frames[..3], End::Silence),
        _ => {
            let error = "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n".to_owned();
            Reply::events(&[frames[..3].to_vec(), vec![error]].concat(), End::Whole)
        }
    })
    .await;
    let spare = Vendor::anthropic(Say::Text("never")).await;
    let mut config = Config::warn().vendor("spare", "anthropic", &spare.url());
    let cases = ["cut", "end", "stall", "error"];
    for case in cases {
        config = config.vendor(&format!("v-{case}"), "openai_compatible", &broken.url());
        config = config.route(case, &[&format!("v-{case}/{case}"), "spare/fake-2"]);
    }
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let mut ids = Vec::new();
    for case in cases {
        let mut body = question(case, "hi");
        body["stream"] = json!(true);
        let answer = gateway.client().chat(&body).await.expect(200);
        assert_eq!(answer.streamed_text(), "ab", "{case}");
        let data = answer.data();
        assert!(data.iter().any(|event| event["error"]["message"].is_string()), "{case}: {}", answer.body);
        assert!(data.iter().all(|event| !event["choices"][0]["finish_reason"].is_string()), "{case}: {}", answer.body);
        assert!(!answer.body.contains("[DONE]"), "{case}: a broken answer never ends cleanly: {}", answer.body);
        ids.push(answer.expect_header("x-request-id").to_owned());

        let mut body = anthropic_question(case, "hi");
        body["stream"] = json!(true);
        let answer = gateway.client().messages(&body).await.expect(200);
        let last = answer.events().pop().expect("events");
        assert_eq!(last.name.as_deref(), Some("error"), "{case}: {}", answer.body);
        let data: Value = serde_json::from_str(&last.data).expect("JSON");
        assert_eq!((&data["type"], data["error"]["type"].is_string()), (&json!("error"), true), "{case}");
        assert!(!answer.body.contains("message_stop"), "{case}: {}", answer.body);
        ids.push(answer.expect_header("x-request-id").to_owned());
    }
    assert!(spare.seen().is_empty(), "after content has left, nobody else is asked");
    gateway.stop();
    let rows = Rows::of(&home);
    for id in &ids {
        assert_eq!(rows.only(id)["ending"], "interrupted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_broken_anthropic_stream_is_never_a_clean_end_either() {
    let frames = anthropic_frames("ab");
    let broken = Vendor::start(move |_, _| Reply::events(&frames[..5], End::Whole)).await;
    let home = Home::new(&super::config::one_anthropic(&broken.url()));
    let gateway = home.serve();
    let mut body = anthropic_question("chat", "hi");
    body["stream"] = json!(true);
    let answer = gateway.client().messages(&body).await.expect(200);
    assert_eq!(answer.events().pop().and_then(|event| event.name).as_deref(), Some("error"), "{}", answer.body);
    body = question("chat", "hi");
    body["stream"] = json!(true);
    let answer = gateway.client().chat(&body).await.expect(200);
    assert!(!answer.body.contains("[DONE]") && answer.body.contains("\"error\""), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_callers_own_time_limit_bounds_all_attempts() {
    let slow = Vendor::start(|_, _| Reply::Silence).await;
    let config = Config::warn().vendor("a", "openai", &slow.url()).vendor("b", "groq", &slow.url());
    let home = Home::new(&config.route("chat", &["a/x", "b/y"]).text());
    let gateway = home.serve();
    let request = gateway.client().post("/v1/chat/completions", &question("chat", "hi"));
    let begin = std::time::Instant::now();
    let answer = super::client::send(request.header("x-backstop-timeout-ms", "400")).await.expect(504);
    // The route's own deadlines would take 6 s.
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    answer.openai_error();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn when_nobody_can_answer_the_caller_is_told_when_to_come_back() {
    let busy = Vendor::start(|_, _| {
        Reply::json_with(429, ("retry-after", "7"), &json!({"error": {"message": "no", "type": "x"}}))
    })
    .await;
    let down = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let config = Config::warn()
        .vendor("busy", "openai", &busy.url())
        .vendor("busy2", "groq", &busy.url())
        .vendor("down", "openai_compatible", &down.url())
        .route("limited", &["busy/x", "busy2/y"])
        .route("out", &["down/x"]);
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let limited = gateway.client().chat(&question("limited", "hi")).await.expect(429);
    let wait: u64 = limited.expect_header("retry-after").parse().expect("seconds");
    assert!((1..=7).contains(&wait), "{wait}");
    limited.openai_error();
    let out = gateway.client().chat(&question("out", "hi")).await.expect(503);
    assert!(out.header("retry-after").is_some());
    out.openai_error();
    let out = gateway.client().messages(&anthropic_question("out", "hi")).await;
    assert!(matches!(out.status, 503 | 529), "{out:?}");
    assert!(matches!(out.anthropic_error()["type"].as_str(), Some("overloaded_error" | "api_error")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_caller_that_hangs_up_ends_the_vendors_work_too() {
    let vendor = Vendor::start(|_, _| Reply::Stream {
        pieces: openai_frames("ab").into_iter().take(2).map(Piece::Text).collect(),
        end: End::Silence,
    })
    .await;
    let home = Home::new(&super::config::one_openai(&vendor.url()));
    let gateway = home.serve();
    let mut stream = gateway.client().chat_stream(&question("chat", "hi")).await;
    stream.first_text().await;
    let id = stream.header("x-request-id").expect("an id").to_owned();
    drop(stream);
    vendor.all_hung_up().await;
    gateway.stop();
    assert_eq!(Rows::of(&home).only(&id)["ending"], "cancelled");
}
