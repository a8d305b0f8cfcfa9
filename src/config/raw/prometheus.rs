//! `prometheus:` as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, UrlText};

/// A Prometheus (or what has its HTTP API) whose figures rules may ask for as `kpi:NAME`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Prometheus {
    /// E.g. `http://prometheus.internal:9090`.
    #[schemars(required)]
    pub(in crate::config) url: Option<UrlText>,
    /// The name, in the vault, of a bearer token [default: none is sent].
    pub(in crate::config) secret: Option<String>,
    /// How often it is asked [default: 60s].
    pub(in crate::config) every: Option<DurationText>,
    /// What it is asked, by the figure's name.
    #[schemars(required)]
    pub(in crate::config) queries: Option<BTreeMap<String, PrometheusQuery>>,
}

/// One figure.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PrometheusQuery {
    /// PromQL that gives one value now, or one for each route.
    #[schemars(required, example = "avg by (route) (csat_score)")]
    pub(in crate::config) query: Option<String>,
    /// The label that names the route [default: route]. A value without it counts for every route.
    pub(in crate::config) route_label: Option<String>,
}
