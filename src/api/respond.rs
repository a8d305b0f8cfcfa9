//! Replies and problems as HTTP responses, with the headers that CONTRACT names.

use std::time::Duration;

use axum::{
    body::Body as HttpBody,
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
    response::Response as AxumResponse,
};
use metrics::counter;

use super::{
    rate_headers,
    refused::{Refused, WORTH_A_RETRY},
    unread::Unread,
};
use crate::{
    clock,
    dialect::{self, Problem},
    domain::{CallId, Dialect},
    observe::metric,
    relay::{Body, Meta, Reply},
};

const ATTEMPTS: HeaderName = HeaderName::from_static("x-backstop-attempts");
const CAUTION: HeaderName = HeaderName::from_static("x-backstop-caution");
/// The drill that the call was part of: for it some vendors were seen as down.
const DRILL: HeaderName = HeaderName::from_static("x-backstop-drill");
const COST: HeaderName = HeaderName::from_static("x-backstop-cost-usd");
const FALLBACK: HeaderName = HeaderName::from_static("x-backstop-fallback");
/// Targets that were passed over because of the share cap.
const OVER_SHARE: HeaderName = HeaderName::from_static("x-backstop-over-share");
const OVERHEAD: HeaderName = HeaderName::from_static("x-backstop-overhead-ms");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MESSAGES: HeaderName = HeaderName::from_static("request-id");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// Both vendors' SDKs obey it.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const SERVED_BY: HeaderName = HeaderName::from_static("x-backstop-served-by");

/// So many headers nearly every reply has at most, those of the connection with them.
const MOST_HEADERS: usize = 20;

/// A call's reply.
pub(super) fn reply(dialect: Dialect, reply: Reply) -> AxumResponse {
    let Reply { status, meta, body } = reply;
    let (media_type, body) = match body {
        Body::Whole(bytes) => ("application/json", HttpBody::from(bytes)),
        Body::Stream { stream, until } => {
            ("text/event-stream; charset=utf-8", HttpBody::from_stream(Unread::new(stream, until)))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.reserve(MOST_HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if media_type.starts_with("text/event-stream") {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    write_meta(headers, dialect, &meta);
    response
}

/// An error that is not a call's: nothing was admitted, nothing is in the ledger.
pub(super) fn problem(dialect: Dialect, problem: &Problem) -> AxumResponse {
    problem_of(dialect, problem, clock::call_id())
}

/// A request that became no call.
pub(super) fn refused(dialect: Dialect, refused: &Refused, id: CallId) -> AxumResponse {
    counter!(metric::REFUSED, "reason" => refused.reason).increment(1);
    let mut response = problem_of(dialect, &refused.problem, id);
    let headers = response.headers_mut();
    write_retry_after(headers, refused.retry_after);
    rate_headers::write(headers, dialect, &refused.standing);
    if refused.is_final {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

fn problem_of(dialect: Dialect, problem: &Problem, id: CallId) -> AxumResponse {
    let body = dialect::write_problem(dialect, problem, &id.to_string());
    let mut response = Response::new(HttpBody::from(body));
    let status = dialect::status(dialect, problem.kind);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    write_id(headers, dialect, id);
    response
}

fn write_meta(headers: &mut HeaderMap, dialect: Dialect, meta: &Meta) {
    write_id(headers, dialect, meta.id);
    if let (Some(target), Some(index)) = (&meta.served_by, meta.fallback) {
        insert(headers, SERVED_BY, &target.to_string());
        headers.insert(FALLBACK, HeaderValue::from(index));
    }
    headers.insert(ATTEMPTS, HeaderValue::from(meta.attempts));
    insert(headers, OVERHEAD, &format!("{:.3}", meta.overhead_ms));
    if let Some(cost) = meta.cost {
        insert(headers, COST, &cost.to_string());
    }
    if let Some(drill) = &meta.drill {
        insert(headers, DRILL, drill);
    }
    for caution in &meta.cautions {
        if let Ok(value) = HeaderValue::from_str(caution) {
            headers.append(CAUTION, value);
        }
    }
    for target in &meta.over_share {
        if let Ok(value) = HeaderValue::from_str(&target.to_string()) {
            headers.append(OVER_SHARE, value);
        }
    }
    write_retry_after(headers, meta.retry_after);
    if meta.retry_after.is_some_and(|wait| wait > WORTH_A_RETRY) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    rate_headers::write(headers, dialect, &meta.standing);
}

fn write_id(headers: &mut HeaderMap, dialect: Dialect, id: CallId) {
    let id = id.to_string();
    insert(headers, REQUEST_ID, &id);
    if dialect == Dialect::AnthropicMessages {
        insert(headers, REQUEST_ID_MESSAGES, &id);
    }
}

fn write_retry_after(headers: &mut HeaderMap, retry_after: Option<Duration>) {
    let Some(wait) = retry_after else { return };
    insert(headers, header::RETRY_AFTER, &format!("{}", wait.as_secs_f64().ceil().max(1.0)));
    insert(headers, RETRY_AFTER_MS, &wait.as_millis().max(1).to_string());
}

/// Values are ours, in ASCII; one that is not stays out rather than failing the answer.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
