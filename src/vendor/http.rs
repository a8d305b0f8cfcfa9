//! Asking a vendor over HTTP: the vendor's address and auth, bounded answers, and faults from whatever goes wrong.

use std::{borrow::Cow, error::Error as _, io, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, Request, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    client::Client,
    frame::HttpFrames,
    request::{self, Asking, Prepared},
};
use crate::{
    clock,
    config::{Vendor, VendorKind},
    dialect,
    domain::{Fault, FaultKind, Task, Wire},
    route::read_rate_headers,
};

/// The largest answer, in bytes, that is read from a vendor.
pub(super) const ANSWER_LIMIT: usize = 32 * 1024 * 1024;
/// The most that is read of an error's body, in bytes.
const ERROR_LIMIT: usize = 256 * 1024;
/// How long an error's body is waited for; its status has said the most of it.
const ERROR_DEADLINE: Duration = Duration::from_secs(1);
/// The longest that a vendor is left alone because it says so.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Where AWS says what kind of error it is.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// Hears the headers of every answer of a vendor, errors too: they tell of its limits.
pub trait Listener: Send + Sync {
    fn hear(&self, headers: &HeaderMap);
}

/// Whoever asks and does not count.
impl Listener for () {
    fn hear(&self, _: &HeaderMap) {}
}

/// One request to one vendor.
pub struct HttpAsk<'a> {
    pub vendor: &'a Vendor,
    pub client: &'a Client,
    /// The vendor's own name of the model.
    pub model: &'a str,
    pub task: Task,
    /// What `body` is in, and the answer will be.
    pub wire: Wire,
    pub secret: Option<SecretString>,
    /// What of the caller's headers goes along: only those of [`FORWARDED`].
    pub headers: &'a HeaderMap,
    pub body: Bytes,
    /// Is told the headers of whatever the vendor answers.
    pub listener: &'a dyn Listener,
}

/// Headers of the caller that mean something to a vendor of the same dialect.
pub const FORWARDED: [&str; 3] = ["anthropic-version", "anthropic-beta", "openai-beta"];

/// Asks for a whole answer: its status-200 body.
///
/// The caller bounds the time.
pub async fn ask_whole(ask: HttpAsk<'_>) -> Result<Bytes, Fault> {
    let mut response = send(ask).await?;
    read_bounded(&mut response, ANSWER_LIMIT).await
}

/// Asks for a stream: returns when the status line says 200.
///
/// The caller bounds the time.
pub async fn ask_stream(ask: HttpAsk<'_>) -> Result<HttpFrames, Fault> {
    let wire = ask.wire;
    let mut response = send(ask).await?;
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media_type.starts_with("application/json") {
        // A vendor that answers a stream with one JSON body either refuses inside a 200 or ignored `stream`.
        let body = read_bounded(&mut response, ERROR_LIMIT).await?;
        return Err(match dialect::read_answer(wire, &body) {
            Ok(_) => Fault::new(FaultKind::Malformed, "the vendor sent a whole answer where a stream was asked for"),
            Err(error) => answer_fault(error),
        });
    }
    Ok(HttpFrames::new(wire, response))
}

/// The fault of a body that could not be read as an answer.
pub fn answer_fault(error: dialect::ReadError) -> Fault {
    use dialect::ReadError;
    match error {
        ReadError::ErrorObject { kind, .. } => Fault::new(kind, "the vendor sent an error object inside a 200"),
        ReadError::Malformed { why } => Fault::new(FaultKind::Malformed, why),
        ReadError::Empty => Fault::new(FaultKind::EmptyAnswer, "the vendor sent a 200 without an answer in it"),
        ReadError::NoFinish => Fault::new(FaultKind::Truncated, "the answer has no finish reason"),
    }
}

/// The fault of a transport error, before or inside the body.
pub(super) fn transport_fault(error: &reqwest::Error) -> Fault {
    let kind = transport_kind(error);
    let detail = match kind {
        FaultKind::Dns => "the vendor's name does not resolve",
        FaultKind::ConnectRefused => "the vendor refused the connection",
        FaultKind::ConnectTimeout => "no connection within the connect deadline",
        FaultKind::Tls => "the vendor's TLS handshake failed",
        FaultKind::Malformed => "what the vendor sent is not HTTP",
        FaultKind::TooLarge => "the head of the vendor's answer is larger than it may be",
        _ => "the connection broke",
    };
    Fault::new(kind, detail)
}

fn transport_kind(error: &reqwest::Error) -> FaultKind {
    if error.is_connect() && error.is_timeout() {
        return FaultKind::ConnectTimeout;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if is_tls(error) {
            return FaultKind::Tls;
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return FaultKind::ConnectRefused,
                io::ErrorKind::TimedOut if error.source().is_none() => return FaultKind::ConnectTimeout,
                // A chunk whose size is none.
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => return FaultKind::Malformed,
                _ => {}
            }
        }
        // The resolver's error type is private to the connector; its text is all there is.
        if error.to_string().starts_with("dns error") {
            return FaultKind::Dns;
        }
        if error.to_string().starts_with("invalid HTTP") || error.to_string().ends_with(" parsed") {
            return FaultKind::Malformed;
        }
        if error.to_string() == "message head is too large" {
            return FaultKind::TooLarge;
        }
        cause = error.source();
    }
    if error.is_connect() { FaultKind::ConnectRefused } else { FaultKind::Reset }
}

/// Whatever fails in a handshake, a connection that breaks too, the connector wraps in an I/O error, and it wraps nothing
/// else. The wrapper does not tell what it holds as its source.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|inner| inner.is::<rustls::Error>() || inner.is::<io::Error>())
}

async fn send(ask: HttpAsk<'_>) -> Result<Response, Fault> {
    let HttpAsk { vendor, client, model, task, wire, secret, headers: forwarded, body, listener } = ask;
    let body = suited(vendor, wire, body);
    let asking = Asking { vendor, client, model, task, wire, secret: secret.as_ref(), forwarded, body: &body };
    let prepared = request::prepare(asking).await?;
    let sent = prepared.headers.clone();
    let mut response = post(client, prepared, body.clone()).await?;
    // A token that was taken back before its time is bought anew, once.
    if response.status() == StatusCode::UNAUTHORIZED && client.tokens().forget_refused(&vendor.id, &sent) {
        response = post(client, request::prepare(asking).await?, body.clone()).await?;
    }
    listener.hear(response.headers());
    if let Some(fault) = encoded(response.headers()) {
        return Err(fault);
    }
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    let fault = status_fault(wire, &mut response).await;
    Err(match &secret {
        Some(secret) => without_secret(fault, secret),
        None => fault,
    })
}

/// The body as the vendor takes it, where it has manners of its own. They are of its kind's dialect: in another one that it
/// speaks beside that, fields of the same name are other fields.
fn suited(vendor: &Vendor, wire: Wire, body: Bytes) -> Bytes {
    match VendorKind::find(vendor.kind) {
        Some(kind) if wire == kind.wire && !kind.has_plain_manners() => match dialect::suit(&kind.manners, &body) {
            Cow::Owned(suited) => Bytes::from(suited),
            Cow::Borrowed(_) => body,
        },
        _ => body,
    }
}

async fn post(client: &Client, prepared: Prepared, body: Bytes) -> Result<Response, Fault> {
    let Prepared { url, mut headers } = prepared;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut request = Request::new(Method::POST, client.address(&url)?);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(body.into());
    client.http().execute(request).await.map_err(|error| transport_fault(&error))
}

/// An answer that is packed although nobody asked for that is not unpacked: what it grows to is nobody's bound.
fn encoded(headers: &HeaderMap) -> Option<Fault> {
    let encoding = headers.get(CONTENT_ENCODING)?;
    let plain = encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    (!plain).then(|| Fault::new(FaultKind::Malformed, "the vendor sent a compressed answer, which was not asked for"))
}

/// A vendor that quotes our secret does not make us quote it, in whichever field.
fn without_secret(mut fault: Fault, secret: &SecretString) -> Fault {
    let secret = secret.expose_secret();
    // Of credentials in JSON, each long string counts by itself.
    let quotes =
        |text: &str| text.contains(secret) || secret.split('"').any(|part| part.len() >= 20 && text.contains(part));
    if quotes(&fault.detail) {
        fault.detail = "the vendor gave a reason that quotes our secret".to_owned();
    }
    fault.param = fault.param.filter(|param| !quotes(param));
    fault.code = fault.code.filter(|code| !quotes(code));
    fault
}

async fn status_fault(wire: Wire, response: &mut Response) -> Fault {
    let status = response.status();
    if status.is_redirection() {
        return Fault::new(FaultKind::Redirected, "the vendor redirected; redirects are not followed")
            .with_status(status.as_u16());
    }
    let said = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = read_rate_headers(said, clock::unix_ms()).retry_after;
    let name = said(ERROR_TYPE).map(str::to_owned);
    // An error whose body is cut short, too long or too slow is still the error that its status says.
    let body = tokio::time::timeout(ERROR_DEADLINE, read_bounded(response, ERROR_LIMIT)).await;
    let body = body.unwrap_or_else(|_| Ok(Bytes::new())).unwrap_or_default();
    let error = dialect::read_named_error(wire, status.as_u16(), name.as_deref(), &body);
    let mut fault = Fault::new(error.kind, error.message.unwrap_or_else(|| "the vendor gave no reason".to_owned()))
        .with_status(status.as_u16())
        .with_retry_after(retry_after.or(error.retry_after.map(|after| after.min(MOST_RETRY_AFTER))));
    fault.param = error.param;
    fault.code = error.code;
    fault
}

pub(super) async fn read_bounded(response: &mut Response, limit: usize) -> Result<Bytes, Fault> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(Fault::new(FaultKind::TooLarge, format!("the vendor's answer is larger than {limit} bytes")));
    }
    let mut first = Bytes::new();
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + first.len() + chunk.len() > limit => {
                return Err(Fault::new(
                    FaultKind::TooLarge,
                    format!("the vendor's answer is larger than {limit} bytes"),
                ));
            }
            // Most answers come in one piece: it is taken as it is.
            Ok(Some(chunk)) if first.is_empty() && body.is_empty() => first = chunk,
            Ok(Some(chunk)) => {
                body.extend_from_slice(&std::mem::take(&mut first));
                body.extend_from_slice(&chunk);
            }
            Ok(None) if body.is_empty() => return Ok(first),
            Ok(None) => return Ok(body.freeze()),
            Err(error) => return Err(transport_fault(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manners_are_of_the_kinds_own_dialect() {
        let text = "vendors: { m: { kind: mistral, responses: true } }";
        let loaded = crate::config::load(text, std::path::Path::new("test.yaml")).expect("it loads");
        let vendor = loaded.settings.vendors.values().next().expect("there is one");
        let body = Bytes::from_static(br#"{"model":"m","input":"hi","store":false,"user":"u","metadata":null}"#);
        assert_eq!(suited(vendor, Wire::OpenaiResponses, body.clone()), body);
        assert_ne!(suited(vendor, Wire::OpenaiChat, body.clone()), body);
    }

    #[test]
    fn no_part_of_a_json_secret_is_quoted() {
        let secret = r#"{"access_key_id":"AKIDFAKEFAKEFAKEFAKE","secret_access_key":"wJalrXUtnFEMI/fake+secret"}"#;
        let told = |detail: &str| {
            let mut fault = Fault::new(FaultKind::BadRequest, detail).with_param(Some(detail.to_owned()));
            fault.code = Some(detail.to_owned());
            without_secret(fault, &SecretString::from(secret))
        };
        let fault = told("what is AKIDFAKEFAKEFAKEFAKE?");
        assert!(!fault.detail.contains("AKID") && fault.param.is_none() && fault.code.is_none(), "{fault:?}");
        assert_eq!(told("`secret_access_key` is no field").detail, "`secret_access_key` is no field");
    }
}
