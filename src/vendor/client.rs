//! The outbound clients: pooled connections, and the access tokens that some vendors want beside them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use reqwest::Url;

use super::vertex::Tokens;
use crate::domain::{Fault, FaultKind};

/// One client for each connect deadline that the routes name (usually one), because that belongs to the connector. All of
/// them share the access tokens.
#[derive(Debug, Default)]
pub struct Clients {
    by_connect: Mutex<HashMap<Duration, reqwest::Client>>,
    addresses: Arc<Addresses>,
    tokens: Arc<Tokens>,
}

/// Addresses that were read once: a call's is the same as the last one's, and reading it costs more than finding it.
#[derive(Debug, Default)]
struct Addresses(RwLock<HashMap<String, Url>>);

/// So many are kept; models have a part in them, so that a config that is reloaded for ever could bring ever new ones.
const MOST_ADDRESSES: usize = 1024;

impl Addresses {
    fn find(&self, text: &str) -> Result<Url, Fault> {
        if let Some(url) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Ok(url.clone());
        }
        let url = Url::parse(text).map_err(|_| Fault::new(FaultKind::Dns, "the vendor's `base_url` is no URL"))?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_ADDRESSES {
            known.clear();
        }
        known.insert(text.to_owned(), url.clone());
        Ok(url)
    }
}

/// What a vendor is asked with; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    addresses: Arc<Addresses>,
    tokens: Arc<Tokens>,
}

impl Clients {
    /// The client whose connections must stand within `connect`.
    ///
    /// # Errors
    /// When the TLS set-up of this machine is unusable.
    pub fn with_connect_deadline(&self, connect: Duration) -> Result<Client, reqwest::Error> {
        let (addresses, tokens) = (Arc::clone(&self.addresses), Arc::clone(&self.tokens));
        let mut clients = self.by_connect.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http) = clients.get(&connect) {
            return Ok(Client { http: http.clone(), addresses, tokens });
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("backstop/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(512)
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .build()?;
        clients.insert(connect, http.clone());
        Ok(Client { http, addresses, tokens })
    }
}

#[cfg(test)]
impl Clients {
    /// A client without a pool that anyone else shares.
    pub(super) fn for_tests() -> Client {
        // The default provider can be installed once; if it stands already, it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self::default().with_connect_deadline(Duration::from_secs(1)).expect("a client can be built")
    }
}

impl Client {
    /// Follows no redirects and retries nothing.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// # Errors
    /// When it is no URL.
    pub(super) fn address(&self, text: &str) -> Result<Url, Fault> {
        self.addresses.find(text)
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}
