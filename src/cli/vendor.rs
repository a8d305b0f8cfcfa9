//! `backstop vendor evacuate`: away from a vendor within hours, in steps, and back with one command.

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::{
    Context, Usage,
    place::Place,
    print::{self, Align},
    remote::part,
};
use crate::{
    admin::{
        verb::evacuations as verb,
        view::{EvacuationView, LeavingView},
    },
    release::evacuation::{Instead, Move},
};

/// Vendors: get away from one
#[derive(Debug, Args)]
pub struct VendorArgs {
    #[command(subcommand)]
    verb: VendorVerb,
}

#[derive(Debug, Subcommand)]
enum VendorVerb {
    /// Move calls off a vendor on every route that has it; it is then asked last, when nobody else can answer
    ///
    /// Shows per route what serves instead, with its certificate, cost, latency and the share that its operator would have. A running
    /// server follows at once, and the database may be away. Repeat with a larger --pct for the next step.
    Evacuate {
        vendor: String,
        /// Only show what would serve
        #[arg(long)]
        dry_run: bool,
        /// So many of a hundred calls
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
        pct: u8,
        /// In steps of so many of a hundred calls, which a running server makes by itself; a rule that pauses or rolls back halts them
        #[arg(long, value_name = "PCT,…", value_delimiter = ',', conflicts_with = "pct", value_parser = clap::value_parser!(u8).range(1..=100))]
        steps: Vec<u8>,
        /// How long each step is looked at before the next
        #[arg(long, value_parser = humantime::parse_duration, default_value = "15m", value_name = "DURATION", requires = "steps")]
        every: Duration,
        /// Only show how far it is
        #[arg(long, conflicts_with_all = ["dry_run", "pct", "steps", "back"])]
        status: bool,
        /// Ask it in its place again
        #[arg(long, conflicts_with_all = ["dry_run", "pct", "steps"])]
        back: bool,
        #[arg(long, default_value = "evacuation")]
        reason: String,
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(context: &Context, args: VendorArgs) -> anyhow::Result<ExitCode> {
    let VendorVerb::Evacuate { vendor, dry_run, pct, steps, every, status, back, reason, json } = args.verb;
    let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    let how = if back { Ok(Move::Back) } else { verb::way(pct, steps, every_ms) };
    let how = how.map_err(Usage)?;
    let place = Place::find(context).await?;
    let path = format!("/vendors/{}/evacuation", part(&vendor));
    if status {
        let view: LeavingView = match &place {
            Place::Server(remote) => remote.get(&path, &[]).await?,
            Place::Here(here) => verb::status(&here.site, &vendor).await?,
        };
        show_status(&view, json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let view: EvacuationView = match &place {
        Place::Server(remote) if dry_run => remote.get(&format!("{path}/preview"), &[]).await?,
        Place::Server(remote) => {
            let (method, body) = match &how {
                Move::Back => (Method::DELETE, json!({ "reason": reason })),
                Move::Off(pct) => (Method::POST, json!({ "pct": pct, "reason": reason })),
                Move::InSteps { steps, every_ms } => {
                    (Method::POST, json!({ "steps": steps, "every_ms": every_ms, "reason": reason }))
                }
            };
            remote.write(method, &path, &body).await?
        }
        Place::Here(here) if dry_run => verb::preview(&here.site, &vendor).await?,
        Place::Here(here) => verb::evacuate(&here.site, &vendor, (&how, &reason)).await?,
    };
    view.cautions.iter().for_each(|caution| eprintln!("warning: {caution}"));
    if json {
        print::json(&view)?;
    } else {
        print::text(&table(&view.routes))?;
        told(&view, &how);
    }
    Ok(ExitCode::SUCCESS)
}

fn told(view: &EvacuationView, how: &Move) {
    let EvacuationView { vendor, pct, moved, .. } = view;
    let routes: Vec<String> = moved.iter().map(ToString::to_string).collect();
    let routes = routes.join(", ");
    match pct {
        None => {}
        Some(0) => println!("`{vendor}` is asked in its place again on: {routes}"),
        Some(pct) => {
            let then = match how {
                Move::InSteps { steps, every_ms } => {
                    let every = Duration::from_millis(every_ms.unsigned_abs());
                    format!(", then {:?} %, every {}", &steps[1..], humantime::format_duration(every))
                }
                Move::Off(_) | Move::Back => String::new(),
            };
            println!("{pct} % of the calls leave `{vendor}`{then} on: {routes}; --back takes them back");
        }
    }
}

/// How far each route has left the vendor.
fn show_status(view: &LeavingView, json: bool) -> anyhow::Result<()> {
    if json {
        return print::json(view);
    }
    if view.routes.is_empty() {
        return Ok(print::text(&format!("no route is leaving `{}`\n", view.vendor))?);
    }
    let rows = view.routes.iter().map(|one| {
        let next = one.next_pct.zip(one.next_unix_ms);
        let next = next.map(|(pct, at)| format!("{pct} % at {}", print::moment(at))).unwrap_or_default();
        vec![one.route.to_string(), format!("{} %", one.pct), next, one.halted.clone().unwrap_or_default()]
    });
    let heads = ["route", "leaves", "next", "halted"].map(|head| (head, Align::Left));
    Ok(print::text(&print::table(&heads, &rows.collect::<Vec<_>>()))?)
}

fn certificate(one: &Instead) -> String {
    let until = |ms| format!("until {}", &print::moment(ms)[..10]);
    let known = one.certified_until_unix_ms.map(until);
    one.objection.clone().or(known).unwrap_or_else(|| if one.serves.is_some() { "none needed" } else { "-" }.to_owned())
}

fn table(then: &[Instead]) -> String {
    let heads = ["route", "leaves", "instead", "certificate", "$ in/out", "before", "first token ms", "share"];
    let cost =
        |cost: &Option<(f64, f64)>| cost.map_or("?".to_owned(), |(input, output)| format!("{input:.2}/{output:.2}"));
    let ms = |ms: Option<f64>| ms.map_or("?".to_owned(), |ms| format!("{ms:.0}"));
    let rows = then.iter().map(|one| {
        let leaves: Vec<String> = one.leaves.iter().map(ToString::to_string).collect();
        let share = one.share.map_or("?".to_owned(), |share| format!("{:.0} %", share * 100.0));
        vec![
            one.route.to_string(),
            leaves.join(", "),
            one.serves.as_ref().map_or("nobody".to_owned(), ToString::to_string),
            certificate(one),
            cost(&one.usd_per_mtok[1]),
            cost(&one.usd_per_mtok[0]),
            format!("{}, before {}", ms(one.median_first_token_ms.1), ms(one.median_first_token_ms.0)),
            if one.over_cap { format!("{share}, over the cap") } else { share },
        ]
    });
    print::table(&heads.map(|head| (head, Align::Left)), &rows.collect::<Vec<_>>())
}
