//! `backstop prices`: what models cost and when, and which calls were priced by nothing or by something doubtful.

mod check;
mod shown;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::{
    Context,
    installation::Installation,
    place::Place,
    print,
    span::{Span, instant},
};
use crate::{
    clock,
    config::{Settings, all_shipped_prices},
    domain::{Prices, TargetId},
};

/// Prices: list, show, check.
#[derive(Debug, Args)]
pub struct PricesArgs {
    #[command(subcommand)]
    verb: PricesVerb,
}

#[derive(Debug, Subcommand)]
enum PricesVerb {
    /// What each target of the config costs; with --shipped, or without a config, the prices that are built in
    List {
        /// At that time: a day (2026-11-01, UTC) or a moment (RFC 3339) [default: now]
        #[arg(long, value_parser = instant, value_name = "WHEN")]
        at: Option<i64>,
        /// The prices that are built in, by vendor kind
        #[arg(long)]
        shipped: bool,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Every row of one model, with its validity, source and the day on which it was checked
    Show {
        /// `vendor/model`, or a model of any vendor
        model: String,
        /// Which row is marked as valid, in the same forms as for `list` [default: now]
        #[arg(long, value_parser = instant, value_name = "WHEN")]
        at: Option<i64>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Lists what was priced by a missing, stale, partial or since corrected row; exit code 1 when there is any
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    span: Span,
    /// A built-in price counts as stale when nobody had looked at it for so many days before the call
    #[arg(long, default_value_t = 365, value_name = "DAYS")]
    max_age: u32,
    /// Each attempt with its call's id, instead of one line per target
    #[arg(long)]
    calls: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: PricesArgs) -> anyhow::Result<ExitCode> {
    if let PricesVerb::Check(check) = args.verb {
        return check::run(&Place::find(context).await?, check).await;
    }
    context.is_here("prices are those of the config and of this program")?;
    let settings = Installation::find(context)?.settings_or_embedded()?;
    match args.verb {
        PricesVerb::List { at, shipped, json } => {
            let at = at.unwrap_or_else(clock::unix_ms);
            let priced = if shipped || settings.vendors.is_empty() { built_in() } else { configured(&settings) };
            let text = if json { shown::json(&priced, (at, shown::Which::Valid))? } else { shown::list(&priced, at) };
            print::text(&text)?;
        }
        PricesVerb::Show { model, at, json } => {
            let at = at.unwrap_or_else(clock::unix_ms);
            let priced = named(&settings, &model);
            if priced.is_empty() {
                bail!(
                    "no price is known for `{model}`; give one under `models:` in the config, or see `prices list --shipped`"
                );
            }
            let text = if json { shown::json(&priced, (at, shown::Which::All))? } else { shown::rows(&priced, at) };
            print::text(&text)?;
        }
        PricesVerb::Check(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Every target that the config names, and what it costs.
fn configured(settings: &Settings) -> Vec<(String, Option<Prices>)> {
    let named = settings.targets().into_iter().chain(settings.prices.keys());
    let named: std::collections::BTreeSet<&TargetId> = named.collect();
    named.into_iter().map(|target| (target.to_string(), settings.prices_of(target))).collect()
}

fn built_in() -> Vec<(String, Option<Prices>)> {
    all_shipped_prices()
        .into_iter()
        .map(|(kind, model, prices)| (format!("{kind}/{model}"), Some(prices.clone())))
        .collect()
}

/// What `model` may mean: a target, a model of a configured vendor, a model of any kind of vendor.
fn named(settings: &Settings, model: &str) -> Vec<(String, Option<Prices>)> {
    let known = |target: TargetId| settings.prices_of(&target).map(|prices| (target.to_string(), Some(prices)));
    let as_target = TargetId::parse(model).and_then(known);
    if let Some(found) = as_target {
        return vec![found];
    }
    let of_vendors: Vec<_> = configured(settings)
        .into_iter()
        .filter(|(target, prices)| prices.is_some() && target.split_once('/').is_some_and(|(_, name)| name == model))
        .collect();
    if !of_vendors.is_empty() {
        return of_vendors;
    }
    let is_it = |name: &str| name == model || name.split_once('/').is_some_and(|(_, name)| name == model);
    let exact: Vec<_> = built_in().into_iter().filter(|(name, _)| is_it(name)).collect();
    if !exact.is_empty() {
        return exact;
    }
    let kinds: std::collections::BTreeSet<&str> = all_shipped_prices().into_iter().map(|(kind, ..)| kind).collect();
    let dated = kinds.into_iter().filter_map(|kind| {
        let name = model.strip_prefix(&format!("{kind}/")).unwrap_or(model);
        Some((format!("{kind}/{name}"), Some(crate::config::shipped_prices(kind, name)?)))
    });
    dated.collect()
}
