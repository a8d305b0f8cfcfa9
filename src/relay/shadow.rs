//! Beside a call that is answered as ever, its question goes to the route's canary too: the answers are compared, and the second is thrown away.
//!
//! It never delays or fails the caller: what does not fit among so many at once is left out and counted. It is asked unstreamed and of the
//! canary's first target alone, is a call of its own in the ledger (paid by [`TenantId::shadow`], role `shadow`), and takes nothing of the
//! caller's limits and budgets. Of the answers only figures are kept.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use backstop_models::chat::Answer;
use bytes::Bytes;
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use super::{
    Admitted, Inbound, Relay, SnapshotRoute,
    admit::{planned, share_of},
    allow::{Allowed, shape},
    attempt::Begun,
    call::Call,
    ladder::{Ladder, Served},
    purse::Purse,
    question::{Question, need},
};
use crate::{
    clock,
    config::Settings,
    dialect::{self, Envelope},
    domain::{Dialect, Ending, FaultKind, KeyId, Role, RouteId, Task, TenantId},
    limit::Ask,
    vault::Client,
};

pub use sketch::{Compared, Sketch};

mod sketch;

/// Questions that are with canaries at the same time, at most.
const AT_ONCE: usize = 16;
/// Comparisons that wait to be stored, at most.
const WAITING: usize = 1024;
/// What nobody waits for is nobody's status.
const NOBODYS_STATUS: u16 = 200;
const FAILED_STATUS: u16 = 502;

/// The budget of shadows, and where their comparisons go.
#[derive(Debug)]
pub struct Shadows {
    permits: Arc<Semaphore>,
    told: mpsc::Sender<Compared>,
    under_way: Mutex<JoinSet<()>>,
}

/// A question for the canary, taken on.
#[derive(Debug)]
pub(super) struct Asked {
    inbound: Inbound,
    route: Arc<SnapshotRoute>,
    settings: Arc<Settings>,
    permit: OwnedSemaphorePermit,
}

/// Held by the call that it is compared with: what the caller got goes there, once the call is over.
#[derive(Debug)]
pub(super) struct Beside {
    begun: Instant,
    tell: oneshot::Sender<(Given, Duration)>,
}

/// What a caller got.
#[derive(Debug)]
pub(super) enum Given {
    Body(Dialect, Bytes),
    Answer(Box<Answer>),
}

impl Shadows {
    /// And where the comparisons come out.
    pub fn new() -> (Self, mpsc::Receiver<Compared>) {
        let (told, compared) = mpsc::channel(WAITING);
        (Self { permits: Arc::new(Semaphore::new(AT_ONCE)), told, under_way: Mutex::default() }, compared)
    }

    /// Hangs up on all that is under way, and returns once that is in the ledger; no caller waits for any of it.
    pub async fn end(&self) {
        let mut under_way = std::mem::take(&mut *self.under_way.lock().unwrap_or_else(PoisonError::into_inner));
        under_way.shutdown().await;
    }

    /// What cannot be taken over is lost: it is a comparison less.
    fn tell(&self, compared: Compared) {
        let _ = self.told.try_send(compared);
    }
}

/// Whether the question is one for the route's canary, and there is room for it.
pub(super) fn asked(
    relay: &Relay,
    settings: &Arc<Settings>,
    route: &SnapshotRoute,
    (inbound, envelope): (&Inbound, &Envelope),
) -> Option<Asked> {
    let canary = route.shadow((&inbound.client.key_id, inbound.id))?;
    // Several answers to one question are not compared.
    if inbound.task != Task::Answer || envelope.extent.answers > 1 {
        return None;
    }
    let Ok(permit) = Arc::clone(&relay.shadows.permits).try_acquire_owned() else {
        relay.shadows.tell(Compared::dropped(route.route.id.clone(), canary.route.release));
        return None;
    };
    let client = Client {
        tenant: TenantId::shadow(),
        key_id: KeyId::new(TenantId::shadow().as_str()),
        ..inbound.client.clone()
    };
    let inbound = Inbound {
        id: clock::call_id(),
        dialect: inbound.dialect,
        task: Task::Answer,
        client,
        from: inbound.from,
        feature: None,
        forwarded: inbound.forwarded.clone(),
        timeout: None,
        received: inbound.received,
        received_unix_ms: inbound.received_unix_ms,
        body: inbound.body.clone(),
        drill: None,
    };
    Some(Asked { inbound, route: Arc::clone(canary), settings: Arc::clone(settings), permit })
}

/// Sends it, beside the call that is about to be made.
pub(super) fn begin(relay: &Arc<Relay>, asked: Asked) -> Beside {
    let (tell, served) = oneshot::channel::<(Given, Duration)>();
    let (begun, running) = (clock::now(), Arc::clone(relay));
    let mut under_way = relay.shadows.under_way.lock().unwrap_or_else(PoisonError::into_inner);
    while under_way.try_join_next().is_some() {}
    under_way.spawn(async move {
        let Asked { inbound, route, settings, permit } = asked;
        let (id, release): (RouteId, _) = (route.route.id.clone(), route.route.release);
        let answer = ask(&running, inbound, route, &settings).await;
        let took = begun.elapsed();
        drop(permit);
        // Whatever became of it, the caller's own call ends within its deadlines.
        let served = served.await.ok().and_then(|(given, took)| Some(given.sketch()?.took(took)));
        running.shadows.tell(Compared::of((id, release), answer.map(|sketch| sketch.took(took)), served));
    });
    Beside { begun, tell }
}

impl Beside {
    /// What the caller got, whole.
    pub(super) fn tell(self, given: Given) {
        // The other side may be gone with the process.
        let _ = self.tell.send((given, self.begun.elapsed()));
    }
}

impl Given {
    fn sketch(self) -> Option<Sketch> {
        match self {
            Self::Body(dialect, body) => Sketch::of_body(dialect, &body),
            Self::Answer(answer) => Some(Sketch::of(&answer)),
        }
    }
}

/// The canary's answer; `None`: there was none.
async fn ask(relay: &Arc<Relay>, inbound: Inbound, route: Arc<SnapshotRoute>, settings: &Settings) -> Option<Sketch> {
    let body = unstreamed(&inbound.body)?;
    // It is asked now, whenever its question came.
    let (received, received_unix_ms) = (clock::now(), clock::unix_ms());
    let inbound = Inbound { body, received, received_unix_ms, ..inbound };
    let envelope = dialect::open(inbound.dialect, &inbound.body).ok()?;
    let shape = shape(&inbound, &envelope, &route);
    let need = need(&envelope, inbound.task, inbound.body.len());
    let mut planned = planned(relay, settings, &route, (need, shape, share_of(inbound.id)), None);
    let nobody = Ask { at_unix_ms: received_unix_ms, requests: 1, tokens: 0, in_flight: 1 };
    let permit = relay.limiter.admit(Vec::new(), nobody).ok()?;
    let allowed =
        Allowed { permit, shape, cost_per_call: None, began_unix_ms: received_unix_ms, tool_of_unknown_cost: None };
    let purse = Purse::open(allowed, &route, settings, &mut planned.plan).ok()?;
    let total: Duration = route.route.deadlines.total;
    let mut call = Call::open(relay, &inbound, (&route, purse, None), total, &envelope);
    call.keep_to_the_ledger();
    let asked_in = inbound.dialect;
    let question = Question::new((envelope, None), inbound, route.route.id.clone());
    let mut ladder = Ladder::new(relay, Admitted { question, route, call, planned, shadow: None });
    let begun = ladder.climb(Role::Shadow).await;
    let refused = ladder.faults.last().is_some_and(|fault| fault.kind == FaultKind::ContentPolicy);
    let (sketch, ending, status) = match begun {
        // Nobody is served: its cost is among what was spent on answers that no caller got.
        Some(Served { begun: Begun::Whole(body), .. }) => {
            (Sketch::of_body(asked_in, &body), Ending::Answered, NOBODYS_STATUS)
        }
        _ => (refused.then(Sketch::refusal), Ending::Failed, FAILED_STATUS),
    };
    if let Err(error) = ladder.call.settle(ending, status) {
        tracing::debug!(%error, "a shadow was not recorded");
    }
    sketch
}

/// The same question for a whole answer.
fn unstreamed(body: &Bytes) -> Option<Bytes> {
    let mut question: Value = serde_json::from_slice(body).ok()?;
    let members = question.as_object_mut()?;
    if members.remove("stream").is_none() {
        return Some(body.clone());
    }
    members.remove("stream_options");
    Some(Bytes::from(serde_json::to_vec(&question).ok()?))
}
