//! Keeps what limits have counted in a file, for `backstop limits show`, while the gateway serves.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::App;
use crate::{
    clock,
    config::StateDir,
    limit::{Limiter, write_view},
};

const ROUND: Duration = Duration::from_secs(1);
/// Writing takes no more than one part in so many of the time, however many accounts there are.
const OF_TIME: u32 = 50;

/// Goes on until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let (limiter, state) = (app.relay.limiter.clone(), app.state.clone());
    tokio::spawn(async move {
        loop {
            let begin = clock::now();
            write(&limiter, &state).await;
            tokio::time::sleep(ROUND.max(begin.elapsed() * OF_TIME)).await;
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
