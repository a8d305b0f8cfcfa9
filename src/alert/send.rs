//! One alert to one receiver: the only place of this room that reaches out.
//!
//! The receiver's secret is read from the vault at each sending. What is said of a sending, in a log or on the command line,
//! is its kind and a status: never a URL, a header or what the receiver answered. Redirects are not followed.

use std::time::{Duration, SystemTime};

use reqwest::{
    Client, RequestBuilder, Url,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{alertmanager, outbox::Entry, pagerduty, slack, webhook};
use crate::{
    clock,
    config::{AlertSink, AlertTo},
    vault::Vault,
};

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A receiver may ask for no more.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What sending needs; cheap to clone.
#[derive(Debug, Clone)]
pub struct Post {
    /// Follows no redirects and tries nothing twice.
    pub client: Client,
    pub vault: Vault,
}

/// What came of a sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    Taken {
        status: u16,
    },
    /// Trying again can help.
    Failed {
        why: Failure,
        retry_after: Option<Duration>,
    },
    /// The receiver understood and will not have it.
    Refused {
        status: u16,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the vault has no secret `{0}`; set it with `backstop vault set {0}`")]
    NoSecret(String),
    #[error("the secret `{0}` is not an http(s) URL; set it again with `backstop vault set {0}`")]
    NotAUrl(String),
    #[error("it answered {0}")]
    Status(u16),
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it did not answer within 10 s")]
    Timeout,
}

impl Post {
    /// Sends `entry` to `sink`, once.
    pub async fn send(&self, sink: &AlertSink, entry: &Entry) -> Sent {
        let request = match self.request(sink, entry) {
            Ok(request) => request,
            Err(why) => return Sent::Failed { why, retry_after: None },
        };
        let response = match request.timeout(TIMEOUT).send().await {
            Ok(response) => response,
            Err(error) => {
                let why = if error.is_timeout() { Failure::Timeout } else { Failure::Unreachable };
                return Sent::Failed { why, retry_after: None };
            }
        };
        // The body is left unread: nothing in it is for us.
        let status = response.status().as_u16();
        match status {
            200..300 => Sent::Taken { status },
            400 | 413 | 415 | 422 => Sent::Refused { status },
            _ => {
                let retry_after = retry_after(response.headers(), SystemTime::now());
                Sent::Failed { why: Failure::Status(status), retry_after }
            }
        }
    }

    fn request(&self, sink: &AlertSink, entry: &Entry) -> Result<RequestBuilder, Failure> {
        let (alert, now) = (&entry.alert, clock::unix_ms());
        let post = |url: Url, body: Vec<u8>| self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        Ok(match &sink.to {
            AlertTo::Slack { url_secret } => {
                let secret = self.secret(url_secret)?;
                post(url(secret.expose_secret(), "", url_secret)?, slack::body(alert))
            }
            AlertTo::Pagerduty { routing_key_secret, url: base } => {
                let body = pagerduty::body(alert, &self.secret(routing_key_secret)?);
                post(url(base, pagerduty::PATH, sink.kind())?, body)
            }
            AlertTo::Alertmanager { url: base } => {
                post(url(base, alertmanager::PATH, sink.kind())?, alertmanager::body(alert, now))
            }
            AlertTo::Webhook { url: base, signing_secret } => {
                let body = webhook::body(alert);
                let id = format!("msg_{}", entry.id.simple());
                let signed = webhook::sign(&self.secret(signing_secret)?, &id, now, &body);
                post(url(base, "", sink.kind())?, body)
                    .header("webhook-id", signed.id)
                    .header("webhook-timestamp", signed.timestamp)
                    .header("webhook-signature", signed.signature)
            }
        })
    }

    fn secret(&self, name: &str) -> Result<SecretString, Failure> {
        self.vault.get(name).ok_or_else(|| Failure::NoSecret(name.to_owned()))
    }
}

impl Sent {
    /// The metric's label.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "ok",
            Self::Failed { .. } => "retry",
            Self::Refused { .. } => "refused",
        }
    }
}

fn url(base: &str, path: &str, name: &str) -> Result<Url, Failure> {
    let whole = if base.ends_with(path) { base.to_owned() } else { format!("{base}{path}") };
    let url = Url::parse(whole.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| Failure::NotAUrl(name.to_owned()))
}

/// In seconds or as an HTTP date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(now).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(LONGEST_WAIT))
}
