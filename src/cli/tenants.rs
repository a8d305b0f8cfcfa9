//! `backstop tenants`: who may have keys, and what each may use.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Context,
    installation::Installation,
    operator::operator,
    print::{self, Align},
};
use crate::{
    config::TenantLimits,
    domain::{Money, TenantId},
    vault::{KeyAdmin, Known},
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
    Add { name: String },
    /// All tenants, those of the config too
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Store a tenant's limits; those that are not given stay, `none` lifts one
    Limit(LimitArgs),
}

#[derive(Debug, Args)]
struct LimitArgs {
    name: String,
    #[command(flatten)]
    changes: Changes,
}

/// A group of its own, since a group's members are all arguments beside it.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// US dollars per month, or `none`
    #[arg(long, value_parser = budget)]
    budget_usd_per_month: Option<Change<Money>>,
    /// Requests per minute, or `none`
    #[arg(long, value_parser = count)]
    rpm: Option<Change<u64>>,
    /// Tokens per minute, or `none`
    #[arg(long, value_parser = count)]
    tpm: Option<Change<u64>>,
}

/// What becomes of a limit.
#[derive(Debug, Clone, Copy)]
enum Change<T> {
    Lift,
    Set(T),
}

/// One tenant, as `tenants list --json` prints it; `null`: no limit.
#[derive(Debug, Serialize)]
struct Row {
    tenant: TenantId,
    /// `config` (only the file names it) or `database`.
    source: &'static str,
    created_unix_ms: Option<i64>,
    budget_usd_per_month: Option<String>,
    rpm: Option<u64>,
    tpm: Option<u64>,
}

pub async fn run(context: &Context, args: TenantsArgs) -> anyhow::Result<ExitCode> {
    let installation = Installation::find(context)?;
    let configured = installation.tenants();
    let store = installation.store().await?;
    let audit = installation.audit_on(store.clone()).await?;
    let admin = KeyAdmin::new(store, operator());
    match args.verb {
        TenantsVerb::Add { name } => {
            admin.add_tenant(&name, &configured).await?;
            installation.sign(&audit).await;
        }
        TenantsVerb::List { json: true } => {
            let tenants = admin.tenants(&configured).await?;
            print::json(&tenants.iter().map(row).collect::<Vec<_>>())?;
        }
        TenantsVerb::List { json: false } => print::text(&table(&admin.tenants(&configured).await?))?,
        TenantsVerb::Limit(limit) => {
            let tenant = admin.tenant(&limit.name, &configured).await?;
            let before = tenant.stored.as_ref().map(|row| row.limits).unwrap_or_default();
            let limits = TenantLimits {
                budget_per_month: changed(before.budget_per_month, limit.changes.budget_usd_per_month),
                requests_per_minute: changed(before.requests_per_minute, limit.changes.rpm),
                tokens_per_minute: changed(before.tokens_per_minute, limit.changes.tpm),
            };
            admin.limit_tenant(&tenant, limits).await?;
            installation.sign(&audit).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(tenant: &Known) -> Row {
    let limits = tenant.stored.as_ref().map(|row| row.limits).unwrap_or_default();
    Row {
        tenant: tenant.id.clone(),
        source: if tenant.stored.is_some() { "database" } else { "config" },
        created_unix_ms: tenant.stored.as_ref().map(|row| row.created_unix_ms),
        budget_usd_per_month: limits.budget_per_month.map(|budget| budget.to_string()),
        rpm: limits.requests_per_minute,
        tpm: limits.tokens_per_minute,
    }
}

fn table(tenants: &[Known]) -> String {
    let columns = [
        ("tenant", Align::Left),
        ("source", Align::Left),
        ("USD per month", Align::Right),
        ("rpm", Align::Right),
        ("tpm", Align::Right),
    ];
    let or_dash = |limit: Option<String>| limit.unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = tenants
        .iter()
        .map(row)
        .map(|row| {
            vec![
                row.tenant.to_string(),
                row.source.to_owned(),
                or_dash(row.budget_usd_per_month),
                or_dash(row.rpm.map(|limit| limit.to_string())),
                or_dash(row.tpm.map(|limit| limit.to_string())),
            ]
        })
        .collect();
    print::table(&columns, &rows)
}

fn changed<T>(before: Option<T>, change: Option<Change<T>>) -> Option<T> {
    match change {
        None => before,
        Some(Change::Lift) => None,
        Some(Change::Set(limit)) => Some(limit),
    }
}

fn budget(text: &str) -> Result<Change<Money>, String> {
    if text == "none" {
        return Ok(Change::Lift);
    }
    let money = text.parse().ok().and_then(Money::from_usd).filter(|money| *money >= Money::ZERO);
    money.map(Change::Set).ok_or_else(|| "write dollars, such as 500 or 0.5, or `none`".to_owned())
}

fn count(text: &str) -> Result<Change<u64>, String> {
    if text == "none" {
        return Ok(Change::Lift);
    }
    text.parse().map(Change::Set).map_err(|_| "write a whole number, or `none`".to_owned())
}
