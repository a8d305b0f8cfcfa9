//! `bytes → Admitted`: the body is read as far as routing needs, its route is found, its clock and its outcome begin.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::Rng as _;
use reqwest::header::HeaderMap;

use super::{
    Relay, Snapshot, SnapshotRoute,
    allow::allow,
    call::Call,
    drilled::OnDrill,
    held,
    purse::Purse,
    question::{Question, need},
    shadow,
};
use crate::{
    config::Settings,
    dialect::{self, BadRequest, EmbedRequest, Envelope},
    domain::{CallId, Dialect, FeatureId, RouteId, Task},
    limit::{self, Shape},
    route::{Need, Plan, object_to_shares, plan},
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
    /// Where it came from.
    pub from: IpAddr,
    /// What its header says that it is for.
    pub feature: Option<FeatureId>,
    /// Only those that go along to a vendor of the same dialect.
    pub forwarded: HeaderMap,
    /// The caller's own bound on the whole call.
    pub timeout: Option<Duration>,
    pub received: Instant,
    pub received_unix_ms: i64,
    pub body: Bytes,
    /// The gateway asks it itself, for this drill: nobody's limits are touched, and callers go first.
    pub drill: Option<Arc<OnDrill>>,
}

/// A call that will be answered, by a target or by an error, and will leave an outcome.
#[derive(Debug)]
pub struct Admitted {
    pub(super) question: Question,
    pub(super) route: Arc<SnapshotRoute>,
    pub(super) call: Call,
    pub(super) planned: Planned,
    /// The same question for the route's canary, whose answer is only compared.
    pub(super) shadow: Option<shadow::Asked>,
}

/// Who will be asked, and by what that was decided.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) need: Need,
    pub(super) roll: f64,
    pub(super) shape: Shape,
    pub(super) drill: Option<Arc<OnDrill>>,
}

/// Why a request did not become a call. Nothing was recorded.
#[derive(Debug)]
pub enum Refusal {
    BadRequest(BadRequest),
    UnknownModel {
        name: String,
        nearest: Option<String>,
    },
    /// The key may not ask this.
    NotAllowed {
        message: String,
        param: Option<&'static str>,
    },
    Limited(limit::Refusal),
    /// The ledger can take no more calls over.
    LedgerFull,
}

impl From<limit::Refusal> for Refusal {
    fn from(refusal: limit::Refusal) -> Self {
        Self::Limited(refusal)
    }
}

/// Admits one request under `snapshot`.
pub async fn admit(relay: &Arc<Relay>, snapshot: &Snapshot, mut inbound: Inbound) -> Result<Admitted, Refusal> {
    let (mut envelope, embed) = open(&inbound).map_err(Refusal::BadRequest)?;
    let route = route(snapshot, &inbound.client, &envelope.model)?;
    let route = Arc::clone(route.side((&inbound.client.key_id, inbound.id, inbound.task)));
    if !relay.ledger.takes_calls() {
        return Err(Refusal::LedgerFull);
    }
    let allowed = allow(relay, snapshot, &route, &mut inbound, &mut envelope).await?;
    let need = need(&envelope, inbound.task, inbound.body.len());
    let of_caller = || relay.drills.of_caller(&route.route.id, || rand::rng().random());
    let drill = inbound.drill.clone().or_else(of_caller);
    let mut planned = planned(relay, &snapshot.settings, &route, (need, allowed.shape, share_of(inbound.id)), drill);
    let purse = Purse::open(allowed, &route, &snapshot.settings, &mut planned.plan)?;
    let total = route.route.deadlines.total;
    let budget = inbound.timeout.map_or(total, |timeout| timeout.min(total));
    let shadow = match planned.drill {
        // What a drill makes of a call is no measure of anything else.
        Some(_) => None,
        None => shadow::asked(relay, &snapshot.settings, &route, (&inbound, &envelope)),
    };
    let call = Call::open(relay, &inbound, (&route, purse, planned.drill.take()), budget, &envelope);
    let question = Question::new((envelope, embed), inbound, route.route.id.clone());
    Ok(Admitted { question, route, call, planned, shadow })
}

/// The route that is asked for, if it is there and the key may ask for it.
fn route(snapshot: &Snapshot, client: &Client, model: &str) -> Result<Arc<SnapshotRoute>, Refusal> {
    let may = |name: &RouteId| client.may.routes.is_empty() || client.may.routes.contains(name);
    let Some(route) = snapshot.route(model) else {
        let known = snapshot.route_names().filter(|name| may(name)).map(RouteId::as_str);
        return Err(Refusal::UnknownModel { name: model.to_owned(), nearest: nearest(model, known) });
    };
    if !may(&route.route.id) {
        let known: Vec<&str> = client.may.routes.iter().map(RouteId::as_str).collect();
        let message = format!("this API key may not ask for the model `{model}`, but for: {}", known.join(", "));
        return Err(Refusal::NotAllowed { message, param: Some("model") });
    }
    Ok(Arc::clone(route))
}

/// Every target's health and its vendor's share are looked at once, without waiting. `place`: the call's own among all, by
/// which it is one of those that move to another vendor or not.
pub(super) fn planned(
    relay: &Relay,
    settings: &Settings,
    route: &SnapshotRoute,
    (need, shape, place): (Need, Shape, f64),
    drill: Option<Arc<OnDrill>>,
) -> Planned {
    let roll = rand::rng().random();
    let standings = relay.standings.load();
    let mut health: Vec<_> = route.targets.iter().map(|target| target.cell.health(roll, need.estimate())).collect();
    let looks: Vec<_> = route.targets.iter().map(|target| held::look(relay, target, &shape, place)).collect();
    object_to_shares(&mut health, &looks);
    let mut plan = plan(&route.route, &standings, settings.enforcement);
    if let Some(drill) = &drill {
        plan = plan.drilled(&drill.id, &drill.down);
    }
    let plan = plan.narrowed(&route.route, &need, &health);
    let plan = plan.steered(&route.route, rand::rng().random());
    Planned { plan: plan.shared(&looks), need, roll, shape, drill }
}

/// Where a call lies among all, 0 to 1: the same whoever asks, since its id is random but for the time.
pub(super) fn share_of(id: CallId) -> f64 {
    // The lower half of a UUIDv7: two bits of its variant, then randomness.
    let random = (id.0.as_u128() as u64) << 2;
    random as f64 / u64::MAX as f64
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
