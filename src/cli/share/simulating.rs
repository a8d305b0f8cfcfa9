//! `backstop share simulate`: the ledger's calls planned anew, as if a vendor were gone, forbidden, or dearer.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;

use crate::{
    cli::{
        installation::Installation,
        print::{self, Align},
    },
    clock,
    config::Settings,
    domain::TargetId,
    ledger,
    limit::share::percent,
    relay::health::{HealthView, read_views},
    release::Gate,
    route::{CallKind, Change, Replay, ReplayReport, Side, Streamed, Timing},
    store::Store,
};

const DAY_MS: i64 = 24 * 3_600_000;
/// Calls of one page.
const PAGE: u32 = 5000;
/// How long to wait for files that do not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// With fewer calls in the ledger, a target's stored baseline tells more.
const ENOUGH: usize = 20;

/// Replay the past: where calls would go, at what cost and latency, and what would be refused
///
/// Calls keep what they used in truth; routes, certificates, prices and the share cap are those of now. Nothing fails in a
/// replay, and budgets, rates and breakers are not replayed.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// How many days back
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=366))]
    days: i64,
    /// As if this vendor were gone, by its name in the config or by who runs the models
    #[arg(long, value_name = "VENDOR", group = "change")]
    without: Option<String>,
    /// As if this vendor cost N times as much
    #[arg(long, value_name = "VENDOR=×N", group = "change")]
    price: Option<String>,
    /// As if nothing that this vendor runs could be used, through whomever
    #[arg(long, value_name = "VENDOR", group = "change")]
    forbid: Option<String>,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What was asked and what was found, for programs.
#[derive(Debug, Serialize)]
struct Simulated<'a> {
    days: i64,
    change: String,
    #[serde(flatten)]
    report: &'a ReplayReport,
}

pub(super) async fn run(installation: &Installation, args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let (settings, store) = (installation.settings_or_embedded()?, installation.store().await?);
    let change = match change(&settings, &args) {
        Ok(change) => change,
        Err(why) => {
            eprintln!("error: {why}");
            return Ok(ExitCode::from(2));
        }
    };
    ledger::catch_up(&installation.state, &store).await?;
    let gate = Gate::open(&installation.state)?;
    let standings = {
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || gate.examine(&settings, PATIENCE).standings).await?
    };
    let words = in_words(&change);
    let mut replay = Replay::new(&settings, &standings, change);
    let times = replay_all(&store, clock::unix_ms() - args.days * DAY_MS, &mut replay).await?;
    let view = read_views(&installation.state.health()).context("the stored latencies cannot be read")?;
    let view = view.unwrap_or_default();
    let timing = |target: &TargetId, streamed| {
        observed(&times, target, streamed).or_else(|| stored(&settings, &view, target, streamed))
    };
    let report = replay.finish(&timing);
    if args.json {
        print::json(&Simulated { days: args.days, change: words, report: &report })?;
    } else {
        print::text(&table(&report, args.days, &words))?;
    }
    Ok(ExitCode::SUCCESS)
}

type Times = BTreeMap<(TargetId, Streamed), Vec<f64>>;

/// Every call, page by page; and how long each target took, sorted.
async fn replay_all(store: &Store, since_unix_ms: i64, replay: &mut Replay<'_>) -> anyhow::Result<Times> {
    let (mut times, mut after) = (Times::new(), None);
    loop {
        let page = store.replay(since_unix_ms, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.at_unix_ms, last.call));
        for call in &page {
            replay.call(call);
            if let (true, Some(target), Some(waited)) = (call.answered, &call.target, call.waited_ms) {
                let streamed = if call.streamed { Streamed::Yes } else { Streamed::No };
                times.entry((target.clone(), streamed)).or_default().push(waited);
            }
        }
    }
    times.values_mut().for_each(|times| times.sort_by(f64::total_cmp));
    Ok(times)
}

fn observed(times: &Times, target: &TargetId, streamed: Streamed) -> Option<Timing> {
    let times = times.get(&(target.clone(), streamed)).filter(|times| times.len() >= ENOUGH)?;
    let at = |part: f64| times[((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1];
    Some(Timing { p50_ms: at(0.50), p99_ms: at(0.99) })
}

/// From the baselines that the gateway keeps; of whole answers, the kind with the most samples.
fn stored(settings: &Settings, view: &HealthView, target: &TargetId, streamed: Streamed) -> Option<Timing> {
    let (policy, now) = (&settings.latency, clock::unix_ms());
    let baselines = &view.targets.get(target)?.baselines;
    let is_asked = |kind: CallKind| match streamed {
        Streamed::Yes => kind == CallKind::FirstContent,
        Streamed::No => !matches!(kind, CallKind::FirstContent | CallKind::CountTokens | CallKind::Embed),
    };
    let kinds = baselines.iter().filter(|(kind, _)| is_asked(*kind));
    let (_, baseline) = kinds.max_by_key(|(kind, _)| baselines.threshold(*kind, now, policy).samples)?;
    let seen = baseline.observed(now, policy);
    let ms = |bound: Option<Duration>| bound.map(|bound| bound.as_secs_f64() * 1e3);
    Some(Timing { p50_ms: ms(seen.p50.bound())?, p99_ms: ms(seen.p99.bound())? })
}

fn change(settings: &Settings, args: &SimulateArgs) -> anyhow::Result<Change> {
    let known = |name: &str| -> anyhow::Result<String> {
        let operators = settings.vendors.values().filter(|vendor| !vendor.self_hosted).map(|vendor| vendor.operator());
        let names: BTreeSet<&str> = operators.chain(settings.vendors.keys().map(|id| id.as_str())).collect();
        if names.contains(name) || name == "local" {
            return Ok(name.to_owned());
        }
        bail!("there is no vendor `{name}`; those there are: {}", names.into_iter().collect::<Vec<_>>().join(", "))
    };
    /// A reseller's own name stands for whoever runs its models.
    fn operator(settings: &Settings, name: String) -> String {
        settings.vendors.get(name.as_str()).map_or(name, |vendor| vendor.operator().to_owned())
    }
    if let Some(name) = &args.without {
        return Ok(Change::Without(known(name)?));
    }
    if let Some(name) = &args.forbid {
        return Ok(Change::Forbid(operator(settings, known(name)?)));
    }
    let Some(price) = &args.price else { return Ok(Change::Nothing) };
    let (name, times) = price.split_once('=').context("--price takes VENDOR=×N, e.g. openai=×3")?;
    let times: f64 =
        times.trim_start_matches(['×', 'x', 'X', '*']).parse().context("--price takes a number after the ×")?;
    if !(0.0..=1000.0).contains(&times) {
        bail!("--price takes a number from 0 to 1000");
    }
    Ok(Change::Price(operator(settings, known(name)?), times))
}

fn in_words(change: &Change) -> String {
    match change {
        Change::Nothing => "as configured now".to_owned(),
        Change::Without(name) => format!("without {name}"),
        Change::Forbid(name) => format!("{name} forbidden"),
        Change::Price(name, times) => format!("{name} at ×{times} its price"),
    }
}

fn table(report: &ReplayReport, days: i64, change: &str) -> String {
    let mut said = format!(
        "{} calls of the last {days} d, {change}: {} would be served by another vendor or by nobody\n\n",
        report.calls, report.moved
    );
    if report.without_route > 0 {
        said.push_str(&format!("{} more calls are left out: their routes are gone\n", report.without_route));
    }
    let columns = [
        ("", Align::Left),
        ("target", Align::Left),
        ("vendor", Align::Left),
        ("calls", Align::Right),
        ("tokens", Align::Right),
        ("share", Align::Right),
        ("USD", Align::Right),
    ];
    let mut lines = Vec::new();
    for (name, side) in [("was", &report.before), ("would be", &report.after)] {
        lines.extend(side.targets.iter().map(|target| {
            vec![
                name.to_owned(),
                target.target.to_string(),
                target.vendor.clone().unwrap_or_else(|| "own hardware".to_owned()),
                target.calls.to_string(),
                target.tokens.to_string(),
                percent(target.share),
                target.cost_usd.clone(),
            ]
        }));
    }
    said.push_str(&print::table(&columns, &lines));
    said.push('\n');
    said.push_str(&summary("was", &report.before));
    said.push_str(&summary("would be", &report.after));
    said
}

fn summary(name: &str, side: &Side) -> String {
    let by: Vec<String> = side.refused_by.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    let timing = side.timing.map_or_else(
        || "latency not known".to_owned(),
        |timing| {
            format!("P50 {:.0} ms, P99 {:.0} ms (means over calls of their targets')", timing.p50_ms, timing.p99_ms)
        },
    );
    let unpriced = match side.unpriced_calls {
        0 => String::new(),
        calls => format!(" and {calls} calls at no known price"),
    };
    format!("{name}: served {}, refused {}{by}, {} USD{unpriced}, {timing}\n", side.served, side.refused, side.cost_usd)
}
