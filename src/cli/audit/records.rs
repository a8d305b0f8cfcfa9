//! `backstop audit list`, `show` and `forget`: single entries, with what is still known of persons.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{
    super::{
        installation::Installation,
        operator::operator,
        print::{self, Align},
        remote::Remote,
    },
    ListArgs,
};
use crate::{
    admin::view::{self, EntryView},
    audit::Audit,
    clock,
    domain::{Act, Action},
    store::{AuditFilter, Store},
};

pub(super) async fn list(installation: &Installation, args: ListArgs) -> anyhow::Result<ExitCode> {
    let (audit, store) = opened(installation).await?;
    let filter = AuditFilter {
        action: args.action,
        object: args.object,
        actor: args.actor,
        since_unix_ms: args.since.map(|since| clock::unix_ms() - i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        before_seq: None,
        limit: args.limit,
    };
    let rows = store.audit_find(filter).await?;
    show_all(&view::entries(&rows), Form::of(args.json))?;
    tell_waiting(&audit);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn list_remote(remote: &Remote, args: ListArgs) -> anyhow::Result<ExitCode> {
    let since = |since: Duration| clock::unix_ms() - i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let query = [
        ("action", args.action),
        ("object", args.object),
        ("actor", args.actor),
        ("since_unix_ms", args.since.map(|span| since(span).to_string())),
        ("limit", Some(args.limit.to_string())),
    ];
    let entries: Vec<EntryView> = remote.get("/audit", &query).await?;
    show_all(&entries, Form::of(args.json))?;
    Ok(ExitCode::SUCCESS)
}

/// What the entries are shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Table,
}

impl Form {
    fn of(json: impl Into<bool>) -> Self {
        if json.into() { Self::Json } else { Self::Table }
    }
}

fn show_all(entries: &[EntryView], form: Form) -> anyhow::Result<()> {
    if form == Form::Json {
        return print::json(&entries);
    }
    let columns = ["seq", "at", "actor", "action", "object", "note"];
    let columns = columns.map(|head| (head, if head == "seq" { Align::Right } else { Align::Left }));
    Ok(print::text(&print::table(&columns, &entries.iter().map(cells).collect::<Vec<_>>()))?)
}

pub(super) async fn show(installation: &Installation, seq: u64, json: bool) -> anyhow::Result<ExitCode> {
    let (_, store) = opened(installation).await?;
    let row = store.audit_entries(seq, 1).await?.into_iter().find(|row| row.seq == seq);
    let row = row.with_context(|| format!("there is no entry {seq}; `backstop audit list` shows those there are"))?;
    let printed = EntryView::from(&row);
    if json {
        print::json(&printed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut said = String::new();
    for (name, value) in printed.entry.iter().filter(|(_, value)| !value.is_null()) {
        match (name.as_str(), value.as_object()) {
            ("personal", Some(fields)) => {
                for field in fields.keys() {
                    let value = printed.known.get(field).map_or("(forgotten)", String::as_str);
                    said.push_str(&format!("{field}: {value}\n"));
                }
            }
            _ => said.push_str(&format!("{name}: {}\n", plain(value))),
        }
    }
    said.push_str(&format!("leaf: {}\nbytes: {}\n", printed.leaf_sha256, String::from_utf8_lossy(&row.bytes)));
    print::text(&said)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn forget(
    installation: &Installation,
    value: String,
    reason: Option<String>,
) -> anyhow::Result<ExitCode> {
    let (audit, store) = opened(installation).await?;
    if audit.waiting() > 0 {
        bail!("entries that may tell of the person wait for the database; try again when it takes them");
    }
    // The act must not name whom it forgets.
    let mut act = Act::new(operator(), Action::AuditForget, ("person", "forgotten"));
    if let Some(reason) = reason {
        if reason.contains(&value) {
            bail!("the reason names what is to be forgotten, and is kept for ever; leave it out of it");
        }
        act = act.reason(reason);
    }
    match store.audit_forget(value, act).await? {
        0 => bail!("the log knows nothing of it: no value is exactly that"),
        erased => print::text(&format!("erased {erased} values; the log still verifies\n"))?,
    }
    installation.sign(&audit).await;
    Ok(ExitCode::SUCCESS)
}

/// With what waited carried over, where the database takes it.
async fn opened(installation: &Installation) -> anyhow::Result<(Audit, Store)> {
    let store = installation.store().await?;
    let audit = installation.audit_on(store.clone()).await?;
    Ok((audit, store))
}

fn tell_waiting(audit: &Audit) {
    let waiting = audit.waiting();
    if waiting > 0 {
        eprintln!("note: {waiting} entries wait in the local journal until the database takes them");
    }
}

fn cells(row: &EntryView) -> Vec<String> {
    let (entry, known) = (Value::from(row.entry.clone()), &row.known);
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let known = |field: &str| known.get(field).cloned();
    let committed = entry.pointer("/personal").and_then(|personal| personal.get("actor.name")).is_some();
    let actor = match (known("actor.name"), known("actor.host")) {
        (Some(name), Some(host)) => format!("{name}@{host}"),
        (Some(name), None) => name,
        (None, _) if committed => format!("{} (forgotten)", text("/actor/kind")),
        (None, _) => text("/actor/kind"),
    };
    let stage = text("/stage");
    let note = [if stage == "done" { String::new() } else { stage }, text("/reason")];
    let note: Vec<&str> = note.iter().map(String::as_str).filter(|note| !note.is_empty()).collect();
    vec![
        row.entry.get("seq").map(plain).unwrap_or_default(),
        to_seconds(&text("/at")),
        actor,
        text("/action"),
        [text("/object/kind"), text("/object/name")].join(":"),
        note.join(": ").replace('\n', " "),
    ]
}

/// `2026-11-22T19:26:00.123Z` without the fraction.
fn to_seconds(moment: &str) -> String {
    moment.split_once('.').map_or_else(|| moment.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
