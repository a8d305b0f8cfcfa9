//! Every `POST` that is a call: one way for all, from headers and bytes to a reply.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Request, header},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use metrics::counter;

use super::{Api, auth, respond};
use crate::{
    clock,
    dialect::{Problem, ProblemKind},
    domain::{CallId, Dialect, FeatureId, Task},
    observe::metric,
    relay::{self, Inbound, Refusal},
    vendor::FORWARDED,
};

/// How long a caller may take to send its body.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// What a caller is told to wait when the gateway itself is full.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(2);

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

/// Why a request got no further, for the metric and the caller.
struct Refused {
    reason: &'static str,
    problem: Problem,
    retry_after: Option<Duration>,
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

async fn call_for(api: Api, task: Task, dialect: Dialect, request: Request<Body>) -> Response {
    let (received, received_unix_ms, id) = (clock::now(), clock::unix_ms(), clock::call_id());
    let refuse = |refused: Refused| {
        counter!(metric::REFUSED, "reason" => refused.reason).increment(1);
        respond::problem_of(dialect, &refused.problem, id, refused.retry_after)
    };
    let Ok(permit) = api.permits.clone().try_acquire_owned() else {
        return refuse(Refused::full("the gateway answers as many calls as it can"));
    };
    let (parts, body) = request.into_parts();
    let client = match auth::authenticate(&api.keys, &parts.headers).await {
        Ok(client) => client,
        Err(problem) => return refuse(Refused { reason: "authentication", problem, retry_after: None }),
    };
    let snapshot = api.snapshot.load_full();
    let body = match read_body(&parts.headers, body, snapshot.settings.max_body_bytes).await {
        Ok(body) => body,
        Err(refused) => return refuse(refused),
    };
    let (feature, timeout) = match (feature(&parts.headers), timeout(&parts.headers)) {
        (Ok(feature), Ok(timeout)) => (feature, timeout),
        (Err(refused), _) | (_, Err(refused)) => return refuse(refused),
    };
    let forwarded = forwarded(&parts.headers);
    let inbound = Inbound { id, dialect, task, client, feature, forwarded, timeout, received, received_unix_ms, body };
    match relay::admit(&api.relay, snapshot, inbound) {
        Ok(admitted) => {
            let reply = relay::answer(&api.relay, admitted).await;
            respond::reply(dialect, reply.holding(permit))
        }
        Err(refusal) => refuse(refused(refusal, id)),
    }
}

fn refused(refusal: Refusal, id: CallId) -> Refused {
    match refusal {
        Refusal::BadRequest(error) => {
            let problem = Problem {
                kind: ProblemKind::InvalidRequest,
                message: error.message,
                param: error.param,
                code: error.code.map(str::to_owned),
            };
            Refused { reason: "bad_request", problem, retry_after: None }
        }
        Refusal::UnknownModel { name, nearest } => {
            let hint = nearest.map(|nearest| format!(", did you mean `{nearest}`?")).unwrap_or_default();
            let message = format!("there is no model `{name}` here{hint}; GET /v1/models lists them");
            let problem = Problem {
                kind: ProblemKind::NotFound,
                message,
                param: Some("model".to_owned()),
                code: Some("model_not_found".to_owned()),
            };
            Refused { reason: "unknown_model", problem, retry_after: None }
        }
        Refusal::LedgerFull => {
            tracing::error!(request_id = %id, "a call was refused because the ledger cannot take it over");
            Refused::full("calls cannot be recorded now")
        }
    }
}

impl Refused {
    fn bad(reason: &'static str, kind: ProblemKind, message: String) -> Self {
        Self { reason, problem: Problem::new(kind, message), retry_after: None }
    }

    fn full(why: &str) -> Self {
        let problem = Problem::new(ProblemKind::Unavailable, format!("{why}; try again in a moment"));
        Self { reason: "full", problem, retry_after: Some(FULL_RETRY_AFTER) }
    }
}

/// The body, whole, when it is JSON by its own word, within the bound and within time.
async fn read_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Refused> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = format!("content-type is `{essence}`; send application/json");
        return Err(Refused::bad("media_type", ProblemKind::UnsupportedMediaType, message));
    }
    let too_large = || {
        let message = format!("the body is larger than {limit} bytes; `limits.max_body` in the config sets this bound");
        Refused::bad("too_large", ProblemKind::TooLarge, message)
    };
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut stream = body.into_data_stream();
    let read = async {
        let Some(first) = stream.next().await else { return Ok(Bytes::new()) };
        let first = first.map_err(|_| cut())?;
        let mut all: Option<BytesMut> = None;
        let mut length = first.len();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| cut())?;
            length += chunk.len();
            if length > limit {
                return Err(too_large());
            }
            all.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&chunk);
        }
        if length > limit {
            return Err(too_large());
        }
        Ok(all.map_or(first, BytesMut::freeze))
    };
    tokio::time::timeout(BODY_DEADLINE, read).await.unwrap_or_else(|_| {
        let message = format!("the body did not come within {} s", BODY_DEADLINE.as_secs());
        Err(Refused::bad("slow_body", ProblemKind::InvalidRequest, message))
    })
}

fn cut() -> Refused {
    Refused::bad("cut_body", ProblemKind::InvalidRequest, "the body ended early".to_owned())
}

/// `x-backstop-feature`: letters, digits, `.`, `_`, `-`; up to 64.
fn feature(headers: &HeaderMap) -> Result<Option<FeatureId>, Refused> {
    let Some(value) = headers.get("x-backstop-feature") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
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
