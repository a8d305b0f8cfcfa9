//! The body of a PagerDuty Events API v2 event: `trigger` while an incident is open, `resolve` when it is over.
//!
//! <https://developer.pagerduty.com/docs/send-alert-event>. Every event of the ladder has a dedup key of its own, because
//! PagerDuty does not raise the urgency of an incident that is open already: a page must open one.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::message::{Alert, State, cut, moment};

/// PagerDuty's bound on a summary, in characters.
const SUMMARY_LIMIT: usize = 1024;

/// The path below the region's host.
pub const PATH: &str = "/v2/enqueue";

pub fn body(alert: &Alert, routing_key: &SecretString) -> Vec<u8> {
    let routing_key = routing_key.expose_secret();
    let dedup_key = alert.dedup_key.as_str();
    if alert.state == State::Resolved {
        let event = json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key });
        return event.to_string().into_bytes();
    }
    let mut details = json!({
        "fault": alert.fault,
        "served_by": alert.served_by,
        "tried": alert.tried_lines(),
        "first_seen": moment(alert.first_seen_unix_ms),
        "calls": alert.count,
        "last_call": alert.call.map(|call| call.to_string()),
    });
    let mut payload = json!({
        "summary": cut(&alert.summary(), SUMMARY_LIMIT),
        "source": format!("backstop/{}", alert.route),
        "severity": alert.severity.as_str(),
        "timestamp": moment(alert.last_seen_unix_ms),
        "component": alert.target,
        "group": alert.route,
        "class": alert.event.as_str(),
    });
    // What is not known is left out: the schema has no nulls.
    for object in [&mut details, &mut payload] {
        if let Some(fields) = object.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
    }
    payload["custom_details"] = details;
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "Backstop",
        "payload": payload,
    })
    .to_string()
    .into_bytes()
}
