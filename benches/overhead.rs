//! What the gateway adds to a call: the same question to a fake vendor directly and through the built binary.
//!
//! The difference between the two is the overhead; both include the same client and the same fake. The ledger is on.
//! Run it with `cargo bench --bench overhead`, on a machine with nothing else to do.

#[path = "../tests/blackbox/kit/all.rs"]
pub mod kit;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use kit::{
    client::{Client, many, question},
    config::Config,
    home::Home,
    vendor::{End, Reply, Say, Vendor, openai_frames},
};

/// How many calls are on their way at the same time where more than one is.
const AT_ONCE: usize = 32;
/// How many calls a sample of those has.
const CALLS: usize = 256;
const CHUNKS: usize = 100;

fn overhead(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let letters = "x".repeat(CHUNKS);
    let frames = openai_frames(&letters);
    let vendor = runtime.block_on(Vendor::start(move |_, seen| match seen.wants_stream() {
        true => Reply::events(&frames, End::Whole),
        false => Reply::openai(seen, &Say::Text("hello")),
    }));
    let home =
        Home::new(&Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]).text());
    let gateway = home.serve();
    let callers = [("direct", Client::new(&vendor.url(), "none")), ("through the gateway", gateway.client())];

    let mut whole = criterion.benchmark_group("one call at a time");
    for (name, client) in &callers {
        one(&mut whole, &runtime, name, client, &question("chat", "hi"));
    }
    whole.finish();

    let mut streams = criterion.benchmark_group("one stream of a hundred chunks at a time");
    let mut streamed = question("chat", "hi");
    streamed["stream"] = json!(true);
    for (name, client) in &callers {
        one(&mut streams, &runtime, name, client, &streamed);
    }
    streams.finish();

    let mut busy = criterion.benchmark_group("32 calls at once");
    busy.throughput(Throughput::Elements(CALLS as u64)).sample_size(20);
    for (name, client) in &callers {
        let body = question("chat", "hi");
        busy.bench_function(*name, |bencher| {
            bencher.iter(|| {
                let answers = runtime.block_on(many(CALLS, AT_ONCE, |_| client.post("/v1/chat/completions", &body)));
                assert!(answers.iter().all(|answer| answer.status == 200));
            });
        });
    }
    busy.finish();
    drop(gateway);
}

fn one(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, name: &str, client: &Client, body: &Value) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| assert_eq!(runtime.block_on(client.chat(body)).status, 200));
    });
}

criterion_group!(benches, overhead);
criterion_main!(benches);
