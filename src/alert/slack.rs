//! The body of a Slack incoming webhook: blocks, and one line for notifications and screen readers.
//!
//! <https://api.slack.com/messaging/webhooks>, <https://api.slack.com/reference/block-kit/blocks>. Names are escaped, so
//! that none of them mentions a channel or makes a link.

use serde_json::{Value, json};

use super::message::{Alert, Event, State, cut, moment};
use crate::config::AlertSeverity;

/// Slack's bound on a header's text, in characters.
const HEADER_LIMIT: usize = 150;
/// Slack's bound on a field's text, in characters.
const FIELD_LIMIT: usize = 2000;

pub fn body(alert: &Alert) -> Vec<u8> {
    let summary = alert.summary();
    let mut fields = vec![
        field("Severity", alert.severity.as_str()),
        field("Fault", &alert.fault),
        field("First seen", &moment(alert.first_seen_unix_ms)),
        field("Calls", &alert.count.to_string()),
    ];
    if let Some(served_by) = &alert.served_by {
        fields.push(field("Answered by", &served_by.to_string()));
    }
    if let Some(resolved) = alert.resolved_unix_ms {
        fields.push(field("Resolved", &moment(resolved)));
    }
    if let Some(call) = alert.call {
        fields.push(field("Last call", &call.to_string()));
    }
    let header = json!({ "type": "plain_text", "text": cut(title(alert), HEADER_LIMIT), "emoji": true });
    let mut blocks = vec![
        json!({ "type": "header", "text": header }),
        json!({ "type": "section", "text": mrkdwn(&escaped(&summary)), "fields": fields }),
    ];
    if !alert.tried.is_empty() {
        let tried = escaped(&alert.tried_lines().join(" · "));
        blocks.push(json!({ "type": "context", "elements": [mrkdwn(&tried)] }));
    }
    let line = format!("{} {}", mark(alert), escaped(&summary));
    json!({ "text": line, "blocks": blocks }).to_string().into_bytes()
}

fn title(alert: &Alert) -> &'static str {
    match (alert.state, alert.event) {
        (_, Event::Test) => "🔔 Test",
        (State::Resolved, _) => "✅ Resolved",
        (_, Event::FallbackServed) => "⚠️ Fallback serves",
        (_, Event::CertificateEnds) => "⚠️ A certificate ends",
        (_, Event::RuleFired) => "🟠 A rule has fired",
        (_, Event::DrillOverdue) => "⚠️ Not drilled for too long",
        (_, Event::LaterFallbackServed) => "🟠 Escalated: a later fallback serves",
        (_, Event::AnswerInterrupted) => "🟠 Answers break off",
        (_, Event::TargetRefusedUs) => "🟠 Ours to mend: secret or model",
        (_, Event::BudgetReached) => "💸 A budget has reached a mark",
        (_, Event::ShareOverridden) => "🟠 The share cap is overridden",
        (_, Event::NobodyAnswered) => "🚨 Nobody can answer",
        (_, Event::TargetLeftOut) => "🚨 A target has left its route",
        (_, Event::CertificateNotRenewed) => "🟠 A certificate is not renewed",
    }
}

fn mark(alert: &Alert) -> &'static str {
    match (alert.state, alert.severity) {
        (State::Resolved, _) => "✅",
        (_, AlertSeverity::Info) => "🔔",
        (_, AlertSeverity::Warning) => "⚠️",
        (_, AlertSeverity::Error) => "🟠",
        (_, AlertSeverity::Critical) => "🚨",
    }
}

fn field(name: &str, value: &str) -> Value {
    mrkdwn(&format!("*{name}*\n{}", escaped(value)))
}

fn mrkdwn(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": cut(text, FIELD_LIMIT) })
}

/// Slack's three control characters; nothing else is to be escaped.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
