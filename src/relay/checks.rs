//! Looks at answers that were to be JSON once they have left: one after the other, off every call's path. What comes faster than it can
//! be looked at is not looked at, and counted.

use bytes::Bytes;
use metrics::counter;
use tokio::sync::mpsc;

use super::json;
use crate::{
    domain::{CallId, Dialect, JsonVerdict},
    observe::metric,
    store::Store,
};

/// Answers that may wait.
const WAITING: usize = 16;
/// Answers that are looked at together.
const BATCH: usize = 16;
/// The longest question whose answer is looked at, in bytes: it is kept until then.
const LONGEST_QUESTION: usize = 1 << 20;

/// Where answers are handed over; cheap to clone.
#[derive(Debug, Clone)]
pub struct Checks {
    line: mpsc::Sender<Given>,
}

/// A question and what was said to it.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) call: CallId,
    pub(super) dialect: Dialect,
    pub(super) question: Bytes,
    pub(super) said: String,
}

impl Checks {
    /// Starts what looks; it ends with the last handle. Needs a tokio runtime.
    pub fn start(store: Store) -> Self {
        let (line, given) = mpsc::channel(WAITING);
        tokio::spawn(look(given, store));
        Self { line }
    }

    /// Never waits.
    pub(super) fn give(&self, given: Given) {
        if given.question.len() > LONGEST_QUESTION || self.line.try_send(given).is_err() {
            counter!(metric::ANSWER_JSON, "verdict" => "not_looked_at").increment(1);
        }
    }
}

async fn look(mut given: mpsc::Receiver<Given>, store: Store) {
    let mut batch = Vec::with_capacity(BATCH);
    while given.recv_many(&mut batch, BATCH).await > 0 {
        let taken = std::mem::take(&mut batch);
        // On a thread that may compute for a while.
        let judged = tokio::task::spawn_blocking(move || taken.iter().filter_map(judge).collect::<Vec<_>>()).await;
        let verdicts = judged.unwrap_or_default();
        for (_, verdict) in &verdicts {
            counter!(metric::ANSWER_JSON, "verdict" => verdict.as_str()).increment(1);
        }
        if let Err(error) = store.put_json_verdicts(verdicts).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "what answers in JSON are worth is not stored");
        }
    }
}

fn judge(given: &Given) -> Option<(CallId, JsonVerdict)> {
    json::verdict(given.dialect, &given.question, &given.said).map(|verdict| (given.call, verdict))
}
