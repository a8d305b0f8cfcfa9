//! `incidents:` as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Incidents that others report. One of severity 1 or 2 on a route takes it back to its retained version.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Incidents {
    /// Webhooks (V3) of PagerDuty, at `/admin/v1/webhooks/pagerduty`.
    pub(in crate::config) pagerduty: Option<Pagerduty>,
    /// Webhooks of Alertmanager, at `/admin/v1/webhooks/alertmanager`.
    pub(in crate::config) alertmanager: Option<Alertmanager>,
}

/// How PagerDuty's webhooks are known and read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Pagerduty {
    /// The name, in the vault, of the webhook's signing secret.
    #[schemars(required)]
    pub(in crate::config) signing_secret: Option<String>,
    /// Which routes a service's incidents are about, by the service's id or name.
    #[schemars(required)]
    pub(in crate::config) services: Option<BTreeMap<String, Vec<String>>>,
    /// How bad an incident without a priority is, 1 to 5 [default: 3].
    pub(in crate::config) without_priority: Option<u8>,
}

/// How Alertmanager's alerts are read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Alertmanager {
    /// The label that names the route [default: route].
    pub(in crate::config) route_label: Option<String>,
    /// How bad an alert is, 1 to 5, by its label `severity` [default: critical and page 1, error 2, warning 3, info 5].
    pub(in crate::config) severities: Option<BTreeMap<String, u8>>,
}
