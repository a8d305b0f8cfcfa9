//! The operators' listener: the same loop as the callers' one, with books of its own, so that neither keeps the other out.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, sync::mpsc};

use super::{App, listening::Listening};
use crate::{
    admin::{self, Admin, AdminParts},
    limit::Limiter,
};

/// Where it is unless the config says otherwise.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8081);

/// Binds the config's address. The usual one may be taken, say by a second gateway of this machine: then there is no such listener,
/// and the log says so. `None`: there is none.
pub(super) async fn listening(app: &App) -> io::Result<Option<(SocketAddr, Listening)>> {
    let configured = app.settings.load().admin_listen;
    let listener = match (TcpListener::bind(configured.unwrap_or(USUAL)).await, configured) {
        (Ok(listener), _) => listener,
        (Err(error), Some(address)) => {
            let what = format!("the operators' listener `admin.listen: {address}` cannot be opened: {error}");
            return Err(io::Error::new(error.kind(), what));
        }
        (Err(error), None) => {
            tracing::warn!(%error, "no admin API: {USUAL} cannot be listened on; name a place with `admin: {{ listen: … }}`");
            return Ok(None);
        }
    };
    let address = listener.local_addr()?;
    let limiter = Limiter::new(mpsc::channel(1).0);
    let admin = Admin::new(AdminParts {
        api: app.api(),
        audit: app.audit.clone(),
        store: app.store.clone(),
        gate: Arc::clone(&app.gate),
        state: app.state.clone(),
        tokens: admin::Tokens::open(app.store.clone()).await,
        limiter: limiter.clone(),
        http: app.http.clone(),
        trigger: app.trigger.clone(),
        rules: app.rules.clone(),
        shelf: Arc::clone(&app.releases.shelf),
        filed: app.releases.filed.clone(),
    });
    let router = admin::router(&admin);
    Ok(Some((address, Listening { listener, router, limiter, settings: Arc::clone(&app.settings) })))
}
