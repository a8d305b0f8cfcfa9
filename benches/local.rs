//! How fast the default local model answers: prompts read and tokens written, through the built binary.
//!
//! The first run pulls and certifies the model. Run it with `cargo bench --bench local`, on a machine with nothing else
//! to do.

#[path = "../tests/blackbox/kit/all.rs"]
pub mod kit;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use kit::{
    client::{Client, question},
    config::{Config, PATIENT},
    prepared::{self, TARGET},
};

const TOKENS: u64 = 64;

fn ask(runtime: &Runtime, client: &Client, body: &Value) -> (u64, u64) {
    let answer = runtime.block_on(client.chat(body)).expect(200).json();
    let count = |field: &str| answer["usage"][field].as_u64().expect("the local model counts its tokens");
    (count("prompt_tokens"), count("completion_tokens"))
}

fn local(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let route = format!("criticality: critical, deadlines: {PATIENT}");
    let home = prepared::home(&Config::strict().route_with("chat", &[TARGET], &route).text());
    let gateway = home.serve();
    let client = gateway.client();

    let mut write = question("chat", "Tell me a long story about a lighthouse.");
    (write["max_tokens"], write["temperature"]) = (json!(TOKENS), json!(0));
    let (_, written) = ask(&runtime, &client, &write);
    let mut group = criterion.benchmark_group("local");
    group.sample_size(10).measurement_time(Duration::from_secs(30));
    group.throughput(Throughput::Elements(written));
    group.bench_function("tokens written, one caller", |bencher| bencher.iter(|| ask(&runtime, &client, &write)));

    // A fresh word at the start each time, so that no cache of prompts helps.
    let mut number = 0;
    let long = "The keeper climbed the stairs and lit the lamp. ".repeat(40);
    let mut read = move || {
        number += 1;
        let mut body = question("chat", &format!("{number} {long}"));
        (body["max_tokens"], body["temperature"]) = (json!(1), json!(0));
        body
    };
    let (tokens, _) = ask(&runtime, &client, &read());
    group.throughput(Throughput::Elements(tokens));
    group.bench_function("prompt tokens read, one caller", |bencher| bencher.iter(|| ask(&runtime, &client, &read())));
    group.finish();
    drop(gateway);
}

criterion_group!(benches, local);
criterion_main!(benches);
