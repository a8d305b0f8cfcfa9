//! A call's way through: admit → plan → attempt → stream → settle.
//!
//! One attempt engine serves streamed and whole answers. A target is committed to at its first real content; before
//! that, falling back is silent; after it, an abnormal end is an in-band error. Every call leaves exactly one outcome,
//! recorded in the ledger before the last byte leaves, whatever happens to the caller meanwhile.

mod admit;
mod allow;
mod attempt;
mod call;
mod checks;
mod count;
mod drilled;
pub mod health;
mod held;
mod json;
mod ladder;
mod meter;
mod purse;
mod question;
mod race;
mod reply;
mod shadow;
mod snapshot;
mod stream;
mod verdict;

pub use admit::{Admitted, Inbound, Refusal, admit};
pub use checks::Checks;
pub use count::Counter;
pub use drilled::{Drills, OnDrill};
pub use health::Health;
pub use reply::{Body, Meta, Reply};
pub use shadow::{Compared, Shadows, Sketch};
pub use snapshot::{Reach, Snapshot, SnapshotError, SnapshotRoute, SnapshotTarget};

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    domain::{Ending, Role},
    ledger::Ledger,
    limit::{Limiter, Share},
    observe::publish::Publisher,
    route::Standings,
    vault::Vault,
    vendor::LocalTier,
};
use attempt::Begun;
use ladder::{Ladder, Served};

/// What every call needs; shared by all.
#[derive(Debug)]
pub struct Relay {
    pub ledger: Ledger,
    pub limiter: Limiter,
    pub share: Share,
    pub counter: Counter,
    pub publisher: Publisher,
    pub vault: Vault,
    pub local: LocalTier,
    pub standings: Arc<ArcSwap<Standings>>,
    pub health: Health,
    pub drills: Drills,
    pub shadows: Shadows,
    /// Who looks at answers in JSON.
    pub checks: Checks,
}

/// Answers one call, from whichever target of its route can.
pub async fn answer(relay: &Arc<Relay>, mut admitted: Admitted) -> Reply {
    if let Some(asked) = admitted.shadow.take() {
        admitted.call.compare_with(shadow::begin(relay, asked));
    }
    let mut ladder = Ladder::new(relay, admitted);
    match ladder.climb(Role::Rung).await {
        Some(Served { begun: Begun::Whole(body), slot, .. }) => {
            let mut call = ladder.call;
            call.serve_whole(slot);
            call.said(&body);
            reply::whole(call, body)
        }
        Some(Served { begun: Begun::Stream(begun), slot, meter }) => stream::reply(ladder, *begun, slot, meter),
        None => {
            let Ladder { call, faults, route, .. } = ladder;
            let problem = verdict::problem(&route.route.id, call.attempts(), &faults);
            reply::failed(call, Ending::Failed, &problem.problem, problem.retry_after)
        }
    }
}
