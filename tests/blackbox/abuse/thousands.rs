//! Ten thousand calls at the same time against a hard budget, over HTTP/2: what is spent is no more than there is.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;
use tokio::sync::Notify;

use crate::{
    budgets::{micros, spent_in_ledger},
    client::Answer,
    home::Home,
    limits::{PRICE, config, short_question, shown},
    vendor::{Piece, Reply, Say, Vendor},
};

const CALLS: usize = 10_000;
/// Streams of one connection.
const OF_ONE: usize = 200;
const BUDGET_MICROS: i64 = 500_000;

/// What happened to one call: its status, or that its connection broke.
async fn ask(http: reqwest::Client, url: String, key: String, body: Value) -> Option<u16> {
    let request = http.post(url).bearer_auth(key).header("content-type", "application/json").body(body.to_string());
    let answer: Answer = crate::client::try_send(request).await.ok()?;
    Some(answer.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_at_once_overspend_a_hard_budget_by_nothing() {
    // Nobody gets an answer before everybody has asked: those that are let in are all under way at once.
    let go = Arc::new(Notify::new());
    let held = Arc::clone(&go);
    let vendor = Vendor::start(move |_, seen| {
        let Reply::Stream { mut pieces, end } = Reply::openai(seen, &Say::Text("hello")) else { panic!("a stream") };
        pieces.insert(0, Piece::Until(Arc::clone(&held)));
        Reply::Stream { pieces, end }
    })
    .await;
    let config = config(&vendor, "budget_usd_per_day: 0.5", PRICE);
    let config = config
        .replace(crate::config::QUICK, "{ connect: 5s, first_token: 250s, idle: 250s, attempt: 250s, total: 260s }");
    let home = Home::new(&config);
    let gateway = home.serve();
    let url = format!("{}/v1/chat/completions", gateway.url());
    gateway.client();
    let mut body = short_question();
    body["stream"] = true.into();
    let refused = Arc::new(AtomicUsize::new(0));
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..CALLS {
        if number % OF_ONE == 0 {
            tokio::task::yield_now().await;
        }
        let http = connections(number / OF_ONE);
        let (url, key, body, refused) = (url.clone(), gateway.key().to_owned(), body.clone(), Arc::clone(&refused));
        calls.spawn(async move {
            let status = ask(http, url, key, body).await;
            if status.is_some_and(|status| status != 200) {
                refused.fetch_add(1, Ordering::Relaxed);
            }
            status
        });
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(240);
    // What is let in is at the vendor, and what is not was refused: nothing else is under way.
    while refused.load(Ordering::Relaxed) + vendor.seen_count() < CALLS {
        assert!(
            std::time::Instant::now() < deadline,
            "{} refused and {} at the vendor\n{}",
            refused.load(Ordering::Relaxed),
            vendor.seen_count(),
            gateway.log()
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let let_in = vendor.seen_count();
    let reserved = loop {
        let row = shown(&home, "budget_usd_per_day");
        if micros(&row["reserved"]) > 0 {
            break micros(&row["reserved"]);
        }
        assert!(std::time::Instant::now() < deadline, "{row:#}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert!(reserved <= BUDGET_MICROS, "{reserved} are set aside for {let_in} calls");
    while vendor.busy() > 0 {
        go.notify_waiters();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let statuses: Vec<Option<u16>> = calls.join_all().await;
    let of = |wanted: u16| statuses.iter().filter(|status| **status == Some(wanted)).count();
    assert_eq!((of(200), of(200) + of(429) + of(503)), (let_in, CALLS), "each is answered or refused");
    assert!(of(429) > CALLS / 2 && let_in > 10, "{} refused by the budget, {let_in} let in", of(429));
    gateway.stop();
    let spent = spent_in_ledger(&home);
    assert_eq!(spent, 2500 * let_in as i64);
    assert!(spent <= BUDGET_MICROS, "{spent}");
    let row = shown(&home, "budget_usd_per_day");
    assert_eq!((micros(&row["used"]), micros(&row["reserved"])), (spent, 0), "{row:#}");
}

/// One HTTP/2 connection each.
fn connections(place: usize) -> reqwest::Client {
    static ALL: std::sync::LazyLock<Vec<reqwest::Client>> = std::sync::LazyLock::new(|| {
        let client = || {
            let builder = reqwest::Client::builder().http2_prior_knowledge().no_proxy();
            builder.timeout(std::time::Duration::from_secs(300)).build().expect("a client can be built")
        };
        (0..CALLS / OF_ONE).map(|_| client()).collect()
    });
    ALL[place].clone()
}
