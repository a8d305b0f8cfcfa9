//! One question of a suite, asked of a route as a caller asks it, with the drill's vendors down; and what its checks say of the answer.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Instant,
};

use backstop_eval::{
    report::{AnswerRecord, ItemResult},
    score::Check,
    suite::{Item, Suite},
};
use backstop_models::chat::{Answer, Fold};
use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::header::HeaderMap;

use crate::{
    clock,
    dialect::{self, Outgoing, StreamReader, sse},
    domain::{Dialect, KeyId, RouteId, TargetId, Task, TenantId, Wire},
    relay::{self, Body, Inbound, OnDrill, Refusal, Relay, Reply, Snapshot},
    store::DrillAnswer,
    vault::Client,
};

/// Who the gateway's own questions are of, in the ledger.
const TENANT: &str = "backstop-drill";
const KEY: &str = "drill";
/// The largest event of a stream, in bytes.
const FRAME_LIMIT: usize = 4 << 20;

/// What a question needs.
pub(super) struct Rehearsal<'a> {
    pub(super) relay: &'a Arc<Relay>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) drill: Arc<OnDrill>,
    pub(super) route: &'a RouteId,
    pub(super) suite: &'a Suite,
}

/// Questions whose answers alone show whether they are right, spread evenly over the suite: no judge, command or clock is asked.
pub(super) fn chosen(suite: &Suite, most: usize) -> Vec<&Item> {
    let shows = |item: &&Item| {
        let mut checks = item.checks.iter().flat_map(|(_, checks)| checks);
        item.asks > 0 && checks.all(Check::is_of_the_answer)
    };
    let able: Vec<&Item> = suite.items.iter().filter(shows).collect();
    let count = able.len().min(most);
    (0..count).map(|index| able[index * able.len() / count]).collect()
}

impl Rehearsal<'_> {
    /// Asks `item` as often as it wants; the first time that nobody answers is the last.
    pub(super) async fn ask(&self, item: &Item) -> DrillAnswer {
        let mut said = DrillAnswer {
            route: self.route.clone(),
            item: item.id.clone(),
            served: None,
            passed: BTreeMap::new(),
            refused: None,
        };
        let mut answers = Vec::new();
        for _ in 0..item.asks {
            let begun = clock::now();
            match self.call(item).await {
                Ok((Some(served), Some(answer))) => {
                    said.served = Some(served);
                    answers.push(AnswerRecord::of(&answer, ms_since(begun), None));
                }
                Ok(_) => {
                    said.served = None;
                    return said;
                }
                Err(why) => {
                    (said.served, said.refused) = (None, Some(why));
                    return said;
                }
            }
        }
        let judged = ItemResult::judged(self.suite, item, answers);
        said.passed = judged.scores.into_iter().map(|(gate, score)| (gate, score.passed)).collect();
        said
    }

    /// One call; who served it and what was said. `Err`: it did not become one.
    async fn call(&self, item: &Item) -> Result<(Option<TargetId>, Option<Answer>), String> {
        let outgoing = Outgoing {
            model: self.route.as_str(),
            stream: true,
            max_tokens_field: "max_completion_tokens",
            include_usage: true,
            default_max_tokens: item.max_tokens,
        };
        let chat = item.chat(&self.suite.sampling);
        let body = dialect::write_request(Wire::OpenaiChat, &chat, &outgoing).map_err(|error| error.to_string())?;
        let inbound = Inbound {
            id: clock::call_id(),
            dialect: Dialect::OpenaiChat,
            task: Task::Answer,
            client: gateway_itself(),
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
            feature: None,
            forwarded: HeaderMap::new(),
            timeout: Some(self.suite.deadline),
            received: clock::now(),
            received_unix_ms: clock::unix_ms(),
            body: Bytes::from(body),
            drill: Some(Arc::clone(&self.drill)),
        };
        let admitted = relay::admit(self.relay, &self.snapshot, inbound).await.map_err(|refusal| said(&refusal))?;
        let Reply { status, meta, body } = relay::answer(self.relay, admitted).await;
        let answer = match body {
            Body::Stream { stream, .. } if status == 200 => read(stream).await,
            // An error, whole.
            Body::Stream { .. } | Body::Whole(_) => None,
        };
        Ok((meta.served_by, answer))
    }
}

fn gateway_itself() -> Client {
    Client {
        tenant: TenantId::new(TENANT),
        key_id: KeyId::new(KEY),
        name: None,
        expires_unix_ms: None,
        may: Arc::default(),
        policy: Arc::default(),
    }
}

/// The answer that a stream adds up to; `None`: it broke off.
async fn read(mut stream: impl futures_util::Stream<Item = Bytes> + Unpin) -> Option<Answer> {
    let (mut splitter, mut reader) = (sse::Splitter::new(FRAME_LIMIT), StreamReader::new(Wire::OpenaiChat));
    let (mut fold, mut events) = (Fold::default(), Vec::new());
    while let Some(bytes) = stream.next().await {
        splitter.push(&bytes);
        while let Some(event) = splitter.next() {
            reader.read(&event.ok()?, &mut events).ok()?;
        }
        events.drain(..).for_each(|event| fold.push(event));
    }
    fold.into_answer()
}

fn said(refusal: &Refusal) -> String {
    match refusal {
        Refusal::BadRequest(error) => error.message.clone(),
        Refusal::UnknownModel { name, .. } => format!("there is no route `{name}` any more"),
        Refusal::NotAllowed { message, .. } => message.clone(),
        Refusal::Limited(limit) => limit.to_string(),
        Refusal::LedgerFull => "the ledger can take no more calls over".to_owned(),
    }
}

fn ms_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}
