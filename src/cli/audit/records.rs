//! `backstop audit list`, `show` and `forget`: single entries, with what is still known of persons.

use std::{process::ExitCode, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    super::{
        place::{Here, Place},
        print::{self, Align},
        remote::Remote,
    },
    ListArgs,
};
use crate::{
    admin::{
        verb::audit as verb,
        view::{self, EntryShown, EntryView},
    },
    audit::Audit,
    clock,
    store::AuditFilter,
};

/// Of one answer.
const PAGE: usize = 1000;

pub(super) async fn list(place: &Place, args: ListArgs) -> anyhow::Result<ExitCode> {
    let since = |since: Duration| clock::unix_ms() - i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let (json, since) = (args.json, args.since.map(since));
    let mut waiting = None;
    let entries: Vec<EntryView> = match place {
        Place::Server(remote) => listed(remote, &args, since).await?,
        Place::Here(here) => {
            let audit = here.audit().await?;
            let filter = AuditFilter {
                action: args.action,
                object: args.object,
                actor: args.actor,
                since_unix_ms: since,
                before_seq: None,
                limit: args.limit,
            };
            let rows = here.site.store()?.audit_find(filter).await?;
            waiting = Some(audit);
            view::entries(&rows)
        }
    };
    show_all(&entries, Form::of(json))?;
    if let Some(audit) = &waiting {
        tell_waiting(audit);
    }
    Ok(ExitCode::SUCCESS)
}

/// A page after the other.
async fn listed(remote: &Remote, args: &ListArgs, since: Option<i64>) -> anyhow::Result<Vec<EntryView>> {
    let (mut entries, mut before) = (Vec::new(), None);
    loop {
        let wanted = PAGE.min(args.limit as usize - entries.len());
        let query = [
            ("action", args.action.clone()),
            ("object", args.object.clone()),
            ("actor", args.actor.clone()),
            ("since_unix_ms", since.map(|since| since.to_string())),
            ("before_seq", before),
            ("limit", Some(wanted.to_string())),
        ];
        let page: Vec<EntryView> = remote.get("/audit", &query).await?;
        let full = page.len() == wanted;
        entries.extend(page);
        before = entries.last().and_then(|last| last.entry.get("seq")).map(Value::to_string);
        if !full || before.is_none() || entries.len() >= args.limit as usize {
            return Ok(entries);
        }
    }
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

pub(super) async fn show(place: &Place, seq: u64, json: bool) -> anyhow::Result<ExitCode> {
    let shown: EntryShown = match place {
        Place::Server(remote) => remote.get(&format!("/audit/{seq}"), &[]).await?,
        Place::Here(here) => {
            here.audit().await?;
            verb::show(&here.site, seq).await?
        }
    };
    if json {
        print::json(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (entry, mut said) = (&shown.entry, String::new());
    let unknown = if entry.persons_hidden { "(not for this role)" } else { "(forgotten)" };
    for (name, value) in entry.entry.iter().filter(|(_, value)| !value.is_null()) {
        match (name.as_str(), value.as_object()) {
            ("personal", Some(fields)) => {
                for field in fields.keys() {
                    let value = entry.known.get(field).map_or(unknown, String::as_str);
                    said.push_str(&format!("{field}: {value}\n"));
                }
            }
            _ => said.push_str(&format!("{name}: {}\n", plain(value))),
        }
    }
    said.push_str(&format!("leaf: {}\nbytes: {}\n", entry.leaf_sha256, shown.bytes));
    print::text(&said)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn forget(place: &Place, value: String, reason: Option<String>) -> anyhow::Result<ExitCode> {
    let erased = match place {
        Place::Server(remote) => {
            let body = json!({ "value": value, "reason": reason });
            let done: Value = remote.write(Method::POST, "/audit/forget", &body).await?;
            done["erased"].as_u64().unwrap_or(0)
        }
        Place::Here(here) => forget_here(here, value, reason).await?,
    };
    print::text(&format!("erased {erased} values; the log still verifies\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn forget_here(here: &Here, value: String, reason: Option<String>) -> anyhow::Result<u64> {
    let audit = here.audit().await?;
    let erased = verb::forget(&here.site, &audit, (value, reason)).await?;
    here.installation.sign(&audit).await;
    Ok(erased)
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
        (None, _) if committed && !row.persons_hidden => format!("{} (forgotten)", text("/actor/kind")),
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
