//! Game days: asked for, ended, shown.

use axum::http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    super::{
        asked::{Asked, said},
        endpoint::{Endpoint, Nothing},
        refused::Refused,
        verb::drills as verb,
        view::{DrillBegun, DrillStopped, DrillView, DrillsView},
    },
    ledger::limit,
};
use crate::{domain::Right, release::drill::Report};

const MINUTES_MS: i64 = 60_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let begin_one =
        "Let some calls see vendors as down; answers once it has begun, and its report comes when it is over";
    let all = "Past drills, the one that is on, and when each route was drilled last";
    let last = "What the last drill that is over showed";
    vec![
        Endpoint::read("/drills", Right::Read, all, list),
        Endpoint::write((Method::POST, "/drills"), Right::DrillStart, begin_one, begin).makes(),
        Endpoint::write((Method::POST, "/drills/stop"), Right::RollBack, "End the drill that is on", stop),
        Endpoint::read("/drills/last/report", Right::Read, last, last_report),
        Endpoint::read("/drills/{drill}", Right::Read, "One drill", find),
        Endpoint::read("/drills/{drill}/report", Right::Read, "What a drill showed", report),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct DrillQuery {
    /// At most so many, up to 1000 [default: 20].
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewDrill {
    #[serde(default)]
    routes: Vec<String>,
    /// Every route that has a target of those vendors.
    #[serde(default)]
    all: bool,
    /// Who is seen as down [default: every vendor but our own hardware].
    #[serde(default)]
    vendors: Vec<String>,
    /// How long it takes at most [default: 5 minutes].
    duration_ms: Option<i64>,
    /// So many of a hundred calls of callers see it; `null`: the gateway asks questions itself, and callers notice nothing.
    live_pct: Option<u8>,
    /// So many questions a route [default: the config's `drill.questions`].
    questions: Option<u16>,
    /// Why; kept for ever.
    reason: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EndOfDrill {
    /// Why; kept for ever.
    #[schemars(regex(pattern = r"\S"))]
    reason: String,
}

async fn list(asked: Asked, query: DrillQuery) -> Result<DrillsView, Refused> {
    verb::status(&asked.site(), limit(query.limit, 20, 1000)?).await
}

async fn begin(asked: Asked, new: NewDrill) -> Result<DrillBegun, Refused> {
    if new.routes.is_empty() && !new.all {
        return Err(Refused::invalid("name `routes`, or say `all`"));
    }
    let in_bounds = new.live_pct.is_none_or(|pct| (1..=100).contains(&pct));
    if !in_bounds || new.questions.is_some_and(|count| !(1..=1000).contains(&count)) {
        return Err(Refused::invalid("`live_pct` is from 1 to 100, and `questions` from 1 to 1000"));
    }
    let order = verb::DrillOrder {
        routes: new.routes,
        all: new.all,
        vendors: new.vendors,
        duration_ms: new.duration_ms.unwrap_or(5 * MINUTES_MS),
        live_pct: new.live_pct,
        questions: new.questions,
        reason: new.reason,
    };
    verb::begin(&asked.site(), order).await
}

async fn stop(asked: Asked, end: EndOfDrill) -> Result<DrillStopped, Refused> {
    verb::stop(&asked.site(), said(&end.reason)?).await
}

async fn find(asked: Asked, _: Nothing) -> Result<DrillView, Refused> {
    verb::find(&asked.site(), asked.param("drill")).await
}

async fn report(asked: Asked, _: Nothing) -> Result<Report, Refused> {
    verb::report(&asked.site(), Some(asked.param("drill"))).await
}

async fn last_report(asked: Asked, _: Nothing) -> Result<Report, Refused> {
    verb::report(&asked.site(), None).await
}
