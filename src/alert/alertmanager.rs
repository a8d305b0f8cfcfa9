//! The body of Alertmanager's `POST /api/v2/alerts`: one alert, known by its labels.
//!
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>. Alertmanager forgets an alert at its `endsAt`
//! and after a restart, so a firing one is sent again and again ([`REFRESH_MS`]) with an end that lies ahead. Labels are
//! the identity: they hold nothing that changes while the incident is open.

use serde_json::{Map, json};

use super::message::{Alert, State, moment};

/// How often an open incident is sent again, in ms.
pub const REFRESH_MS: i64 = 4 * 60 * 1000;
/// How far ahead the end of a firing alert lies, in ms: two refreshes may be lost.
const AHEAD_MS: i64 = 3 * REFRESH_MS;

/// The path below the server's own URL.
pub const PATH: &str = "/api/v2/alerts";

/// `now_unix_ms`: when it is sent.
pub fn body(alert: &Alert, now_unix_ms: i64) -> Vec<u8> {
    let mut labels = Map::new();
    labels.insert("alertname".into(), json!(format!("Backstop{}", camel(alert.event.as_str()))));
    labels.insert("severity".into(), json!(alert.severity.as_str()));
    labels.insert("service".into(), json!("backstop"));
    labels.insert("route".into(), json!(alert.route));
    labels.insert("incident".into(), json!(alert.dedup_key));
    let ends = match alert.state {
        State::Firing => now_unix_ms + AHEAD_MS,
        State::Resolved => alert.resolved_unix_ms.unwrap_or(now_unix_ms),
    };
    let mut annotations = Map::new();
    annotations.insert("summary".into(), json!(alert.summary()));
    annotations.insert("fault".into(), json!(alert.fault));
    annotations.insert("calls".into(), json!(alert.count.to_string()));
    for (name, value) in [
        ("target", alert.target.as_ref().map(ToString::to_string)),
        ("served_by", alert.served_by.as_ref().map(ToString::to_string)),
        ("last_call", alert.call.map(|call| call.to_string())),
        ("tried", Some(alert.tried_lines().join(", ")).filter(|tried| !tried.is_empty())),
    ] {
        if let Some(value) = value {
            annotations.insert(name.into(), json!(value));
        }
    }
    json!([{
        "labels": labels,
        "annotations": annotations,
        "startsAt": moment(alert.first_seen_unix_ms),
        "endsAt": moment(ends),
    }])
    .to_string()
    .into_bytes()
}

/// `fallback_served` as `FallbackServed`.
fn camel(words: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    words.split('_').map(capital).collect()
}
