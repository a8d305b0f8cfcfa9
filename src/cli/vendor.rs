//! `backstop vendor evacuate`: away from a vendor within hours, in steps, and back with one command.

use std::{process::ExitCode, time::Duration};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Context,
    installation::Installation,
    operator::operator,
    print::{self, Align},
};
use crate::{
    domain::VendorId,
    relay::health::read_views,
    release::{
        Gate,
        evacuation::{Instead, instead, move_calls, volumes},
        shelf::Shelf,
    },
};

/// How long it waits for files that do not answer.
const PATIENCE: Duration = Duration::from_secs(60);

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
        /// Ask it in its place again
        #[arg(long, conflicts_with_all = ["dry_run", "pct"])]
        back: bool,
        #[arg(long, default_value = "evacuation")]
        reason: String,
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(context: &Context, args: VendorArgs) -> anyhow::Result<ExitCode> {
    let VendorVerb::Evacuate { vendor, dry_run, pct, back, reason, json } = args.verb;
    let installation = Installation::find(context)?;
    let store = installation.store().await.ok();
    let shelf = Shelf::open(&installation.state, store.clone());
    let known = shelf.read().await?;
    let settings = known.book.applied(&installation.settings_or_embedded()?);
    let Some(id) = settings.vendors.keys().find(|id| id.as_str() == vendor).cloned() else {
        let names: Vec<&str> = settings.vendors.keys().map(VendorId::as_str).collect();
        bail!("there is no vendor `{vendor}`; those there are: {}", names.join(", "));
    };
    let gate = Gate::open(&installation.state)?;
    let looked = settings.clone();
    let standings = tokio::task::spawn_blocking(move || gate.examine(&looked, PATIENCE).standings).await?;
    let health = read_views(&installation.state.health()).ok().flatten().unwrap_or_default();
    let volumes = match &store {
        Some(store) => volumes(store, &settings).await?,
        None => Default::default(),
    };
    let then = instead(&settings, &standings, (&health, &volumes), &id);
    let pct = if back { 0 } else { pct };
    let moved = if dry_run {
        Vec::new()
    } else {
        if pct > 0
            && let Some(nobody) = then.iter().find(|one| one.serves.is_none())
        {
            bail!("on route `{}` nobody may serve instead; give it a certified target first", nobody.route);
        }
        let moved = move_calls((&shelf, &settings), &id, (pct, &reason), operator()).await?;
        if let Err(error) = shelf.reconcile().await {
            eprintln!("warning: the act waits in the state directory for the database: {error:#}");
        }
        moved
    };
    if json {
        print::json(
            &json!({ "vendor": id, "pct": if dry_run { None } else { Some(pct) }, "moved": moved, "routes": then }),
        )?;
    } else {
        print::text(&table(&then))?;
        let routes: Vec<String> = moved.iter().map(ToString::to_string).collect();
        match (dry_run, pct) {
            (true, _) => {}
            (false, 0) => println!("`{id}` is asked in its place again on: {}", routes.join(", ")),
            (false, pct) => {
                println!("{pct} % of the calls leave `{id}` on: {}; --back takes them back", routes.join(", "))
            }
        }
    }
    Ok(ExitCode::SUCCESS)
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
            one.objection.clone().unwrap_or_else(|| "ok".to_owned()),
            cost(&one.usd_per_mtok.1),
            cost(&one.usd_per_mtok.0),
            format!("{}, before {}", ms(one.median_first_token_ms.1), ms(one.median_first_token_ms.0)),
            if one.over_cap { format!("{share}, over the cap") } else { share },
        ]
    });
    print::table(&heads.map(|head| (head, Align::Left)), &rows.collect::<Vec<_>>())
}
