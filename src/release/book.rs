//! The releases of every route, as the fold of the acts on them. Pure: the same acts in the same order give the same book.
//!
//! An act that does not fit the state it meets (a rollback of what serves no more) changes nothing, so that bringing one twice,
//! or late, does no harm. A release's number and targets never change.

mod canary;
mod leaving;
mod served;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use canary::Running;
pub use leaving::Leaving;
pub use served::Served;

use crate::{
    config::{CanaryShare, Orders, Settings, Steer},
    domain::{RouteId, TargetId, VendorId},
    store::ReleaseRow,
};

/// What was done to a route's releases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Deed {
    /// A release was put down.
    Recorded {
        number: u32,
        targets: Vec<TargetId>,
        origin: Origin,
        reason: Option<String>,
    },
    Approved {
        number: u32,
    },
    /// It serves from now on; what served before is retained.
    Promoted {
        number: u32,
        from: u32,
        retain_until_unix_ms: i64,
        reason: Option<String>,
    },
    /// What was retained serves again.
    RolledBack {
        from: u32,
        to: u32,
        reason: Option<String>,
    },
    /// A retained release is let go.
    Retired {
        number: u32,
    },
    /// So many of a hundred calls ask the vendor last.
    Left {
        vendor: VendorId,
        pct: u8,
        reason: Option<String>,
    },
    /// The same, in steps: the first at once, each next one so long after the last.
    LeftInSteps {
        vendor: VendorId,
        steps: Vec<u8>,
        every_ms: i64,
        reason: Option<String>,
    },
    /// The next step was made.
    LeftFurther {
        vendor: VendorId,
        pct: u8,
    },
    /// No further step is made.
    LeavingHalted {
        vendor: VendorId,
        reason: String,
    },
    /// It is asked in its place again.
    Returned {
        vendor: VendorId,
        reason: Option<String>,
    },
    /// A release is tried on a part of the calls; the same again is another part.
    Canary {
        #[serde(flatten)]
        share: CanaryShare,
        reason: Option<String>,
    },
    /// It is not tried any more.
    CanaryEnded {
        release: u32,
        reason: Option<String>,
    },
}

/// Where a release came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It follows the config file.
    Config,
    /// Taken over from the config file by `release import`.
    Import,
    Proposal,
}

/// How the release that serves came to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CameBy {
    Config,
    Promotion,
    Rollback,
}

/// One act, with its place in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    pub id: String,
    pub at_unix_ms: i64,
    /// The audit entry's id.
    pub entry: String,
    #[serde(flatten)]
    pub deed: Deed,
}

/// One immutable order of targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    pub number: u32,
    pub targets: Vec<TargetId>,
    pub origin: Origin,
    pub reason: Option<String>,
    pub at_unix_ms: i64,
    /// The audit entries of those who approved it.
    pub approvals: Vec<String>,
    /// The audit entry of whoever put it down.
    pub entry: String,
}

/// A release that stays as a fallback at least until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    pub number: u32,
    pub until_unix_ms: i64,
}

/// One route's releases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub releases: BTreeMap<u32, Release>,
    /// The one that serves.
    pub primary: u32,
    pub since_unix_ms: i64,
    pub came_by: CameBy,
    /// The latest last: that is what a rollback goes back to.
    pub leases: Vec<Lease>,
    /// Since somebody acted on the route's releases, the config file does not change its targets by itself.
    pub governed: bool,
    /// Vendors that are being left, and by how many of a hundred calls.
    pub left: BTreeMap<VendorId, u8>,
    /// Those of them that are left in steps.
    pub leaving: BTreeMap<VendorId, Leaving>,
    /// What is tried on a part of the calls.
    pub canary: Option<Running>,
    #[serde(skip)]
    pub history: Vec<Done>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    lines: BTreeMap<RouteId, Line>,
}

#[derive(Debug, thiserror::Error)]
#[error("the act {id} on route `{route}` cannot be read; use a newer backstop")]
pub struct UnreadableAct {
    pub id: String,
    pub route: RouteId,
    pub source: serde_json::Error,
}

impl Book {
    pub fn of(rows: &[ReleaseRow]) -> Result<Self, UnreadableAct> {
        let mut book = Self::default();
        for row in rows {
            book.add(row)?;
        }
        Ok(book)
    }

    /// One more act; one that is there already is not counted again.
    pub fn add(&mut self, row: &ReleaseRow) -> Result<(), UnreadableAct> {
        let unreadable = |source| UnreadableAct { id: row.id.clone(), route: row.route.clone(), source };
        let deed: Deed = serde_json::from_str(&row.act).map_err(unreadable)?;
        let done = Done { id: row.id.clone(), at_unix_ms: row.at_unix_ms, entry: row.entry.clone(), deed };
        match self.lines.get_mut(&row.route) {
            Some(line) => line.take(done),
            None => self.lines.extend(Line::begun(done).map(|line| (row.route.clone(), line))),
        }
        Ok(())
    }

    pub fn line(&self, route: &RouteId) -> Option<&Line> {
        self.lines.get(route)
    }

    pub fn lines(&self) -> impl Iterator<Item = (&RouteId, &Line)> {
        self.lines.iter()
    }

    /// The order of targets that `route` is to have, where the book decides on it.
    pub fn order(&self, route: &RouteId, is_own: &dyn Fn(&TargetId) -> bool) -> Option<Vec<TargetId>> {
        let line = self.lines.get(route).filter(|line| line.governed)?;
        Some(line.order(is_own))
    }
}

impl Book {
    /// The orders that the book decides on. Targets of vendors that the config no longer names are left out, and it is said.
    pub fn orders(&self, settings: &Settings) -> Orders {
        let mut orders = Orders::new();
        for route in settings.routes.keys() {
            let Some(mut order) = self.order(route, &|target| settings.is_own_hardware(target)) else { continue };
            order.retain(|target| canary::is_known(settings, route, target));
            orders.insert(route.clone(), order);
        }
        orders
    }

    /// Which vendors each route is leaving.
    pub fn steers(&self) -> BTreeMap<RouteId, Vec<Steer>> {
        let steer = |(vendor, pct): (&VendorId, &u8)| Steer { vendor: vendor.clone(), pct: *pct };
        let of = |(route, line): (&RouteId, &Line)| (route.clone(), line.left.iter().map(steer).collect());
        self.lines.iter().map(of).collect()
    }

    /// `settings` with these orders, steers and canaries.
    pub fn applied(&self, settings: &Settings) -> Settings {
        let ordered = settings.with_orders(&self.orders(settings)).with_steers(&self.steers());
        ordered.with_numbering(&self.numbering(settings, &ordered.orders()))
    }
}

impl Line {
    fn begun(done: Done) -> Option<Self> {
        let Deed::Recorded { number, origin, .. } = &done.deed else { return None };
        let (number, governed) = (*number, *origin != Origin::Config);
        let mut line = Self {
            releases: BTreeMap::new(),
            primary: number,
            since_unix_ms: done.at_unix_ms,
            came_by: CameBy::Config,
            leases: Vec::new(),
            governed,
            left: BTreeMap::new(),
            leaving: BTreeMap::new(),
            canary: None,
            history: Vec::new(),
        };
        line.take(done);
        Some(line)
    }

    fn take(&mut self, done: Done) {
        if self.history.iter().any(|known| known.id == done.id) {
            return;
        }
        match &done.deed {
            Deed::Recorded { number, targets, origin, reason } if !self.releases.contains_key(number) => {
                let release = Release {
                    number: *number,
                    targets: targets.clone(),
                    origin: *origin,
                    reason: reason.clone(),
                    at_unix_ms: done.at_unix_ms,
                    approvals: Vec::new(),
                    entry: done.entry.clone(),
                };
                self.releases.insert(*number, release);
                match origin {
                    Origin::Config if !self.governed => {
                        (self.primary, self.since_unix_ms) = (*number, done.at_unix_ms);
                    }
                    Origin::Config => {}
                    Origin::Import | Origin::Proposal => self.governed = true,
                }
            }
            Deed::Recorded { .. } => {}
            Deed::Approved { number } => {
                let release = self.releases.get_mut(number);
                release.into_iter().for_each(|release| release.approvals.push(done.entry.clone()));
            }
            Deed::Promoted { number, from, retain_until_unix_ms, .. } => {
                self.promote(*number, *from, (*retain_until_unix_ms, done.at_unix_ms));
            }
            Deed::RolledBack { from, to, .. } => self.roll_back(*from, *to, done.at_unix_ms),
            Deed::Retired { number } => self.leases.retain(|lease| lease.number != *number),
            Deed::Canary { share, .. } => self.try_out(*share, done.at_unix_ms),
            Deed::CanaryEnded { release, .. } => self.end_canary(*release),
            Deed::Left { .. }
            | Deed::LeftInSteps { .. }
            | Deed::LeftFurther { .. }
            | Deed::LeavingHalted { .. }
            | Deed::Returned { .. } => self.steer(&done.deed, done.at_unix_ms),
        }
        self.history.push(done);
    }

    fn promote(&mut self, number: u32, from: u32, (until_unix_ms, at_unix_ms): (i64, i64)) {
        // What serves already is not promoted over itself.
        if self.primary != from || number == from || !self.releases.contains_key(&number) {
            return;
        }
        self.leases.retain(|lease| lease.number != number && lease.number != from && lease.until_unix_ms > at_unix_ms);
        self.leases.push(Lease { number: from, until_unix_ms });
        (self.primary, self.since_unix_ms, self.came_by) = (number, at_unix_ms, CameBy::Promotion);
        (self.governed, self.canary) = (true, None);
    }

    fn roll_back(&mut self, from: u32, to: u32, at_unix_ms: i64) {
        if self.primary != from || !self.leases.iter().any(|lease| lease.number == to) {
            return;
        }
        let until_unix_ms = self.leases.iter().find(|lease| lease.number == to).map_or(0, |lease| lease.until_unix_ms);
        self.leases.retain(|lease| lease.number != to);
        self.leases.push(Lease { number: from, until_unix_ms });
        (self.primary, self.since_unix_ms, self.came_by) = (to, at_unix_ms, CameBy::Rollback);
        self.canary = None;
    }

    pub fn release(&self, number: u32) -> Option<&Release> {
        self.releases.get(&number)
    }

    /// What serves now.
    pub fn serving(&self) -> &[TargetId] {
        self.releases.get(&self.primary).map_or(&[], |release| &release.targets)
    }

    /// Whether the config file was changed since its order last became a release, and asks to be taken over. A file that was left as it
    /// was while releases moved on asks for nothing.
    pub fn asks_for_import(&self, filed: &[TargetId]) -> bool {
        let of_file = self.releases.values().rev().find(|release| release.origin != Origin::Proposal);
        self.governed && self.serving() != filed && of_file.is_none_or(|release| release.targets != filed)
    }

    /// What a rollback goes back to.
    pub fn retained(&self) -> Option<Lease> {
        self.leases.last().copied()
    }

    pub fn next_number(&self) -> u32 {
        self.releases.keys().next_back().map_or(1, |last| last.saturating_add(1))
    }

    /// As [`Self::order_with`], of what serves now.
    pub fn order(&self, is_own: &dyn Fn(&TargetId) -> bool) -> Vec<TargetId> {
        let leases: Vec<u32> = self.leases.iter().rev().map(|lease| lease.number).collect();
        self.order_with(self.primary, &leases, is_own)
    }

    /// The targets of `primary`, and those of the retained releases that it lacks: vendors' before the end in our own hardware, which
    /// stays the end, and our own at the very end.
    pub fn order_with(&self, primary: u32, leases: &[u32], is_own: &dyn Fn(&TargetId) -> bool) -> Vec<TargetId> {
        let mut order = self.releases.get(&primary).map(|release| release.targets.clone()).unwrap_or_default();
        let tail = order.len() - order.iter().rev().take_while(|target| is_own(target)).count();
        // A route that is all at home stays as it is: what is kept comes behind it.
        let mut at = if tail == 0 { order.len() } else { tail };
        for number in leases {
            for target in self.releases.get(number).into_iter().flat_map(|release| &release.targets) {
                if order.contains(target) {
                    continue;
                }
                if is_own(target) {
                    order.push(target.clone());
                } else {
                    order.insert(at, target.clone());
                    at += 1;
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests;
