//! What hostile clients do to a listener: slow, huge, endless and many. Others are answered meanwhile.

mod addresses;
mod bodies;
mod fields;
mod load;
mod thousands;
mod wallet;

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    client::{many, question},
    config::{Config, PATIENT, one_openai},
    gateway::Gateway,
    home::Home,
    vendor::{Say, Vendor},
};

async fn connect(gateway: &Gateway) -> TcpStream {
    let address = gateway.url().trim_start_matches("http://").to_owned();
    TcpStream::connect(address).await.expect("the gateway listens")
}

/// Everything until the other side closes, or `None` when it does not within `limit`.
async fn rest(stream: &mut TcpStream, limit: Duration) -> Option<String> {
    let mut all = Vec::new();
    // A reset closes as well as an end does.
    let _ = tokio::time::timeout(limit, stream.read_to_end(&mut all)).await.ok()?;
    Some(String::from_utf8_lossy(&all).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn slow_and_silent_connections_are_closed_and_hold_nobody_up() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let client = gateway.client();
    let mut slow = Vec::new();
    for number in 0..200 {
        let mut stream = connect(&gateway).await;
        let begin: &[u8] = match number % 3 {
            0 => b"",
            1 => b"P",
            _ => b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nx-slow: ",
        };
        stream.write_all(begin).await.expect("the connection stands");
        slow.push(stream);
    }
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(22) {
        client.chat(&question("chat", "hi")).await.expect(200);
        for stream in slow.iter_mut().skip(2).step_by(3) {
            // The drip that keeps a naive server waiting.
            let _ = stream.write_all(b"x").await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for (number, stream) in slow.iter_mut().enumerate() {
        assert!(rest(stream, Duration::from_secs(5)).await.is_some(), "connection {number} is still open");
    }
    client.chat(&question("chat", "hi")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn giant_heads_and_endless_bodies_are_refused_without_being_kept() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&format!("{}limits: {{ max_body: 64KiB }}\n", one_openai(&vendor.url())));
    let gateway = home.serve();
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    let before = gateway.resident();
    let long = format!("x-long: {}\r\n", "y".repeat(1 << 20));
    let many_headers: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
    for headers in [long.as_str(), many_headers.as_str()] {
        let mut stream = connect(&gateway).await;
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n{headers}\r\n");
        // It may be refused before all of it is sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let said = rest(&mut stream, Duration::from_secs(10)).await.expect("such a connection is closed");
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    }
    // A body without an end.
    let mut stream = connect(&gateway).await;
    let key = gateway.key();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("the connection stands");
    let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 64 << 20, "it goes on reading");
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{} MB more than before", grown >> 20);
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(vendor.seen_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_address_cannot_hold_all_connections() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&format!("{}limits: {{ connections_per_ip: 8 }}\n", one_openai(&vendor.url())));
    let gateway = home.serve();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(connect(&gateway).await);
    }
    // Accepted in order: when a ninth is closed, the first eight are counted.
    let mut ninth = connect(&gateway).await;
    assert_eq!(rest(&mut ninth, Duration::from_secs(10)).await.as_deref(), Some(""));
    held.pop();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let request = gateway.client().post("/v1/chat/completions", &question("chat", "hi"));
        if request.send().await.is_ok_and(|response| response.status() == 200) {
            break;
        }
        assert!(Instant::now() < deadline, "a place that was given back is free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_callers_from_many_keys_and_addresses_are_all_counted_right() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url());
    let config = config
        .route_with("chat", &["near/fake-1"], &format!("deadlines: {PATIENT}"))
        .more("models: { near/fake-1: { input_per_mtok: 100, output_per_mtok: 200 } }")
        .more("trusted_proxies: [127.0.0.1]\nlimits: { per_ip: { rpm: 50, concurrency: 50 } }");
    let limits =
        "rpd: 100000, tpd: 10000000, concurrency: 1000, budget_usd_per_month: 1000, features: { f0: { rpm: 90000 } }";
    let home = Home::new(&config.text().replace("acme: {}", &format!("acme: {{ {limits} }}")));
    let gateway = home.serve();
    let keys: Vec<String> = (0..12).map(|_| home.key()).collect();
    let client = gateway.client();
    let mut body = question("chat", "hi");
    body["max_tokens"] = json!(10);
    let answers = many(1200, 300, |number| {
        let request = client.with_key(&keys[number % keys.len()]).post("/v1/chat/completions", &body);
        let request = request.header("x-forwarded-for", format!("192.0.{}.{}", number % 3, number % 200));
        request.header("x-backstop-feature", format!("f{}", number % 4))
    })
    .await;
    let other = answers.iter().find(|answer| answer.status != 200);
    assert!(other.is_none(), "all are within their limits: {other:?}");
    let wanted = [json!(1200), json!(1200 * 18), json!(0), json!("3.000000")];
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        // What is shown is written once a second.
        let shown = home.json(&["limits", "show", "acme"]);
        let used = ["rpd", "tpd", "concurrency", "budget_usd_per_month"].map(|limit| {
            let mut rows = shown.as_array().into_iter().flatten();
            rows.find(|row| row["subject"] == "tenant" && row["limit"] == limit)
                .map_or(json!(null), |row| row["used"].clone())
        });
        if used == wanted {
            break;
        }
        assert!(Instant::now() < deadline, "{used:?} are shown and not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    gateway.stop();
    let by_key = home.json(&["usage", "--by", "key"]);
    let calls: Vec<u64> = by_key.as_array().into_iter().flatten().filter_map(|row| row["calls"].as_u64()).collect();
    assert_eq!(calls, vec![100; 12]);
}
