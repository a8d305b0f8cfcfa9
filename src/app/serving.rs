//! Listening, and stopping well: what was accepted finishes, up to a bound.

use std::{
    future::IntoFuture as _,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::serve::ListenerExt as _;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::{App, health};
use crate::{
    api::{self, Stage},
    audit,
};

/// How long the ledger may take to carry its last rows into the database.
const LEDGER_CLOSE: Duration = Duration::from_secs(5);
/// How long the last alerts may take.
const ALERTS_CLOSE: Duration = Duration::from_secs(5);
/// And at least, when nothing else is left of the time.
const LAST_ALERTS: Duration = Duration::from_millis(500);
/// How long the last metrics and traces may take.
const PUBLISH_CLOSE: Duration = Duration::from_secs(6);

/// A public surface that listens.
#[derive(Debug)]
pub struct Serving {
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// Binds `address` and begins to answer: `/readyz` says `starting` until the app says otherwise.
    pub async fn start(app: &App, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|stream| {
            // Without it, the last frame of a stream waits for an acknowledgement; failing it costs only that.
            let _ = stream.set_nodelay(true);
        });
        let (stop, mut stopped) = watch::channel(false);
        let server = axum::serve(listener, api::router(app.api())).with_graceful_shutdown(async move {
            // A dropped sender means that the process ends anyway.
            let _ = stopped.wait_for(|stop| *stop).await;
        });
        Ok(Self { address, stop, server: tokio::spawn(server.into_future()) })
    }

    /// Accepts nothing new, lets in-flight answers finish within `bound`, then closes the books.
    pub async fn drain(self, app: App, bound: Duration) {
        app.readiness.enter(Stage::Draining);
        let until = Instant::now() + bound;
        // The server may have ended by itself; then there is nothing to stop.
        let _ = self.stop.send(true);
        let mut server = self.server;
        match tokio::time::timeout_at(until.into(), &mut server).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, "the listener failed"),
            Ok(Err(error)) => tracing::error!(%error, "the server task failed"),
            Err(_) => {
                tracing::warn!(?bound, "some answers did not finish within the drain bound and are cut");
                server.abort();
                // Cut calls settle when their tasks are dropped; that has happened once the abort is through.
                let _ = server.await;
            }
        }
        if let Err(error) = health::write(&app.relay, &app.state).await {
            tracing::warn!(%error, "the targets' health was not written");
        }
        if let Err(error) = audit::sign(&app.audit, &app.relay.vault).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the audit log's last entries are not signed");
        }
        let App { relay, published, alerts, keeper, keys, snapshot, .. } = app;
        drop((keeper, keys, snapshot));
        if !relay.ledger.close(LEDGER_CLOSE).await {
            tracing::warn!(
                "the journal holds calls that the database has not taken yet; the next start carries them over"
            );
        }
        drop(relay);
        // One bound for both: the alerts' desk hears of the end only when the publisher is through.
        let until = Instant::now() + PUBLISH_CLOSE;
        if tokio::time::timeout_at(until.into(), published).await.is_err() {
            tracing::warn!("the last metrics and traces were not delivered");
        }
        alerts.close(until.saturating_duration_since(Instant::now()).clamp(LAST_ALERTS, ALERTS_CLOSE)).await;
    }
}
