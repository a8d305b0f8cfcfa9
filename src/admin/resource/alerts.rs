//! Alerts: what is open, what waits, and whether every receiver takes one.

use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::super::{
    asked::Asked,
    endpoint::{Endpoint, Nothing},
    refused::Refused,
};
use crate::{
    alert::{self, Post, TestedSink},
    domain::Right,
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let test = "Send every receiver a test alert and its end, now";
    vec![
        Endpoint::read("/alerts", Right::Read, "Incidents that are open, and what waits for each receiver", list),
        Endpoint::write((Method::POST, "/alerts/test"), Right::AlertTest, test, test_all),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
struct AlertsView {
    open: Vec<Value>,
    outbox: Vec<Lane>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Lane {
    /// Of the receiver: `slack`, `pagerduty`, `alertmanager`, `webhook`.
    kind: String,
    name: String,
    waiting: usize,
}

async fn list(asked: Asked, _: Nothing) -> Result<AlertsView, Refused> {
    let dir = asked.admin.state.alerts();
    let kept = tokio::task::spawn_blocking(move || alert::read(&dir)).await;
    let kept = kept
        .map_err(|error| Refused::internal(error.to_string()))?
        .map_err(|error| Refused::internal(error.to_string()))?;
    let open = kept.incidents.iter().filter(|known| known.is_open());
    let lane = |(sink, waiting): (&alert::SinkId, usize)| Lane {
        kind: sink.kind().to_owned(),
        name: sink.name().to_owned(),
        waiting,
    };
    Ok(AlertsView {
        open: open.map(|known| serde_json::to_value(&known.alert).unwrap_or_default()).collect(),
        outbox: kept.outbox.waiting_by_sink().map(lane).collect(),
    })
}

async fn test_all(asked: Asked, _: Nothing) -> Result<Vec<TestedSink>, Refused> {
    let post = Post { vault: asked.admin.api.relay.vault.clone(), client: asked.admin.http.clone() };
    Ok(alert::test_sinks(&post, &asked.admin.settings().alerts).await)
}
