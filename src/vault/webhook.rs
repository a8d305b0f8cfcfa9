//! How a post of ours is signed, so that its receiver can tell it from anyone else's: the Standard Webhooks specification.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>: the signature is
//! HMAC-SHA256 over `id.timestamp.body`. A message keeps its id through all retries; its timestamp is the sending's own.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The three headers that a receiver verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
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
