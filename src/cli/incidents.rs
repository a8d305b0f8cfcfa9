//! `backstop incidents`: what others reported on routes, and a report of one's own to a gateway that runs.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::{
    Context, Usage,
    place::Place,
    print::{self, Align},
};
use crate::{
    admin::view::IncidentView,
    domain::RouteId,
    release::{Phase, Taken},
};

/// Incidents on routes: list, report.
#[derive(Debug, Args)]
pub struct IncidentsArgs {
    #[command(subcommand)]
    verb: IncidentsVerb,
}

#[derive(Debug, Subcommand)]
enum IncidentsVerb {
    /// The latest incidents, and what each has led to
    List {
        /// Only of this route
        #[arg(long)]
        route: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Report one, or its end, to a gateway that runs; of severity 1 or 2 it takes the route back to its retained release
    Report(ReportArgs),
}

#[derive(Debug, Args)]
struct ReportArgs {
    route: String,
    /// 1 (the worst) to 5
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=5))]
    severity: u8,
    /// For people; kept, so it must not name a person
    #[arg(long)]
    title: String,
    /// What it is called where it comes from: reports of the same one belong together [default: one of its own]
    #[arg(long)]
    id: Option<String>,
    /// It is over
    #[arg(long, requires = "id")]
    resolved: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: IncidentsArgs) -> anyhow::Result<ExitCode> {
    let place = Place::find(context).await?;
    match args.verb {
        IncidentsVerb::List { route, limit, json } => {
            let incidents: Vec<IncidentView> = match &place {
                Place::Server(remote) => {
                    remote.get("/incidents", &[("route", route), ("limit", Some(limit.to_string()))]).await?
                }
                Place::Here(here) => {
                    let rows = here.site.store()?.incidents(route.map(RouteId::new), limit).await?;
                    rows.into_iter().map(IncidentView::from).collect()
                }
            };
            if json {
                print::json(&incidents)?
            } else {
                print::text(&table(&incidents))?
            }
            Ok(ExitCode::SUCCESS)
        }
        IncidentsVerb::Report(args) => report(&place, args).await,
    }
}

async fn report(place: &Place, args: ReportArgs) -> anyhow::Result<ExitCode> {
    let Place::Server(remote) = place else {
        let why = "an incident is taken by a gateway that runs: name it with --server; where none runs, `backstop release rollback` takes a route back";
        return Err(Usage(why.to_owned()).into());
    };
    let ReportArgs { route, severity, title, id, resolved, json } = args;
    let status = if resolved { Phase::Resolved } else { Phase::Triggered };
    let body = json!({ "id": id, "route": route, "severity": severity, "title": title, "status": status });
    let taken: Taken = remote.write(Method::POST, "/incidents", &body).await?;
    if json {
        print::json(&taken)?;
    } else {
        print::text(&format!("{route}: {}\n", taken.detail))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(incidents: &[IncidentView]) -> String {
    let columns = ["opened", "route", "severity", "source", "id", "title", "resolved", "outcome"];
    let cells = |one: &IncidentView| {
        vec![
            print::moment(one.opened_unix_ms),
            one.route.clone(),
            one.severity.to_string(),
            one.source.clone(),
            one.id.clone(),
            one.title.clone(),
            one.resolved_unix_ms.map_or_else(|| "-".to_owned(), print::moment),
            one.outcome.clone().unwrap_or_default(),
        ]
    };
    print::table(&columns.map(|head| (head, Align::Left)), &incidents.iter().map(cells).collect::<Vec<_>>())
}
