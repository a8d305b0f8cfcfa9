//! What outlives a process, a config and a gateway: shares across kills, reloads and a second gateway.

use futures_util::StreamExt as _;
use serde_json::json;

use super::{TOKENS, ask, ask_until, capped, share_of, two};
use crate::{
    client::{many, question, try_send},
    home::Home,
    vendor::{Say, Vendor},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_and_while_nothing_can_be_stored_it_stands_where_the_ledger_does() {
    let (a, b) = (Vendor::openai(Say::Text("a")).await, Vendor::openai(Say::Text("b")).await);
    let home = Home::new(&capped(two(&a.url(), &b.url()).route("chat", &["a/x", "b/y"]), 1000).text());
    for round in 1..=3 {
        let gateway = home.serve();
        // Somebody else writes, and does not end.
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.state().join("backstop.db"));
        let pool = sqlx::SqlitePool::connect_with(options).await.expect("opens");
        let blocked = pool.begin_with("BEGIN IMMEDIATE").await.expect("takes the database");
        let client = gateway.client();
        let load = tokio::spawn(async move {
            let calls = (0..300).map(|number: usize| {
                let mut body = question("chat", "hi");
                body["stream"] = json!(number.is_multiple_of(2));
                try_send(client.post("/v1/chat/completions", &body))
            });
            let answers: Vec<_> = futures_util::stream::iter(calls).buffer_unordered(60).collect().await;
            answers.into_iter().flatten().filter(|answer| answer.status == 200).count()
        });
        let before = a.seen_count() + b.seen_count();
        a.asked(a.seen_count() + 90).await;
        gateway.kill();
        let answered = load.await.expect("does not panic");
        assert!(
            answered > 50,
            "round {round}: {answered} of {} were answered",
            a.seen_count() + b.seen_count() - before
        );
        drop(blocked);
        pool.close().await;
        let (shown, share) = share_of(&home, "a");
        let used = home.json(&["usage", "--by", "vendor"]);
        let tokens: f64 = used.as_array().expect("a list").iter().fold(0.0, |sum, row| {
            sum + row["input_tokens"].as_f64().expect("a number") + row["output_tokens"].as_f64().expect("a number")
        });
        assert_eq!(shown["total"].as_f64(), Some(tokens), "round {round}: {used:#} {shown:#}");
        assert!(tokens >= TOKENS * answered as f64, "round {round}: {answered} answers, {shown:#}");
        // What was under way at the kill may be lost, of either vendor.
        assert!(share <= 0.70 + 60.0 * TOKENS / tokens * 0.3, "round {round}: {shown:#}");
    }
    let gateway = home.serve();
    let client = gateway.client();
    let answers = many(400, 50, |_| client.post("/v1/chat/completions", &question("chat", "hi"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let (shown, share) = share_of(&home, "a");
    assert!(share <= 0.70 + TOKENS / shown["total"].as_f64().expect("a number"), "{shown:#}");
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_new_cap_counts_at_once() {
    let (a, b) = (Vendor::openai(Say::Text("a")).await, Vendor::openai(Say::Text("b")).await);
    let config = |cap: &str| {
        let config = two(&a.url(), &b.url()).route("only-a", &["a/x"]).route("only-b", &["b/y"]);
        config.more(&format!("share_cap: {{ {cap} }}")).text()
    };
    let home = Home::new(&config("max: 0.7, min_volume: 50"));
    let gateway = home.serve();
    ask_until(&gateway, "only-a", 503).await;
    home.configure(&config("max: 1.0"));
    ask_until(&gateway, "only-a", 200).await;
    home.configure(&config("max: 0.7, unit: requests, min_volume: 1000"));
    gateway.logged("share_cap").await;
    ask(&gateway, "only-a").await.expect(200);
    home.configure(&config("max: 0.7, unit: requests, min_volume: 2"));
    ask_until(&gateway, "only-a", 503).await;
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_gateways_on_one_database_know_of_each_other() {
    let (a, b) = (Vendor::openai(Say::Text("a")).await, Vendor::openai(Say::Text("b")).await);
    let files = tempfile::tempdir().expect("a temporary directory");
    let storage = format!("storage: {{ url: \"sqlite://{}/shared.db\" }}", files.path().display());
    let config = two(&a.url(), &b.url()).route("only-a", &["a/x"]).route("only-b", &["b/y"]).more(&storage);
    let text = capped(config, 100).text();
    let (one, other) = (Home::new(&text), Home::new(&text));
    let (first, second) = (one.serve(), other.serve());
    ask_until(&first, "only-a", 503).await;
    // What the first has served, the second learns within seconds.
    ask_until(&second, "only-a", 503).await;
    // Until it has its own part.
    ask_until(&second, "only-b", 503).await;
    // And that there is room again, the first.
    ask_until(&first, "only-a", 200).await;
    first.stop();
    second.stop();
}

/// Hourly sums of so many days ago, as a long life leaves them.
async fn leave_sums(home: &Home, days_ago: &[i64]) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.state().join("backstop.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("opens");
    for days in days_ago {
        for sql in [
            "INSERT INTO share_hours SELECT (unixepoch() / 3600 - ?1 * 24) * 3600000, 'a', 'old', 7, 1, 0",
            "INSERT INTO used SELECT (unixepoch() / 3600 - ?1 * 24) * 3600000, 'acme', 'k', '', 'chat', 1, 7, 0",
        ] {
            sqlx::query(sql).bind(days).execute(&pool).await.expect("runs");
        }
    }
    pool.close().await;
}

/// How many days ago the hourly sums of both kinds are that are there.
async fn kept_sums(home: &Home) -> [Vec<i64>; 2] {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.state().join("backstop.db")).read_only(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("opens");
    let days = async |sql: &'static str| sqlx::query_scalar(sql).fetch_all(&pool).await.expect("runs");
    let both = [
        days("SELECT (unixepoch() - hour_unix_ms / 1000) / 86400 FROM share_hours ORDER BY 1").await,
        days("SELECT (unixepoch() - hour_unix_ms / 1000) / 86400 FROM used ORDER BY 1").await,
    ];
    pool.close().await;
    both
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sums_that_no_window_reaches_are_forgotten_and_calls_are_not() {
    let (a, b) = (Vendor::openai(Say::Text("a")).await, Vendor::openai(Say::Text("b")).await);
    let config = |cap: &str| two(&a.url(), &b.url()).route("chat", &["a/x", "b/y"]).more(cap).text();
    let home = Home::new(&config(""));
    let gateway = home.serve();
    ask(&gateway, "chat").await;
    gateway.stop();
    leave_sums(&home, &[40, 91, 100, 200, 900]).await;
    let until = async |wanted: [Vec<i64>; 2]| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while kept_sums(&home).await != wanted {
            assert!(std::time::Instant::now() < deadline, "{:?}, not {wanted:?}", kept_sums(&home).await);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let gateway = home.serve();
    until([vec![0, 40, 91], vec![0, 40, 91]]).await;
    gateway.stop();
    // A longer window keeps its own hours.
    home.configure(&config("share_cap: { max: 0.7, window: 300d }"));
    leave_sums(&home, &[200, 900]).await;
    let gateway = home.serve();
    until([vec![0, 40, 91, 200], vec![0, 40, 91]]).await;
    gateway.stop();
    let calls = home.json(&["calls", "list"]);
    assert_eq!(calls.as_array().map(Vec::len), Some(1), "{calls:#}");
}
