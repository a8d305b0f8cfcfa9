//! Faults that a vendor's status tells: the caller's own, ours, and the vendor's.

use std::time::Duration;

use serde_json::{Value, json};

use super::fault::{Fault, Wire, fault, raw};
use crate::vendor::{End, Piece, Reply};

pub fn all() -> Vec<Fault> {
    [callers(), ours(), limits(), servers()].into_iter().flatten().collect()
}

/// Nobody else is asked.
fn callers() -> Vec<Fault> {
    vec![
        error("400", 400, "invalid_request_error", Value::Null, "messages: too few").refused("bad_request"),
        fault("400-context-length", |scene| {
            let (code, message) = match scene.wire {
                Wire::Openai => (json!("context_length_exceeded"), "maximum context length is 10 tokens"),
                Wire::Anthropic => (Value::Null, "prompt is too long: 20 tokens > 10 maximum"),
            };
            Reply::json(400, &scene.wire.error("invalid_request_error", code, message))
        })
        .refused("context_length"),
        fault("400-content-policy", |scene| {
            let (code, message) = match scene.wire {
                Wire::Openai => (json!("content_policy_violation"), "rejected by the safety system"),
                Wire::Anthropic => (Value::Null, "Output blocked by content filtering policy"),
            };
            Reply::json(400, &scene.wire.error("invalid_request_error", code, message))
        })
        .refused("content_policy"),
        error("413", 413, "request_too_large", Value::Null, "request exceeds the maximum size").refused("bad_request"),
        error("422", 422, "invalid_request_error", Value::Null, "unprocessable").refused("bad_request"),
    ]
}

/// A wrong key, a wrong name: the operator's to mend, and the fallback's to answer.
fn ours() -> Vec<Fault> {
    vec![
        error("401", 401, "authentication_error", json!("invalid_api_key"), "bad key").rescued("vendor_auth"),
        error("403", 403, "permission_error", Value::Null, "not for you").rescued("vendor_auth"),
        error("404", 404, "not_found_error", json!("model_not_found"), "no such model").rescued("vendor_not_found"),
        fault("404-html", |_| html(404)).rescued("vendor_not_found"),
        error("408", 408, "timeout_error", Value::Null, "too slow").rescued("server_error"),
        error("409", 409, "conflict", Value::Null, "try again").rescued("server_error"),
        fault("400-html", |_| html(400)).rescued("malformed"),
    ]
}

fn limits() -> Vec<Fault> {
    vec![
        limited("429", None),
        limited("429-seconds", Some(("retry-after", "20"))),
        limited("429-date", Some(("retry-after", "Wed, 21 Oct 2037 07:28:00 GMT"))),
        limited("429-ms", Some(("retry-after-ms", "1500"))),
        limited("429-nonsense", Some(("retry-after", "soon"))),
        fault("429-html", |_| html(429)).rescued("rate_limited"),
        fault("insufficient-quota", |scene| match scene.wire {
            Wire::Openai => {
                let message = "You exceeded your current quota";
                Reply::json(429, &scene.wire.error("insufficient_quota", json!("insufficient_quota"), message))
            }
            Wire::Anthropic => {
                let message = "Your credit balance is too low to access the API";
                Reply::json(400, &scene.wire.error("invalid_request_error", Value::Null, message))
            }
        })
        .rescued("quota_exhausted"),
        error("402", 402, "billing_error", Value::Null, "pay first").rescued("quota_exhausted"),
    ]
}

fn servers() -> Vec<Fault> {
    vec![
        fault("500", |scene| Reply::json(500, &scene.wire.server_error())).rescued("server_error"),
        fault("500-empty", |_| Reply::Whole { status: 500, headers: vec![], body: vec![] }).rescued("server_error"),
        fault("502-html", |_| html(502)).rescued("server_error"),
        fault("503", |scene| Reply::json(503, &scene.wire.server_error())).rescued("server_error|overloaded"),
        fault("504", |scene| Reply::json(504, &scene.wire.server_error())).rescued("server_error"),
        error("529", 529, "overloaded_error", Value::Null, "overloaded").rescued("overloaded"),
        error("520", 520, "unknown", Value::Null, "of a proxy").rescued("server_error"),
        fault("500-without-an-end", |_| {
            let head = "HTTP/1.1 500 Oops\r\ncontent-type: text/plain\r\ncontent-length: 9000000\r\n\r\n";
            let ever = Piece::Repeat("no ".into(), Duration::from_millis(20));
            Reply::Raw { pieces: vec![Piece::Text(head.into()), ever], end: End::Cut }
        })
        .rescued("server_error"),
        fault("500-cut", |_| raw("HTTP/1.1 500 Oops\r\ncontent-length: 900\r\n\r\nsorry", End::Cut))
            .rescued("server_error"),
        fault("204", |_| raw("HTTP/1.1 204 No Content\r\n\r\n", End::Cut)).rescued("malformed|empty_answer"),
        fault("201", |scene| Reply::json(201, &scene.wire.answer())).rescued("malformed|empty_answer"),
    ]
}

fn error(name: &'static str, status: u16, kind: &'static str, code: Value, message: &'static str) -> Fault {
    fault(name, move |scene| Reply::json(status, &scene.wire.error(kind, code.clone(), message)))
}

fn limited(name: &'static str, header: Option<(&'static str, &'static str)>) -> Fault {
    fault(name, move |scene| {
        let error = scene.wire.error("rate_limit_error", json!("rate_limit_exceeded"), "slow down");
        match header {
            Some(header) => Reply::json_with(429, header, &error),
            None => Reply::json(429, &error),
        }
    })
    .rescued("rate_limited")
}

/// What a proxy in front of the vendor says.
fn html(status: u16) -> Reply {
    let body = b"<html><body><h1>Bad Gateway</h1></body></html>".to_vec();
    Reply::Whole { status, headers: vec![("content-type", "text/html".into())], body }
}
