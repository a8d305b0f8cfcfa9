//! A soak: many streams at once for a while, a quarter of them faulty, callers leaving at random, a reload in the middle.
//!
//! What it shows: no caller gets a mixed or falsely whole answer; nothing is leaked (calls, replies, descriptors, threads,
//! breaker probes, memory); every call is one true row of the ledger. A short one runs with the other tests;
//! `BACKSTOP_SOAK=full` makes it five minutes of 200 streams. `BACKSTOP_SOAK_SEED` repeats the draws of an earlier one.

mod books;
mod caller;
mod draw;
mod fake;
mod judge;
mod watch;

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{config::Config, gateway::Gateway, home::Home, vendor::Vendor};
use caller::{Door, Heard, Heeded};
use draw::{Dialect, Plan, ROUTES, Seed};
use judge::Judge;
use watch::Look;

const DEADLINES: &str = "{ connect: 1s, first_token: 4s, idle: 4s, attempt: 4s, total: 20s }";

/// The first half: no breaker opens, so that every fault is met.
const LENIENT: &str = "breaker: { consecutive: 1000, min_calls: 100000 }";
/// The second half: breakers open when they do by default, and close within what a test can wait for.
const USUAL: &str = "breaker: { cooldown: 1s, max_cooldown: 4s, recovery: 2s }";

/// What resident memory may grow by after the first quarter: a tenth, and what an allocator keeps for itself.
const GROWTH: f64 = 0.1;
const SLACK: u64 = 16 << 20;

/// Descriptors that may be open for reasons of their own: a ledger segment, a metrics connection.
const FILES: usize = 8;

/// Threads that may be there by chance: of what looks after files now and then (config, vault, ledger, health), some at
/// the same time.
const THREADS: u64 = 4;

/// How much of a soak there is.
#[derive(Debug, Clone, Copy)]
struct Size {
    streams: usize,
    time: Duration,
}

/// Everything that callers share.
struct Load {
    door: Door,
    seed: Seed,
    next: AtomicU64,
}

impl Size {
    fn asked_for() -> Self {
        match env::var("BACKSTOP_SOAK").as_deref() {
            Ok("full") => Self { streams: 200, time: Duration::from_secs(300) },
            _ => Self { streams: 50, time: Duration::from_secs(20) },
        }
    }
}

impl Seed {
    fn asked_for() -> Self {
        let given = env::var("BACKSTOP_SOAK_SEED").ok();
        given.map_or_else(|| Self(rand::random()), |seed| Self(seed.parse().expect("BACKSTOP_SOAK_SEED is a number")))
    }
}

impl Load {
    fn plan(&self) -> Plan {
        Plan::of(self.seed, self.next.fetch_add(1, Ordering::Relaxed))
    }

    async fn call(&self, plan: Plan) -> Heard {
        caller::call(&self.door, plan, Judge::new(self.seed, plan)).await
    }

    /// One stream after the other until `end`.
    async fn streams(self: Arc<Self>, end: Instant) -> Vec<Heard> {
        let mut heard = Vec::new();
        while Instant::now() < end {
            heard.push(self.call(self.plan()).await);
        }
        heard
    }
}

fn config(vendors: &[Vendor; 2], breaker: &str) -> String {
    let [near, far] = vendors;
    let config = Config::warn().vendor("near", "openai", &near.url()).vendor("far", "anthropic", &far.url());
    let route = |config: Config, (name, ladder, fields): &(&str, [&str; 2], &str)| {
        config.route_with(name, ladder, &format!("deadlines: {DEADLINES}, {fields}"))
    };
    ROUTES.iter().fold(config, route).more(breaker).text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_mixed_lost_or_leaked_however_vendors_fail_and_callers_leave() {
    let (size, seed) = (Size::asked_for(), Seed::asked_for());
    eprintln!("a soak of {} streams for {:?}; BACKSTOP_SOAK_SEED={}", size.streams, size.time, seed.0);
    let calm = Arc::new(AtomicBool::new(false));
    let near = fake::start(seed, ("near", Dialect::Openai), Arc::clone(&calm)).await;
    let far = fake::start(seed, ("far", Dialect::Anthropic), Arc::clone(&calm)).await;
    let vendors = [near, far];
    let home = Home::new(&config(&vendors, LENIENT));
    let gateway = home.serve();
    let address = gateway.url().trim_start_matches("http://").to_owned();
    let load = Arc::new(Load { door: Door { address, key: gateway.key().to_owned() }, seed, next: AtomicU64::new(0) });
    // What is opened at the first call is open at the start.
    let mut heard = vec![load.call(load.plan()).await];
    let start = Look::at(&gateway, Duration::ZERO);

    let end = Instant::now() + size.time;
    let callers: Vec<_> = (0..size.streams).map(|_| tokio::spawn(Arc::clone(&load).streams(end))).collect();
    let mut looks = watch::looks(&gateway, size.time / 2).await;
    home.configure(&config(&vendors, USUAL));
    gateway.signal("HUP");
    let half = size.time / 2;
    looks
        .extend(watch::looks(&gateway, size.time - half).await.iter().map(|look| Look { at: look.at + half, ..*look }));
    for caller in callers {
        heard.extend(caller.await.expect("a caller does not panic"));
    }
    let applied = watch::metric(&gateway, "backstop_config_reloads_total{result=\"applied\"}").await;
    assert_eq!(applied, Some(1.0), "the second half's config was taken over once");

    summary(&heard, &looks, start);
    let last = unwinds(&gateway, vendors, (&load, &calm), (start, &mut heard)).await;
    eprintln!("  at rest again: {} MiB, {} descriptors, {} threads", last.resident >> 20, last.files, last.threads);
    gateway.stop();
    let books = books::compare(&home, &heard);
    match &books {
        Ok(rows) => eprintln!("  ledger: {rows:?}"),
        Err(wrong) => eprintln!("  ledger: {} rows are wrong", wrong.len()),
    }
    let wrong: Vec<String> = heard.iter().filter(|call| matches!(call.end, Heeded::Wrong(_))).map(told).collect();
    assert!(wrong.is_empty(), "{} callers were told wrong:\n{}", wrong.len(), first(&wrong));
    if let Err(wrong) = books {
        panic!("{} rows are wrong:\n{}", wrong.len(), first(&wrong));
    }
    let (early, late) = (watch::resident(&looks, 0.2, 0.3), watch::resident(&looks, 0.9, 1.0));
    let most = early + (early as f64 * GROWTH) as u64 + SLACK;
    assert!(late <= most, "{} MiB after the first quarter, {} MiB at the end", early >> 20, late >> 20);
}

/// The load is over: everything that it has taken comes back.
async fn unwinds(
    gateway: &Gateway,
    vendors: [Vendor; 2],
    (load, calm): (&Load, &AtomicBool),
    (start, heard): (Look, &mut Vec<Heard>),
) -> Look {
    let in_flight = async || watch::metric(gateway, "backstop_calls_in_flight ").await;
    let left = watch::settles(Duration::from_secs(20), in_flight, |calls| *calls == Some(0.0)).await;
    left.unwrap_or_else(|left| panic!("{left:?} calls are still in flight though every caller is gone"));
    for vendor in &vendors {
        vendor.all_replied().await;
    }
    // A probe that was never given back would keep its breaker half open for ever.
    calm.store(true, Ordering::Relaxed);
    for (route, [flaky, _], _) in [ROUTES[0], ROUTES[1]] {
        let plan = || Plan { route, leaves: None, ..load.plan() };
        let ask = async || {
            let call = load.call(plan()).await;
            let served = call.served_by.clone();
            heard.push(call);
            served
        };
        let back = watch::settles(Duration::from_secs(60), ask, |served| served.as_deref() == Some(flaky)).await;
        back.unwrap_or_else(|served| panic!("{flaky} is well again and left alone; {served:?} serves"));
    }
    // Idle connections end with the fakes.
    drop(vendors);
    let now = async || Look::at(gateway, Duration::ZERO);
    let back = |look: &Look| look.files <= start.files + FILES && look.threads <= start.threads + THREADS;
    watch::settles(Duration::from_secs(30), now, back).await.unwrap_or_else(|look| {
        panic!("{start:?} has become {look:?}; open: {:#?}", gateway.open_files());
    })
}

fn told(call: &Heard) -> String {
    format!("{call:?}")
}

fn first(all: &[String]) -> String {
    all[..all.len().min(10)].join("\n")
}

fn summary(heard: &[Heard], looks: &[Look], start: Look) {
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for call in heard {
        let end = match call.end {
            Heeded::Whole if call.restarts > 0 => "whole after a restart",
            Heeded::Whole => "whole",
            Heeded::Interrupted => "interrupted",
            Heeded::Refused => "refused",
            Heeded::Left if call.id.is_none() => "left before the head",
            Heeded::Left => "left",
            Heeded::Wrong(_) => "WRONG",
        };
        *ends.entry(end).or_default() += 1;
    }
    let mut first: Vec<Duration> = heard.iter().filter_map(|call| call.first_content).collect();
    first.sort_unstable();
    let rank = |share: f64| first[((first.len() - 1) as f64 * share) as usize];
    let mib = |from, to| watch::resident(looks, from, to) >> 20;
    let most = |of: fn(&Look) -> u64| looks.iter().map(of).max().unwrap_or_default();
    eprintln!("  {} calls: {ends:?}", heard.len());
    eprintln!("  first content: p50 {:.0?}, p99 {:.0?}", rank(0.5), rank(0.99));
    let quarters = [(0.0, 0.1), (0.2, 0.3), (0.45, 0.55), (0.7, 0.8), (0.9, 1.0)].map(|(from, to)| mib(from, to));
    eprintln!("  resident: {} MiB at rest, {quarters:?} MiB by quarters", start.resident >> 20);
    eprintln!("  descriptors: {}, at most {}", start.files, most(|look| look.files as u64));
    eprintln!("  threads: {}, at most {}", start.threads, most(|look| look.threads));
}
