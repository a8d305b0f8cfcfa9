//! Certificates as a cheat would make them, or as the clock does: their statement edited, and signed again or left as it was.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::home::Home;

/// A certificate's file.
pub(super) struct Forge {
    file: PathBuf,
    /// The file as it was when it was first looked at.
    good: Value,
}

impl Forge {
    pub(super) fn of(file: PathBuf) -> Self {
        let good = serde_json::from_slice(&fs::read(&file).expect("the certificate is there")).expect("it is JSON");
        Self { file, good }
    }

    /// The statement that was signed.
    pub(super) fn statement(&self) -> Value {
        let payload = STANDARD.decode(self.good["payload"].as_str().expect("a text")).expect("base64");
        serde_json::from_slice(&payload).expect("a statement is JSON")
    }

    /// Another content under the old signature.
    pub(super) fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut statement = self.statement();
        change(&mut statement);
        let mut envelope = self.good.clone();
        envelope["payload"] = json!(STANDARD.encode(statement.to_string()));
        self.write(&envelope);
    }

    /// Another content, signed by `key`.
    pub(super) fn sign(&self, key: &SigningKey, change: impl FnOnce(&mut Value)) {
        let mut statement = self.statement();
        change(&mut statement);
        let (kind, body) = (self.good["payloadType"].as_str().expect("a text"), statement.to_string());
        let message = format!("DSSEv1 {} {kind} {} {body}", kind.len(), body.len());
        let keyid = format!("sha256:{}", hex::encode(Sha256::digest(key.verifying_key().as_bytes())));
        let signature = STANDARD.encode(key.sign(message.as_bytes()).to_bytes());
        let envelope = json!({
            "payloadType": kind, "payload": STANDARD.encode(&body),
            "signatures": [{ "keyid": keyid, "sig": signature }],
        });
        self.write(&envelope);
    }

    /// As if it had been issued to end then, by this installation itself.
    pub(super) fn ends(&self, home: &Home, from_now: Duration) {
        let end = (OffsetDateTime::now_utc() + from_now).format(&Rfc3339).expect("a time can be written");
        self.sign(&key_of(home.state()), |statement| statement["predicate"]["expires_at"] = json!(end));
    }

    /// As it was.
    pub(super) fn undo(&self) {
        self.write(&self.good);
    }

    fn write(&self, envelope: &Value) {
        let new = self.file.with_extension("new");
        fs::write(&new, envelope.to_string()).expect("the state directory can be written");
        fs::rename(&new, &self.file).expect("likewise");
    }
}

/// The key that this installation signs with.
pub(super) fn key_of(state: &Path) -> SigningKey {
    let text = fs::read_to_string(state.join("eval/signing.key")).expect("it has signed");
    SigningKey::from_bytes(&hex::decode(text.trim()).expect("hex").try_into().expect("32 bytes"))
}
