//! What triggers see of releases: what a route serves now, what it would go back to, and the one call that takes it there.
//!
//! The store of releases stands behind this trait. A rollback goes through it alone: no trigger moves traffic by itself.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;

use super::{
    book::{CameBy, Deed},
    desk::Desk,
    shelf::Shelf,
};
use crate::{
    clock,
    config::{CanaryMode, Settings},
    domain::{Actor, RouteId, TargetId},
};

/// Takes routes back to the version that they retain.
pub trait Reversal: fmt::Debug + Send + Sync {
    /// What serves the route now; `None`: there is no such route.
    fn in_force(&self, route: &RouteId) -> Option<InForce>;

    /// Makes the retained version the primary again. Audited, and durable when it returns; works while the database is away.
    fn roll_back(&self, order: Order) -> BoxFuture<'_, Result<Reversed, NotReversed>>;

    /// Ends the route's canary, which the order's version is: all calls go to what serves. As durable as a rollback.
    fn end_canary(&self, order: Order) -> BoxFuture<'_, Result<(), NotReversed>>;
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
    /// What is tried on a part of the calls.
    pub canary: Option<OnTrial>,
    /// When the last canary was ended otherwise than by a promotion or a rollback.
    pub canary_ended_unix_ms: Option<i64>,
}

/// A canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnTrial {
    pub version: u64,
    /// Since it has the share that it has.
    pub since_unix_ms: i64,
    pub mode: CanaryMode,
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
    #[error("{0}")]
    Failed(String),
}

/// The releases, as triggers see them. What is read is the state directory's copy: an absent database keeps nobody from going back.
#[derive(Debug)]
pub struct ReleaseBook {
    shelf: Arc<Shelf>,
    settings: Arc<ArcSwap<Settings>>,
    began_unix_ms: i64,
}

impl ReleaseBook {
    pub fn new(shelf: Arc<Shelf>, settings: Arc<ArcSwap<Settings>>) -> Self {
        Self { shelf, settings, began_unix_ms: clock::unix_ms() }
    }

    /// A route of which nothing is on record yet serves the config file's order.
    fn of_the_file(&self, route: &RouteId) -> Option<InForce> {
        let settings = self.settings.load();
        let primary = settings.routes.get(route)?.targets.first()?.id.clone();
        let since_unix_ms = self.began_unix_ms;
        Some(InForce {
            version: 1,
            since_unix_ms,
            came_by: CameBy::Config,
            primary,
            retained: None,
            canary: None,
            canary_ended_unix_ms: None,
        })
    }
}

impl Reversal for ReleaseBook {
    fn in_force(&self, route: &RouteId) -> Option<InForce> {
        let known = match self.shelf.read_now() {
            Ok(known) => known,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the releases cannot be read");
                return self.of_the_file(route);
            }
        };
        let Some(line) = known.book.line(route) else { return self.of_the_file(route) };
        let retained = line.retained().and_then(|lease| {
            let primary = line.release(lease.number)?.targets.first()?.clone();
            Some(Retained { version: lease.number.into(), primary })
        });
        let ended = line.history.iter().rev().find(|done| matches!(done.deed, Deed::CanaryEnded { .. }));
        Some(InForce {
            version: line.primary.into(),
            since_unix_ms: line.since_unix_ms,
            came_by: line.came_by,
            primary: line.serving().first()?.clone(),
            retained,
            canary: line.canary.map(|running| OnTrial {
                version: running.share.release.into(),
                since_unix_ms: running.since_unix_ms,
                mode: running.share.mode,
            }),
            canary_ended_unix_ms: ended.map(|done| done.at_unix_ms),
        })
    }

    fn roll_back(&self, order: Order) -> BoxFuture<'_, Result<Reversed, NotReversed>> {
        Box::pin(async move {
            let Order { route, from_version, reason, actor } = order;
            let in_force = self.in_force(&route);
            if in_force.is_none_or(|in_force| in_force.retained.is_none()) {
                return Err(NotReversed::NothingRetained(route));
            }
            let from = u32::try_from(from_version).ok();
            let desk = Desk { shelf: &self.shelf, settings: self.settings.load_full(), actor };
            let moved = desk.roll_back(&route, (from, None), &reason).await;
            let moved = moved.map_err(|error| NotReversed::Failed(error.to_string()))?;
            let primary = moved.targets.first().cloned().ok_or(NotReversed::NothingRetained(route))?;
            Ok(Reversed { from_version: moved.from.into(), to_version: moved.to.into(), primary })
        })
    }

    fn end_canary(&self, order: Order) -> BoxFuture<'_, Result<(), NotReversed>> {
        Box::pin(async move {
            let Order { route, from_version, reason, actor } = order;
            let number = u32::try_from(from_version).ok();
            let desk = Desk { shelf: &self.shelf, settings: self.settings.load_full(), actor };
            let ended = desk.end_canary(&route, number, &reason).await;
            ended.map(|_| ()).map_err(|error| NotReversed::Failed(error.to_string()))
        })
    }
}
