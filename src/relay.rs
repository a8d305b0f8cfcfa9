//! A call's way through: admit → plan → attempt → stream → settle.
//!
//! One attempt engine serves streamed and whole answers. A target is committed to at its first real content; before
//! that, falling back is silent; after it, an abnormal end is an in-band error. Every call leaves exactly one outcome,
//! recorded in the ledger before the last byte leaves, whatever happens to the caller meanwhile.

mod admit;
mod attempt;
mod call;
mod question;
mod reply;
mod snapshot;
mod stream;
mod verdict;

pub use admit::{Admitted, Inbound, Refusal, admit};
pub use reply::{Body, Meta, Reply};
pub use snapshot::{Reach, Snapshot, SnapshotError, SnapshotRoute, SnapshotTarget};

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    domain::{Ending, Fault, FaultKind, Retry},
    ledger::Ledger,
    observe::publish::Publisher,
    route::{Decision, Standings, Step, plan},
    vault::Vault,
    vendor::LocalTier,
};
use attempt::Begun;

/// What every call needs; shared by all.
#[derive(Debug)]
pub struct Relay {
    pub ledger: Ledger,
    pub publisher: Publisher,
    pub vault: Vault,
    pub local: LocalTier,
    pub standings: Arc<ArcSwap<Standings>>,
}

/// Answers one call, from whichever target of its route can.
pub async fn answer(relay: &Arc<Relay>, admitted: Admitted) -> Reply {
    let Admitted { question, route, snapshot, call } = admitted;
    let mut call = call;
    let standings = relay.standings.load_full();
    let plan = plan(&route.route, &standings, snapshot.settings.enforcement);
    let mut faults: Vec<Fault> = Vec::with_capacity(plan.steps.len());
    for Step { index, target, decision } in plan.steps {
        if let Decision::Skip { kind, reason } = &decision {
            faults.push(call.skip(index, &target, *kind, reason));
            continue;
        }
        if call.remaining().is_zero() {
            faults.push(Fault::new(FaultKind::TotalTimeout, "the call's whole time was spent"));
            break;
        }
        if let Decision::AttemptDespite { reason } = &decision {
            tracing::warn!(request_id = %call.id(), %target, %reason, "attempted only because enforcement is `warn`");
            call.caution(reason.to_string());
        }
        let compiled = &route.targets[index];
        call.begin(index, &target);
        match attempt::attempt(relay, &question, &route, compiled, &mut call).await {
            Ok(Begun::Whole { body, usage, content_bytes }) => {
                call.end_attempt_well(usage, content_bytes);
                call.said(&body);
                return reply::whole(call, body);
            }
            Ok(Begun::Stream(begun)) => return stream::reply(call, *begun, &route),
            Err(fault) => {
                call.end_attempt(&fault);
                let stop = stops_the_ladder(&fault, &route);
                faults.push(fault);
                if stop {
                    break;
                }
            }
        }
    }
    let problem = verdict::problem(&route.route.id, call.attempts(), &faults);
    reply::failed(call, Ending::Failed, &problem.problem, problem.retry_after)
}

fn stops_the_ladder(fault: &Fault, route: &SnapshotRoute) -> bool {
    use crate::config::OnCallerFault;
    match fault.kind {
        FaultKind::ContextLength => route.route.on_context_length == OnCallerFault::Refuse,
        FaultKind::ContentPolicy => route.route.on_content_policy == OnCallerFault::Refuse,
        _ => matches!(fault.retry, Retry::Never),
    }
}
