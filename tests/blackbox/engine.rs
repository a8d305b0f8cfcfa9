//! The attempt engine's choices: races, restarted and buffered answers, capabilities, and targets that are slower than usual.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    client::{Answer, anthropic_question, question},
    config::{Config, QUICK},
    gateway::Gateway,
    home::Home,
    ledger::Rows,
    vendor::{End, Piece, Reply, Say, Vendor, anthropic_frames, openai_frames},
};

fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

/// A vendor that says nothing and hangs on.
async fn silent() -> Vendor {
    Vendor::start(|_, _| Reply::Silence).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_target_is_raced_and_the_loser_is_hung_up_on_and_paid_for() {
    let slow = silent().await;
    let fast = Vendor::anthropic(Say::Text("fast")).await;
    let config = Config::warn()
        .vendor("slow", "openai", &slow.url())
        .vendor("fast", "anthropic", &fast.url())
        .route_with("chat", &["slow/x", "fast/y"], &format!("deadlines: {QUICK}, hedge: {{ after: 150ms }}"))
        .more("models: { slow/x: { input_per_mtok: 10, output_per_mtok: 10 } }");
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let mut ids = Vec::new();
    for body in [question("chat", "hi there"), streamed(question("chat", "hi there"))] {
        let begin = Instant::now();
        let answer = gateway.client().chat(&body).await.expect(200);
        assert!(begin.elapsed() < Duration::from_millis(1900), "nobody waited for the slow one: {:?}", begin.elapsed());
        assert_eq!(answer.expect_header("x-backstop-served-by"), "fast/y");
        assert_eq!(answer.expect_header("x-backstop-attempts"), "2");
        ids.push(answer.expect_header("x-request-id").to_owned());
    }
    slow.all_hung_up().await;
    gateway.stop();
    let rows = Rows::of(&home);
    for id in &ids {
        let attempts = &rows.only(id)["attempts"];
        assert_eq!(attempts[0]["fault"], "hedge_lost", "{attempts:#}");
        assert_eq!(attempts[0]["usage_source"], "estimated");
        assert!(attempts[0]["usage"]["input"].as_u64().is_some_and(|tokens| tokens > 0), "{attempts:#}");
        assert!(attempts[0]["cost"].as_i64().is_some_and(|micros| micros > 0), "{attempts:#}");
        assert_eq!((&attempts[1]["role"], &attempts[1]["fault"]), (&json!("hedge"), &Value::Null));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_is_fast_enough_has_no_race() {
    let first = Vendor::openai(Say::Text("first")).await;
    let second = Vendor::anthropic(Say::Text("second")).await;
    let config = Config::warn().vendor("a", "openai", &first.url()).vendor("b", "anthropic", &second.url());
    let hedge = format!("deadlines: {QUICK}, hedge: {{ after: 1s }}");
    let home = Home::new(&config.route_with("chat", &["a/x", "b/y"], &hedge).text());
    let gateway = home.serve();
    assert_eq!(gateway.client().chat(&question("chat", "hi")).await.expect(200).chat_text(), "first");
    assert_eq!(second.seen_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_racers_failure_leaves_the_other_in_the_race() {
    let slow = Vendor::start(|_, seen| {
        let frames = openai_frames("slow but sure");
        assert!(seen.wants_stream());
        let pieces = [vec![Piece::Pause(Duration::from_millis(600))], frames.into_iter().map(Piece::Text).collect()];
        Reply::Stream { pieces: pieces.concat_pieces(), end: End::Whole }
    })
    .await;
    let broken = Vendor::start(|_, _| Reply::anthropic_error(500, "api_error")).await;
    let config = Config::warn().vendor("slow", "openai", &slow.url()).vendor("broken", "anthropic", &broken.url());
    let hedge = format!("deadlines: {QUICK}, hedge: {{ after: 100ms }}");
    let home = Home::new(&config.route_with("chat", &["slow/x", "broken/y"], &hedge).text());
    let gateway = home.serve();
    let answer = gateway.client().chat(&streamed(question("chat", "hi"))).await.expect(200);
    assert_eq!(answer.streamed_text(), "slow but sure");
    assert_eq!(answer.expect_header("x-backstop-served-by"), "slow/x");
}

trait Pieces {
    fn concat_pieces(self) -> Vec<Piece>;
}

impl<const N: usize> Pieces for [Vec<Piece>; N] {
    fn concat_pieces(self) -> Vec<Piece> {
        self.into_iter().flatten().collect()
    }
}

/// A route `chat` from a vendor that breaks off after `ab` to one that says `whole`, in its mode.
async fn breaking(mode: &str) -> (Home, Gateway, [Vendor; 2]) {
    let broken = Vendor::start(|_, _| Reply::events(&openai_frames("ab")[..3], End::Cut)).await;
    let good = Vendor::anthropic(Say::Text("whole")).await;
    let config = Config::warn().vendor("broken", "openai", &broken.url()).vendor("good", "anthropic", &good.url());
    let fields = format!("deadlines: {QUICK}, mid_stream: {mode}");
    let home = Home::new(&config.route_with("chat", &["broken/x", "good/y"], &fields).text());
    let gateway = home.serve();
    (home, gateway, [broken, good])
}

/// The text of all chunks under each answer id, in order.
fn texts_by_id(answer: &Answer) -> Vec<(String, String)> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for chunk in answer.data() {
        let id = chunk["id"].as_str().unwrap_or_default().to_owned();
        let text = chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
        match texts.last_mut() {
            Some((last, all)) if *last == id => all.push_str(text),
            _ => texts.push((id, text.to_owned())),
        }
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_restarted_answer_can_be_told_from_the_first() {
    let (home, gateway, _vendors) = breaking("restart").await;
    let answer = gateway.client().chat(&streamed(question("chat", "hi"))).await.expect(200);
    let texts = texts_by_id(&answer);
    let all: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(all, ["ab", "whole"], "{}", answer.body);
    let mark = answer.data().into_iter().find(|chunk| chunk["backstop"].is_object()).expect("a mark");
    assert_eq!(mark["backstop"]["restarted"], true);
    assert_eq!(mark["backstop"]["served_by"], "good/y");
    assert_eq!(mark["id"], texts[1].0.as_str(), "the mark bears the new answer's id");
    assert!(answer.body.trim_end().ends_with("data: [DONE]"), "{}", answer.body);
    let id = answer.expect_header("x-request-id").to_owned();
    // Anthropic's dialect has one message to a stream: its caller is told of the break.
    let answer = gateway.client().messages(&streamed(anthropic_question("chat", "hi"))).await.expect(200);
    assert_eq!(answer.events().pop().and_then(|event| event.name).as_deref(), Some("error"), "{}", answer.body);
    gateway.stop();
    let rows = Rows::of(&home);
    let row = rows.only(&id);
    assert_eq!((&row["ending"], &row["served_by"]), (&json!("answered"), &json!(1)), "{row:#}");
    assert_eq!(row["attempts"][1]["role"], "restart");
    assert_eq!(row["attempts"][0]["usage_source"], "estimated", "what the first one said was paid for too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_buffered_answer_is_whole_or_another() {
    let (_home, gateway, _vendors) = breaking("buffer").await;
    let answer = gateway.client().chat(&streamed(question("chat", "hi"))).await.expect(200);
    assert_eq!(answer.streamed_text(), "whole", "{}", answer.body);
    let answer = gateway.client().messages(&streamed(anthropic_question("chat", "hi"))).await.expect(200);
    assert!(answer.body.contains("whole") || answer.body.contains("message_stop"), "{}", answer.body);
    assert!(!answer.body.contains("event: error"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reasoning_commits_nobody() {
    let thinker = Vendor::start(|_, _| {
        let role = openai_frames("x")[0].clone();
        let thought = role.replace("\"content\":\"\"", "\"reasoning_content\":\"hm, let me see\"");
        assert_ne!(role, thought, "the fake's first frame has changed");
        Reply::events(&[role, thought], End::Cut)
    })
    .await;
    let good = Vendor::anthropic(Say::Text("rescued")).await;
    let config = Config::warn().vendor("thinker", "openai", &thinker.url()).vendor("good", "anthropic", &good.url());
    let home = Home::new(&config.route("chat", &["thinker/x", "good/y"]).text());
    let gateway = home.serve();
    let answer = gateway.client().chat(&streamed(question("chat", "hi"))).await.expect(200);
    assert_eq!(answer.streamed_text(), "rescued", "{}", answer.body);
    assert!(!answer.body.contains("let me see"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_question_goes_only_to_targets_that_can_take_it() {
    let plain = Vendor::openai(Say::Text("plain")).await;
    let able = Vendor::anthropic(Say::Text("able")).await;
    let can = "{ tools: false, images: false, json_schema: false, context_tokens: 2000 }";
    let config = Config::warn()
        .vendor("plain", "openai", &plain.url())
        .vendor("able", "anthropic", &able.url())
        .route("chat", &["plain/x", "able/y"])
        .route("only", &["plain/x"])
        .more(&format!("models: {{ plain/x: {can} }}"));
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let schema = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}});
    let image = json!([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]);
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let with = |field: &'static str, value: Value| {
        move |route: &str| {
            let mut body = question(route, "hi");
            body[field] = value.clone();
            body
        }
    };
    type Ask = Box<dyn Fn(&str) -> Value>;
    let cases: Vec<(&str, Ask)> = vec![
        ("tools", Box::new(with("tools", tools))),
        ("response_format", Box::new(with("response_format", schema))),
        ("messages", Box::new(with("messages", json!([{"role": "user", "content": image}])))),
        ("messages", Box::new(|route: &str| question(route, &"long ".repeat(4000)))),
    ];
    for (param, body) in &cases {
        let answer = gateway.client().chat(&body("chat")).await.expect(200);
        assert_eq!(answer.expect_header("x-backstop-served-by"), "able/y", "{param}");
        let refused = gateway.client().chat(&body("only")).await.expect(400);
        assert_eq!(refused.openai_error()["param"], *param, "{refused:?}");
        assert!(refused.header("retry-after").is_none(), "a later try would not help");
    }
    assert_eq!(plain.seen_count(), 0);
    assert_eq!(gateway.client().chat(&question("chat", "hi")).await.expect(200).chat_text(), "plain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_prompt_that_is_too_long_goes_to_a_larger_context_where_the_route_says_so() {
    let error = json!({"error": {"message": "maximum context length is 10", "type": "invalid_request_error",
        "param": "messages", "code": "context_length_exceeded"}});
    let small = Vendor::start(move |_, _| Reply::json(400, &error)).await;
    let same = Vendor::openai(Say::Text("never")).await;
    let large = Vendor::anthropic(Say::Text("large")).await;
    let config = Config::warn()
        .vendor("small", "openai", &small.url())
        .vendor("same", "groq", &same.url())
        .vendor("large", "anthropic", &large.url())
        .route_with("next", &["small/x", "same/y", "large/z"], &format!("deadlines: {QUICK}, on_context_length: next"))
        .route("refuse", &["small/x", "large/z"])
        .more("models: { small/x: { context_tokens: 8000 }, same/y: { context_tokens: 8000 } }");
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let answer = gateway.client().chat(&question("next", "hi")).await.expect(200);
    assert_eq!((answer.chat_text().as_str(), same.seen_count()), ("large", 0), "no larger context, no use");
    let refused = gateway.client().chat(&question("refuse", "hi")).await.expect(400);
    assert_eq!(refused.openai_error()["code"], "context_length_exceeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn until_it_has_samples_the_deadline_rules_alone() {
    let slow = Vendor::start(|_, _| {
        let frames = openai_frames("primary").into_iter().map(Piece::Text);
        let pause = Piece::Pause(Duration::from_millis(1200));
        Reply::Stream { pieces: [pause].into_iter().chain(frames).collect(), end: End::Whole }
    })
    .await;
    let config = Config::warn().vendor("slow", "openai", &slow.url());
    let config = config.route("chat", &["slow/x"]).more("latency: { min_samples: 20, floor: 200ms }");
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let answer = gateway.client().chat(&streamed(question("chat", "hi"))).await.expect(200);
    assert_eq!(answer.streamed_text(), "primary");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn slower_than_twice_its_own_p99_is_a_fault_and_the_baseline_outlives_a_restart() {
    let slow = Arc::new(AtomicBool::new(false));
    let mood = Arc::clone(&slow);
    let primary = Vendor::start(move |_, _| {
        let pause = Duration::from_millis(if mood.load(Ordering::Relaxed) { 1500 } else { 0 });
        let frames = openai_frames("primary").into_iter().map(Piece::Text);
        Reply::Stream { pieces: [Piece::Pause(pause)].into_iter().chain(frames).collect(), end: End::Whole }
    })
    .await;
    let good = Vendor::start(|_, _| Reply::events(&anthropic_frames("rescued"), End::Whole)).await;
    let config = Config::warn()
        .vendor("prime", "openai", &primary.url())
        .vendor("good", "anthropic", &good.url())
        .route("chat", &["prime/x", "good/y"])
        .route("alone", &["prime/x"])
        .more("latency: { min_samples: 20, floor: 200ms }\nbreaker: { consecutive: 100, min_calls: 1000 }");
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let ask = async |gateway: &Gateway| gateway.client().chat(&streamed(question("chat", "hi"))).await.expect(200);
    for _ in 0..30 {
        ask(&gateway).await;
    }
    gateway.stop();
    let shown = home.json(&["routes", "latency"]);
    let is_it = |line: &&Value| line["target"] == "prime/x" && line["kind"] == "first_content";
    let line = shown.as_array().expect("a list").iter().find(is_it).unwrap_or_else(|| panic!("{shown:#}"));
    assert!(line["samples"].as_u64() >= Some(30) && line["slow_after_ms"].is_number(), "{line:#}");
    let told = home.ok(&["routes", "latency"]);
    assert!(told.contains("prime/x") && told.contains("slow after"), "{told}");
    // The baseline of the first process rules in the second.
    let gateway = home.serve();
    slow.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    let answer = ask(&gateway).await;
    assert_eq!(answer.streamed_text(), "rescued");
    assert!(begin.elapsed() < Duration::from_millis(1400), "{:?}", begin.elapsed());
    let id = answer.expect_header("x-request-id").to_owned();
    // Where nobody else is left, late is better than not at all.
    let answer = gateway.client().chat(&streamed(question("alone", "hi"))).await.expect(200);
    assert_eq!(answer.streamed_text(), "primary");
    gateway.stop();
    assert_eq!(Rows::of(&home).only(&id)["attempts"][0]["fault"], "latency");
}
