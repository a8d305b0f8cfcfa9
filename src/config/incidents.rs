//! How others' incidents are understood: which routes they are about, and how bad they are.

use std::collections::BTreeMap;

use crate::domain::RouteId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentSettings {
    /// The secret's name in the vault; `None`: PagerDuty's webhooks are not taken.
    pub pagerduty_secret: Option<String>,
    /// Routes by PagerDuty's service, its id or its name.
    pub pagerduty_services: BTreeMap<String, Vec<RouteId>>,
    /// How bad a PagerDuty incident without a priority is; 1 is the worst.
    pub without_priority: u8,
    /// Alertmanager's label that names the route.
    pub route_label: String,
    /// How bad an alert is by its label `severity`.
    pub severities: BTreeMap<String, u8>,
}

impl Default for IncidentSettings {
    fn default() -> Self {
        let severities = [("critical", 1), ("page", 1), ("error", 2), ("warning", 3), ("info", 5)];
        Self {
            pagerduty_secret: None,
            pagerduty_services: BTreeMap::new(),
            without_priority: 3,
            route_label: "route".to_owned(),
            severities: severities.map(|(name, severity)| (name.to_owned(), severity)).into(),
        }
    }
}
