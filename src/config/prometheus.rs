//! Figures that are read from a Prometheus: where it is, and what it is asked.

use std::{collections::BTreeMap, time::Duration};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusSettings {
    /// Without a slash at its end; `/api/v1/query` is below it.
    pub url: String,
    /// The name, in the vault, of a bearer token.
    pub secret: Option<String>,
    pub every: Duration,
    /// By the figure's name.
    pub queries: BTreeMap<String, PrometheusQuery>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusQuery {
    /// PromQL, for one moment.
    pub query: String,
    /// The label that names the route.
    pub route_label: String,
}
