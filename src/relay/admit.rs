//! `bytes → Admitted`: the body is read as far as routing needs, its route is found, its clock and its outcome begin.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::header::HeaderMap;

use super::{Relay, Snapshot, SnapshotRoute, call::Call, question::Question};
use crate::{
    clock,
    dialect::{self, BadRequest, EmbedRequest, Envelope},
    domain::{CallId, Dialect, FeatureId, Task},
    vault::Client,
};

/// One authenticated request, as it came.
#[derive(Debug)]
pub struct Inbound {
    pub id: CallId,
    pub dialect: Dialect,
    /// Never `Stream`: that is for the body to say.
    pub task: Task,
    pub client: Client,
    pub feature: Option<FeatureId>,
    /// Only those that go along to a vendor of the same dialect.
    pub forwarded: HeaderMap,
    /// The caller's own bound on the whole call.
    pub timeout: Option<Duration>,
    pub received: Instant,
    pub received_unix_ms: i64,
    pub body: Bytes,
}

/// A call that will be answered, by a target or by an error, and will leave an outcome.
#[derive(Debug)]
pub struct Admitted {
    pub(super) question: Question,
    pub(super) route: Arc<SnapshotRoute>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) call: Call,
}

/// Why a request did not become a call. Nothing was recorded.
#[derive(Debug)]
pub enum Refusal {
    BadRequest(BadRequest),
    UnknownModel {
        name: String,
        nearest: Option<String>,
    },
    /// The ledger can take no more calls over.
    LedgerFull,
}

/// Admits one request under `snapshot`.
pub fn admit(relay: &Arc<Relay>, snapshot: Arc<Snapshot>, inbound: Inbound) -> Result<Admitted, Refusal> {
    let (envelope, embed) = open(&inbound).map_err(Refusal::BadRequest)?;
    let Some(route) = snapshot.route(&envelope.model).cloned() else {
        let Envelope { model, .. } = envelope;
        let nearest = nearest(&model, snapshot.route_names().map(|name| name.as_str()));
        return Err(Refusal::UnknownModel { name: model, nearest });
    };
    if !relay.ledger.takes_calls() {
        return Err(Refusal::LedgerFull);
    }
    let total = route.route.deadlines.total;
    let budget = inbound.timeout.map_or(total, |timeout| timeout.min(total));
    let call = Call::open(relay, &inbound, &route, budget, envelope.stream);
    let question = Question::new((envelope, embed), inbound, route.route.id.clone());
    Ok(Admitted { question, route, snapshot, call })
}

/// What is embedded is known at once; what a chat says only when somebody must hear it in another dialect.
fn open(inbound: &Inbound) -> Result<(Envelope, Option<EmbedRequest>), BadRequest> {
    let body = &inbound.body;
    match inbound.task {
        Task::Answer | Task::Stream => Ok((dialect::open(inbound.dialect, body)?, None)),
        Task::CountTokens => Ok((dialect::open_counted(body)?, None)),
        Task::Embed => dialect::open_embed(body).map(|(envelope, embed)| (envelope, Some(embed))),
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.to_owned())
}

impl Inbound {
    /// A request that came in now.
    pub fn new(dialect: Dialect, client: Client, body: Bytes) -> Self {
        Self {
            id: clock::call_id(),
            dialect,
            task: Task::Answer,
            client,
            feature: None,
            forwarded: HeaderMap::new(),
            timeout: None,
            received: clock::now(),
            received_unix_ms: clock::unix_ms(),
            body,
        }
    }
}
