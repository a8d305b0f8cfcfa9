//! The audit log: its entries, the newest first and page by page, and each whole.

use axum::response::Response;
use serde_json::{Value, json};

use super::{page::NoPage, visit::Visit};
use crate::admin::refused::Refused;

/// Entries on one page.
const ON_A_PAGE: usize = 50;
/// What may be asked for, as the API's names have it.
const FILTERS: [&str; 3] = ["action", "object", "actor"];

pub(super) async fn list(visit: Visit) -> Result<Response, NoPage> {
    // One more than is shown says whether there are older ones.
    let limit = (ON_A_PAGE + 1).to_string();
    let filters: Vec<(&str, &str)> = FILTERS.into_iter().filter_map(|name| Some((name, visit.asked(name)?))).collect();
    let before = visit.asked("before_seq").map(|before| ("before_seq", before));
    let asked: Vec<(&str, &str)> = [("limit", limit.as_str())].into_iter().chain(filters).chain(before).collect();
    let read = visit.read("/audit", &asked).await?;
    let mut entries = read.as_array().cloned().unwrap_or_default();
    let has_older = entries.len() > ON_A_PAGE;
    entries.truncate(ON_A_PAGE);
    let last = entries.last().map(|entry| entry["seq"].clone()).filter(|_| has_older);
    let values = json!({
        "entries": entries,
        "older_than": last,
        "is_first": before.is_none(),
        "action": visit.asked("action"),
        "object": visit.asked("object"),
        "actor": visit.asked("actor"),
    });
    Ok(visit.page("audit.html", values))
}

pub(super) async fn entry(visit: Visit) -> Result<Response, NoPage> {
    let asked = visit.param("seq");
    let nothing = || Refused::not_found("the audit log has no such entry");
    let seq: u64 = asked.parse().map_err(|_| nothing())?;
    let before = seq.checked_add(1).ok_or_else(nothing)?.to_string();
    let read = visit.read("/audit", &[("before_seq", &before), ("limit", "1")]).await?;
    let entry = read.get(0).filter(|entry| entry["seq"] == seq).cloned().ok_or_else(nothing)?;
    let newest = visit.read("/audit", &[("limit", "1")]).await?[0]["seq"].as_u64();
    let newer = newest.filter(|newest| *newest > seq).map(|_| seq + 1);
    let whole = serde_json::to_string_pretty(&without(&entry, &["known", "leaf_sha256"])).unwrap_or_default();
    Ok(visit.page("entry.html", json!({ "entry": entry, "whole": whole, "newer": newer, "older": seq.checked_sub(1) })))
}

/// What the entry's own bytes say.
fn without(entry: &Value, names: &[&str]) -> Value {
    let mut entry = entry.clone();
    if let Some(members) = entry.as_object_mut() {
        members.retain(|name, _| !names.contains(&name.as_str()));
    }
    entry
}
