//! `backstop vendor evacuate`: away from a vendor within hours, in steps, and back with one command.

use std::{process::ExitCode, sync::Arc, time::Duration};

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
        book::Book,
        evacuation::{Instead, Move, date_certificates, instead, move_calls, volumes},
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
    let installation = Installation::find(context)?;
    let store = installation.store().await.ok();
    let shelf = Shelf::open(&installation.state, store.clone());
    let known = shelf.read().await?;
    let settings = known.book.applied(&installation.settings_or_embedded()?);
    let Some(id) = settings.vendors.keys().find(|id| id.as_str() == vendor).cloned() else {
        let names: Vec<&str> = settings.vendors.keys().map(VendorId::as_str).collect();
        bail!("there is no vendor `{vendor}`; those there are: {}", names.join(", "));
    };
    if status {
        show_status(&known.book, &id, json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let how = match how((pct, back), steps, every) {
        Ok(how) => how,
        Err(why) => {
            eprintln!("error: {why}");
            return Ok(ExitCode::from(2));
        }
    };
    let gate = Arc::new(Gate::open(&installation.state)?);
    let (looker, looked) = (Arc::clone(&gate), settings.clone());
    let standings = tokio::task::spawn_blocking(move || looker.examine(&looked, PATIENCE).standings).await?;
    let health = read_views(&installation.state.health()).ok().flatten().unwrap_or_default();
    let volumes = match &store {
        Some(store) => volumes(store, &settings).await.unwrap_or_else(|error| {
            eprintln!("warning: the database does not tell of volumes, so shares are unknown: {error}");
            Default::default()
        }),
        None => Default::default(),
    };
    let mut then = instead(&settings, &standings, (&health, &volumes), &id);
    date_certificates(&mut then, &settings, &gate);
    let pct = match &how {
        Move::Back => 0,
        Move::Off(pct) => *pct,
        Move::InSteps { steps, .. } => steps[0],
    };
    let moved = if dry_run {
        Vec::new()
    } else {
        if pct > 0
            && let Some(nobody) = then.iter().find(|one| one.serves.is_none())
        {
            bail!("on route `{}` nobody may serve instead; give it a certified target first", nobody.route);
        }
        let moved = move_calls((&shelf, &settings), &id, (&how, &reason), operator()).await?;
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
                let then = match &how {
                    Move::InSteps { steps, .. } => {
                        format!(", then {:?} %, every {}", &steps[1..], humantime::format_duration(every))
                    }
                    Move::Off(_) | Move::Back => String::new(),
                };
                println!("{pct} % of the calls leave `{id}`{then} on: {}; --back takes them back", routes.join(", "))
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn how((pct, back): (u8, bool), steps: Vec<u8>, every: Duration) -> Result<Move, String> {
    if back {
        return Ok(Move::Back);
    }
    if steps.is_empty() {
        return Ok(Move::Off(pct));
    }
    if !steps.is_sorted_by(|one, next| one < next) {
        return Err("--steps takes parts of a hundred that grow, say 10,25,50,100".to_owned());
    }
    let every_ms = i64::try_from(every.as_millis()).ok().filter(|ms| *ms > 0);
    let every_ms = every_ms.ok_or("--every takes more than nothing")?;
    Ok(Move::InSteps { steps, every_ms })
}

/// How far each route has left the vendor.
fn show_status(book: &Book, vendor: &VendorId, json: bool) -> anyhow::Result<()> {
    let mut said = Vec::new();
    for (route, line) in book.lines() {
        let Some(pct) = line.left.get(vendor).copied() else { continue };
        let leaving = line.leaving.get(vendor);
        let next = leaving.and_then(|leaving| Some((leaving.next(pct)?, leaving.next_unix_ms())));
        let halted = leaving.and_then(|leaving| leaving.halted.clone());
        said.push((route, pct, leaving, next, halted));
    }
    if json {
        let routes: Vec<_> = said
            .iter()
            .map(|(route, pct, leaving, next, halted)| {
                json!({
                    "route": route, "pct": pct, "steps": leaving.map(|leaving| &leaving.steps),
                    "every_ms": leaving.map(|leaving| leaving.every_ms), "next_pct": next.map(|(pct, _)| pct),
                    "next_unix_ms": next.map(|(_, at)| at), "halted": halted,
                })
            })
            .collect();
        return print::json(&json!({ "vendor": vendor, "routes": routes }));
    }
    if said.is_empty() {
        return Ok(print::text(&format!("no route is leaving `{vendor}`\n"))?);
    }
    let rows = said.iter().map(|(route, pct, _, next, halted)| {
        let next = next.map(|(pct, at)| format!("{pct} % at {}", print::moment(at))).unwrap_or_default();
        vec![route.to_string(), format!("{pct} %"), next, halted.clone().unwrap_or_default()]
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
