//! A config that changes under a running gateway: the good is taken over, the bad is refused and said.

use std::{
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    client::{Client, question},
    config::{Config, one_openai},
    home::Home,
    vendor::{End, Piece, Reply, Say, Vendor, openai_frames},
};

/// Waits until a call of `route` has the status: a reload is asked for, not awaited.
async fn until(gateway: &super::gateway::Gateway, route: &str, status: u16) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let answer = gateway.client().chat(&question(route, "hi")).await;
        if answer.status == status {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "`{route}` still answers {}:\n{}", answer.status, gateway.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_good_file_is_taken_over_when_it_changes_and_on_sighup() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let config = || Config::warn().vendor("near", "openai", &vendor.url());
    gateway.client().chat(&question("second", "hi")).await.expect(404);
    home.configure(&config().route("second", &["near/fake-1"]).text());
    until(&gateway, "second", 200).await;
    gateway.client().chat(&question("chat", "hi")).await.expect(404);
    home.configure(&config().route("third", &["near/fake-1"]).text());
    gateway.signal("HUP");
    until(&gateway, "third", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_bad_file_leaves_the_last_good_one_in_force_and_says_so() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let good = one_openai(&vendor.url());
    let home = Home::new(&good);
    let gateway = home.serve();
    home.configure(&good.replace("targets:", "tragets:"));
    gateway.signal("HUP");
    gateway.logged("tragets").await;
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    let ready = gateway.client().get("/readyz").await.expect(200);
    assert!(ready.body.contains("degraded"), "{}", ready.body);
    home.configure("listen: [");
    gateway.signal("HUP");
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    home.configure(&good.replace("chat:", "mended:"));
    gateway.signal("HUP");
    until(&gateway, "mended", 200).await;
    let ready = gateway.client().get("/readyz").await.expect(200);
    assert!(!ready.body.contains("degraded") || !ready.body.contains("reload"), "{}", ready.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_began_before_a_reload_ends_as_it_began() {
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let told = std::sync::Arc::clone(&go);
    let vendor = Vendor::start(move |number, seen| {
        if number > 0 {
            return Reply::openai(seen, &Say::Text("hello"));
        }
        let mut pieces: Vec<Piece> = openai_frames("ab").into_iter().map(Piece::Text).collect();
        pieces.insert(2, Piece::Until(std::sync::Arc::clone(&told)));
        Reply::Stream { pieces, end: End::Whole }
    })
    .await;
    let home = Home::new(&one_openai(&vendor.url()));
    let gateway = home.serve();
    let mut stream = gateway.client().chat_stream(&question("chat", "hi")).await;
    stream.first_text().await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("second", &["near/fake-1"]);
    home.configure(&config.text());
    gateway.signal("HUP");
    until(&gateway, "second", 200).await;
    go.notify_one();
    assert_eq!(stream.rest().await.last().map(|event| event.data.clone()).as_deref(), Some("[DONE]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rotated_secret_is_used_without_a_restart() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    home.secret("near", "sk-old-secret");
    let gateway = home.serve();
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    let args = ["vault", "rotate", "near"];
    home.run_with(&args, "sk-new-secret").expect_success(&args);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        gateway.client().chat(&question("chat", "hi")).await.expect(200);
        let seen = vendor.seen();
        let latest = seen.last().and_then(|seen| seen.header("authorization")).map(str::to_owned);
        if latest.as_deref() == Some("Bearer sk-new-secret") {
            break;
        }
        assert_eq!(latest.as_deref(), Some("Bearer sk-old-secret"));
        assert!(std::time::Instant::now() < deadline, "the old secret is still used after 20 s");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Whoever sends it as soon as the gateway can be reached, say a supervisor, must not end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_signal_to_reload_that_comes_while_it_starts_ends_nothing() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    // No other test listens at this address, so a port that was free stays free.
    let address =
        TcpListener::bind("127.0.0.2:0").and_then(|free| free.local_addr()).expect("loopback has a free port");
    let key = home.key();
    let mut command = home.command(&["serve", "--listen", &address.to_string()]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary was built");
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "it does not listen");
        std::thread::yield_now();
    }
    let told = Command::new("kill").arg("-HUP").arg(child.id().to_string()).status();
    assert!(told.is_ok_and(|status| status.success()));
    let client = Client::new(&format!("http://{address}"), &key);
    loop {
        assert_eq!(child.try_wait().expect("a child can be waited for"), None, "the signal ended it");
        if client.chat(&question("chat", "hi")).await.status == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "it does not serve");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().and_then(|()| child.wait()).expect("it runs");
}
