//! A vendor that is left, as operators see it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{RouteId, VendorId},
    release::evacuation::Instead,
};

/// What serves in the place of a vendor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvacuationView {
    pub vendor: VendorId,
    /// Of a hundred calls, so many leave it now; `null`: nothing was moved.
    pub pct: Option<u8>,
    /// The routes on which calls were moved.
    pub moved: Vec<RouteId>,
    pub routes: Vec<Instead>,
    pub cautions: Vec<String>,
}

/// How far routes have left a vendor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeavingView {
    pub vendor: VendorId,
    pub routes: Vec<RouteLeaving>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteLeaving {
    pub route: RouteId,
    /// Of a hundred calls, so many leave it.
    pub pct: u8,
    /// Where it is left in steps.
    pub steps: Option<Vec<u8>>,
    pub every_ms: Option<i64>,
    pub next_pct: Option<u8>,
    pub next_unix_ms: Option<i64>,
    /// Why it goes no further by itself.
    pub halted: Option<String>,
}
