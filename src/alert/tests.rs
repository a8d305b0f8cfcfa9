//! The room's tests: bodies against the public formats, and the pure cores under any order of events.

mod bodies;
mod incidents;
mod outbox;

use std::sync::Arc;

use uuid::Uuid;

use super::{Alert, Ladder};
use crate::domain::{
    Attempt, CallId, Ending, FaultKind, KeyId, Money, Outcome, RouteId, TargetId, TenantId, TokenUsage, UsageSource,
};

/// How long the route gives a call, in ms.
const TOTAL_MS: f64 = 60_000.0;

/// 2026-11-25T03:00:00Z.
const NOW: i64 = 1_795_575_600_000;

fn target(index: usize) -> TargetId {
    TargetId::parse(["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "local/smollm2-135m-instruct"][index])
        .expect("a target")
}

/// A target's turn; `None`: it answered.
fn attempt(index: usize, fault: Option<FaultKind>) -> Attempt {
    // As an outcome that the ledger has read, so that a field more in it is nothing to these tests.
    serde_json::from_value(serde_json::json!({
        "target_index": index,
        "target": target(index),
        "started_ms": 0.0,
        "ttft_ms": null,
        "duration_ms": 10.0,
        "fault": fault,
        "status": null,
        "detail": null,
        "usage": TokenUsage::default(),
        "usage_source": UsageSource::None,
        "cost": Money::ZERO,
    }))
    .expect("an attempt")
}

/// A target that was passed over.
fn skipped(index: usize, fault: FaultKind) -> Attempt {
    Attempt { duration_ms: None, ..attempt(index, Some(fault)) }
}

/// A call that ended after `attempts`, the last of which served where `ending` says that anything did.
fn outcome(ending: Ending, status: u16, attempts: Vec<Attempt>) -> Outcome {
    let served = matches!(ending, Ending::Answered | Ending::Interrupted);
    Outcome {
        served_by: served.then(|| attempts.len() - 1),
        attempts,
        ending,
        status,
        ..serde_json::from_value(serde_json::json!({
            "call": CallId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
            "started_unix_ms": NOW,
            "tenant": TenantId::new("acme"),
            "key": KeyId::new("k"),
            "feature": null,
            "route": RouteId::new("chat"),
            "dialect": "openai_chat",
            "streamed": false,
            "attempts": [],
            "served_by": null,
            "ending": Ending::Answered,
            "status": 200,
            "ttft_ms": null,
            "total_ms": 20.0,
            "overhead_ms": 0.1,
        }))
        .expect("an outcome")
    }
}

/// The first `faults.len()` targets failed so, and the next one answered.
fn answered_after(faults: &[FaultKind]) -> Outcome {
    let mut attempts: Vec<Attempt> =
        faults.iter().enumerate().map(|(index, fault)| attempt(index, Some(*fault))).collect();
    attempts.push(attempt(faults.len(), None));
    outcome(Ending::Answered, 200, attempts)
}

fn nobody(faults: &[FaultKind]) -> Outcome {
    let attempts = faults.iter().enumerate().map(|(index, fault)| attempt(index, Some(*fault))).collect();
    outcome(Ending::Failed, 503, attempts)
}

/// The alerts of the ladder's own events, as they would be sent.
fn told(ladder: &mut Ladder, outcome: Outcome, now: i64) -> Vec<Alert> {
    ladder.see(&Arc::new(outcome), TOTAL_MS, now)
}
