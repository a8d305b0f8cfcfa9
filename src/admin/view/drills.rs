//! Game days, as operators see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{domain::RouteId, release::drill::DrillPlan, store::DrillRow};

/// A drill that is on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrillOn {
    pub id: String,
    pub plan: Option<DrillPlan>,
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
