//! `backstop share`: how much of the volume each vendor has, what it may have, and when it would reach that; overrides of the
//! cap; and the past replayed under other conditions.
//!
//! Reads the ledger; what calls under way have set aside only a running gateway knows (its metrics tell).

mod overriding;
mod simulating;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{
    Context,
    place::Place,
    print::{self, Align},
};
use crate::{
    admin::{verb::shares as verb, view::SharesView},
    limit::share::{OperatorShare, ShareView, percent},
    store::ShareOverride,
};

/// Shares: each vendor's part of the volume, its trend and forecast; override, simulate.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ShareArgs {
    #[command(subcommand)]
    verb: Option<ShareVerb>,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ShareVerb {
    Override(overriding::OverrideArgs),
    Simulate(simulating::SimulateArgs),
}

pub async fn run(context: &Context, args: ShareArgs) -> anyhow::Result<ExitCode> {
    match args.verb {
        Some(ShareVerb::Simulate(args)) => {
            context.is_here("the past is replayed where the ledger is")?;
            return simulating::run(&super::installation::Installation::find(context)?, args).await;
        }
        Some(ShareVerb::Override(args)) => return overriding::run(&Place::find(context).await?, args).await,
        None => {}
    }
    let shown: SharesView = match Place::find(context).await? {
        Place::Server(remote) => remote.get("/share", &[]).await?,
        Place::Here(here) => verb::shown(&here.site).await?,
    };
    if args.json {
        print::json(&shown)?;
    } else {
        print::text(&table(&shown.view, shown.overridden.as_ref()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(view: &ShareView, overridden: Option<&ShareOverride>) -> String {
    let window = match view.window_hours % 24 {
        0 => format!("{} d", view.window_hours / 24),
        _ => format!("{} h", view.window_hours),
    };
    let state = match &*view.state {
        "off" => "there is no cap (max 1)".to_owned(),
        "warming_up" => format!("not in force: less than min_volume, {}, was served in the window", view.min_volume),
        _ => "in force".to_owned(),
    };
    let mut said = format!(
        "unit {}  window {window}  soft {}  max {}  min_volume {}  total {}\ncap: {state}\n",
        view.unit,
        percent(view.soft),
        percent(view.max),
        view.min_volume,
        view.total
    );
    if let Some(ShareOverride { id, ends_unix_ms, reason, .. }) = overridden {
        said.push_str(&format!("OVERRIDDEN until {}: {reason} ({id})\n", print::moment(*ends_unix_ms)));
    }
    if view.vendors.is_empty() {
        said.push_str("\nnothing was served in the window\n");
        return said;
    }
    let columns = [
        ("vendor", Align::Left),
        ("served", Align::Right),
        ("share", Align::Right),
        ("last 24 h", Align::Right),
        ("trend", Align::Right),
        ("state", Align::Left),
        ("reaches max", Align::Left),
    ];
    let lines: Vec<Vec<String>> = view.vendors.iter().map(|share| line(view, share)).collect();
    said.push_str(&format!("\n{}\n", print::table(&columns, &lines)));
    said.push_str(
        "trend: the share of the last 24 h less that of the window; reaches max: the first day on which the share of the \
         window is the cap, if all coming days are like the mean of the last seven (linear; old hours fall out)\n",
    );
    said
}

fn line(view: &ShareView, share: &OperatorShare) -> Vec<String> {
    let none = || "-".to_owned();
    let trend = share.share_of_last_day.map(|last| format!("{:+.1} pp", (last - share.share) * 100.0));
    let reaches = share.reaches_max_unix_ms.map(|at| match at <= view.at_unix_ms {
        true => "now".to_owned(),
        false => print::moment(at).chars().take(10).collect(),
    });
    vec![
        share.vendor.clone().unwrap_or_else(|| "own hardware".to_owned()),
        share.served.to_string(),
        percent(share.share),
        share.share_of_last_day.map_or_else(none, percent),
        trend.unwrap_or_else(none),
        share.state.to_string(),
        reaches.unwrap_or_else(none),
    ]
}
