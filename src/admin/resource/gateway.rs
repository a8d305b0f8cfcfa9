//! The gateway itself: how it is, what it serves from, and the config in force.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::{
    asked::Asked,
    endpoint::{Endpoint, Nothing},
    refused::Refused,
    verb::routes as verb,
    view::{self, CertificateView, ExplainedView, LatencyView},
};
use crate::{
    api, clock,
    config::{Route, Settings},
    domain::{OperatorRole, Right, TargetId},
    relay::health::HealthView,
    route::{Decision, Plan, TargetHealth, plan},
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::read("/status", Right::Read, "How the gateway is: what `/readyz` says, and more", status),
        Endpoint::read("/me", Right::Read, "Whose token this is", me),
        Endpoint::read("/routes", Right::Read, "All routes and their targets, each with its standing", routes),
        Endpoint::read("/routes/{route}", Right::Read, "One route, with the certificates of its targets", route),
        Endpoint::read(
            "/routes/{route}/explain",
            Right::Read,
            "Which target would serve such a question, and why",
            explain,
        ),
        Endpoint::read("/latencies", Right::Read, "What counts as slow, target by target", latencies),
        Endpoint::read("/config", Right::Read, "The config in force, without secrets: they are named in it", config),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Question {
    /// A question with tools.
    tools: bool,
    /// A question that wants JSON.
    json_schema: bool,
    /// A question with an image.
    images: bool,
    /// A prompt of so many tokens.
    input_tokens: u64,
    /// An answer of at most so many tokens.
    max_tokens: Option<u32>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LatencyQuery {
    /// Only the targets of this route.
    route: Option<String>,
}

/// How the gateway is.
#[derive(Debug, Serialize, JsonSchema)]
struct Status {
    /// `ready`, `degraded`, `unready`, `starting`, `draining`.
    status: String,
    version: String,
    /// `strict` or `warn`.
    enforcement: String,
    /// What does not work as the config has it, and why.
    degraded: Vec<Value>,
    at_unix_ms: i64,
    ledger_lag_rows: u64,
    /// Entries that wait until the database takes them.
    audit_waiting: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Me {
    id: String,
    role: OperatorRole,
    authenticated_by: String,
    /// What the role may.
    rights: Vec<String>,
}

/// One route.
#[derive(Debug, Serialize, JsonSchema)]
struct RouteView {
    route: String,
    /// `critical`, `standard` or `batch`.
    criticality: String,
    /// What a fallback must have passed.
    suite: String,
    version: Option<u64>,
    /// In the order in which they are tried.
    targets: Vec<TargetView>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TargetView {
    target: String,
    index: usize,
    /// `serves`, `stands by`, `passed over`.
    decision: String,
    reason: Option<String>,
    /// Whether the route's suite was passed by exactly this; why not otherwise. A first target at a vendor needs no certificate.
    certified: bool,
    uncertified_because: Option<String>,
    /// `closed`, `open`, `half_open`, `recovering`; `null`: not asked yet.
    breaker: Option<String>,
    outage: Option<String>,
    certificate: Option<CertificateView>,
}

async fn status(asked: Asked, _: Nothing) -> Result<Status, Refused> {
    let (_, said) = api::readiness(&asked.admin.api);
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Status {
        status: text("status"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        enforcement: text("enforcement"),
        degraded: said.get("degraded").and_then(Value::as_array).cloned().unwrap_or_default(),
        at_unix_ms: clock::unix_ms(),
        ledger_lag_rows: asked.admin.api.relay.ledger.health().lag_rows,
        audit_waiting: asked.admin.audit.waiting() as u64,
    })
}

async fn me(asked: Asked, _: Nothing) -> Result<Me, Refused> {
    let operator = asked.operator;
    let rights = Right::ALL.into_iter().filter(|right| operator.role.may(*right));
    Ok(Me {
        rights: rights.map(|right| format!("{right:?}")).collect(),
        role: operator.role,
        authenticated_by: operator.actor.authenticated_by.into_owned(),
        id: operator.id,
    })
}

async fn routes(asked: Asked, _: Nothing) -> Result<Vec<RouteView>, Refused> {
    let settings = asked.admin.settings();
    let seen = HealthView::of(&asked.admin.api.relay.health);
    Ok(settings.routes.values().map(|route| look(&asked, &settings, route, &seen)).collect())
}

async fn route(asked: Asked, _: Nothing) -> Result<RouteView, Refused> {
    let id = asked.route(asked.param("route"))?;
    let settings = asked.admin.settings();
    let seen = HealthView::of(&asked.admin.api.relay.health);
    let route = settings.routes.get(&id).ok_or_else(|| Refused::not_found("the route is gone"))?;
    let mut shown = look(&asked, &settings, route, &seen);
    let (admin, looked_at) = (std::sync::Arc::clone(&asked.admin), std::sync::Arc::clone(&settings));
    let certificates =
        tokio::task::spawn_blocking(move || view::certificates(&admin.gate, &looked_at, &admin.state)).await;
    let certificates = certificates
        .map_err(|error| Refused::internal(error.to_string()))?
        .map_err(|error| Refused::internal(error.to_string()))?;
    for target in &mut shown.targets {
        let is_its = |one: &&CertificateView| one.target == target.target && one.suite == shown.suite;
        target.certificate = certificates.iter().find(is_its).cloned();
    }
    Ok(shown)
}

fn look(asked: &Asked, settings: &Settings, route: &Route, seen: &HealthView) -> RouteView {
    let standings = asked.admin.api.relay.standings.load();
    let now = clock::unix_ms();
    let health: Vec<TargetHealth> = route
        .targets
        .iter()
        .map(|target| seen.targets.get(&target.id).map(|view| view.health(now)).unwrap_or_default())
        .collect();
    let plan: Plan = plan(route, &standings, settings.enforcement);
    let plan = plan.narrowed(route, &crate::route::Need::default(), &health);
    let first = plan.steps.iter().position(|step| step.decision.is_attempted());
    let target = |(order, step): (usize, &crate::route::Step)| {
        let stands = if first == Some(order) { "serves" } else { "stands by" };
        let (decision, reason) = match &step.decision {
            Decision::Attempt => (stands, None),
            Decision::AttemptDespite { reason } | Decision::LastResort { reason } => (stands, Some(reason.to_string())),
            Decision::Skip(fault) => ("passed over", Some(fault.detail.clone())),
        };
        let needs_none = step.index == 0 && !step.target.is_local() && !standings.has_looked_at(&step.target, route);
        let objection = match needs_none {
            true => Some("a first target at a vendor needs no certificate, so none was looked for".to_owned()),
            false => standings.objection(&step.target, route).map(|why| why.to_string()),
        };
        let of_target = |id: &TargetId| seen.targets.get(id);
        TargetView {
            target: step.target.to_string(),
            index: step.index,
            decision: decision.to_owned(),
            reason,
            certified: objection.is_none(),
            uncertified_because: objection,
            breaker: of_target(&step.target).map(|view| view.breaker.clone()),
            outage: of_target(&step.target).and_then(|view| view.outage.clone()),
            certificate: None,
        }
    };
    RouteView {
        route: route.id.to_string(),
        criticality: route.criticality.as_str().to_owned(),
        suite: route.suite.clone(),
        version: asked.admin.trigger.in_force(&route.id).map(|in_force| in_force.version),
        targets: plan.steps.iter().enumerate().map(target).collect(),
    }
}

async fn explain(asked: Asked, question: Question) -> Result<ExplainedView, Refused> {
    let Question { tools, json_schema, images, input_tokens, max_tokens } = question;
    let question = verb::Question { tools, json_schema, images, input_tokens, max_tokens };
    verb::explain(&asked.site(), asked.param("route"), &question).await
}

async fn latencies(asked: Asked, query: LatencyQuery) -> Result<Vec<LatencyView>, Refused> {
    verb::latency(&asked.site(), query.route.as_deref()).await
}

/// By section. Values that could be secrets are not in a config: it names what the vault holds.
async fn config(asked: Asked, _: Nothing) -> Result<Map<String, Value>, Refused> {
    let settings = asked.admin.settings();
    let vendor = |vendor: &crate::config::Vendor| {
        json!({
            "kind": vendor.kind, "base_url": vendor.base_url, "region": vendor.region, "operated_by": vendor.operator(),
            "self_hosted": vendor.self_hosted, "secret_name": vendor.secret, "needs_secret": vendor.needs_secret,
        })
    };
    let route = |route: &Route| {
        let ms = |time: std::time::Duration| time.as_millis() as u64;
        json!({
            "criticality": route.criticality.as_str(),
            "targets": route.targets.iter().map(|target| target.id.to_string()).collect::<Vec<_>>(),
            "suite": route.suite,
            "deadlines_ms": {
                "connect": ms(route.deadlines.connect), "first_token": ms(route.deadlines.first_token),
                "idle": ms(route.deadlines.idle), "attempt": ms(route.deadlines.attempt), "total": ms(route.deadlines.total),
            },
            "limits": route.limits.named_with_nulls(),
        })
    };
    let sink =
        |sink: &crate::config::AlertSink| json!({ "kind": sink.kind(), "min_severity": sink.min_severity.as_str() });
    let shown = json!({
        "listen": settings.listen.to_string(),
        "vendors": settings.vendors.iter().map(|(id, one)| (id.to_string(), vendor(one))).collect::<Map<_, _>>(),
        "routes": settings.routes.iter().map(|(id, one)| (id.to_string(), route(one))).collect::<Map<_, _>>(),
        "tenants": settings.tenants.iter().map(|(id, one)| (id.to_string(), one.limits.named().into())).collect::<Map<_, _>>(),
        "priced": settings.prices.keys().map(ToString::to_string).collect::<Vec<_>>(),
        "share_cap": {
            "max": settings.share_cap.max, "window_s": settings.share_cap.window.as_secs(),
            "min_volume": settings.share_cap.min_volume,
        },
        "alerts": settings.alerts.iter().map(sink).collect::<Vec<_>>(),
        "max_body_bytes": settings.max_body_bytes,
        "drain_ms": settings.drain.as_millis() as u64,
    });
    match shown {
        Value::Object(sections) => Ok(sections),
        _ => Ok(Map::new()),
    }
}
