//! `backstop drill`: game days. A drill is put down in the database with its audit entry; the running server takes it up, ends it and reports.

mod shown;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::{
    Context, Usage,
    place::Place,
    print,
    remote::{Remote, part},
};
use crate::{
    admin::{
        verb::drills as verb,
        view::{DrillBegun, DrillOn, DrillStopped, DrillView, DrillsView},
    },
    release::drill::{LONGEST_MS, Report},
};

/// Between two looks whether a drill is over: here, and over a network.
const LOOK: Duration = Duration::from_millis(50);
const LOOK_THERE: Duration = Duration::from_millis(500);

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
    let place = Place::find(context).await?;
    match args.verb {
        DrillVerb::Outage(args) => outage(&place, args).await,
        DrillVerb::Stop { reason, json } => {
            let stopped: DrillStopped = match &place {
                Place::Server(remote) => {
                    remote.write(Method::POST, "/drills/stop", &json!({ "reason": reason })).await?
                }
                Place::Here(here) => {
                    let stopped = verb::stop(&here.site, &reason).await?;
                    here.sign().await?;
                    stopped
                }
            };
            match json {
                true => print::json(&stopped)?,
                false => {
                    print::text(&format!("drill {} ends; a running gateway follows within a second\n", stopped.drill))?
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        DrillVerb::Status { limit, json } => {
            let view: DrillsView = match &place {
                Place::Server(remote) => remote.get("/drills", &[("limit", Some(limit.to_string()))]).await?,
                Place::Here(here) => verb::status(&here.site, limit).await?,
            };
            shown::status(&view, json)
        }
        DrillVerb::Report { id, json } => {
            shown::report(&report(&place, id.as_deref()).await?, json)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn outage(place: &Place, args: OutageArgs) -> anyhow::Result<ExitCode> {
    let duration_ms = i64::try_from(args.duration.as_millis()).unwrap_or(i64::MAX);
    if duration_ms == 0 || duration_ms > LONGEST_MS {
        return Err(Usage("--duration takes more than nothing and at most 24h".to_owned()).into());
    }
    let (json, detach) = (args.json, args.detach);
    let begun = begin(place, args, duration_ms).await?;
    begun.cautions.iter().for_each(|caution| eprintln!("warning: {caution}"));
    let DrillView { drill: id, plan, ends_unix_ms, ended_unix_ms, .. } = begun.drill;
    if detach && ended_unix_ms.is_none() {
        match json {
            true => print::json(&json!({ "drill": id, "plan": plan, "ends_unix_ms": ends_unix_ms }))?,
            false => print::text(&format!("drill {id} is on; `backstop drill report {id}` once it is over\n"))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    print::note(&format!("drill {id} is on, until {} at most", print::moment(ends_unix_ms)));
    ended(place, &id).await?;
    let report = report(place, Some(&id)).await?;
    if let Place::Here(here) = place {
        here.sign().await?;
    }
    if report.outcome == "refused" {
        if json {
            print::json(&report)?;
        }
        anyhow::bail!("the drill is refused: {}", report.why.unwrap_or_default());
    }
    shown::report(&report, json)?;
    let holds = !report.routes.is_empty() && report.routes.iter().all(|route| route.holds);
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn begin(place: &Place, args: OutageArgs, duration_ms: i64) -> anyhow::Result<DrillBegun> {
    let OutageArgs { routes, all, vendors, live_pct, questions, reason, .. } = args;
    match place {
        Place::Server(remote) => {
            let body = json!({
                "routes": routes, "all": all, "vendors": vendors, "duration_ms": duration_ms, "live_pct": live_pct,
                "questions": questions, "reason": reason,
            });
            remote.write(Method::POST, "/drills", &body).await
        }
        Place::Here(here) => {
            let order = verb::DrillOrder { routes, all, vendors, duration_ms, live_pct, questions, reason };
            let begun = verb::begin(&here.site, order).await?;
            here.sign().await?;
            Ok(begun)
        }
    }
}

/// Waits until it is over; a gateway that ended meanwhile goes on when it is started again.
async fn ended(place: &Place, id: &str) -> anyhow::Result<()> {
    loop {
        let (drill, pause) = match place {
            Place::Server(remote) => (found(remote, id).await?, LOOK_THERE),
            Place::Here(here) => (verb::find(&here.site, id).await?, LOOK),
        };
        if drill.ended_unix_ms.is_some() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
}

async fn found(remote: &Remote, id: &str) -> anyhow::Result<DrillView> {
    let found = remote.get(&format!("/drills/{}", part(id)), &[]).await;
    found.with_context(|| format!("the drill goes on; `backstop drill report {id}` once it is over"))
}

async fn report(place: &Place, id: Option<&str>) -> anyhow::Result<Report> {
    match place {
        Place::Server(remote) => remote.get(&format!("/drills/{}/report", part(id.unwrap_or("last"))), &[]).await,
        Place::Here(here) => Ok(verb::report(&here.site, id).await?),
    }
}

/// One line for people.
pub(super) fn said_of(drill: &DrillOn) -> String {
    let vendors: Vec<String> = drill.plan.iter().flat_map(|plan| &plan.vendors).map(ToString::to_string).collect();
    let until = print::moment(drill.ends_unix_ms);
    format!("a drill is on until {until}; seen as down for its calls: {} ({})", vendors.join(", "), drill.id)
}
