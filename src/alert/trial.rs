//! Proves that receivers can be reached: a test alert and its end, so that no test leaves an incident open.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Alert, Entry, Post, Sent, SinkId, State};
use crate::{clock, config::AlertSink};

/// What came of testing one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestedSink {
    pub kind: String,
    pub name: String,
    pub ok: bool,
    /// What it answered.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
}

/// Side by side: one that hangs does not keep the others waiting.
pub async fn test_sinks(post: &Post, sinks: &[AlertSink]) -> Vec<TestedSink> {
    futures_util::future::join_all(sinks.iter().map(|sink| test_one(post, sink))).await
}

async fn test_one(post: &Post, sink: &AlertSink) -> TestedSink {
    let now = clock::unix_ms();
    let mut result = Ok(0);
    for state in [State::Firing, State::Resolved] {
        let entry = Entry { id: Uuid::now_v7(), alert: Alert::test(state, now), since_unix_ms: now };
        result = match post.send(sink, &entry).await {
            Sent::Taken { status } => Ok(status),
            Sent::Refused { status } => Err(format!("it refuses what we send ({status})")),
            Sent::Failed { why, .. } => Err(why.to_string()),
        };
        if result.is_err() {
            break;
        }
    }
    let (kind, name) = (sink.kind().to_owned(), SinkId::of(sink).name().to_owned());
    TestedSink { kind, name, ok: result.is_ok(), status: result.as_ref().ok().copied(), error: result.err() }
}
