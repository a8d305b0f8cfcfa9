//! The generic webhook: one JSON object, signed as [`crate::vault::webhook`] says.

use serde_json::json;

use super::message::{Alert, State, moment};
pub use crate::vault::webhook::{Signed, sign};

pub fn body(alert: &Alert) -> Vec<u8> {
    let happened = alert.resolved_unix_ms.filter(|_| alert.state == State::Resolved);
    json!({
        "type": format!("backstop.alert.{}", alert.state.as_str()),
        "timestamp": moment(happened.unwrap_or(alert.last_seen_unix_ms)),
        "data": {
            "dedup_key": alert.dedup_key,
            "event": alert.event.as_str(),
            "severity": alert.severity.as_str(),
            "state": alert.state.as_str(),
            "summary": alert.summary(),
            "route": alert.route,
            "fault": alert.fault,
            "target": alert.target,
            "served_by": alert.served_by,
            "tried": alert.tried,
            "last_call": alert.call.map(|call| call.to_string()),
            "first_seen": moment(alert.first_seen_unix_ms),
            "last_seen": moment(alert.last_seen_unix_ms),
            "resolved_at": alert.resolved_unix_ms.map(moment),
            "calls": alert.count,
        },
    })
    .to_string()
    .into_bytes()
}
