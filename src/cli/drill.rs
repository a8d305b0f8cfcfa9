//! `backstop drill`: game days. A drill is put down in the database with its audit entry; the running server takes it up, ends it and reports.

mod shown;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, installation::Installation, operator::operator, print};
use crate::{
    admin::view::DrillOn,
    clock,
    config::{Criticality, Settings},
    domain::{Act, Action, RouteId, VendorId},
    relay::health::read_views,
    release::{
        Gate,
        drill::{DrillPlan, LONGEST_MS, Mode, Prospect, Report, TAKEN_WITHIN_MS, all_vendors, prospect},
        shelf::Shelf,
    },
    store::{DrillEnd, DrillRow, Record, Store},
};

/// A server's word that is older than this is of one that does not run, in ms.
const FRESH_MS: i64 = 10_000;
/// How long it waits for files that do not answer.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Game days: outage, stop, status, report
#[derive(Debug, Args)]
pub struct DrillArgs {
    #[command(subcommand)]
    verb: DrillVerb,
}

#[derive(Debug, Subcommand)]
enum DrillVerb {
    /// For some calls vendors are seen as down; who serves then, how well and how fast, is reported
    ///
    /// A running server does it. By default it asks the questions itself, from the suite of each route, and callers notice nothing; with
    /// --live-pct a part of their calls sees the vendors as down. Waits for the end and prints the report; exits 1 where a route does not hold.
    Outage(OutageArgs),
    /// End the drill that is on
    Stop {
        /// Why; it stays readable in the audit log for ever
        #[arg(long, default_value = "stopped")]
        reason: String,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Past drills, and critical routes whose last one is too old; exits 1 where there are any
    Status {
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// What a drill showed
    Report {
        /// Its id [default: the last one]
        id: Option<String>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct OutageArgs {
    /// A route to drill; may be given more than once
    #[arg(long = "route", value_name = "ROUTE", required_unless_present = "all", conflicts_with = "all")]
    routes: Vec<String>,
    /// Every route that has a target of those vendors
    #[arg(long)]
    all: bool,
    /// Who is seen as down [default: every vendor but our own hardware]
    #[arg(long, value_name = "VENDOR,…", value_delimiter = ',')]
    vendors: Vec<String>,
    /// How long it takes at most; questions are spread over it
    #[arg(long, value_parser = humantime::parse_duration, default_value = "5m", value_name = "DURATION")]
    duration: Duration,
    /// The server asks questions of each route's suite; callers notice nothing (the default)
    #[arg(long, conflicts_with = "live_pct")]
    synthetic: bool,
    /// So many of a hundred calls of callers see the vendors as down
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    live_pct: Option<u8>,
    /// So many questions a route [default: the config's drill.questions, 40]
    #[arg(long, value_name = "N", conflicts_with = "live_pct", value_parser = clap::value_parser!(u16).range(1..=1000))]
    questions: Option<u16>,
    /// Why; it stays readable in the audit log for ever
    #[arg(long)]
    reason: Option<String>,
    /// Do not wait for its end
    #[arg(long)]
    detach: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: DrillArgs) -> anyhow::Result<ExitCode> {
    let installation = Installation::find(context)?;
    let store = installation.store().await?;
    match args.verb {
        DrillVerb::Outage(args) => outage(&installation, &store, args).await,
        DrillVerb::Stop { reason, json } => stop(&installation, &store, (&reason, json)).await,
        DrillVerb::Status { limit, json } => shown::status(&installation, &store, limit, json).await,
        DrillVerb::Report { id, json } => {
            let row = match &id {
                Some(id) => store.find_drill(id.clone()).await?.with_context(|| format!("there is no drill {id}"))?,
                None => {
                    let ended = store.drills(1000).await?.into_iter().find(|row| row.ended_unix_ms.is_some());
                    ended.context("there was no drill yet; `backstop drill outage --all` begins one")?
                }
            };
            shown::report(&reported(&row)?, json)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn outage(installation: &Installation, store: &Store, args: OutageArgs) -> anyhow::Result<ExitCode> {
    let duration_ms = i64::try_from(args.duration.as_millis()).unwrap_or(i64::MAX);
    if duration_ms == 0 || duration_ms > LONGEST_MS {
        eprintln!("error: --duration takes more than nothing and at most 24h");
        return Ok(ExitCode::from(2));
    }
    let seen = read_views(&installation.state.health()).ok().flatten();
    if seen.is_none_or(|seen| clock::unix_ms().saturating_sub(seen.at_unix_ms) > FRESH_MS) {
        bail!("no gateway serves on this state directory, and a drill is held by one; start `backstop serve` first");
    }
    let filed = installation.settings_or_embedded()?;
    let shelf = Shelf::open(&installation.state, Some(store.clone()));
    let settings = shelf.read().await.map(|known| known.book.applied(&filed)).unwrap_or(filed);
    let plan = planned(installation, settings, &args, duration_ms).await?;
    let now = clock::unix_ms();
    let row = DrillRow {
        id: clock::entry_id(),
        plan: serde_json::to_string(&plan)?,
        asked_unix_ms: now,
        ends_unix_ms: now.saturating_add(duration_ms),
        taken_unix_ms: None,
        ended_unix_ms: None,
        outcome: None,
        report: None,
    };
    let act = Act::new(operator(), Action::DrillStart, ("drill", row.id.as_str())).after(json!(plan));
    let act = plan.reason.iter().cloned().fold(act, Act::reason);
    let audit = installation.audit_on(store.clone()).await?;
    if !store.open_drill(row.clone(), Record::of(&act)).await? {
        bail!("a drill is on already; `backstop drill status` shows it and `backstop drill stop` ends it");
    }
    installation.sign(&audit).await;
    let Some(taken) = taken(store, &row).await? else {
        withdraw(store, &row, plan).await?;
        bail!("no gateway took the drill up within {} s; see that `backstop serve` runs", TAKEN_WITHIN_MS / 1000);
    };
    if args.detach && taken.ended_unix_ms.is_none() {
        match args.json {
            true => print::json(&json!({ "drill": row.id, "plan": plan, "ends_unix_ms": row.ends_unix_ms }))?,
            false => {
                print::text(&format!("drill {} is on; `backstop drill report {}` once it is over\n", row.id, row.id))?
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    print::note(&format!("drill {} is on, until {} at most", row.id, print::moment(row.ends_unix_ms)));
    let report = reported(&ended(store, &row.id).await?)?;
    installation.sign(&audit).await;
    if report.outcome == "refused" {
        if args.json {
            print::json(&report)?;
        }
        bail!("the drill is refused: {}", report.why.unwrap_or_default());
    }
    shown::report(&report, args.json)?;
    let holds = !report.routes.is_empty() && report.routes.iter().all(|route| route.holds);
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is asked for, if it can be held.
async fn planned(
    installation: &Installation,
    settings: Settings,
    args: &OutageArgs,
    duration_ms: i64,
) -> anyhow::Result<DrillPlan> {
    let gate = Gate::open(&installation.state)?;
    let looked = settings.clone();
    let standings = tokio::task::spawn_blocking(move || gate.examine(&looked, PATIENCE).standings).await?;
    let vendors = vendors(&settings, &args.vendors)?;
    let down: BTreeSet<VendorId> = vendors.iter().cloned().collect();
    let mut prospects = BTreeMap::new();
    let mut routes: Vec<RouteId> = args.routes.iter().map(RouteId::new).collect();
    if args.all {
        routes = settings.routes.keys().cloned().collect();
    }
    routes.sort();
    routes.dedup();
    for name in &routes {
        let Some(route) = settings.routes.get(name) else {
            let known: Vec<&str> = settings.routes.keys().map(RouteId::as_str).collect();
            bail!("there is no route `{name}`; routes: {}", known.join(", "));
        };
        prospects.insert(name, prospect(&settings, &standings, route, &down));
    }
    let names: Vec<&str> = vendors.iter().map(VendorId::as_str).collect();
    for (name, prospect) in &prospects {
        let critical = settings.routes.get(*name).is_some_and(|route| route.criticality == Criticality::Critical);
        match prospect {
            Prospect::Nobody if critical => bail!(
                "on the critical route `{name}` nobody would be left to serve without {}; give it a certified target of another vendor first",
                names.join(", ")
            ),
            Prospect::Nobody => eprintln!("warning: on route `{name}` nobody is left to serve: its calls will fail"),
            Prospect::Untouched if !args.all => {
                bail!("route `{name}` has no target of {}: nothing of it would be down", names.join(", "))
            }
            Prospect::Untouched | Prospect::Serves(_) => {}
        }
    }
    let touched = |name: &RouteId| prospects.get(name).is_some_and(|found| *found != Prospect::Untouched);
    let routes: Vec<RouteId> = routes.iter().filter(|name| touched(name)).cloned().collect();
    if routes.is_empty() {
        bail!("no route has a target of {}", if names.is_empty() { "any vendor".to_owned() } else { names.join(", ") });
    }
    let (mode, questions) = match args.live_pct {
        Some(_) => (Mode::Live, 0),
        None => (Mode::Synthetic, args.questions.map_or(settings.drill.questions, usize::from)),
    };
    let live_pct = args.live_pct.unwrap_or(0);
    Ok(DrillPlan { mode, live_pct, routes, vendors, duration_ms, questions, reason: args.reason.clone() })
}

fn vendors(settings: &Settings, named: &[String]) -> anyhow::Result<Vec<VendorId>> {
    if named.is_empty() {
        return Ok(all_vendors(settings));
    }
    let mut vendors: Vec<VendorId> = named.iter().map(|name| VendorId::new(name.trim())).collect();
    vendors.sort();
    vendors.dedup();
    if let Some(unknown) = vendors.iter().find(|id| !id.is_local() && !settings.vendors.contains_key(*id)) {
        let known: Vec<&str> = settings.vendors.keys().map(VendorId::as_str).collect();
        bail!("there is no vendor `{unknown}`; those there are: {}", known.join(", "));
    }
    Ok(vendors)
}

/// The drill once a server has it, or has refused it; `None`: none has.
async fn taken(store: &Store, row: &DrillRow) -> anyhow::Result<Option<DrillRow>> {
    while clock::unix_ms() < row.asked_unix_ms + TAKEN_WITHIN_MS {
        let found = store.find_drill(row.id.clone()).await?;
        if let Some(found) = found.filter(|found| found.taken_unix_ms.is_some() || found.ended_unix_ms.is_some()) {
            return Ok(Some(found));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(None)
}

async fn withdraw(store: &Store, row: &DrillRow, plan: DrillPlan) -> anyhow::Result<()> {
    let (now, why) = (clock::unix_ms(), "no gateway took it up".to_owned());
    let outcome = "withdrawn";
    let act = Act::new(operator(), Action::DrillEnd, ("drill", row.id.as_str()));
    let act = act.after(json!({ "outcome": outcome })).reason(why.clone());
    let report = Report {
        drill: row.id.clone(),
        plan,
        outcome: outcome.to_owned(),
        why: Some(why),
        began_unix_ms: row.asked_unix_ms,
        ended_unix_ms: now,
        routes: Vec::new(),
    };
    let report = Some(serde_json::to_string(&report)?);
    let end = DrillEnd { id: row.id.clone(), at_unix_ms: now, outcome, report };
    store.close_drill(end, Record::of(&act)).await?;
    Ok(())
}

/// The drill once it is over; a server that ended meanwhile goes on when it is started again.
async fn ended(store: &Store, id: &str) -> anyhow::Result<DrillRow> {
    loop {
        let found = store.find_drill(id.to_owned()).await?.with_context(|| format!("there is no drill {id}"))?;
        if found.ended_unix_ms.is_some() {
            return Ok(found);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn stop(installation: &Installation, store: &Store, (reason, json): (&str, bool)) -> anyhow::Result<ExitCode> {
    let Some(row) = store.drill_on().await? else { bail!("no drill is on") };
    let now = clock::unix_ms();
    let act = Act::new(operator(), Action::DrillStop, ("drill", row.id.as_str()))
        .before(json!({ "ends_unix_ms": row.ends_unix_ms }))
        .after(json!({ "ends_unix_ms": now }))
        .reason(reason);
    let audit = installation.audit_on(store.clone()).await?;
    if !store.stop_drill(row.id.clone(), now, Record::of(&act)).await? {
        bail!("the drill is about to end by itself");
    }
    installation.sign(&audit).await;
    match json {
        true => print::json(&json!({ "drill": row.id, "ends_unix_ms": now }))?,
        false => print::text(&format!("drill {} ends; a running gateway follows within a second\n", row.id))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The drill that `route` is in now, for the verbs that show routes. Without a database none is known.
pub(super) async fn drill_on(installation: &Installation, route: &RouteId) -> Option<DrillOn> {
    let row = installation.store().await.ok()?.drill_on().await.ok()??;
    DrillOn::of(&row, route, clock::unix_ms())
}

/// One line for people.
pub(super) fn said_of(drill: &DrillOn) -> String {
    let vendors: Vec<String> = drill.plan.iter().flat_map(|plan| &plan.vendors).map(ToString::to_string).collect();
    let until = print::moment(drill.ends_unix_ms);
    format!("a drill is on until {until}; seen as down for its calls: {} ({})", vendors.join(", "), drill.id)
}

fn reported(row: &DrillRow) -> anyhow::Result<Report> {
    let json = row.report.as_deref();
    let json = json.with_context(|| format!("drill {} has no report yet: it is on", row.id))?;
    serde_json::from_str(json).with_context(|| format!("the report of drill {} cannot be read", row.id))
}
