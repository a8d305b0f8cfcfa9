//! Keeps what is known of every target's health on disk, and its gauges true, while the gateway serves.

use std::{sync::Arc, time::Duration};

use metrics::gauge;
use tokio::task::JoinHandle;

use super::App;
use crate::{
    config::StateDir,
    observe::metric,
    relay::{Relay, health::HealthView},
};

/// How often it is written. A crash loses no more than this of what was learnt.
const ROUND: Duration = Duration::from_secs(1);

/// Goes on until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let (relay, state) = (Arc::clone(&app.relay), app.state.clone());
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(ROUND);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tick.tick().await;
            let written = write(&relay, &state).await;
            if let (Err(error), false) = (&written, failing) {
                tracing::warn!(%error, "the targets' health cannot be written; baselines will not outlive this process");
            }
            failing = written.is_err();
        }
    })
}

/// Writes it once.
pub(super) async fn write(relay: &Arc<Relay>, state: &StateDir) -> std::io::Result<()> {
    let (relay, path) = (Arc::clone(relay), state.health());
    let written = tokio::task::spawn_blocking(move || {
        let view = HealthView::of(&relay.health);
        for (target, seen) in &view.targets {
            let state = match seen.breaker.as_str() {
                "closed" => 0.0,
                "open" => 1.0,
                _ => 0.5,
            };
            gauge!(metric::BREAKER, "target" => target.to_string()).set(state);
            let outage = if seen.outage.is_some() { 1.0 } else { 0.0 };
            gauge!(metric::OUTAGE, "target" => target.to_string()).set(outage);
        }
        view.write(&path)
    });
    written.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
