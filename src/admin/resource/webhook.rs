//! What PagerDuty and Alertmanager post when something is wrong, as reports of incidents on routes.
//!
//! PagerDuty is known by its signature (V3 webhooks: HMAC-SHA256 over the body, in `X-PagerDuty-Signature`), Alertmanager by a token of
//! the role operator. What names no route of ours is taken and does nothing.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::post,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::{
    Admin, door,
    refused::Refused,
    router::{BASE, json as answer, read},
};
use crate::{
    config::IncidentSettings,
    domain::{Actor, Right, RouteId},
    release::{Phase, Report, Taken},
};

/// Their paths, and whose they are.
pub(in super::super) const PATHS: [(&str, &str); 2] =
    [("/webhooks/pagerduty", "PagerDuty V3 webhooks"), ("/webhooks/alertmanager", "Alertmanager webhooks")];

/// Alerts on our routes of one post that are looked at, the worst first.
const MOST_ALERTS: usize = 500;

pub(in super::super) fn webhooks() -> Router<Arc<Admin>> {
    Router::new()
        .route(&format!("{BASE}/webhooks/pagerduty"), post(pagerduty))
        .route(&format!("{BASE}/webhooks/alertmanager"), post(alertmanager))
}

/// <https://developer.pagerduty.com/docs/webhooks-overview>
#[derive(Deserialize)]
struct PagerdutyPost {
    event: PagerdutyEvent,
}

#[derive(Deserialize)]
struct PagerdutyEvent {
    event_type: String,
    #[serde(default)]
    occurred_at: Option<String>,
    data: serde_json::Value,
}

/// <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>
#[derive(Deserialize)]
struct AlertmanagerPost {
    alerts: Vec<AlertmanagerAlert>,
}

#[derive(Deserialize)]
struct AlertmanagerAlert {
    status: String,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    fingerprint: String,
    /// The same as long as it fires.
    #[serde(default, rename = "startsAt")]
    starts_at: Option<String>,
}

async fn pagerduty(State(admin): State<Arc<Admin>>, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let (from, _entered) = door::address(&admin, &parts)?;
    let body = read(&parts, body).await?;
    let settings = admin.settings();
    let secret = settings.incidents.pagerduty_secret.as_ref().ok_or_else(|| {
        Refused::not_found("the config does not take PagerDuty's webhooks; see `incidents: { pagerduty: … }`")
    })?;
    let secret = admin.api.relay.vault.get(secret).ok_or_else(|| {
        Refused::unavailable(format!("the vault has no secret `{secret}`; set it with `backstop vault set {secret}`"))
    })?;
    if !is_signed(&parts.headers, secret.expose_secret().as_bytes(), &body) {
        door::turned_away(&admin, from);
        return Err(Refused::unauthenticated("X-PagerDuty-Signature is not that of the shared secret"));
    }
    let post: PagerdutyPost =
        serde_json::from_slice(&body).map_err(|error| Refused::invalid(format!("it is no V3 webhook: {error}")))?;
    let reports = from_pagerduty(post, &settings.incidents);
    Ok(take(&admin, reports).await)
}

/// One of the signatures is ours: while a secret is changed there are two.
fn is_signed(headers: &HeaderMap, secret: &[u8], body: &[u8]) -> bool {
    let Some(given) = headers.get("x-pagerduty-signature").and_then(|value| value.to_str().ok()) else { return false };
    given.split(',').take(8).filter_map(|one| hex::decode(one.trim().strip_prefix("v1=")?).ok()).any(|signature| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        mac.update(body);
        mac.verify_slice(&signature).is_ok()
    })
}

fn from_pagerduty(post: PagerdutyPost, settings: &IncidentSettings) -> Vec<Report> {
    let data = &post.event.data;
    let text = |pointer: &str| data.pointer(pointer).and_then(serde_json::Value::as_str);
    let phase = match post.event.event_type.as_str() {
        "incident.resolved" => Phase::Resolved,
        // Looked back at, say by who gives it its priority afterwards.
        _ if text("/status") == Some("resolved") => return Vec::new(),
        "incident.triggered"
        | "incident.priority_updated"
        | "incident.reopened"
        | "incident.escalated"
        | "incident.service_updated" => Phase::Triggered,
        _ => return Vec::new(),
    };
    let Some(id) = text("/id") else { return Vec::new() };
    let routes = ["/service/id", "/service/summary"]
        .into_iter()
        .filter_map(text)
        .find_map(|service| settings.pagerduty_services.get(service));
    let named = text("/priority/summary").or_else(|| text("/priority/name"));
    let severity = named.and_then(digit).unwrap_or(settings.without_priority);
    let title = text("/title").unwrap_or("an incident without a title");
    let report = |route: &RouteId| Report {
        source: "pagerduty",
        external_id: id.to_owned(),
        route: route.clone(),
        severity,
        title: title.chars().take(1000).collect(),
        phase,
        at_unix_ms: post.event.occurred_at.as_deref().and_then(moment),
        began_unix_ms: None,
        actor: Actor::webhook("PagerDuty"),
    };
    routes.into_iter().flatten().map(report).collect()
}

/// RFC 3339, in ms.
fn moment(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// `P1`, `SEV-2`, `P1 (24/7)`: the first number.
fn digit(text: &str) -> Option<u8> {
    let number = text.split(|char: char| !char.is_ascii_digit()).find(|part| !part.is_empty())?;
    number.parse().ok().filter(|severity| (1..=5).contains(severity))
}

async fn alertmanager(State(admin): State<Arc<Admin>>, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let (from, _entered) = door::address(&admin, &parts)?;
    let operator = door::operator(&admin, &parts, from).await?;
    door::count(&admin, &operator)?;
    door::may(&operator, Right::IncidentReport)?;
    let body = read(&parts, body).await?;
    let post: AlertmanagerPost = serde_json::from_slice(&body)
        .map_err(|error| Refused::invalid(format!("it is no Alertmanager webhook: {error}")))?;
    let settings = admin.settings();
    let reports = post.alerts.iter().filter_map(|alert| {
        let name = alert.labels.get(&settings.incidents.route_label)?;
        let route = settings.routes.get(name.as_str())?.id.clone();
        let severity = alert.labels.get("severity").map_or("", String::as_str);
        let severity = settings.incidents.severities.get(severity).copied().or_else(|| digit(severity)).unwrap_or(3);
        let title = alert.annotations.get("summary").or(alert.labels.get("alertname"));
        Some(Report {
            source: "alertmanager",
            external_id: if alert.fingerprint.is_empty() { name.clone() } else { alert.fingerprint.clone() },
            route,
            severity,
            title: title.map_or("an alert", String::as_str).chars().take(1000).collect(),
            phase: if alert.status == "resolved" { Phase::Resolved } else { Phase::Triggered },
            at_unix_ms: None,
            began_unix_ms: alert.starts_at.as_deref().and_then(moment),
            actor: operator.actor.clone(),
        })
    });
    let mut reports: Vec<Report> = reports.collect();
    reports.sort_by_key(|report| report.severity);
    if reports.len() > MOST_ALERTS {
        let left_out = reports.len() - MOST_ALERTS;
        tracing::error!(
            left_out,
            "more alerts at once than are looked at; set `max_alerts` of Alertmanager's receiver"
        );
        reports.truncate(MOST_ALERTS);
    }
    Ok(take(&admin, reports).await)
}

/// On a task of its own: a sender that hangs up does not stop a rollback half way.
async fn take(admin: &Arc<Admin>, reports: Vec<Report>) -> Response {
    let incidents = admin.incidents.clone();
    let taking = tokio::spawn(async move {
        let mut taken: Vec<Taken> = Vec::new();
        for report in reports {
            taken.push(incidents.take(report).await);
        }
        taken
    });
    match taking.await {
        Ok(taken) => answer(StatusCode::OK, json!({ "taken": taken }).to_string()),
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, json!({ "taken": [] }).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_says_how_bad_it_is() {
        for (text, severity) in [
            ("P1", Some(1)),
            ("SEV-2", Some(2)),
            ("Sev 3", Some(3)),
            ("high", None),
            ("P9", None),
            ("P1 - Critical (24x7)", Some(1)),
            ("P10", None),
        ] {
            assert_eq!(digit(text), severity, "{text}");
        }
    }

    #[test]
    fn either_of_two_signatures_is_enough_and_none_is_not() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").expect("any length");
        mac.update(b"{}");
        let right = hex::encode(mac.finalize().into_bytes());
        let signed = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-pagerduty-signature", value.parse().expect("is a header"));
            is_signed(&headers, b"secret", b"{}")
        };
        assert!(signed(&format!("v1={right}")) && signed(&format!("v1={},v1={right}", "00".repeat(32))));
        assert!(!signed(&right) && !signed(&format!("v1={}", "00".repeat(32))) && !signed(&format!("v2={right}")));
        assert!(!is_signed(&HeaderMap::new(), b"secret", b"{}"));
    }
}
