//! A release that is tried on a part of a route's calls: one at a time, never the one that serves, and ended by every move of what serves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Book, Line};
use crate::{
    config::{CanaryShare, Numbered, Numbering, Orders, Settings},
    domain::{RouteId, TargetId},
};

/// What is tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Running {
    #[serde(flatten)]
    pub share: CanaryShare,
    /// Since it has this share: each step is compared by itself.
    pub since_unix_ms: i64,
}

impl Book {
    /// Which releases serve and are tried, where the routes have these orders.
    pub fn numbering(&self, settings: &Settings, orders: &Orders) -> Numbering {
        let of = |(route, order): (&RouteId, &Vec<TargetId>)| {
            let Some(line) = self.line(route) else { return (route.clone(), Numbered::default()) };
            // A file that was changed a moment ago is not recorded yet.
            let is_recorded = line.governed || line.serving() == order;
            let canary = line.canary.and_then(|running| {
                let mut order = line.canary_order(running, &|target| settings.is_own_hardware(target));
                order.retain(|target| is_known(settings, route, target));
                (!order.is_empty()).then_some((running.share, order))
            });
            (route.clone(), Numbered { release: is_recorded.then_some(line.primary), canary })
        };
        orders.iter().map(of).collect()
    }
}

impl Line {
    /// The canary's targets, and behind them what serves and what is retained: what a promotion would make of it.
    pub fn canary_order(&self, running: Running, is_own: &dyn Fn(&TargetId) -> bool) -> Vec<TargetId> {
        let leases = self.leases.iter().rev().map(|lease| lease.number);
        let behind: Vec<u32> = std::iter::once(self.primary).chain(leases).collect();
        self.order_with(running.share.release, &behind, is_own)
    }

    pub(super) fn try_out(&mut self, share: CanaryShare, at_unix_ms: i64) {
        if share.release == self.primary || !self.releases.contains_key(&share.release) || share.pct == 0 {
            return;
        }
        let share = CanaryShare { pct: share.pct.min(100), ..share };
        self.canary = Some(Running { share, since_unix_ms: at_unix_ms });
        self.governed = true;
    }

    pub(super) fn end_canary(&mut self, release: u32) {
        if self.canary.is_some_and(|running| running.share.release == release) {
            self.canary = None;
        }
    }
}

/// Whether the config still names the target's vendor.
pub(super) fn is_known(settings: &Settings, route: &RouteId, target: &TargetId) -> bool {
    let known = target.is_local() || settings.vendors.contains_key(&target.vendor);
    if !known {
        tracing::error!(%route, %target, "the release's target is of a vendor that the config no longer names: left out");
    }
    known
}
