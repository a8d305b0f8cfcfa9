//! `backstop tenants`: who may have keys, and what each may use.
//!
//! A tenant's limits may stand in the config and be stored here: both hold, so the smaller one counts.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Context,
    installation::Installation,
    limit_args::{LimitArgs, in_words},
    operator::operator,
    print::{self, Align},
};
use crate::{
    config::{Limits, Settings, Tenant},
    domain::{FeatureId, RouteId, TenantId, is_plain_name},
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

/// One tenant, as `tenants list --json` prints it; `null`: no limit.
#[derive(Debug, Serialize)]
struct Row {
    tenant: TenantId,
    /// `config` (only the file names it) or `database`.
    source: &'static str,
    created_unix_ms: Option<i64>,
    /// What holds: of the config's and the stored limits the smaller one.
    #[serde(flatten)]
    limits: Map<String, Value>,
    features: Map<String, Value>,
    models: Map<String, Value>,
}

pub async fn run(context: &Context, args: TenantsArgs) -> anyhow::Result<ExitCode> {
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
            let tenants = admin.tenants(&configured).await?;
            print::json(&tenants.iter().map(|tenant| row(tenant, &settings)).collect::<Vec<_>>())?;
        }
        TenantsVerb::List { json: false } => {
            print::text(&table(&admin.tenants(&configured).await?, &settings))?;
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

fn row(tenant: &Known, settings: &Settings) -> Row {
    let stored = tenant.stored.as_ref().map(|row| row.policy.clone()).unwrap_or_default();
    let configured = settings.tenants.get(&tenant.id).cloned().unwrap_or_default();
    let features = configured.features.keys().chain(stored.features.keys()).map(|feature| {
        (feature.to_string(), configured.feature(feature).and(&stored.feature(feature)).named_with_nulls().into())
    });
    let models =
        configured.models.keys().chain(stored.models.keys()).map(|route| {
            (route.to_string(), configured.model(route).and(&stored.model(route)).named_with_nulls().into())
        });
    Row {
        tenant: tenant.id.clone(),
        source: if tenant.stored.is_some() { "database" } else { "config" },
        created_unix_ms: tenant.stored.as_ref().map(|row| row.created_unix_ms),
        limits: configured.limits.and(&stored.limits).named_with_nulls(),
        features: features.collect(),
        models: models.collect(),
    }
}

fn table(tenants: &[Known], settings: &Settings) -> String {
    let columns = [("tenant", Align::Left), ("source", Align::Left), ("limits", Align::Left)];
    let mut lines = Vec::new();
    for tenant in tenants {
        let stored = tenant.stored.as_ref().map(|row| row.policy.clone()).unwrap_or_default();
        let configured = settings.tenants.get(&tenant.id).cloned().unwrap_or_default();
        let Row { source, features, models, .. } = row(tenant, settings);
        let limits = in_words(&configured.limits.and(&stored.limits));
        lines.push(vec![tenant.id.to_string(), source.to_owned(), limits]);
        for feature in features.keys() {
            let id = FeatureId::new(feature);
            let limits = in_words(&configured.feature(&id).and(&stored.feature(&id)));
            lines.push(vec![format!("  feature {feature}"), String::new(), limits]);
        }
        for model in models.keys() {
            let id = RouteId::new(model);
            let limits = in_words(&configured.model(&id).and(&stored.model(&id)));
            lines.push(vec![format!("  model {model}"), String::new(), limits]);
        }
    }
    print::table(&columns, &lines)
}
