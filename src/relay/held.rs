//! A call and its vendors' shares: looked at when it is planned, set aside before each attempt, and waited for where only
//! calls under way stand in its way.

use std::{mem, pin::pin, sync::Arc, time::Duration};

use super::{
    Relay, SnapshotTarget,
    ladder::{Ladder, Rung},
};
use crate::{
    clock,
    domain::{Fault, FaultKind, Role},
    limit::{
        Shape,
        share::{Draw, HELD, Hold, Look, Reach},
    },
    route::Step,
};

/// How long a call waits at most for those under way.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long at most until it looks again: shares also change with the hour, the config and other processes.
const LOOK: Duration = Duration::from_secs(1);

/// How the share of the target's vendor stands for a call. `place`: see [`Look`].
pub(super) fn look(relay: &Relay, target: &SnapshotTarget, shape: &Shape, place: f64) -> Look {
    let draw = Draw::of(shape, target.prices.as_ref(), clock::unix_ms());
    if draw.is_volume() { relay.share.look(&target.id.vendor, draw, place) } else { Look::Free }
}

/// Sets aside what the call may use there. `None`: it is no volume.
pub(super) fn take(relay: &Relay, target: &SnapshotTarget, shape: &Shape, reach: Reach) -> Result<Option<Hold>, Fault> {
    let draw = Draw::of(shape, target.prices.as_ref(), clock::unix_ms());
    if !draw.is_volume() {
        return Ok(None);
    }
    relay.share.take(&target.id.vendor, draw, reach).map(Some)
}

/// Whether only calls under way stand in the way.
pub(super) fn is_held(fault: &Fault) -> bool {
    fault.kind == FaultKind::VendorShare && fault.code.as_deref() == Some(HELD)
}

impl Ladder {
    /// The target comes again when nobody else is left. Noted once, however often it is tried.
    pub(super) fn hold_back(&mut self, step: Step, fault: Fault, reach: Reach) -> Rung {
        self.held.push(step.clone());
        match reach {
            Reach::Within => self.pass_over(&step, fault),
            Reach::Edge => Rung::Next,
        }
    }

    /// No other vendor is left: one call at a time may go over the edge of each share.
    pub(super) async fn ask_over_the_edge(&mut self, role: Role) -> Rung {
        for step in mem::take(&mut self.held) {
            match self.rung(step, role, Reach::Edge).await {
                Rung::Next => {}
                end => return end,
            }
        }
        Rung::Next
    }

    /// Nobody else is left: waits until calls under way have given back what they did not use. Bounded by the call's own time.
    pub(super) async fn ask_those_held(&mut self, role: Role) -> Rung {
        let (relay, until) = (Arc::clone(&self.relay), clock::now() + PATIENCE);
        loop {
            let mut settled = pin!(relay.share.settled());
            // Before looking, so that nothing which is given back meanwhile is missed.
            settled.as_mut().enable();
            match self.ask_over_the_edge(role).await {
                Rung::Next => {}
                end => return end,
            }
            let now = clock::now();
            let left = until.saturating_duration_since(now).min(self.call.remaining());
            if self.held.is_empty() || left.is_zero() {
                return Rung::Next;
            }
            let _ = tokio::time::timeout(left.min(LOOK), settled).await;
            self.call.waited(now.elapsed());
        }
    }
}
