//! Game days, as operators see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    domain::RouteId,
    release::drill::{DrillPlan, Report},
    store::DrillRow,
};

/// A drill that is on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrillOn {
    pub id: String,
    pub plan: Option<DrillPlan>,
    pub ends_unix_ms: i64,
}

/// One drill; its report tells more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrillView {
    pub drill: String,
    /// `null`: of a newer version of this program.
    pub plan: Option<DrillPlan>,
    pub asked_unix_ms: i64,
    pub ends_unix_ms: i64,
    /// When a gateway took it up.
    pub taken_unix_ms: Option<i64>,
    pub ended_unix_ms: Option<i64>,
    /// `finished`, `stopped`, `refused` or `withdrawn`.
    pub outcome: Option<String>,
    /// Why it was refused.
    pub why: Option<String>,
    pub routes: Vec<RouteAnswered>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteAnswered {
    pub route: RouteId,
    /// Calls that saw the vendors as down.
    pub calls: u64,
    pub answered: u64,
    /// Every call was answered, and as well as certified.
    pub holds: bool,
}

/// When a route was drilled last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteDrilled {
    pub route: RouteId,
    pub critical: bool,
    pub last_drill: Option<String>,
    pub last_unix_ms: Option<i64>,
    pub age_seconds: Option<i64>,
    /// It is critical, and was never drilled or too long ago.
    pub overdue: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrillsView {
    pub on: Option<DrillView>,
    /// The latest first.
    pub drills: Vec<DrillView>,
    pub routes: Vec<RouteDrilled>,
}

/// A drill that a gateway has taken up, or has refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrillBegun {
    #[serde(flatten)]
    pub drill: DrillView,
    pub cautions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrillStopped {
    pub drill: String,
    pub ends_unix_ms: i64,
}

impl DrillOn {
    /// Where `row` is on at that time, and makes vendors look down on `route`.
    pub fn of(row: &DrillRow, route: &RouteId, now_unix_ms: i64) -> Option<Self> {
        let is_on = row.taken_unix_ms.is_some() && now_unix_ms < row.ends_unix_ms;
        let plan = DrillPlan::of(row).filter(|plan| plan.routes.contains(route))?;
        let sees_any = is_on && !plan.vendors.is_empty();
        sees_any.then(|| Self { id: row.id.clone(), plan: Some(plan), ends_unix_ms: row.ends_unix_ms })
    }
}

impl From<&DrillRow> for DrillView {
    fn from(row: &DrillRow) -> Self {
        let report: Option<Report> = row.report.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let routes = report.iter().flat_map(|report| &report.routes);
        let routes = routes.map(|one| RouteAnswered {
            route: one.route.clone(),
            calls: one.calls,
            answered: one.answered,
            holds: one.holds,
        });
        Self {
            drill: row.id.clone(),
            plan: DrillPlan::of(row),
            asked_unix_ms: row.asked_unix_ms,
            ends_unix_ms: row.ends_unix_ms,
            taken_unix_ms: row.taken_unix_ms,
            ended_unix_ms: row.ended_unix_ms,
            outcome: row.outcome.clone(),
            why: report.as_ref().and_then(|report| report.why.clone()),
            routes: routes.collect(),
        }
    }
}
