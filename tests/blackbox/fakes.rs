//! The fakes and the client on their own: a test of the gateway proves nothing if these are broken.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::Notify;

use super::{
    client::{Client, question, send},
    places::Place,
    vendor::{End, Piece, Reply, Say, Vendor, closed_port, openai_frames},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fake_answers_whole_and_in_a_stream_and_keeps_what_it_was_asked() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let client = Client::new(&vendor.url(), "k");
    assert_eq!(client.chat(&question("m", "hi")).await.expect(200).chat_text(), "hello");
    let mut streamed = question("m", "hi");
    streamed["stream"] = json!(true);
    assert_eq!(client.chat(&streamed).await.expect(200).streamed_text(), "hello");
    let seen = vendor.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].header("authorization"), Some("Bearer k"));
    assert_eq!(seen[0].json(), question("m", "hi"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fake_can_fall_silent_reset_and_cut_a_stream() {
    let vendor = Vendor::start(|number, _| match number {
        0 => Reply::Silence,
        1 => Reply::Reset,
        _ => Reply::events(&openai_frames("cut")[..2], End::Cut),
    })
    .await;
    let client = Client::new(&vendor.url(), "k");
    let body = question("m", "hi");
    let patience = Duration::from_millis(200);
    assert!(client.post("/v1/x", &body).timeout(patience).send().await.expect_err("silence").is_timeout());
    assert!(!client.post("/v1/x", &body).send().await.expect_err("a reset").is_timeout());
    let cut = client.post("/v1/x", &body).send().await.expect("the head comes");
    assert!(cut.bytes().await.is_err(), "a cut stream is no whole body");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fake_waits_until_it_is_told() {
    let go = Arc::new(Notify::new());
    let told = Arc::clone(&go);
    let vendor = Vendor::start(move |_, _| {
        let mut pieces: Vec<Piece> = openai_frames("ab").into_iter().map(Piece::Text).collect();
        pieces.insert(2, Piece::Until(Arc::clone(&told)));
        Reply::Stream { pieces, end: End::Whole }
    })
    .await;
    let mut stream = Client::new(&vendor.url(), "k").chat_stream(&question("m", "hi")).await;
    assert_eq!(stream.first_text().await, "a");
    go.notify_one();
    assert_eq!(stream.rest().await.last().map(|event| event.data.clone()).as_deref(), Some("[DONE]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_listens_at_a_closed_port() {
    let client = Client::new(&closed_port().await, "k");
    let refused = client.bare(reqwest::Method::GET, "/").send().await.expect_err("nobody is there");
    assert!(refused.is_connect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fake_takes_large_bodies() {
    let vendor = Vendor::start(|_, seen| Reply::json(200, &json!({"got": seen.body.len()}))).await;
    let client = Client::new(&vendor.url(), "k");
    let request = client.bare(reqwest::Method::POST, "/v1/x").body(vec![b'x'; 5_000_000]);
    assert_eq!(send(request).await.json()["got"], 5_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fake_can_say_exactly_these_bytes_and_never_stop() {
    let vendor = Vendor::start(|number, _| match number {
        0 => Reply::Raw { pieces: vec![Piece::Bytes(b"HTTP/1.1 418 Short\r\n\r\ntea".to_vec())], end: End::Cut },
        1 => Reply::Raw { pieces: vec![Piece::Bytes(b"no HTTP\r\n\r\n".to_vec())], end: End::Cut },
        2 => Reply::Stream { pieces: vec![Piece::Forever(b"x".to_vec(), Duration::ZERO)], end: End::Whole },
        _ => Reply::events(&openai_frames("cut")[..2], End::Reset),
    })
    .await;
    let client = Client::new(&vendor.url(), "k");
    let ask = || client.post("/v1/x", &question("m", "hi"));
    let short = send(ask()).await.expect(418);
    assert_eq!(short.body, "tea");
    ask().send().await.expect_err("no HTTP");
    let mut endless = ask().send().await.expect("the head comes");
    for _ in 0..3 {
        assert!(endless.chunk().await.expect("it goes on").is_some());
    }
    drop(endless);
    let reset = ask().send().await.expect("the head comes");
    assert!(reset.bytes().await.is_err(), "a reset stream is no whole body");
    drop(client);
    vendor.all_hung_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_vendor_is_at_places() {
    let ask = async |scheme: &str, place: &Place| {
        let client = Client::new(&format!("{scheme}://{}", place.address()), "k");
        let request = client.bare(reqwest::Method::GET, "/").timeout(Duration::from_millis(500));
        format!("{:?}", request.send().await.expect_err("nobody answers"))
    };
    let refused = ask("http", &Place::closed_port()).await;
    assert!(refused.contains("ConnectionRefused"), "{refused}");
    let lost = ask("http", &Place::black_hole().await).await;
    assert!(lost.contains("TimedOut"), "{lost}");
    let mute = ask("https", &Place::mute().await).await;
    assert!(mute.contains("TimedOut"), "{mute}");
    let unknown = ask("https", &Place::self_signed().await).await;
    assert!(unknown.contains("InvalidCertificate"), "{unknown}");
    let plain = ask("https", &Place::plain_text().await).await;
    assert!(plain.contains("InvalidMessage"), "{plain}");
}
