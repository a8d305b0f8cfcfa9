//! `backstop tenants`: who may have keys, and what each may use.
//!
//! A tenant's limits may stand in the config and be stored here: both hold, so the smaller one counts.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    Context, Usage,
    limit_args::{LimitArgs, named_in_words},
    place::{Here, Place},
    print::{self, Align},
    remote::part,
};
use crate::{
    admin::{
        verb::tenants::{self as verb, Part},
        view::{self, TenantView},
    },
    config::{Limits, Tenant},
    vault::KeyAdmin,
};

/// Tenants: add, list, limit.
#[derive(Debug, Args)]
pub struct TenantsArgs {
    #[command(subcommand)]
    verb: TenantsVerb,
}

#[derive(Debug, Subcommand)]
enum TenantsVerb {
    /// Make a tenant
    Add {
        name: String,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// All tenants, those of the config too
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Store a tenant's limits; those that are not given stay, `none` lifts one
    ///
    /// Where the config limits the tenant too, both hold: the smaller limit counts. A running server follows within a
    /// second.
    Limit(TenantLimitArgs),
}

#[derive(Debug, Args)]
struct TenantLimitArgs {
    name: String,
    /// Limit what the tenant's calls for this feature (`x-backstop-feature`) may use
    #[arg(long, conflicts_with = "model")]
    feature: Option<String>,
    /// Limit what the tenant may use of this route; rates, not budgets
    #[arg(long)]
    model: Option<String>,
    #[command(flatten)]
    changes: LimitArgs,
}

pub async fn run(context: &Context, args: TenantsArgs) -> anyhow::Result<ExitCode> {
    if matches!(&args.verb, TenantsVerb::Limit(limit) if limit.changes.is_empty()) {
        return Err(Usage("no limit was given; `backstop tenants limit --help` lists them".to_owned()).into());
    }
    let place = Place::find(context).await?;
    match args.verb {
        TenantsVerb::Add { name, limits } => add(&place, &name, limits.applied_to(Limits::NONE)).await?,
        TenantsVerb::List { json } => {
            let tenants: Vec<TenantView> = match &place {
                Place::Server(remote) => remote.get("/tenants", &[]).await?,
                Place::Here(here) => {
                    let (known, settings) =
                        (admin(here)?.tenants(&here.installation.tenants()).await?, &here.site.settings);
                    known.iter().map(|tenant| view::tenant(tenant, settings)).collect()
                }
            };
            if json { print::json(&tenants)? } else { print::text(&table(&tenants))? }
        }
        TenantsVerb::Limit(limit) => limit_one(&place, limit).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(place: &Place, name: &str, limits: Limits) -> anyhow::Result<()> {
    match place {
        Place::Server(remote) => {
            let body = json!({ "name": name, "limits": limits.for_the_api() });
            remote.act(Method::POST, "/tenants", &body).await
        }
        Place::Here(here) => {
            let policy = Tenant { limits, ..Tenant::default() };
            admin(here)?.add_tenant(name, policy, &here.installation.tenants()).await?;
            here.sign().await
        }
    }
}

fn admin(here: &Here) -> anyhow::Result<KeyAdmin> {
    Ok(KeyAdmin::new(here.site.store()?.clone(), here.site.actor.clone()))
}

/// The limits in force are told where the config limits the tenant too.
async fn limit_one(place: &Place, args: TenantLimitArgs) -> anyhow::Result<()> {
    let TenantLimitArgs { name, feature, model, changes } = args;
    let both = match place {
        Place::Server(remote) => {
            let (set, lift) = changes.for_the_api();
            let body = json!({ "feature": feature, "model": model, "set": set, "lift": lift });
            let path = format!("/tenants/{}/limits", part(&name));
            let mut changed: Value = remote.write(Method::PATCH, &path, &body).await?;
            serde_json::from_value::<Option<Map<String, Value>>>(changed["both"].take())?
        }
        Place::Here(here) => {
            let part = match (feature, model) {
                (Some(feature), _) => Part::Feature(feature),
                (None, Some(route)) => Part::Route(route),
                (None, None) => Part::Whole,
            };
            let change = |before| changes.applied_to(before);
            let (_, both) = verb::limit(&here.site, &name, (&part, change)).await?;
            here.sign().await?;
            both.map(|both| both.named())
        }
    };
    if let Some(both) = both {
        let both = named_in_words(&both);
        eprintln!("the config limits this tenant too, and the smaller limit counts; in force: {both}");
    }
    Ok(())
}

fn table(tenants: &[TenantView]) -> String {
    let columns = [("tenant", Align::Left), ("source", Align::Left), ("limits", Align::Left)];
    let mut lines = Vec::new();
    for tenant in tenants {
        lines.push(vec![tenant.tenant.clone(), tenant.source.clone(), named_in_words(&tenant.limits)]);
        for (kind, group) in [("feature", &tenant.features), ("model", &tenant.models)] {
            let limits = |limits: &Value| limits.as_object().map_or_else(|| "-".to_owned(), named_in_words);
            lines.extend(group.iter().map(|(name, set)| vec![format!("  {kind} {name}"), String::new(), limits(set)]));
        }
    }
    print::table(&columns, &lines)
}
