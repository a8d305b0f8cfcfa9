//! `backstop limits show`: what a tenant has used of its limits, what is left, and when it begins anew.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    Context,
    installation::Installation,
    operator::operator,
    print::{self, Align},
    remote::{Remote, part},
};
use crate::{
    clock,
    config::{BudgetKind, Limits},
    domain::KeyId,
    ledger,
    limit::{Counted, LimitView, Limiter, read_view, subjects_of_tenant},
    vault::KeyAdmin,
};

/// Limits: show.
#[derive(Debug, Args)]
pub struct LimitsArgs {
    #[command(subcommand)]
    verb: LimitsVerb,
}

#[derive(Debug, Subcommand)]
enum LimitsVerb {
    /// A tenant's limits, with those of its features, models and keys: used, left, and when they begin anew
    Show {
        tenant: String,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(context: &Context, args: LimitsArgs) -> anyhow::Result<ExitCode> {
    let LimitsVerb::Show { tenant, json } = args.verb;
    if let Some(remote) = Remote::find(context).await? {
        let views: Vec<LimitView> = remote.get(&format!("/tenants/{}/limits", part(&tenant)), &[]).await?;
        if json {
            print::json(&views)?
        } else {
            print::text(&table(&views))?
        }
        return Ok(ExitCode::SUCCESS);
    }
    let installation = Installation::find(context)?;
    let (settings, store) = (installation.settings_or_embedded()?, installation.store().await?);
    let admin = KeyAdmin::new(store.clone(), operator());
    let tenant = admin.tenant(&tenant, &installation.tenants()).await?;
    let mut keys: Vec<(KeyId, Limits)> = Vec::new();
    for key in admin.keys().await?.into_iter().filter(|key| key.tenant == tenant.id && key.revoked_unix_ms.is_none()) {
        keys.push((key.key_id, key.may.limits));
    }
    let stored = tenant.stored.as_ref().map(|row| &row.policy);
    let limited = subjects_of_tenant(&settings, &tenant.id, stored, &keys);
    let counted = match read_view(&installation.state.limits())? {
        Some(counted) => counted,
        // No gateway runs: all that was used is in the ledger.
        None => {
            ledger::catch_up(&installation.state, &store).await?;
            let limiter = Limiter::new(mpsc::channel(1).0);
            limiter.restore(&store, &settings, clock::unix_ms()).await?;
            Counted::of(&limiter)
        }
    };
    let views = counted.view(&limited);
    if json {
        print::json(&views)?
    } else {
        print::text(&table(&views))?
    }
    Ok(ExitCode::SUCCESS)
}

fn table(views: &[LimitView]) -> String {
    if views.is_empty() {
        return "no limits; `backstop tenants limit` and the config set them\n".to_owned();
    }
    let columns = [
        ("of", Align::Left),
        ("limit", Align::Left),
        ("used", Align::Right),
        ("reserved", Align::Right),
        ("left", Align::Right),
        ("max", Align::Right),
        ("anew at (UTC)", Align::Left),
    ];
    let cell = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |view: &LimitView| {
        let soft = if view.kind == Some(BudgetKind::Soft) { " (soft)" } else { "" };
        vec![
            format!("{} {}", view.subject, view.name),
            format!("{}{soft}", view.limit),
            cell(&view.used),
            cell(&view.reserved),
            cell(&view.left),
            cell(&view.max),
            view.resets_unix_ms.map_or_else(|| "-".to_owned(), print::moment),
        ]
    };
    print::table(&columns, &views.iter().map(line).collect::<Vec<_>>())
}
