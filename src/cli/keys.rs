//! `backstop keys`: client keys. One is shown once, when it is issued, and never again.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{
    Context,
    installation::Installation,
    operator::operator,
    print::{self, Align},
};
use crate::{
    clock,
    domain::{KeyId, TenantId},
    store::KeyRow,
    vault::{Issued, KeyAdmin},
};

/// Client keys: issue, list, rotate, revoke.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    verb: KeysVerb,
}

#[derive(Debug, Subcommand)]
enum KeysVerb {
    /// Print a new key on standard output; it cannot be shown again
    Issue {
        #[arg(long)]
        tenant: String,
        /// What it is for, for people
        #[arg(long)]
        name: Option<String>,
    },
    /// All keys by their id (the key's first characters)
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Print a new key for the same tenant and revoke the old one
    Rotate {
        #[arg(value_name = "KEY_ID")]
        key: String,
    },
    /// End a key; a running server refuses it within a second
    Revoke {
        #[arg(value_name = "KEY_ID")]
        key: String,
    },
}

/// One key, as `keys list --json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    key_id: KeyId,
    tenant: TenantId,
    name: Option<String>,
    /// `valid`, `expired` or `revoked`.
    state: &'static str,
    created_unix_ms: i64,
    expires_unix_ms: Option<i64>,
    revoked_unix_ms: Option<i64>,
}

pub async fn run(context: &Context, args: KeysArgs) -> anyhow::Result<ExitCode> {
    let installation = Installation::find(context)?;
    let store = installation.store().await?;
    let audit = installation.audit_on(store.clone()).await?;
    let admin = KeyAdmin::new(store, operator());
    match args.verb {
        KeysVerb::Issue { tenant, name } => {
            let tenant = admin.tenant(&tenant, &installation.tenants()).await?;
            show(&admin.issue(&tenant, name).await?)?;
            installation.sign(&audit).await;
        }
        KeysVerb::Rotate { key } => {
            show(&admin.rotate(&key_id(&key)).await?)?;
            installation.sign(&audit).await;
        }
        KeysVerb::Revoke { key } => {
            admin.revoke(&key_id(&key)).await?;
            installation.sign(&audit).await;
        }
        KeysVerb::List { json: true } => print::json(&rows(admin.keys().await?))?,
        KeysVerb::List { json: false } => print::text(&table(&rows(admin.keys().await?)))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(issued: &Issued) -> anyhow::Result<()> {
    print::note(&format!("key {} of tenant {}; it is not shown again:", issued.key_id, issued.tenant));
    Ok(print::text(&format!("{}\n", issued.key.expose_secret()))?)
}

/// The id in what was given: a whole key has its id in front.
fn key_id(given: &str) -> KeyId {
    KeyId::new(given.get(..KeyAdmin::ID_LENGTH).unwrap_or(given))
}

fn rows(keys: Vec<KeyRow>) -> Vec<Row> {
    let now = clock::unix_ms();
    let state = |key: &KeyRow| match (key.revoked_unix_ms, key.expires_unix_ms) {
        (Some(_), _) => "revoked",
        (None, Some(expires)) if expires <= now => "expired",
        _ => "valid",
    };
    keys.into_iter()
        .map(|key| Row {
            state: state(&key),
            key_id: key.key_id,
            tenant: key.tenant,
            name: key.name,
            created_unix_ms: key.created_unix_ms,
            expires_unix_ms: key.expires_unix_ms,
            revoked_unix_ms: key.revoked_unix_ms,
        })
        .collect()
}

fn table(rows: &[Row]) -> String {
    let columns = ["key", "tenant", "name", "state", "created"].map(|head| (head, Align::Left));
    let cells = |row: &Row| {
        vec![
            row.key_id.to_string(),
            row.tenant.to_string(),
            row.name.clone().unwrap_or_else(|| "-".to_owned()),
            row.state.to_owned(),
            print::moment(row.created_unix_ms),
        ]
    };
    print::table(&columns, &rows.iter().map(cells).collect::<Vec<_>>())
}
