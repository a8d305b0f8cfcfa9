//! The generic webhook: one JSON object, signed as the Standard Webhooks specification says.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>: the signature is
//! HMAC-SHA256 over `id.timestamp.body`. A message keeps its id through all retries; its timestamp is the sending's own.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::message::{Alert, State, moment};

/// The three headers that a receiver verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
}

pub fn body(alert: &Alert) -> Vec<u8> {
    let happened = alert.resolved_unix_ms.filter(|_| alert.state == State::Resolved);
    json!({
        "type": format!("backstop.alert.{}", alert.state.as_str()),
        "timestamp": moment(happened.unwrap_or(alert.last_seen_unix_ms)),
        "data": {
            "dedup_key": alert.dedup_key,
            "event": alert.event.as_str(),
            "severity": alert.severity.as_str(),
            "state": alert.state.as_str(),
            "summary": alert.summary(),
            "route": alert.route,
            "fault": alert.fault,
            "target": alert.target,
            "served_by": alert.served_by,
            "tried": alert.tried,
            "last_call": alert.call.map(|call| call.to_string()),
            "first_seen": moment(alert.first_seen_unix_ms),
            "last_seen": moment(alert.last_seen_unix_ms),
            "resolved_at": alert.resolved_unix_ms.map(moment),
            "calls": alert.count,
        },
    })
    .to_string()
    .into_bytes()
}

/// Signs `body` as the message `id`. A secret `whsec_…` is the key in base64, as the specification writes it; any other is the key itself.
pub fn sign(secret: &SecretString, id: &str, now_unix_ms: i64, body: &[u8]) -> Signed {
    let timestamp = now_unix_ms.div_euclid(1000).to_string();
    let key = key(secret.expose_secret());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let signature = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
    Signed { id: id.to_owned(), timestamp, signature }
}

fn key(secret: &str) -> Zeroizing<Vec<u8>> {
    let decoded = secret.strip_prefix("whsec_").and_then(|encoded| BASE64.decode(encoded).ok());
    Zeroizing::new(decoded.unwrap_or_else(|| secret.as_bytes().to_vec()))
}
