//! What triggers see of releases: what a route serves now, what it would go back to, and the one call that takes it there.
//!
//! The store of releases stands behind this trait. A rollback goes through it alone: no trigger moves traffic by itself.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;

use crate::{
    config::Settings,
    domain::{Actor, RouteId, TargetId},
};

/// Takes routes back to the version that they retain.
pub trait Reversal: fmt::Debug + Send + Sync {
    /// What serves the route now; `None`: there is no such route.
    fn in_force(&self, route: &RouteId) -> Option<InForce>;

    /// Makes the retained version the primary again. Audited, and durable when it returns; works while the database is away.
    fn roll_back(&self, order: Order) -> BoxFuture<'_, Result<Reversed, NotReversed>>;

    /// What is being rolled out on the route goes no further until somebody says so. Audited.
    fn pause(&self, order: Order) -> BoxFuture<'_, Result<(), NotReversed>>;
}

/// A route's release that serves now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    pub version: u64,
    /// When it began to serve.
    pub since_unix_ms: i64,
    pub came_by: CameBy,
    pub primary: TargetId,
    /// What it would go back to; `None`: nothing is retained.
    pub retained: Option<Retained>,
}

/// How a version came to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameBy {
    /// The config file's first one, or an import of it.
    Config,
    Promotion,
    Rollback,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    pub version: u64,
    pub primary: TargetId,
}

/// One rollback that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub route: RouteId,
    /// The version that is to end; one that serves no more is no reason to roll back another.
    pub from_version: u64,
    pub reason: String,
    pub actor: Actor,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reversed {
    pub from_version: u64,
    pub to_version: u64,
    pub primary: TargetId,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReversed {
    #[error("route `{0}` retains no earlier version; `backstop release history` shows what it has served")]
    NothingRetained(RouteId),
    #[error("route `{0}` serves another version by now; look at it, then ask again")]
    Moved(RouteId),
    #[error("{0}")]
    Failed(String),
}

/// An installation whose routes are the config file's alone: they have one version, and retain none.
#[derive(Debug)]
pub struct ConfigAlone {
    pub settings: Arc<ArcSwap<Settings>>,
    pub since_unix_ms: i64,
}

impl Reversal for ConfigAlone {
    fn in_force(&self, route: &RouteId) -> Option<InForce> {
        let settings = self.settings.load();
        let primary = settings.routes.get(route)?.targets.first()?.id.clone();
        let since_unix_ms = self.since_unix_ms;
        Some(InForce { version: 1, since_unix_ms, came_by: CameBy::Config, primary, retained: None })
    }

    fn roll_back(&self, order: Order) -> BoxFuture<'_, Result<Reversed, NotReversed>> {
        Box::pin(std::future::ready(Err(NotReversed::NothingRetained(order.route))))
    }

    fn pause(&self, order: Order) -> BoxFuture<'_, Result<(), NotReversed>> {
        let why = format!("nothing is being rolled out on route `{}`", order.route);
        Box::pin(std::future::ready(Err(NotReversed::Failed(why))))
    }
}
