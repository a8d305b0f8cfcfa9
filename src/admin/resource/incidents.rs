//! Incidents that others report: one of the worst on a route takes the route back.

use axum::http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    super::{asked::Asked, endpoint::Endpoint, refused::Refused, view::IncidentView},
    ledger::limit,
};
use crate::{
    clock,
    domain::{Right, RouteId},
    release::{Phase, Report, Taken},
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let report =
        "Report an incident on a route, or its end; severity 1 or 2 takes the route back to its retained version";
    vec![
        Endpoint::read("/incidents", Right::Read, "The latest incidents, and what each has led to", list),
        Endpoint::write((Method::POST, "/incidents"), Right::IncidentReport, report, take),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct IncidentQuery {
    route: Option<String>,
    /// At most so many, up to 1000 [default: 100].
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewIncident {
    /// What it is called where it comes from: reports of the same one belong together [default: one of its own].
    id: Option<String>,
    route: String,
    /// 1 (the worst) to 5, also as text: `SEV1`.
    severity: Severity,
    /// For people; kept, so it must not name a person.
    title: String,
    /// `triggered` or `resolved` [default: triggered].
    #[serde(default)]
    status: Phase,
}

/// 1 to 5, or `SEV1` to `SEV5`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "`severity` is 1 (the worst) to 5, or `SEV1` to `SEV5`")]
enum Severity {
    Number(u8),
    Text(String),
}

async fn list(asked: Asked, query: IncidentQuery) -> Result<Vec<IncidentView>, Refused> {
    let limit = limit(query.limit, 100, 1000)?;
    let rows = asked.admin.store.incidents(query.route.map(RouteId::new), limit).await?;
    Ok(rows.into_iter().map(IncidentView::from).collect())
}

async fn take(asked: Asked, new: NewIncident) -> Result<Taken, Refused> {
    let route = asked.route(&new.route)?;
    let severity = match &new.severity {
        Severity::Number(number) => Some(*number),
        Severity::Text(text) => text.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok(),
    };
    let severity = severity.filter(|severity| (1..=5).contains(severity));
    let severity = severity.ok_or_else(|| Refused::invalid("`severity` is 1 (the worst) to 5, or `SEV1` to `SEV5`"))?;
    let title = new.title.trim();
    if title.is_empty() || title.len() > 1000 {
        return Err(Refused::invalid("`title` has 1 to 1000 characters"));
    }
    if new.id.as_ref().is_some_and(|id| id.is_empty() || id.len() > 255) {
        return Err(Refused::invalid("`id` has 1 to 255 characters"));
    }
    let report = Report {
        source: "admin_api",
        external_id: new.id.unwrap_or_else(|| clock::call_id().0.to_string()),
        route,
        severity,
        title: title.to_owned(),
        phase: new.status,
        at_unix_ms: None,
        began_unix_ms: None,
        actor: asked.actor(),
    };
    Ok(asked.admin.incidents.take(report).await)
}
