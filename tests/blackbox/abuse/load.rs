//! Everything on at once: hundreds of callers of many keys, tenants, features and addresses, budgets, rates, a share cap, streams, callers
//! that hang up, a vendor that fails; and the process is killed in the middle, twice. Then every book is added up again by SQL.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::{
    budgets::micros,
    client::{Client, question},
    config::Config,
    home::Home,
    vendor::{Reply, Say, Vendor},
};

const TENANTS: [&str; 3] = ["acme", "initech", "hooli"];
const KEYS: usize = 12;
/// However busy the machine is: what is late is no part of this, by a deadline or by what was usual (`latency`).
const UNHURRIED: &str = "{ connect: 60s, first_token: 60s, idle: 60s, attempt: 100s, total: 110s }";

fn home_of(a: &Vendor, b: &Vendor) -> Home {
    let limits = "rpm: 100000, tpm: 90000000, rpd: 1000000, tpd: 900000000, concurrency: 500, budget_usd_per_day: 900, \
         budget_usd_per_month: 1000, features: { search: { budget_usd_per_month: 300 } }, models: { chat: { rpm: 100000 } }";
    let config = Config::warn()
        .vendor("a", "openai", &a.url())
        .vendor("b", "openai", &b.url())
        .route_with("chat", &["a/x", "b/y"], &format!("deadlines: {UNHURRIED}, limits: {{ rpm: 200000 }}"))
        .more(
            "models: { a/x: { input_per_mtok: 100, output_per_mtok: 200 }, b/y: { input_per_mtok: 7, output_per_mtok: 31 } }\n\
             trusted_proxies: [127.0.0.1]\n\
             limits: { per_ip: { rpm: 100000, tpm: 9000000, concurrency: 400 } }\n\
             share_cap: { max: 0.70, window: 30d, unit: tokens, min_volume: 2000 }\n\
             latency: { min_samples: 1000000 }",
        );
    let tenants = TENANTS.map(|tenant| format!("{tenant}: {{ {limits} }}")).join(", ");
    Home::new(&config.text().replace("acme: {}", &tenants))
}

async fn ask(client: Client, number: usize, key: String, answered: &AtomicUsize) -> Option<u16> {
    let mut body = question("chat", &"word ".repeat(1 + number % 30));
    (body["max_tokens"], body["stream"]) = (json!(10 + number % 40), json!(number.is_multiple_of(2)));
    let request = client.with_key(&key).post("/v1/chat/completions", &body);
    let request = request.header(
        "x-forwarded-for",
        match number % 3 {
            0 => format!("2001:db8:{:x}::{:x}", number % 500, number % 7 + 1),
            _ => format!("198.51.{}.{}", number % 5, number % 250),
        },
    );
    let request = if number.is_multiple_of(4) { request } else { request.header("x-backstop-feature", "search") };
    let mut response = request.send().await.ok()?;
    let status = response.status().as_u16();
    answered.fetch_add(usize::from(status == 200), Ordering::Relaxed);
    if number % 9 == 5 {
        // Hangs up after the first piece.
        let _ = response.chunk().await;
        return Some(status);
    }
    // What is cut by the kill was answered all the same.
    while let Ok(Some(_)) = response.chunk().await {}
    Some(status)
}

async fn load(client: &Client, keys: &[String], calls: Range<usize>, answered: &AtomicUsize) -> BTreeMap<u16, usize> {
    let asks = calls.map(|number| ask(client.clone(), number, keys[number % keys.len()].clone(), answered));
    let statuses = futures_util::stream::iter(asks).buffer_unordered(250).collect::<Vec<_>>().await;
    let mut by = BTreeMap::new();
    statuses.into_iter().flatten().for_each(|status| *by.entry(status).or_default() += 1);
    by
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_in_the_middle_ledger_budgets_limits_and_shares_are_one_sum() {
    let a = Vendor::start(|number, seen| match number % 13 {
        12 => Reply::openai_error(500, "server_error"),
        _ => Reply::openai(seen, &Say::Text("a few words of an answer")),
    })
    .await;
    let b = Vendor::openai(Say::Text("b")).await;
    let home = home_of(&a, &b);
    let keys: Vec<String> = (0..KEYS)
        .map(|number| {
            let args =
                ["keys", "issue", "--tenant", TENANTS[number % 3], "--budget-usd-per-month", "200", "--rpm", "90000"];
            home.ok(&args).trim().to_owned()
        })
        .collect();
    for round in 0..2 {
        let gateway = home.serve();
        let (client, keys, answered) = (gateway.client(), keys.clone(), Arc::new(AtomicUsize::new(0)));
        let (calls, seen) = (round * 3000..round * 3000 + 3000, Arc::clone(&answered));
        let running = tokio::spawn(async move { load(&client, &keys, calls, &seen).await });
        a.asked(a.seen_count() + 400).await;
        while answered.load(Ordering::Relaxed) <= 100 {
            assert!(!running.is_finished(), "all has failed:\n{}", gateway.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gateway.kill();
        let by = running.await.expect("the load does not panic");
        assert!(by.get(&200).is_some_and(|answered| *answered > 100), "round {round}: {by:?}");
    }
    let gateway = home.serve();
    let by = load(&gateway.client(), &keys, 6000..7000, &AtomicUsize::new(0)).await;
    let refused =
        || gateway.log().lines().filter(|line| !line.contains("\"status\":200")).collect::<Vec<_>>().join("\n");
    assert_eq!(by.keys().copied().collect::<Vec<_>>(), [200], "nothing is near its limit: {by:?}\n{}", refused());
    settled(&home, &gateway).await;
    // What the running gateway counts is what the database adds up to, and stays so when it is read anew.
    let running = books(&home).await;
    gateway.stop();
    books(&home).await.assert_is(&running);
    let gateway = home.serve();
    settled(&home, &gateway).await;
    books(&home).await.assert_is(&running);
    gateway.stop();
}

/// Waits until nothing is under way, nothing is set aside, and all of it is in the database.
async fn settled(home: &Home, gateway: &crate::gateway::Gateway) {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        // The shown limits are written every second; two looks that agree are no longer on their way.
        let before = shown_budgets(home);
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let rows = TENANTS.map(|tenant| home.json(&["limits", "show", tenant]));
        let all = || rows.iter().flat_map(|rows| rows.as_array().into_iter().flatten());
        let idle = all().all(|row| row["limit"] != "concurrency" || row["used"] == 0);
        let free = all().all(|row| row["reserved"].is_null() || micros(&row["reserved"]) == 0);
        if idle && free && before == shown_budgets(home) {
            return;
        }
        assert!(Instant::now() < deadline, "still under way: {rows:#?}\n{}", gateway.log());
    }
}

/// What budgets say was spent: by kind and name of who pays, of the month.
fn shown_budgets(home: &Home) -> BTreeMap<String, i64> {
    let mut all = BTreeMap::new();
    for tenant in TENANTS {
        for row in home.json(&["limits", "show", tenant]).as_array().into_iter().flatten() {
            if row["limit"] == "budget_usd_per_month" {
                let text = |name: &str| row[name].as_str().expect("a text").to_owned();
                let name =
                    if text("subject") == "feature" { format!("{tenant}/{}", text("name")) } else { text("name") };
                all.insert(format!("{} {name}", text("subject")), micros(&row["used"]));
            }
        }
    }
    all
}

/// Every book there is of one ledger.
struct Books {
    /// Micro-dollars of all attempts.
    total: i64,
    /// By who pays.
    paid: BTreeMap<String, i64>,
    calls: i64,
}

impl Books {
    fn assert_is(&self, other: &Self) {
        assert_eq!((self.total, &self.paid, self.calls), (other.total, &other.paid, other.calls));
    }
}

/// Adds everything up, by SQL and by the verbs, and holds each against each.
async fn books(home: &Home) -> Books {
    // The verbs carry over what only the journal has.
    let usage = home.json(&["usage", "--by", "tenant"]);
    let budgets = shown_budgets(home);
    let shares = home.json(&["share"]);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.state().join("backstop.db")).read_only(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("opens");
    let sums = async |sql: &'static str| -> BTreeMap<String, i64> {
        let rows = sqlx::query(sql).fetch_all(&pool).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
        rows.iter().map(|row| (row.get::<String, _>(0), row.get::<i64, _>(1))).collect()
    };
    let one = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap_or_else(|error| panic!("{error}: {sql}"))
    };
    let paid = sums(
        "WITH paid AS (SELECT c.tenant, c.key_id, c.feature, coalesce(a.cost_micros, 0) AS cost FROM calls c \
         JOIN attempts a ON a.call_id = c.id) SELECT 'tenant ' || tenant, sum(cost) FROM paid GROUP BY 1 \
         UNION ALL SELECT 'key ' || key_id, sum(cost) FROM paid GROUP BY 1 \
         UNION ALL SELECT 'feature ' || tenant || '/' || feature, sum(cost) FROM paid WHERE feature = 'search' GROUP BY 1",
    )
    .await;
    let spent: BTreeMap<String, i64> = budgets.iter().map(|(who, spent)| (who.clone(), *spent)).collect();
    // The gateways' own keys pay, too, and have no budget.
    let limited: BTreeMap<String, i64> =
        paid.iter().filter(|(who, _)| spent.contains_key(*who)).map(|(who, sum)| (who.clone(), *sum)).collect();
    assert_eq!(spent, limited, "budgets are the ledger's sums");
    assert_eq!(spent.len(), 3 + KEYS + 3, "tenants, keys, features: {spent:?}");

    let total = one("SELECT coalesce(sum(cost_micros), 0) FROM attempts").await;
    let by_tenant: BTreeMap<String, i64> = usage
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| (row["tenant"].as_str().expect("a name").to_owned(), row["cost_micros"].as_i64().expect("a sum")))
        .collect();
    assert_eq!(by_tenant.values().sum::<i64>(), total, "usage is the ledger's sum");
    assert!(
        by_tenant.iter().all(|(tenant, cost)| paid[&format!("tenant {tenant}")] == *cost),
        "{by_tenant:?} {paid:?}"
    );
    let hourly = one("SELECT coalesce(sum(cost_micros), 0) FROM used").await;
    let open = one("SELECT count(*) FROM calls WHERE ending = 'open'").await;
    assert_eq!((hourly, open), (total, 0), "the hourly sums are, and nothing is left open");

    let tokens =
        "SELECT vendor, sum(input_tokens + output_tokens) FROM attempts WHERE usage_source <> 'none' GROUP BY 1";
    let served = sums(tokens).await;
    assert_eq!(
        sums("SELECT vendor, sum(tokens) FROM share_hours GROUP BY 1").await,
        served,
        "shares are the attempts' sums"
    );
    let all: i64 = served.values().sum();
    assert_eq!(shares["total"].as_f64(), Some(all as f64), "{shares:#}");
    for line in shares["vendors"].as_array().into_iter().flatten() {
        let Value::String(vendor) = &line["vendor"] else { continue };
        let (share, tokens) = (line["share"].as_f64().expect("a number"), served[vendor.as_str()]);
        assert!((share - tokens as f64 / all as f64).abs() < 1e-9, "{line:#}");
        // What was under way at the two kills may be lost, of either vendor: that is not a call over the cap.
        assert!(share <= 0.70 + 0.06, "{shares:#}");
    }
    let (calls, ids) = (one("SELECT count(*) FROM calls").await, one("SELECT count(DISTINCT id) FROM calls").await);
    assert_eq!(calls, ids);
    pool.close().await;
    Books { total, paid, calls }
}
