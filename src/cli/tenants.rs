//! `backstop tenants`: who may have keys, and what each may use.
//!
//! A tenant's limits may stand in the config and be stored here: both hold, so the smaller one counts.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Context,
    installation::Installation,
    limit_args::{LimitArgs, in_words, named_in_words},
    operator::operator,
    print::{self, Align},
    remote::Remote,
};
use crate::{
    admin::view::{self, TenantView},
    config::{Limits, Settings, Tenant},
    domain::{FeatureId, RouteId, is_plain_name},
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
    if let Some(remote) = Remote::find(context).await? {
        return run_remote(&remote, args).await;
    }
    let installation = Installation::find(context)?;
    let (configured, settings) = (installation.tenants(), installation.settings());
    let store = installation.store().await?;
    let audit = installation.audit_on(store.clone()).await?;
    let admin = KeyAdmin::new(store, operator());
    match args.verb {
        TenantsVerb::Add { name, limits } => {
            let policy = Tenant { limits: limits.applied_to(Limits::NONE), ..Tenant::default() };
            admin.add_tenant(&name, policy, &configured).await?;
            installation.sign(&audit).await;
        }
        TenantsVerb::List { json: true } => {
            print::json(&views(&admin.tenants(&configured).await?, &settings))?;
        }
        TenantsVerb::List { json: false } => {
            print::text(&table(&views(&admin.tenants(&configured).await?, &settings)))?;
        }
        TenantsVerb::Limit(limit) if limit.changes.is_empty() => {
            eprintln!("error: no limit was given; `backstop tenants limit --help` lists them");
            return Ok(ExitCode::from(2));
        }
        TenantsVerb::Limit(limit) => {
            limit_one(&admin, limit, &installation).await?;
            installation.sign(&audit).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_remote(remote: &Remote, args: TenantsArgs) -> anyhow::Result<ExitCode> {
    match args.verb {
        TenantsVerb::Add { name, limits } => {
            let body = json!({ "name": name, "limits": limits.applied_to(Limits::NONE).for_the_api() });
            remote.write::<Value>(Method::POST, "/tenants", &body).await?;
        }
        TenantsVerb::List { json: true } => print::json(&remote.get::<Value>("/tenants", &[]).await?)?,
        TenantsVerb::List { json: false } => {
            print::text(&table(&remote.get::<Vec<TenantView>>("/tenants", &[]).await?))?;
        }
        TenantsVerb::Limit(_) => {
            bail!(
                "`tenants limit` works on the state directory alone; PUT /admin/v1/tenants/NAME/limits sets all of them"
            )
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn limit_one(admin: &KeyAdmin, args: TenantLimitArgs, installation: &Installation) -> anyhow::Result<()> {
    let tenant = admin.tenant(&args.name, &installation.tenants()).await?;
    let mut policy = tenant.stored.as_ref().map(|row| row.policy.clone()).unwrap_or_default();
    let settings = installation.settings_or_embedded()?;
    let configured = settings.tenants.get(&tenant.id).cloned().unwrap_or_default();
    let (stored, by_config) = match (&args.feature, &args.model) {
        (Some(feature), _) => {
            if !is_plain_name(feature) {
                bail!("`{feature}` cannot name a feature; use 1 to 64 letters, digits, dots, underscores or dashes");
            }
            let feature = FeatureId::new(feature);
            let by_config = configured.feature(&feature);
            (policy.features.entry(feature).or_default(), by_config)
        }
        (None, Some(model)) => {
            let Some(route) = settings.routes.get(model.as_str()).map(|route| route.id.clone()) else {
                let known: Vec<&str> = settings.routes.keys().map(RouteId::as_str).collect();
                bail!("there is no route `{model}`; those there are: {}", known.join(", "));
            };
            let by_config = configured.model(&route);
            (policy.models.entry(route).or_default(), by_config)
        }
        (None, None) => (&mut policy.limits, configured.limits),
    };
    *stored = args.changes.applied_to(*stored);
    if args.model.is_some() && stored.has_budget() {
        bail!("budgets are of tenants, features and keys; give the model rates");
    }
    let (stored, both) = (*stored, stored.and(&by_config));
    policy.features.retain(|_, limits| !limits.is_none());
    policy.models.retain(|_, limits| !limits.is_none());
    admin.limit_tenant(&tenant, policy).await?;
    if both != stored {
        eprintln!("the config limits this tenant too, and the smaller limit counts; in force: {}", in_words(&both));
    }
    Ok(())
}

fn views(tenants: &[Known], settings: &Settings) -> Vec<TenantView> {
    tenants.iter().map(|tenant| view::tenant(tenant, settings)).collect()
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
