//! Every `POST` that is a call: one way for all, from headers and bytes to a reply.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    extract::State,
    http::{HeaderMap, Request, header},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};

use super::{
    Api,
    auth::{self, Caller},
    refused::Refused,
    respond, rest,
};
use crate::{
    clock,
    config::Settings,
    dialect::ProblemKind,
    domain::{Dialect, FeatureId, Task, is_plain_name},
    limit::{Intake, Overfull, at_once, body_bound},
    relay::{self, Inbound},
    vault::Client,
    vendor::FORWARDED,
};

/// How long a caller may take to send its body.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

pub(super) async fn chat_completions(State(api): State<Api>, request: Request<Body>) -> Response {
    call(api, Dialect::OpenaiChat, request).await
}

pub(super) async fn messages(State(api): State<Api>, request: Request<Body>) -> Response {
    call(api, Dialect::AnthropicMessages, request).await
}

pub(super) async fn completions(State(api): State<Api>, request: Request<Body>) -> Response {
    call(api, Dialect::OpenaiCompletions, request).await
}

pub(super) async fn responses(State(api): State<Api>, request: Request<Body>) -> Response {
    call(api, Dialect::OpenaiResponses, request).await
}

pub(super) async fn count_tokens(State(api): State<Api>, request: Request<Body>) -> Response {
    call_for(api, Task::CountTokens, Dialect::AnthropicMessages, request).await
}

pub(super) async fn embeddings(State(api): State<Api>, request: Request<Body>) -> Response {
    call_for(api, Task::Embed, Dialect::OpenaiChat, request).await
}

async fn call(api: Api, dialect: Dialect, request: Request<Body>) -> Response {
    call_for(api, Task::Answer, dialect, request).await
}

/// On the heap from the start: what a call holds is some 20 KB, and every layer of the router would move it.
fn call_for(api: Api, task: Task, dialect: Dialect, request: Request<Body>) -> BoxFuture<'static, Response> {
    Box::pin(make_call(api, task, dialect, request))
}

async fn make_call(api: Api, task: Task, dialect: Dialect, request: Request<Body>) -> Response {
    let (received, received_unix_ms, id) = (clock::now(), clock::unix_ms(), clock::call_id());
    let refuse = |refused: Refused| respond::refused(dialect, &refused, id);
    let Ok(permit) = api.permits.clone().try_acquire_owned() else {
        return refuse(Refused::full("the gateway answers as many calls as it can"));
    };
    let (parts, body) = request.into_parts();
    let snapshot = api.snapshot.load_full();
    let Caller { client, from, entered } = match auth::enter(&api, &snapshot.settings, &parts).await {
        Ok(caller) => caller,
        Err(refused) => return refuse(refused),
    };
    let intake = api.relay.limiter.intake(&client.tenant);
    let (body, intake) = match read_body(&parts.headers, body, Bound::of(&snapshot.settings, &client), intake).await {
        Ok(read) => read,
        Err(refused) => return refuse(refused),
    };
    let (feature, timeout) = match (feature(&parts.headers), timeout(&parts.headers)) {
        (Ok(feature), Ok(timeout)) => (feature, timeout),
        (Err(refused), _) | (_, Err(refused)) => return refuse(refused),
    };
    let forwarded = forwarded(&parts.headers);
    let inbound = Inbound {
        id,
        dialect,
        task,
        client,
        from,
        feature,
        forwarded,
        timeout,
        received,
        received_unix_ms,
        body,
        drill: None,
    };
    match relay::admit(&api.relay, &snapshot, inbound).await {
        Ok(admitted) => {
            let reply = relay::answer(&api.relay, admitted).await;
            respond::reply(dialect, reply.holding((permit, entered, intake)))
        }
        Err(refusal) => refuse(Refused::by(refusal, id)),
    }
}

/// How large a body may be, and who says so.
struct Bound {
    bytes: usize,
    by: &'static str,
    /// How many calls of the tenant may be answered at once.
    at_once: Option<u64>,
}

impl Bound {
    fn of(settings: &Settings, client: &Client) -> Self {
        let callers = body_bound(settings, client).and_then(|bytes| usize::try_from(bytes).ok());
        let at_once = at_once(settings, client);
        match callers.filter(|bytes| *bytes < settings.max_body_bytes) {
            Some(bytes) => Self { bytes, by: "the limits of this key or its tenant say so", at_once },
            None => {
                Self { bytes: settings.max_body_bytes, by: "`limits.max_body` in the config sets this bound", at_once }
            }
        }
    }
}

/// The body, whole, when it is JSON by its own word, within the bound and within time; and what it holds of the gateway.
async fn read_body(
    headers: &HeaderMap,
    body: Body,
    Bound { bytes: limit, by, at_once }: Bound,
    mut intake: Intake,
) -> Result<(Bytes, Intake), Refused> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = format!("content-type is `{essence}`; send application/json");
        return Err(Refused::bad("media_type", ProblemKind::UnsupportedMediaType, message));
    }
    let too_large = || {
        let message = format!("the body is larger than {limit} bytes; {by}");
        Refused::bad("too_large", ProblemKind::TooLarge, message)
    };
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut stream = body.into_data_stream();
    if said.is_some_and(|length| length > limit as u64) {
        // Who asks first, sends nothing after a refusal.
        if !headers.contains_key(header::EXPECT) {
            rest::discard(&mut stream, limit).await;
        }
        return Err(too_large());
    }
    let read = async {
        let (mut first, mut all): (Bytes, Option<BytesMut>) = (Bytes::new(), None);
        let mut length = 0;
        while let Some(chunk) = next(&mut stream, &mut intake, at_once).await? {
            length += chunk.len();
            if length > limit {
                rest::discard(&mut stream, limit).await;
                return Err(too_large());
            }
            intake.grow(chunk.len()).map_err(overfull)?;
            match &mut all {
                Some(all) => all.extend_from_slice(&chunk),
                None if first.is_empty() => first = chunk,
                None => all.insert(BytesMut::from(&first[..])).extend_from_slice(&chunk),
            }
        }
        Ok(all.map_or(first, BytesMut::freeze))
    };
    let read = tokio::time::timeout(BODY_DEADLINE, read).await.unwrap_or_else(|_| {
        let message = format!("the body did not come within {} s", BODY_DEADLINE.as_secs());
        Err(Refused::bad("slow_body", ProblemKind::InvalidRequest, message))
    });
    intake.arrived();
    Ok((read?, intake))
}

/// The next piece of a body; a place among those that are waited for is taken before the first that is not here at once.
async fn next(
    stream: &mut BodyDataStream,
    intake: &mut Intake,
    at_once: Option<u64>,
) -> Result<Option<Bytes>, Refused> {
    let chunk = match stream.next().now_or_never() {
        Some(chunk) => chunk,
        None => {
            intake.waits(at_once).map_err(Refused::limited)?;
            stream.next().await
        }
    };
    chunk.transpose().map_err(|_| cut())
}

fn overfull(why: Overfull) -> Refused {
    match why {
        Overfull::Tenant(refusal) => Refused::limited(refusal),
        Overfull::Gateway => Refused::full("the gateway holds as many large bodies as it can"),
    }
}

fn cut() -> Refused {
    Refused::bad("cut_body", ProblemKind::InvalidRequest, "the body ended early".to_owned())
}

/// `x-backstop-feature`: letters, digits, `.`, `_`, `-`; up to 64.
fn feature(headers: &HeaderMap) -> Result<Option<FeatureId>, Refused> {
    let Some(value) = headers.get("x-backstop-feature") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if !is_plain_name(text) {
        let message = "x-backstop-feature takes 1 to 64 letters, digits, dots, underscores or dashes".to_owned();
        return Err(Refused::bad("bad_request", ProblemKind::InvalidRequest, message));
    }
    Ok(Some(FeatureId::new(text)))
}

/// `x-backstop-timeout-ms`: a whole number above 0.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Refused> {
    let Some(value) = headers.get("x-backstop-timeout-ms") else { return Ok(None) };
    match value.to_str().ok().and_then(|text| text.trim().parse::<u32>().ok()).filter(|ms| *ms > 0) {
        Some(ms) => Ok(Some(Duration::from_millis(u64::from(ms)))),
        None => {
            let message = "x-backstop-timeout-ms takes a whole number of milliseconds above 0".to_owned();
            Err(Refused::bad("bad_request", ProblemKind::InvalidRequest, message))
        }
    }
}

fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut along = HeaderMap::new();
    for name in FORWARDED {
        for value in headers.get_all(name) {
            along.append(name, value.clone());
        }
    }
    along
}
