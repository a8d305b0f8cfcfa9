//! Alerts: what is open, what waits, and whether every receiver takes one.

use axum::http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::{
    asked::Asked,
    endpoint::{Endpoint, Nothing},
    refused::Refused,
    verb::alerts as verb,
    view::AlertsView,
};
use crate::{
    alert::{Post, TestedSink},
    domain::Right,
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let test = "Send every receiver a test alert and its end, now";
    vec![
        Endpoint::read("/alerts", Right::Read, "Incidents that are open, and what waits for each receiver", list),
        Endpoint::write((Method::POST, "/alerts/test"), Right::AlertTest, test, test_all),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Tested {
    /// Only receivers of this kind: `slack`, `pagerduty`, `alertmanager`, `webhook`.
    kind: Option<String>,
}

async fn list(asked: Asked, _: Nothing) -> Result<AlertsView, Refused> {
    let site = asked.site();
    let read = tokio::task::spawn_blocking(move || verb::open(&site)).await;
    read.map_err(|error| Refused::internal(error.to_string()))?
}

async fn test_all(asked: Asked, only: Tested) -> Result<Vec<TestedSink>, Refused> {
    let post = Post { vault: asked.admin.api.relay.vault.clone(), client: asked.admin.http.clone() };
    verb::test(&asked.site(), &post, only.kind.as_deref()).await
}
