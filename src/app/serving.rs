//! Listening, and stopping well: what was accepted finishes, up to a bound.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::{App, health, limits, listening::Listening, operators};
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
    /// Of the operators' listener; `None`: there is none.
    pub operators: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    server: JoinHandle<io::Result<()>>,
    operators_server: Option<JoinHandle<io::Result<()>>>,
}

impl Serving {
    /// Binds `address` and begins to answer: `/readyz` says `starting` until the app says otherwise.
    pub async fn start(app: &App, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let listening = Listening {
            listener,
            router: api::router(app.api()),
            limiter: app.relay.limiter.clone(),
            settings: Arc::clone(&app.settings),
        };
        let operators = operators::listening(app).await?;
        let (operators, operators_server) = match operators {
            Some((address, listening)) => (Some(address), Some(tokio::spawn(listening.run(stopped.clone())))),
            None => (None, None),
        };
        Ok(Self { address, operators, stop, server: tokio::spawn(listening.run(stopped)), operators_server })
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
        if let Some(operators) = self.operators_server {
            // Its requests are few and short; what does not end with the calls is cut.
            operators.abort();
            let _ = operators.await;
        }
        if let Err(error) = health::write(&app.relay, &app.state).await {
            tracing::warn!(%error, "the targets' health was not written");
        }
        limits::write(&app.relay.limiter, &app.state).await;
        if let Err(error) = audit::sign(&app.audit, &app.relay.vault).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the audit log's last entries are not signed");
        }
        app.relay.shadows.end().await;
        let App { relay, published, compared, alerts, keeper, keys, snapshot, trigger, .. } = app;
        drop((keeper, keys, snapshot, trigger));
        if !relay.ledger.close(LEDGER_CLOSE).await {
            tracing::warn!(
                "the journal holds calls that the database has not taken yet; the next start carries them over"
            );
        }
        drop(relay);
        // One bound for both: the alerts' desk hears of the end only when the publisher is through.
        let until = Instant::now() + PUBLISH_CLOSE;
        if tokio::time::timeout_at(until.into(), compared).await.is_err() {
            tracing::warn!("the last comparisons of a shadow were not stored");
        }
        if tokio::time::timeout_at(until.into(), published).await.is_err() {
            tracing::warn!("the last metrics and traces were not delivered");
        }
        alerts.close(until.saturating_duration_since(Instant::now()).clamp(LAST_ALERTS, ALERTS_CLOSE)).await;
    }
}
