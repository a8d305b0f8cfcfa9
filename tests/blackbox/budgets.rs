//! Budgets: kept at any concurrency, through fallbacks and crashes; told in words, and to people.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    client::{anthropic_question, many, question, send},
    config::Config,
    home::Home,
    limits::{PRICE, config, retry_after, short_question, shown, shown_as},
    vendor::{Reply, Say, Vendor},
};

/// What a call costs at [`PRICE`].
const COST_MICROS: i64 = 2500;

pub fn micros(usd: &Value) -> i64 {
    let usd = usd.as_str().unwrap_or_else(|| panic!("dollars, not {usd}"));
    usd.replace('.', "").parse().expect("dollars with six decimals")
}

pub fn spent_in_ledger(home: &Home) -> i64 {
    let used = home.json(&["usage", "--by", "tenant"]);
    used[0]["cost_micros"].as_i64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hard_budget_is_overspent_by_nothing_at_any_concurrency_and_across_a_crash() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&config(&vendor, "budget_usd_per_day: 0.5", PRICE));
    let gateway = home.serve();
    let keys: Vec<String> = (0..4).map(|_| home.key()).collect();
    let client = gateway.client();
    let ask =
        |number: usize| client.with_key(&keys[number % keys.len()]).post("/v1/chat/completions", &short_question());
    let answers = many(700, 100, ask).await;
    let answered = answers.iter().filter(|answer| answer.status == 200).count() as i64;
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 429)), "nothing else");
    assert!(answered * COST_MICROS <= 500_000, "{answered} calls cost more than the budget");
    // One after the other, until the budget does not cover another one.
    let mut answered = answered;
    let refused = loop {
        let answer = send(ask(0)).await;
        if answer.status == 429 {
            break answer;
        }
        answered += 1;
    };
    let error = refused.openai_error();
    assert_eq!((&error["code"], &error["type"]), (&json!("insufficient_quota"), &json!("insufficient_quota")));
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("tenant `acme`") && message.contains("this day") && message.contains("T00:00:00Z"),
        "{message}"
    );
    assert!(retry_after(&refused) <= 86_400);
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert!(answered * COST_MICROS > 470_000, "{answered} calls: what was reserved is given back");
    let refused = client.messages(&anthropic_question("chat", "hi")).await.expect(429);
    assert_eq!(refused.anthropic_error()["type"], "rate_limit_error");

    let all = |row: &Value| (micros(&row["used"]), micros(&row["reserved"])) == (answered * COST_MICROS, 0);
    shown_as(&home, "budget_usd_per_day", all).await;
    gateway.kill();
    let gateway = home.serve();
    let refused = gateway.client().chat(&short_question()).await.expect(429);
    assert_eq!(refused.openai_error()["code"], "insufficient_quota");
    gateway.stop();
    assert_eq!(
        (spent_in_ledger(&home), micros(&shown(&home, "budget_usd_per_day")["used"])),
        (answered * COST_MICROS, answered * COST_MICROS)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_under_load_the_budget_is_what_the_ledger_says() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&config(&vendor, "budget_usd_per_month: 400", PRICE));
    for round in 0..2 {
        let gateway = home.serve();
        let client = gateway.client();
        let load = tokio::spawn(async move {
            let ask = |number: usize| {
                let (client, mut body) = (client.clone(), short_question());
                body["stream"] = json!(number.is_multiple_of(2));
                async move {
                    _ = client.post("/v1/chat/completions", &body).send().await.ok()?.text().await;
                    Some(())
                }
            };
            use futures_util::StreamExt as _;
            futures_util::stream::iter((0..2000).map(ask)).buffer_unordered(32).count().await
        });
        vendor.asked(vendor.seen_count() + 300).await;
        gateway.kill();
        load.await.expect("the load does not panic");
        let used = micros(&shown(&home, "budget_usd_per_month")["used"]);
        let gateway = home.serve();
        let ledger = spent_in_ledger(&home);
        assert!(ledger > 0 && used == ledger, "round {round}: {used} {ledger}");
        // What the running gateway counts, once it has written that down.
        let running = |row: &Value| row["reserved"].is_string() && micros(&row["used"]) == ledger;
        shown_as(&home, "budget_usd_per_month", running).await;
        gateway.stop();
        assert_eq!(spent_in_ledger(&home), ledger, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_route_may_go_on_with_the_cheapest_target_or_its_own_hardware() {
    let dear = Vendor::openai(Say::Text("dear")).await;
    let cheap = Vendor::openai(Say::Text("cheap")).await;
    let own = Vendor::openai(Say::Text("own")).await;
    let targets = ["dear/a", "cheap/b", "own/c"];
    let config = Config::warn()
        .vendor("dear", "openai", &dear.url())
        .vendor("cheap", "openai", &cheap.url())
        .vendor_with("own", &format!("kind: openai_compatible, base_url: \"{}/v1\", self_hosted: true", own.url()))
        .route_with("cheapest", &targets[..2], "on_budget: cheapest")
        .route_with("local", &targets, "on_budget: local")
        .route_with("refuse", &targets, "on_budget: refuse")
        .more("models: { dear/a: { input_per_mtok: 1000, output_per_mtok: 1000 }, cheap/b: { input_per_mtok: 1, output_per_mtok: 1 } }");
    let home = Home::new(&config.text().replace("acme: {}", "acme: { budget_usd_per_week: 0.05 }"));
    let gateway = home.serve();
    let ask = async |route: &str| {
        let mut body = question(route, "hi");
        body["max_tokens"] = json!(10);
        gateway.client().chat(&body).await
    };
    // What the dear one may cost, some 0.2 USD, is more than there is.
    let answer = ask("cheapest").await.expect(200);
    assert_eq!((answer.expect_header("x-backstop-served-by"), answer.chat_text().as_str()), ("cheap/b", "cheap"));
    let answer = ask("local").await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), "own/c");
    ask("refuse").await.expect(429);
    assert_eq!(dear.seen_count(), 0);
    gateway.stop();
    let call = home.ok(&["calls", "show", answer.expect_header("x-request-id")]);
    assert!(call.contains("over_budget"), "{call}");
}

/// The first target costs something and breaks; the second is asked only as far as the budget covers both.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn falling_over_does_not_overspend_and_an_unknown_price_is_not_zero() {
    let hollow = Vendor::openai(Say::Text("")).await;
    let good = Vendor::openai(Say::Text("rescued")).await;
    let config = Config::warn()
        .vendor("hollow", "openai", &hollow.url())
        .vendor("good", "openai", &good.url())
        .vendor("free", "openai", &good.url())
        .route("chat", &["hollow/x", "good/y"])
        .route("unpriced", &["free/z"])
        .more("models: { hollow/x: { input_per_mtok: 100, output_per_mtok: 200 }, good/y: { input_per_mtok: 100, output_per_mtok: 200 } }");
    // A call may cost some 0.016 USD at worst, and 0.0025 in truth.
    let home = Home::new(&config.text().replace("acme: {}", "acme: { budget_usd_per_day: 0.017 }"));
    let gateway = home.serve();
    let answer = gateway.client().chat(&short_question()).await;
    assert_eq!((answer.status, good.seen_count()), (503, 0), "0.0025 spent, 0.016 more might not fit: {answer:?}");
    assert!(answer.body.contains("over_budget"), "{answer:?}");
    let mut unpriced = short_question();
    unpriced["model"] = json!("unpriced");
    let error = gateway.client().chat(&unpriced).await.expect(429).openai_error();
    assert!(error["message"].as_str().is_some_and(|text| text.contains("price")), "{error:#}");
    gateway.stop();
    assert_eq!(spent_in_ledger(&home), COST_MICROS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_soft_budget_is_told_at_its_marks_and_refuses_nobody() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let receiver = Vendor::start(|_, _| Reply::json(200, &json!({}))).await;
    let sink = format!("alerts: [{{ kind: webhook, url: \"{}/hook\", signing_secret: hook-key }}]", receiver.url());
    let home = Home::new(&config(&vendor, "budget_usd_per_day: 0.01, budget_kind: soft", &format!("{PRICE}\n{sink}")));
    home.secret("hook-key", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    let gateway = home.serve();
    for _ in 0..6 {
        gateway.client().chat(&short_question()).await.expect(200);
    }
    receiver.asked(2).await;
    let told = || -> Vec<String> {
        let data = receiver.seen();
        data.iter().map(|seen| seen.json()["data"]["summary"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while told().len() < 2 {
        assert!(std::time::Instant::now() < deadline, "{:?}", told());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = told();
    assert!(told[0].contains("tenant `acme`") && told[0].contains("50 %"), "{told:?}");
    assert!(told.iter().any(|text| text.contains("100 %")), "{told:?}");
    assert_eq!(shown(&home, "budget_usd_per_day")["kind"], "soft");
}
