//! The side of an outcome that may be lost: metrics, the log line and the trace of each finished call.
//!
//! One task reads a bounded queue and tells the rooms that listen, over bounded queues of their own. When one is full,
//! outcomes are dropped and counted: the ledger has them anyway.

use std::sync::Arc;

use metrics::{counter, histogram};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{metric, otlp::Traces};
use crate::domain::{Attempt, Ending, FaultKind, Outcome, PriceState, Role};

/// How many outcomes may wait.
const QUEUE: usize = 16_384;

/// Where finished calls are told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Publisher {
    queue: mpsc::Sender<Arc<Outcome>>,
}

/// Starts the task. It ends, after the last outcome and the last trace, when every [`Publisher`] is gone; `listeners` are
/// gone with it.
pub fn start(traces: Option<Traces>, listeners: Vec<mpsc::Sender<Arc<Outcome>>>) -> (Publisher, JoinHandle<()>) {
    let (queue, mut outcomes) = mpsc::channel::<Arc<Outcome>>(QUEUE);
    let task = tokio::spawn(async move {
        while let Some(outcome) = outcomes.recv().await {
            count(&outcome);
            log(&outcome);
            if let Some(traces) = &traces {
                traces.call(&outcome);
            }
            for listener in &listeners {
                if listener.try_send(Arc::clone(&outcome)).is_err() {
                    counter!(metric::UNPUBLISHED).increment(1);
                }
            }
        }
        drop(listeners);
        if let Some(traces) = traces {
            // Flushing blocks; the runtime's other work goes on meanwhile.
            let _ = tokio::task::spawn_blocking(move || traces.shutdown()).await;
        }
    });
    (Publisher { queue }, task)
}

impl Publisher {
    /// Never waits.
    pub fn publish(&self, outcome: Arc<Outcome>) {
        if self.queue.try_send(outcome).is_err() {
            counter!(metric::UNPUBLISHED).increment(1);
        }
    }
}

fn count(outcome: &Outcome) {
    let route = outcome.route.to_string();
    if outcome.drill.is_some() {
        // Dashboards and alerts on the route's own figures are about what really happened.
        counter!(metric::DRILL_CALLS, "route" => route.clone(), "ending" => outcome.ending.as_str()).increment(1);
        outcome.attempts.iter().for_each(|attempt| count_attempt(&route, attempt));
        return;
    }
    counter!(metric::CALLS, "route" => route.clone(), "dialect" => outcome.dialect.as_str(), "task" => outcome.task.as_str(), "ending" => outcome.ending.as_str())
        .increment(1);
    histogram!(metric::CALL_SECONDS, "route" => route.clone()).record(outcome.total_ms / 1e3);
    histogram!(metric::OVERHEAD_SECONDS).record(outcome.overhead_ms / 1e3);
    for attempt in &outcome.attempts {
        count_attempt(&route, attempt);
    }
    if let Some(served) = outcome.served()
        && served.target_index > 0
    {
        counter!(metric::FALLBACKS, "route" => route, "target" => served.target.to_string()).increment(1);
    }
}

fn count_attempt(route: &str, attempt: &Attempt) {
    let target = attempt.target.to_string();
    let result = attempt.fault.map_or("ok", |fault| fault.as_str());
    counter!(metric::ATTEMPTS, "route" => route.to_owned(), "target" => target.clone(), "result" => result)
        .increment(1);
    if attempt.role != Role::Rung {
        counter!(metric::EXTRA_ATTEMPTS, "target" => target.clone(), "role" => attempt.role.as_str()).increment(1);
    }
    if let Some(ttft_ms) = attempt.ttft_ms {
        histogram!(metric::FIRST_CONTENT_SECONDS, "target" => target.clone()).record(ttft_ms / 1e3);
    }
    let usage = &attempt.usage;
    for (kind, tokens) in [
        ("input", usage.input),
        ("output", usage.output),
        ("cached_input", usage.cached_input),
        ("cache_write", usage.cache_write),
        ("reasoning", usage.reasoning),
        ("audio_input", usage.audio_input),
        ("audio_output", usage.audio_output),
        ("image_input", usage.image_input),
        ("image_output", usage.image_output),
    ] {
        if tokens > 0 {
            counter!(metric::TOKENS, "target" => target.clone(), "type" => kind).increment(tokens);
        }
    }
    if attempt.priced != PriceState::Valid {
        let state = attempt.priced.as_str();
        counter!(metric::DOUBTFUL_PRICES, "target" => target.clone(), "state" => state).increment(1);
    }
    if let Some(cost) = attempt.cost {
        counter!(metric::COST_MICROS, "target" => target).increment(u64::try_from(cost.micros).unwrap_or(0));
    }
}

/// One line per call, with what an operator asks first.
fn log(outcome: &Outcome) {
    let served_by = outcome.served().map(|served| served.target.to_string()).unwrap_or_default();
    let faults: Vec<String> = outcome
        .attempts
        .iter()
        .filter_map(|attempt| attempt.fault.map(|fault| format!("{}: {fault}", attempt.target)))
        .collect();
    macro_rules! line {
        ($level:ident, $message:literal) => {
            tracing::$level!(
                request_id = %outcome.call, tenant = %outcome.tenant, route = %outcome.route, task = outcome.task.as_str(), status = outcome.status, drill = outcome.drill.as_deref(),
                ending = outcome.ending.as_str(), served_by, faults = faults.join(", "), total_ms = outcome.total_ms,
                overhead_ms = outcome.overhead_ms, $message
            )
        };
    }
    // That a share or a drill moved the call is no fault of anybody's.
    let is_moved = |fault| matches!(fault, FaultKind::VendorShare | FaultKind::Drill);
    let is_at_fault = |attempt: &Attempt| attempt.fault.is_some_and(|fault| !is_moved(fault));
    match outcome.ending {
        Ending::Answered | Ending::Open if !outcome.attempts.iter().any(is_at_fault) => line!(info, "call answered"),
        Ending::Answered | Ending::Open => line!(warn, "call answered after faults"),
        Ending::Cancelled => line!(info, "caller hung up"),
        Ending::Failed => line!(warn, "call failed"),
        Ending::Interrupted => line!(error, "answer interrupted"),
    }
}
