//! Figures of the business (Stage 5 monitoring), as others measure them: what rules compare besides the gateway's own.

use std::time::Duration;

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        asked::Asked,
        endpoint::{Endpoint, Nothing},
        refused::Refused,
        verb::rules as verb,
    },
    ledger::limit,
};
use crate::{
    clock,
    domain::{Right, RouteId, is_plain_name},
    release::rules::{RuleState, Tested},
    store::KpiPoint,
};

/// How long figures are kept.
const KEPT_MS: i64 = 90 * 24 * 3600 * 1000;
/// How far ahead of ours a clock may be.
const AHEAD_MS: i64 = 5 * 60 * 1000;
const MOST_POINTS: usize = 1000;
const WEEK_MS: u64 = 7 * 24 * 3600 * 1000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let report = "Report figures of routes; one for the same name, route and moment takes the place of an earlier one";
    vec![
        Endpoint::read("/kpis", Right::Read, "The latest figures", list),
        Endpoint::write((Method::POST, "/kpis"), Right::KpiReport, report, take),
        Endpoint::read("/rules", Right::Read, "Every rule on every route, as it was seen last", rules),
        Endpoint::read(
            "/rules/test",
            Right::Read,
            "What each rule would have done over the stored history",
            test_rules,
        ),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct KpiQuery {
    name: Option<String>,
    route: Option<String>,
    /// At most so many, up to 1000 [default: 100].
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// One figure, or many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a figure has `name`, `route`, `value` and perhaps `at_unix_ms`; many are `{\"kpis\": […]}`"
)]
enum NewKpis {
    Many { kpis: Vec<NewKpi> },
    One(NewKpi),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewKpi {
    /// 1 to 64 letters, digits, dots, underscores or dashes.
    name: String,
    route: String,
    value: f64,
    /// When it was measured [default: now].
    at_unix_ms: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct KpiView {
    name: String,
    route: String,
    at_unix_ms: i64,
    value: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Kept {
    kept: usize,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TestQuery {
    /// As if each route had been promoted so many ms ago [default: 7 days].
    since_ms: Option<u64>,
    rule: Option<String>,
    route: Option<String>,
}

async fn test_rules(asked: Asked, query: TestQuery) -> Result<Vec<Tested>, Refused> {
    let since = Duration::from_millis(query.since_ms.unwrap_or(WEEK_MS));
    verb::test(&asked.site(), since, (query.rule.as_deref(), query.route.as_deref())).await
}

async fn rules(asked: Asked, _: Nothing) -> Result<Vec<RuleState>, Refused> {
    Ok(asked.admin.rules.states())
}

async fn list(asked: Asked, query: KpiQuery) -> Result<Vec<KpiView>, Refused> {
    let limit = limit(query.limit, 100, 1000)?;
    let points = asked.admin.store.kpis(query.name, query.route.map(RouteId::new), limit).await?;
    let view = |point: KpiPoint| KpiView {
        name: point.name,
        route: point.route.to_string(),
        at_unix_ms: point.at_unix_ms,
        value: point.value,
    };
    Ok(points.into_iter().map(view).collect())
}

async fn take(asked: Asked, new: NewKpis) -> Result<Kept, Refused> {
    let new = match new {
        NewKpis::Many { kpis } => kpis,
        NewKpis::One(kpi) => vec![kpi],
    };
    if new.is_empty() || new.len() > MOST_POINTS {
        return Err(Refused::invalid(format!("1 to {MOST_POINTS} figures at a time")));
    }
    let now = clock::unix_ms();
    let point = |kpi: &NewKpi| {
        if !is_plain_name(&kpi.name) || !kpi.value.is_finite() {
            let name = &kpi.name;
            return Err(Refused::invalid(format!("`{name}`: a name has 1 to 64 letters, digits, `.`, `_`, `-`")));
        }
        let at_unix_ms = kpi.at_unix_ms.unwrap_or(now);
        if !(now - KEPT_MS..=now + AHEAD_MS).contains(&at_unix_ms) {
            return Err(Refused::invalid("`at_unix_ms` is in the future, or more than 90 days ago"));
        }
        Ok(KpiPoint { name: kpi.name.clone(), route: asked.route(&kpi.route)?, at_unix_ms, value: kpi.value })
    };
    let points = new.iter().map(point).collect::<Result<Vec<_>, _>>()?;
    let kept = points.len();
    asked.admin.store.put_kpis(points, now - KEPT_MS).await?;
    Ok(Kept { kept })
}
