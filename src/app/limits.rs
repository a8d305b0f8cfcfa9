//! Keeps what limits have counted in a file, for `backstop limits show`, while the gateway serves.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::App;
use crate::{
    config::StateDir,
    limit::{Limiter, write_view},
};

const ROUND: Duration = Duration::from_secs(1);

/// Goes on until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let (limiter, state) = (app.relay.limiter.clone(), app.state.clone());
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(ROUND);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            write(&limiter, &state).await;
        }
    })
}

/// Writes it once. It is for people to look at: what cannot be written is read from the ledger by whoever asks.
pub(super) async fn write(limiter: &Limiter, state: &StateDir) {
    let (limiter, path) = (limiter.clone(), state.limits());
    let written = tokio::task::spawn_blocking(move || write_view(&limiter, &path)).await;
    if let Ok(Err(error)) = written {
        tracing::debug!(%error, "what limits have counted cannot be written");
    }
}
