//! What triggers look at, as the database keeps it: incidents, figures of the business, and sums over a route's calls.

use super::Answer;
use crate::domain::RouteId;

/// The triggers' side of the database.
pub trait Triggers {
    /// Stores an incident, or what has become of one.
    fn put_incident(&self, incident: IncidentRow) -> Answer<'_, ()>;

    fn find_incident(&self, source: String, external_id: String, route: RouteId) -> Answer<'_, Option<IncidentRow>>;

    /// The latest first.
    fn incidents(&self, route: Option<RouteId>, limit: u32) -> Answer<'_, Vec<IncidentRow>>;

    /// Stores figures, all or none; one for the same moment takes the place of an earlier one. What is older than
    /// `forget_before_unix_ms` is forgotten.
    fn put_kpis(&self, points: Vec<KpiPoint>, forget_before_unix_ms: i64) -> Answer<'_, ()>;

    /// The latest first.
    fn kpis(&self, name: Option<String>, route: Option<RouteId>, limit: u32) -> Answer<'_, Vec<KpiPoint>>;

    /// Sums over a figure's values.
    fn kpi_sums(&self, name: String, filter: SumFilter) -> Answer<'_, KpiSums>;

    /// Sums over a route's finished calls; those that their callers made fail are left out.
    fn call_sums(&self, filter: SumFilter, slower_than_ms: Option<f64>) -> Answer<'_, CallSums>;

    /// How long the slowest `share` (0 to 1) of a route's answered calls took at least, in ms; `None`: there are none.
    fn call_quantile_ms(&self, filter: SumFilter, share: f64) -> Answer<'_, Option<f64>>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Who reported it: `admin_api`, `pagerduty`, `alertmanager`.
    pub source: String,
    /// What it is called there.
    pub external_id: String,
    pub route: RouteId,
    /// 1 is the worst.
    pub severity: u8,
    pub title: String,
    pub opened_unix_ms: i64,
    pub resolved_unix_ms: Option<i64>,
    /// What became of the rollback that it asked for; `None`: it asked for none.
    pub outcome: Option<String>,
    /// What was against it may pass: reported again, it asks again.
    pub asks_again: bool,
    /// It has begun anew: what was known of its last time is over. Nothing that is read says so.
    pub is_anew: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct KpiPoint {
    pub name: String,
    pub route: RouteId,
    pub at_unix_ms: i64,
    pub value: f64,
}

/// Which calls of a route count, by the release that answered them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallsOf {
    #[default]
    Any,
    /// Those of this one, and those of which the release is not on record.
    Serving(u32),
    /// Those of this one alone.
    Only(u32),
    /// All others.
    Not(u32),
}

/// Which span of a route counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumFilter {
    pub route: RouteId,
    /// Of calls; figures from elsewhere tell of no release.
    pub calls: CallsOf,
    /// Inclusive.
    pub since_unix_ms: i64,
    /// Exclusive.
    pub until_unix_ms: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct KpiSums {
    pub count: u64,
    pub sum: f64,
    pub sum_of_squares: f64,
}

/// Sums over calls. Cost in micro-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CallSums {
    pub calls: u64,
    pub failed: u64,
    /// Refused for their content by a target, whatever came of them then.
    pub refused: u64,
    /// Answered, or cut after part of the answer.
    pub answered: u64,
    /// Of the answered.
    pub slower: u64,
    pub cost: f64,
    pub cost_of_squares: f64,
    /// Calls of which the cost is known.
    pub priced: u64,
}
