//! Bodies that come slowly, or never: who sends them keeps no other tenant out, and is turned away in the end.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{connect, rest};
use crate::{
    client::question,
    config::Config,
    gateway::Gateway,
    home::Home,
    vendor::{Say, Vendor},
};

fn two_tenants(vendor: &Vendor) -> Home {
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]).text();
    Home::new(&config.replace("acme: {}", "acme: { concurrency: 4 }, other: {}"))
}

const LENGTH: usize = 1000;
const BEGIN: &str = "{\"model\": ";

/// A question whose body is not whole yet.
async fn begin(gateway: &Gateway) -> TcpStream {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {LENGTH}\r\n\r\n{BEGIN}",
        gateway.key()
    );
    let mut stream = connect(gateway).await;
    stream.write_all(head.as_bytes()).await.expect("the connection stands");
    stream
}

/// What is answered first; empty where the connection ends without.
async fn answer(stream: &mut TcpStream) -> String {
    let mut said = Vec::with_capacity(8192);
    let _ = stream.read_buf(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// The status that a question gets, until it is `wanted` or a while has passed.
async fn until_status(gateway: &Gateway, key: &str, wanted: u16) -> crate::client::Answer {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = gateway.client().with_key(key).chat(&question("chat", "hi")).await;
        if answer.status == wanted {
            return answer;
        }
        assert!(Instant::now() < deadline, "not {wanted} in time: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_sends_bodies_slowly_keeps_no_other_tenant_out_and_is_turned_away_in_the_end() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = two_tenants(&vendor);
    let gateway = home.serve();
    let other = home.ok(&["keys", "issue", "--tenant", "other"]).trim().to_owned();
    until_status(&gateway, &other, 200).await;
    let begun = || begin(&gateway);
    let mut slow = Vec::new();
    for _ in 0..5 {
        slow.push(begun().await);
    }
    // Four are waited for; whichever came last is told so at once.
    let told = futures_util::future::select_all(slow.iter_mut().map(|stream| Box::pin(answer(stream))));
    let (refused, place, others) =
        tokio::time::timeout(Duration::from_secs(10), told).await.expect("one of five is refused");
    drop(others);
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("rate_limit_exceeded"), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n") && refused.contains("sending 4 bodies"), "{refused}");
    drop(slow.swap_remove(place));
    // Others go on.
    gateway.client().with_key(&other).chat(&question("chat", "hi")).await.expect(200);
    // One hangs up: its place is free for another that takes its time.
    drop(slow.pop());
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut stream = begun().await;
        let (open, close) = ("\"chat\", \"messages\": [{\"role\": \"user\", \"content\": \"", "\"}]}");
        let text = "x".repeat(LENGTH - BEGIN.len() - open.len() - close.len());
        // One that was refused already is closed.
        let _ = stream.write_all(format!("{open}{text}{close}").as_bytes()).await;
        let said = answer(&mut stream).await;
        if said.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 429"), "{said}");
        assert!(Instant::now() < deadline, "the place is not free: {said}");
    }

    // The drip that keeps a naive server waiting ends all the same.
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut dripping = slow.swap_remove(0);
    let (mut reader, mut writer) = dripping.split();
    let drip = async {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut said = Vec::with_capacity(8192);
    let read = reader.read_buf(&mut said);
    tokio::select! {
        () = drip => {}
        read = tokio::time::timeout(deadline - Instant::now(), read) => {
            read.expect("it is told in time that it is too slow").expect("can be read");
        }
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("the body did not come within"), "{said}");
    // The one that said nothing more, too.
    let silent = rest(&mut slow[0], Duration::from_secs(60)).await.expect("is closed");
    assert!(silent.starts_with("HTTP/1.1 400"), "{silent}");
    let asked = vendor.seen_count();
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(vendor.seen_count(), asked + 1, "nobody was asked what was never said");
}

/// A vendor's answer without an end, and a caller who never reads his: both end, and the books are closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_asks_and_never_reads_the_answer_holds_nothing_for_ever() {
    let vendor = Vendor::start(|_, seen| {
        let crate::vendor::Reply::Stream { mut pieces, end } =
            crate::vendor::Reply::openai(seen, &Say::Text("hello"))
        else {
            return crate::vendor::Reply::openai(seen, &Say::Text("hello"));
        };
        let word = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"more "},"finish_reason":null}]}"#;
        let word = format!("{word}\n\n").repeat(64);
        pieces.insert(1, crate::vendor::Piece::Repeat(word, Duration::from_millis(1)));
        crate::vendor::Reply::Stream { pieces, end }
    })
    .await;
    let deadlines = "deadlines: { connect: 1s, first_token: 2s, idle: 2s, attempt: 3s, total: 6s }";
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route_with("chat", &["near/fake-1"], deadlines);
    let home = Home::new(&config.text().replace("acme: {}", "acme: { concurrency: 3 }"));
    let gateway = home.serve();
    let body = r#"{"model":"chat","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        gateway.key(),
        body.len()
    );
    let before = gateway.resident();
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&gateway).await;
        stream.write_all(head.as_bytes()).await.expect("the connection stands");
        held.push(stream);
    }
    vendor.asked(3).await;
    until_status(&gateway, gateway.key(), 429).await;
    // Nobody reads. The calls' own time ends them, and their places are free while the connections stand.
    vendor.all_hung_up().await;
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{} MB more than before", grown >> 20);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let rows = home.json(&["limits", "show", "acme"]);
        let row = rows.as_array().into_iter().flatten().find(|row| row["limit"] == "concurrency").cloned();
        if row.is_some_and(|row| row["used"] == 0) {
            break;
        }
        assert!(Instant::now() < deadline, "places are still held: {rows:#}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(held);
    gateway.stop();
    let rows = crate::ledger::Rows::of(&home);
    assert_eq!(rows.count(), 3, "each has a row");
}
