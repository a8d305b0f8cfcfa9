//! `backstop keys`: client keys. One is shown once, when it is issued, and never again.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use ipnet::IpNet;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Context,
    installation::Installation,
    limit_args::LimitArgs,
    operator::operator,
    print::{self, Align},
    remote::{Remote, part},
};
use crate::{
    admin::view::{self, KeyView},
    clock,
    config::{Limits, parse_network},
    domain::{FeatureId, KeyId, RouteId, is_plain_name},
    store::May,
    vault::{Issued, KeyAdmin, NewKey, OldKey},
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
    Issue(Box<IssueArgs>),
    /// All keys by their id (the key's first characters)
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Print a new key that may what the old one may, and end the old one
    Rotate {
        #[arg(value_name = "KEY_ID")]
        key: String,
        /// How long the old key stays valid beside the new one, e.g. 1h [default: it ends at once]
        #[arg(long, value_parser = span, value_name = "DURATION")]
        overlap: Option<Duration>,
        /// When the new key expires, e.g. 90d or 2027-01-31 [default: when the old one would have]
        #[arg(long, value_parser = expiry, value_name = "WHEN")]
        expires: Option<i64>,
    },
    /// End a key; a running server refuses it within a second
    Revoke {
        #[arg(value_name = "KEY_ID")]
        key: String,
    },
}

#[derive(Debug, Args)]
struct IssueArgs {
    #[arg(long)]
    tenant: String,
    /// What it is for, for people
    #[arg(long)]
    name: Option<String>,
    /// When it expires: after so long, or at so much UTC; e.g. 90d, 2027-01-31 [default: never]
    #[arg(long, value_parser = expiry, value_name = "WHEN")]
    expires: Option<i64>,
    /// A route that it may ask for as `model`; may be given again [default: all]
    #[arg(long = "route", value_name = "ROUTE")]
    routes: Vec<String>,
    /// A network or address that it may be used from; may be given again [default: everywhere]
    #[arg(long = "network", value_parser = network, value_name = "NETWORK")]
    networks: Vec<IpNet>,
    /// A feature that its calls may be for; may be given again, and the first is that of calls that say none [default: any]
    #[arg(long = "feature", value_parser = feature, value_name = "FEATURE")]
    features: Vec<FeatureId>,
    #[command(flatten)]
    limits: LimitArgs,
}

pub async fn run(context: &Context, args: KeysArgs) -> anyhow::Result<ExitCode> {
    if let Some(remote) = Remote::find(context).await? {
        return run_remote(&remote, args).await;
    }
    let installation = Installation::find(context)?;
    let store = installation.store().await?;
    let audit = installation.audit_on(store.clone()).await?;
    let admin = KeyAdmin::new(store, operator());
    match args.verb {
        KeysVerb::Issue(args) => {
            let tenant = admin.tenant(&args.tenant, &installation.tenants()).await?;
            show(&admin.issue(&tenant, new_key(*args, &installation)?).await?)?;
            installation.sign(&audit).await;
        }
        KeysVerb::Rotate { key, overlap, expires } => {
            let old = overlap.map_or(OldKey::Ends, |overlap| OldKey::StaysUntil(in_ms(overlap)));
            show(&admin.rotate(&key_id(&key), old, expires).await?)?;
            installation.sign(&audit).await;
        }
        KeysVerb::Revoke { key } => {
            admin.revoke(&key_id(&key)).await?;
            installation.sign(&audit).await;
        }
        KeysVerb::List { json: true } => print::json(&view::keys(admin.keys().await?, clock::unix_ms()))?,
        KeysVerb::List { json: false } => print::text(&table(&view::keys(admin.keys().await?, clock::unix_ms())))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_remote(remote: &Remote, args: KeysArgs) -> anyhow::Result<ExitCode> {
    let show = |issued: &Value| -> anyhow::Result<()> {
        let key = issued["key"].as_str().context("the server did not show the key; rotate it")?;
        print::note(&format!("key {} of tenant {}; it is not shown again:", issued["key_id"], issued["tenant"]));
        Ok(print::text(&format!("{key}\n"))?)
    };
    match args.verb {
        KeysVerb::Issue(args) => {
            let body = json!({
                "tenant": args.tenant, "name": args.name, "expires_unix_ms": args.expires, "routes": args.routes,
                "features": args.features, "networks": args.networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "limits": args.limits.applied_to(Limits::NONE).for_the_api(),
            });
            show(&remote.write(Method::POST, "/keys", &body).await?)?;
        }
        KeysVerb::Rotate { key, overlap, expires } => {
            let path = format!("/keys/{}/rotate", part(key_id(&key).as_str()));
            let overlap_ms = overlap.map_or(0, |overlap| overlap.as_millis() as u64);
            let body = json!({ "overlap_ms": overlap_ms, "expires_unix_ms": expires });
            show(&remote.write(Method::POST, &path, &body).await?)?;
        }
        KeysVerb::Revoke { key } => {
            let path = format!("/keys/{}", part(key_id(&key).as_str()));
            remote.write::<Value>(Method::DELETE, &path, &json!({})).await?;
        }
        KeysVerb::List { json: true } => print::json(&remote.get::<Value>("/keys", &[]).await?)?,
        KeysVerb::List { json: false } => {
            print::text(&table(&remote.get::<Vec<KeyView>>("/keys", &[]).await?))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn new_key(args: IssueArgs, installation: &Installation) -> anyhow::Result<NewKey> {
    let settings = installation.settings_or_embedded()?;
    let mut routes = BTreeSet::new();
    for name in &args.routes {
        let Some(route) = settings.routes.get(name.as_str()) else {
            let known: Vec<&str> = settings.routes.keys().map(RouteId::as_str).collect();
            bail!("there is no route `{name}`; those there are: {}", known.join(", "));
        };
        routes.insert(route.id.clone());
    }
    let limits = args.limits.applied_to(Limits::NONE);
    let may = May { routes, features: args.features, networks: args.networks, limits };
    Ok(NewKey { name: args.name, expires_unix_ms: args.expires, may })
}

/// So long from now, in ms since 1970-01-01 UTC.
fn in_ms(span: Duration) -> i64 {
    clock::unix_ms().saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

fn span(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let most = Duration::from_secs(3660 * 24 * 3600);
    if span.is_zero() || span > most { Err("write a span from 1s to ten years, e.g. 90d".to_owned()) } else { Ok(span) }
}

/// A span from now, a day, or a moment.
pub(super) fn expiry(text: &str) -> Result<i64, String> {
    let moment = match humantime::parse_duration(text) {
        Ok(_) => in_ms(span(text)?),
        Err(_) => {
            let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
            let moment = OffsetDateTime::parse(&whole, &Rfc3339);
            let moment =
                moment.map_err(|_| "write a span (90d), a day (2027-01-31) or a moment (RFC 3339)".to_owned())?;
            moment.unix_timestamp().saturating_mul(1000)
        }
    };
    if moment > clock::unix_ms() { Ok(moment) } else { Err("that is in the past".to_owned()) }
}

fn network(text: &str) -> Result<IpNet, String> {
    parse_network(text).ok_or_else(|| "write an address or a network, e.g. 10.0.0.7, 10.0.0.0/8 or fd00::/8".to_owned())
}

fn feature(text: &str) -> Result<FeatureId, String> {
    let fits = is_plain_name(text).then(|| FeatureId::new(text));
    fits.ok_or_else(|| "write 1 to 64 letters, digits, dots, underscores or dashes".to_owned())
}

fn show(issued: &Issued) -> anyhow::Result<()> {
    print::note(&format!("key {} of tenant {}; it is not shown again:", issued.key_id, issued.tenant));
    Ok(print::text(&format!("{}\n", issued.key.expose_secret()))?)
}

/// The id in what was given: a whole key has its id in front.
fn key_id(given: &str) -> KeyId {
    KeyId::new(given.get(..KeyAdmin::ID_LENGTH).unwrap_or(given))
}

fn table(rows: &[KeyView]) -> String {
    let columns = ["key", "tenant", "name", "state", "created", "expires", "routes", "features", "networks", "limits"];
    let columns = columns.map(|head| (head, Align::Left));
    let list = |names: Vec<String>, none: &str| if names.is_empty() { none.to_owned() } else { names.join(" ") };
    let set = |limits: &Map<String, Value>| {
        let set = limits.iter().filter(|(_, value)| !value.is_null());
        list(set.map(|(name, value)| format!("{name}={}", value.to_string().trim_matches('"'))).collect(), "-")
    };
    let cells = |row: &KeyView| {
        vec![
            row.key_id.clone(),
            row.tenant.clone(),
            row.name.clone().unwrap_or_else(|| "-".to_owned()),
            row.state.clone(),
            print::moment(row.created_unix_ms),
            row.expires_unix_ms.map_or_else(|| "never".to_owned(), print::moment),
            list(row.routes.clone(), "all"),
            list(row.features.clone(), "any"),
            list(row.networks.clone(), "all"),
            set(&row.limits),
        ]
    };
    print::table(&columns, &rows.iter().map(cells).collect::<Vec<_>>())
}
