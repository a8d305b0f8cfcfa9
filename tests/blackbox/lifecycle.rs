//! Start and stop: a port in use, a drain that lets answers finish, and a bound on it.

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    client::question,
    config::{Config, one_openai},
    gateway::Gateway,
    home::Home,
    ledger::Rows,
    prepared,
    vendor::{End, Piece, Reply, Say, Vendor, openai_frames},
};

/// Says `a`, waits for `go`, says `b`.
async fn halting(go: &Arc<Notify>) -> Vendor {
    let told = Arc::clone(go);
    Vendor::start(move |_, _| {
        let mut pieces: Vec<Piece> = openai_frames("ab").into_iter().map(Piece::Text).collect();
        pieces.insert(2, Piece::Until(Arc::clone(&told)));
        Reply::Stream { pieces, end: End::Whole }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sigterm_and_sigint_let_answers_in_flight_finish() {
    for signal in ["TERM", "INT"] {
        let go = Arc::new(Notify::new());
        let vendor = halting(&go).await;
        let home = Home::new(&one_openai(&vendor.url()));
        let mut gateway = home.serve();
        let mut stream = gateway.client().chat_stream(&question("chat", "hi")).await;
        assert_eq!(stream.first_text().await, "a");
        let id = stream.header("x-request-id").expect("an id").to_owned();
        gateway.signal(signal);
        gateway.logged("stopping").await;
        // Whoever comes now is turned away, at the door or with a 503.
        let late = gateway.client().post("/v1/chat/completions", &question("chat", "hi"));
        match late.timeout(Duration::from_secs(5)).send().await {
            Ok(response) => assert_eq!(response.status(), 503),
            Err(error) => assert!(!error.is_timeout(), "{error}"),
        }
        go.notify_one();
        assert_eq!(stream.rest().await.last().map(|event| event.data.clone()).as_deref(), Some("[DONE]"));
        let status = gateway.wait();
        assert!(status.success(), "{signal}: {status}");
        assert_eq!(Rows::of(&home).only(&id)["ending"], "answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_drain_has_an_end() {
    let vendor = halting(&Arc::new(Notify::new())).await;
    let route = "deadlines: { connect: 1s, first_token: 60s, idle: 60s, attempt: 60s, total: 60s }";
    let config = Config::warn().vendor("near", "openai", &vendor.url()).more("drain: 1s");
    let home = Home::new(&config.route_with("chat", &["near/fake-1"], route).text());
    let mut gateway = home.serve();
    let mut stream = gateway.client().chat_stream(&question("chat", "hi")).await;
    stream.first_text().await;
    let id = stream.header("x-request-id").expect("an id").to_owned();
    let begin = Instant::now();
    gateway.signal("TERM");
    gateway.wait();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    home.serve().stop();
    let ending = Rows::of(&home).only(&id)["ending"].clone();
    assert!(ending == "interrupted" || ending == "cancelled", "{ending}");
}

#[test]
fn a_port_in_use_is_told_and_nothing_else_happens() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = taken.local_addr().expect("a bound listener has an address").to_string();
    let home = Home::new(&one_openai("http://127.0.0.1:9").replace("127.0.0.1:0", &address));
    let said = home.run(&["serve"]).expect_failure();
    assert!(said.contains(&address), "{said}");
}

#[test]
fn a_config_that_names_tenants_lets_nobody_else_in() {
    let home = Home::new(&one_openai("http://127.0.0.1:9"));
    let log = Gateway::start(home.command(&["serve"]), Some("none".to_owned())).stop();
    assert!(log.contains("listening on "), "{log}");
    assert!(!log.contains("sk-bs-"), "a key that nobody asked for: {log}");
    assert!(!home.ok(&["tenants", "list", "--json"]).contains("default"), "a tenant that nobody asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_gateways_on_one_state_directory_do_no_harm() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    // The second either serves beside the first or says why not; what the first recorded stays.
    let mut second = home.command(&["serve"]);
    second.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut second = second.spawn().expect("the binary was built");
    for _ in 0..20 {
        gateway.client().chat(&question("chat", "hi")).await.expect(200);
    }
    second.kill().expect("our own child");
    second.wait().expect("a killed process can be waited for");
    gateway.stop();
    home.serve().stop();
    assert_eq!(Rows::of(&home).count(), 20);
}

#[test]
fn wrong_usage_exits_with_2_and_a_missing_config_with_1() {
    let home = Home::without_config();
    assert_eq!(home.run(&["sevre"]).code, Some(2));
    let missing = home.run(&["serve", "--config", "/nowhere/backstop.yaml"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.expect_failure().contains("/nowhere/backstop.yaml"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_start_needs_no_network_and_no_second_certification() {
    let _turn = prepared::turn().await;
    let (home, key) = prepared::without_config();
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0"]);
    // Whatever would go out goes nowhere.
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        command.env(name, "http://127.0.0.1:9");
    }
    command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("PATH", "/nowhere");
    let begin = Instant::now();
    let gateway = Gateway::start(command, Some(key));
    let took = begin.elapsed();
    eprintln!("second start: {:.2} s", took.as_secs_f64());
    // Certifying takes longer than that on any machine that these tests run on at the same time.
    assert!(took < Duration::from_secs(15), "{took:?}");
    let answer = gateway.client().chat(&question("default", "Say hello.")).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), prepared::TARGET);
    assert!(!gateway.log().contains("key: sk-bs-"), "the key is shown once");
}
