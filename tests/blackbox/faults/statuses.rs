//! Errors that a vendor says with a status: which are the caller's own, which are ours, and which are the vendor's.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{
    speech::{Speech, raw},
    table::{Expect, Fault, refused, rescued},
};
use crate::kit::vendor::{End, Piece, Reply};

const BAD_REQUEST: Expect = refused(&[super::table::End::Refused(400)], &["bad_request"]);
/// Statuses of their own, which an SDK may want to see.
const TOO_LARGE: Expect =
    refused(&[super::table::End::Refused(413), super::table::End::Refused(400)], &["bad_request", "context_length"]);
const UNPROCESSABLE: Expect =
    refused(&[super::table::End::Refused(422), super::table::End::Refused(400)], &["bad_request"]);
const CONTEXT_LENGTH: Expect = refused(&[super::table::End::Refused(400)], &["context_length"]);
const CONTENT_POLICY: Expect = refused(&[super::table::End::Refused(400)], &["content_policy"]);
const AUTH: Expect = rescued(&["vendor_auth"]);
const NOT_FOUND: Expect = rescued(&["vendor_not_found"]);
const SERVER: Expect = rescued(&["server_error"]);
const SERVER_OR_FULL: Expect = rescued(&["server_error", "overloaded"]);
const LIMITED: Expect = rescued(&["rate_limited"]);
const QUOTA: Expect = rescued(&["quota_exhausted"]);

/// A secret-like word in a vendor's error, which nobody may see.
pub const LEAK: &str = "sk-proj-leaked-by-the-vendor-0001";

pub fn faults() -> Vec<Fault> {
    [callers(), ours(), limits(), servers()].into_iter().flatten().collect()
}

fn callers() -> Vec<Fault> {
    vec![
        Fault::both("400", |speech| bad(speech, 400, "messages.0: unknown role"), BAD_REQUEST),
        Fault::both("400 context length", too_long, CONTEXT_LENGTH),
        Fault::both("400 content policy", against_policy, CONTENT_POLICY),
        Fault::both(
            "413",
            |speech| Reply::json(413, &speech.error("invalid_request_error", "request_too_large", "too large")),
            TOO_LARGE,
        ),
        Fault::both("422", |speech| bad(speech, 422, "temperature: above 2"), UNPROCESSABLE),
        Fault::both("400 without a body", |_| status(400, "text/plain", ""), BAD_REQUEST),
        Fault::both("400 of a proxy, in HTML", |_| status(400, "text/html", PAGE), rescued(&["malformed"])),
    ]
}

fn ours() -> Vec<Fault> {
    vec![
        Fault::both("401", |speech| bad(speech, 401, &format!("Incorrect API key provided: {LEAK}")), AUTH),
        Fault::both("403", |speech| bad(speech, 403, "not in this country"), AUTH),
        Fault::both("404", |speech| bad(speech, 404, "no such model"), NOT_FOUND),
        Fault::both("405", |speech| bad(speech, 405, "method not allowed"), NOT_FOUND),
        Fault::both("410", |speech| bad(speech, 410, "this model has retired"), NOT_FOUND),
        Fault::both("402", |speech| bad(speech, 402, "pay first"), QUOTA),
        Fault::both("insufficient quota", spent, QUOTA),
        Fault::both(
            "credit balance in a 400",
            |speech| bad(speech, 400, "Your credit balance is too low to access the API"),
            QUOTA,
        ),
    ]
}

fn limits() -> Vec<Fault> {
    vec![
        Fault::both("429 with seconds", |speech| limited(speech, &[("retry-after", "20".into())]), LIMITED),
        Fault::both("429 with a second", |speech| limited(speech, &[("retry-after", "1".into())]), LIMITED.again()),
        Fault::both("429 with a date", |speech| limited(speech, &[("retry-after", in_a_minute())]), LIMITED),
        Fault::both(
            "429 with milliseconds",
            |speech| limited(speech, &[("retry-after-ms", "40".into())]),
            LIMITED.again(),
        ),
        Fault::both("429 without a word", |speech| limited(speech, &[]), LIMITED),
        Fault::both("429 with nonsense", |speech| limited(speech, &[("retry-after", "soon".into())]), LIMITED),
        Fault::both("429 with a negative wait", |speech| limited(speech, &[("retry-after", "-5".into())]), LIMITED),
        Fault::both("429 in HTML", |_| status(429, "text/html", PAGE), LIMITED),
    ]
}

fn servers() -> Vec<Fault> {
    vec![
        Fault::both("408", |speech| speech.failure(408), SERVER),
        Fault::both("409", |speech| speech.failure(409), SERVER),
        Fault::both("500", |speech| speech.failure(500), SERVER),
        Fault::both("502 in HTML", |_| status(502, "text/html", PAGE), SERVER),
        Fault::both("503", |_| status(503, "text/plain", "upstream connect error"), SERVER_OR_FULL),
        Fault::both("503 with a wait", |_| waiting(503), SERVER_OR_FULL),
        Fault::both("504", |_| status(504, "text/html", PAGE), SERVER),
        Fault::both("520 of a CDN", |_| status(520, "text/html", PAGE), SERVER),
        Fault::both(
            "529",
            |speech| Reply::json(529, &speech.error("server_error", "overloaded_error", "Overloaded")),
            SERVER_OR_FULL,
        ),
        Fault::both("599", |_| status(599, "text/plain", ""), SERVER),
        Fault::both("299", |speech| Reply::json(299, &speech.whole()), rescued(&["malformed"])),
        Fault::both("500 whose body never comes", |_| raw(HALF_AN_ERROR, End::Silence), SERVER),
        Fault::both("500 whose body never ends", |_| endless_error(), rescued(&["server_error", "too_large"])),
        Fault::both("500 whose body is cut", |_| raw(HALF_AN_ERROR, End::Cut), SERVER),
        Fault::both(
            "500 whose body is no text",
            |_| Reply::Whole { status: 500, headers: vec![], body: vec![0xff; 512] },
            SERVER,
        ),
        Fault::both("a caller's fault in a 500", |speech| bad(speech, 500, "invalid request"), SERVER),
    ]
}

const PAGE: &str = "<!doctype html><html><body><h1>Something went wrong</h1></body></html>";

const HALF_AN_ERROR: &str =
    "HTTP/1.1 500 Oops\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{\"error\":";

/// An error that calls itself the question's fault; the status tells whose it is.
fn bad(speech: Speech, status: u16, message: &str) -> Reply {
    Reply::json(status, &speech.error("invalid_request_error", "invalid_request_error", message))
}

fn too_long(speech: Speech) -> Reply {
    let message = "This model's maximum context length is 8192 tokens, however you requested 9000 tokens";
    match speech {
        Speech::OpenAi => {
            let code = "context_length_exceeded";
            let error = json!({"message": message, "type": "invalid_request_error", "param": "messages", "code": code});
            Reply::json(400, &json!({"error": error}))
        }
        Speech::Anthropic => bad(speech, 400, "prompt is too long: 210000 tokens > 200000 maximum"),
    }
}

fn against_policy(speech: Speech) -> Reply {
    match speech {
        Speech::OpenAi => {
            let code = "content_policy_violation";
            let error = json!({"message": "rejected", "type": "invalid_request_error", "param": null, "code": code});
            Reply::json(400, &json!({"error": error}))
        }
        Speech::Anthropic => bad(speech, 400, "Output blocked by content filtering policy"),
    }
}

fn spent(speech: Speech) -> Reply {
    match speech {
        Speech::OpenAi => {
            let code = "insufficient_quota";
            let error =
                json!({"message": "You exceeded your current quota", "type": code, "param": null, "code": code});
            Reply::json(429, &json!({"error": error}))
        }
        Speech::Anthropic => {
            let message = "You have reached your specified API usage limits. You will regain access on 2027-01-01";
            bad(speech, 400, message)
        }
    }
}

fn limited(speech: Speech, more: &[(&'static str, String)]) -> Reply {
    let error = match speech {
        Speech::OpenAi => {
            let error =
                json!({"message": "slow down", "type": "requests", "param": null, "code": "rate_limit_exceeded"});
            json!({ "error": error })
        }
        Speech::Anthropic => speech.error("requests", "rate_limit_error", "slow down"),
    };
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.extend(more.iter().cloned());
    Reply::Whole { status: 429, headers, body: error.to_string().into() }
}

/// An HTTP date.
fn in_a_minute() -> String {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let then = time::OffsetDateTime::from(SystemTime::now() + Duration::from_secs(60));
    then.format(&format).expect("every date of this century can be written")
}

fn status(status: u16, media_type: &str, body: &str) -> Reply {
    Reply::Whole { status, headers: vec![("content-type", media_type.to_owned())], body: body.into() }
}

fn waiting(status: u16) -> Reply {
    Reply::Whole { status, headers: vec![("retry-after", "30".to_owned())], body: vec![] }
}

fn endless_error() -> Reply {
    let head = "HTTP/1.1 500 Oops\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n";
    let filler = Piece::Forever(vec![b'e'; 16 << 10], Duration::from_millis(1));
    Reply::Raw { pieces: vec![Piece::Bytes(head.into()), filler], end: End::Cut }
}
