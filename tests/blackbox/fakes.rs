//! The fakes and the client on their own: a test of the gateway proves nothing if these are broken.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::Notify;

use super::{
    client::{Client, question, send},
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
