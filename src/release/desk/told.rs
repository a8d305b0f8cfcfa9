//! A route's releases, told to people and programs.

use serde_json::{Value, json};

use crate::{
    domain::{RouteId, TargetId},
    release::book::Line,
};

/// `2026-11-26`
pub fn moment(unix_ms: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(unix_ms.div_euclid(1000));
    at.map_or_else(|_| unix_ms.to_string(), |at| format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute()))
}

/// What an act on releases is described by where it is for programs.
pub fn described(line: &Line, route: &RouteId, filed: Option<&[TargetId]>) -> Value {
    json!({
        "route": route, "serving": line.primary, "since_unix_ms": line.since_unix_ms, "came_by": line.came_by,
        "targets": line.serving(), "retained": line.leases, "governed": line.governed, "left": line.left, "leaving": line.leaving,
        "canary": line.canary,
        "file_differs": filed.is_some_and(|filed| line.asks_for_import(filed)),
        "releases": line.releases.values().collect::<Vec<_>>(),
    })
}
