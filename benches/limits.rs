//! What limits cost a call: the same question to a gateway without any and to one with all of them, in turns, on the same fake vendor.
//!
//! All of them: rates by minute and day, concurrency, ceilings and hard budgets of tenant, key, feature and model, limits of addresses
//! behind a proxy, and the share cap. Run it with `cargo bench --bench limits`, on a machine with nothing else to do;
//! `cargo test --release --bench limits` runs each once.

#[path = "../tests/blackbox/kit/all.rs"]
pub mod kit;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use kit::{
    client::{Client, many, question, send},
    config::Config,
    home::Home,
    vendor::{Say, Vendor},
};

/// How many calls are on their way at the same time where more than one is.
const AT_ONCE: usize = 32;
/// How many calls a sample of those has, and from how many addresses.
const CALLS: usize = 256;
const ADDRESSES: usize = 1000;

/// No call comes near any of them.
const WIDE: &str = "rpm: 100000000, rpd: 1000000000, tpm: 100000000000, tpd: 1000000000000, concurrency: 10000, max_body: 1MiB, \
     max_tokens: 4096, max_usd_per_call: 10, budget_usd_per_day: 100000000, budget_usd_per_week: 100000000, \
     budget_usd_per_month: 100000000";

fn plain(vendor: &Vendor) -> Config {
    Config::warn()
        .vendor("near", "openai", &vendor.url())
        .more("models: { near/fake-1: { input_per_mtok: 1, output_per_mtok: 2 } }")
        .more("trusted_proxies: [127.0.0.1]")
}

fn limited(vendor: &Vendor) -> Home {
    let own = format!("kind: openai_compatible, base_url: \"{}/v1\", self_hosted: true", vendor.url());
    let (rates, _) = WIDE.split_once(", budget").expect("has budgets");
    let config = plain(vendor)
        .vendor_with("own", &own)
        .route_with(
            "chat",
            &["near/fake-1", "own/fake-1"],
            "limits: { rpm: 100000000, tpm: 100000000000, concurrency: 10000 }",
        )
        .more(&format!("limits: {{ per_ip: {{ {rates} }} }}"))
        .more("share_cap: { max: 0.999999, soft: 0.999999, min_volume: 1 }");
    let tenant = format!("acme: {{ {WIDE}, features: {{ search: {{ {WIDE} }} }}, models: {{ chat: {{ {rates} }} }} }}");
    Home::new(&config.text().replace("acme: {}", &tenant))
}

fn limits(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let vendor = runtime.block_on(Vendor::openai(Say::Text("hello")));
    let without = Home::new(&plain(&vendor).route("chat", &["near/fake-1"]).text());
    let with = limited(&vendor);
    let (free, bound) = (without.serve(), with.serve());
    let args = [
        "keys",
        "issue",
        "--tenant",
        "acme",
        "--rpm",
        "100000000",
        "--rpd",
        "1000000000",
        "--tpm",
        "100000000000",
        "--tpd",
        "1000000000000",
        "--budget-usd-per-day",
        "100000000",
        "--feature",
        "search",
    ];
    let key = with.ok(&args).trim().to_owned();
    let callers = [("without limits", free.client()), ("with all limits", bound.client().with_key(&key))];

    let mut whole = criterion.benchmark_group("one call at a time");
    for (name, client) in &callers {
        one(&mut whole, &runtime, name, client, false);
    }
    whole.finish();
    let mut streams = criterion.benchmark_group("one stream at a time");
    for (name, client) in &callers {
        one(&mut streams, &runtime, name, client, true);
    }
    streams.finish();
    let mut busy = criterion.benchmark_group("32 calls at once");
    busy.throughput(Throughput::Elements(CALLS as u64)).sample_size(20);
    for (name, client) in &callers {
        busy.bench_function(*name, |bencher| {
            bencher.iter(|| {
                let answers = runtime.block_on(many(CALLS, AT_ONCE, |number| ask(client, number, &body(false))));
                assert!(answers.iter().all(|answer| answer.status == 200));
            });
        });
    }
    busy.finish();
    drop((free, bound));
}

fn one(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, name: &str, client: &Client, stream: bool) {
    let (body, mut number) = (body(stream), 0);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            number += 1;
            assert_eq!(runtime.block_on(send(ask(client, number, &body))).status, 200);
        });
    });
}

fn body(stream: bool) -> Value {
    let mut body = question("chat", "hi");
    (body["max_tokens"], body["stream"]) = (json!(10), json!(stream));
    body
}

/// The same headers to both, so that both read them.
fn ask(client: &Client, number: usize, body: &Value) -> RequestBuilder {
    let from = format!("198.51.{}.{}", number % ADDRESSES / 250, number % 250);
    let request = client.post("/v1/chat/completions", body).header("x-forwarded-for", from);
    request.header("x-backstop-feature", "search")
}

criterion_group!(benches, limits);
criterion_main!(benches);
