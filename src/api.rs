//! The public HTTP surface: it authenticates, bounds and parses what comes in, hands it to the relay, and is the only
//! place that knows status codes and headers.

mod auth;
mod calls;
mod models;
mod ops;
mod rate_headers;
mod refused;
mod respond;
mod rest;
mod router;
mod unread;

pub use ops::{Readiness, Stage, readiness};
pub use rest::discard;
pub use router::router;

use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use crate::{
    relay::{Relay, Snapshot},
    vault::ClientKeys,
};

/// The most calls that are answered at once; past it, 503 with Retry-After.
pub const CALLS_AT_ONCE: usize = 8192;

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    pub relay: Arc<Relay>,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub keys: ClientKeys,
    pub readiness: Arc<Readiness>,
    pub metrics: PrometheusHandle,
    pub permits: Arc<Semaphore>,
}
