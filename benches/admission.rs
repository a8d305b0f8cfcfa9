//! What limits cost a call by themselves, without HTTP, a vendor and a ledger: taking a call on and settling it with no limit and with all of
//! them, the share cap's part of it, and counting a prompt. And that ten thousand calls at once overspend a hard budget by nothing.
//!
//! `cargo bench --bench admission`, on a machine with nothing else to do; `cargo test --release --bench admission` runs each once.

use std::{borrow::Cow, hint::black_box};

use backstop::{
    clock,
    config::{Limits, Settings},
    domain::{FeatureId, KeyId, Money, RouteId, TenantId, VendorId, Volume},
    limit::{
        Ask, Encoding, Framing, Limited, Limiter, Share, Subject, prompt_tokens,
        share::{Draw, Reach},
    },
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::sync::mpsc;

/// No call comes near any of them.
const WIDE: Limits = Limits {
    requests_per_minute: Some(1 << 40),
    tokens_per_minute: Some(1 << 50),
    requests_per_day: Some(1 << 45),
    tokens_per_day: Some(1 << 55),
    concurrency: Some(1 << 20),
    budget_per_day: Some(Money::from_micros(1 << 60)),
    budget_per_week: Some(Money::from_micros(1 << 60)),
    budget_per_month: Some(Money::from_micros(1 << 60)),
    ..Limits::NONE
};

/// Tenant, key, feature, model, and the tenant's calls of the model.
fn whom(limits: Limits) -> Vec<Limited> {
    let (tenant, route) = (TenantId::new("acme"), RouteId::new("chat"));
    let subjects = [
        Subject::Tenant(tenant.clone()),
        Subject::Key(KeyId::new("k1")),
        Subject::Feature(tenant.clone(), FeatureId::new("search")),
        Subject::Model(route.clone()),
        Subject::TenantModel(tenant, route),
    ];
    subjects.into_iter().map(|subject| Limited { subject, limits }).collect()
}

fn limiter() -> Limiter {
    Limiter::new(mpsc::channel(64).0)
}

fn ask() -> Ask {
    Ask { at_unix_ms: clock::unix_ms(), requests: 1, tokens: 300, in_flight: 1 }
}

fn admission(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a call taken on and settled");
    for (name, limits) in [("without limits", Limits::NONE), ("with all limits", WIDE)] {
        let limiter = limiter();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut permit = limiter.admit(whom(limits), ask()).expect("the limits are wide");
                permit.reserve(Money::from_micros(900)).expect("so are the budgets");
                permit.settle(280, Money::from_micros(400));
            });
        });
    }
    let (share, vendor) = (Share::new(&Settings::default()), VendorId::new("near"));
    let volume = Volume { tokens: 4300, requests: 1, cost_micros: 900 };
    group.bench_function("the share cap alone", |bencher| {
        bencher.iter(|| {
            let draw = Draw { bound: volume, likely: volume, unpriced: false };
            black_box(share.look(&vendor, draw, 0.5));
            let held = share.take(&vendor, draw, Reach::Edge).expect("the volume is small yet");
            held.settle(Volume { tokens: 0, requests: 0, cost_micros: 0 }, clock::unix_ms());
        });
    });
    group.finish();
}

fn prompts(criterion: &mut Criterion) {
    let words = "The gateway counts what it can and guesses the rest. ";
    let mut group = criterion.benchmark_group("a prompt counted by o200k");
    for (name, text) in [
        ("212 bytes", words.repeat(4)),
        ("32 KiB", words.repeat((32 << 10) / words.len())),
        ("4 MiB", words.repeat((4 << 20) / words.len())),
        ("4 MiB of one letter", "a".repeat(4 << 20)),
        ("4 MiB without a blank", "xqzj0}]".repeat((4 << 20) / 7)),
    ] {
        let texts: [Cow<'_, str>; 1] = [Cow::Owned(text)];
        group.throughput(Throughput::Bytes(texts[0].len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| prompt_tokens(&texts, Framing::default(), |text| Encoding::O200k.tokens_in(text)));
        });
    }
    group.finish();
}

fn ten_thousand(criterion: &mut Criterion) {
    const THREADS: usize = 16;
    const CALLS: usize = 625;
    let limit = Money::from_micros(1_000_000);
    let limits = Limits { budget_per_day: Some(limit), ..Limits::NONE };
    let mut group = criterion.benchmark_group("10,000 calls at once against one hard budget");
    group.sample_size(10).throughput(Throughput::Elements((THREADS * CALLS) as u64));
    group.bench_function("16 threads", |bencher| {
        bencher.iter(|| {
            let limiter = limiter();
            let caller = || {
                let mut held = Vec::with_capacity(CALLS);
                for _ in 0..CALLS {
                    let mut permit = limiter.admit(whom(limits), ask()).expect("there are no rates");
                    if permit.reserve(Money::from_micros(150)).is_ok() {
                        held.push(permit);
                    }
                }
                let spent = held.len() as i64 * 150;
                held.into_iter().for_each(|permit| permit.settle(10, Money::from_micros(150)));
                spent
            };
            let spent: i64 = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(caller)).collect();
                threads.into_iter().map(|thread| thread.join().expect("no caller panics")).sum()
            });
            assert!(spent <= limit.micros && spent > limit.micros - 150, "{spent} of {limit}");
        });
    });
    group.finish();
}

criterion_group!(benches, admission, prompts, ten_thousand);
criterion_main!(benches);
