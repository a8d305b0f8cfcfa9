//! The DSSE envelope: bytes, their type, and signatures over both.
//!
//! What is signed is the pre-authentication encoding of the payload's raw bytes, never a re-serialization, so there is nothing to
//! canonicalize. Nothing in an envelope is looked at before a signature by the expected key has been verified.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use serde::{Deserialize, Serialize};

use super::{PublicKey, Signer};

pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    pub payload_type: String,
    /// Standard base64, padded, as we write it; DSSE has the other alphabet too.
    pub payload: String,
    pub signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// A hint; empty where another tool leaves it out.
    #[serde(default)]
    pub keyid: String,
    /// Standard base64 of the 64 bytes.
    pub sig: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("its payload type is `{0}`, not `{PAYLOAD_TYPE}`")]
    PayloadType(String),
    #[error("its payload is not base64")]
    Payload,
    #[error("it is signed by {found}, and the key here is {expected}")]
    OtherKey { found: String, expected: String },
    #[error("its signature does not fit its content: something was changed after signing")]
    Signature,
    #[error("`{0}` has signed it already")]
    SignedAlready(String),
}

impl Envelope {
    pub(super) fn seal(payload: &[u8], signer: &Signer) -> Self {
        let signature = signer.sign(&pre_authentication_encoding(PAYLOAD_TYPE, payload));
        Self {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: BASE64_STANDARD.encode(payload),
            signatures: vec![EnvelopeSignature {
                keyid: signer.public_key().id(),
                sig: BASE64_STANDARD.encode(signature),
            }],
        }
    }

    /// Adds one more signature over the same bytes.
    pub(super) fn sign(&mut self, signer: &Signer) -> Result<(), EnvelopeError> {
        let keyid = signer.public_key().id();
        if self.open(&[signer.public_key()]).is_ok() {
            return Err(EnvelopeError::SignedAlready(keyid));
        }
        let payload = decoded(&self.payload).ok_or(EnvelopeError::Payload)?;
        let signature = signer.sign(&pre_authentication_encoding(&self.payload_type, &payload));
        self.signatures.push(EnvelopeSignature { keyid, sig: BASE64_STANDARD.encode(signature) });
        Ok(())
    }

    /// The payload, and the ids of the `keys` that have signed it: one at least. `keyid` only tells which key to try: it is not
    /// itself signed. Signatures of keys that are not asked for count for nothing; one that claims a key and does not fit it is an error.
    pub fn open(&self, keys: &[PublicKey]) -> Result<(Vec<u8>, Vec<String>), EnvelopeError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(self.payload_type.clone()));
        }
        let payload = decoded(&self.payload).ok_or(EnvelopeError::Payload)?;
        let message = pre_authentication_encoding(&self.payload_type, &payload);
        let mut signers = Vec::new();
        for signature in &self.signatures {
            let fits = |key: &PublicKey| decoded(&signature.sig).is_some_and(|bytes| key.verifies(&message, &bytes));
            // Without the hint it may be by any of them.
            let key = match keys.iter().find(|key| key.id() == signature.keyid) {
                Some(named) if fits(named) => named,
                Some(_) => return Err(EnvelopeError::Signature),
                None if signature.keyid.is_empty() => match keys.iter().find(|key| fits(key)) {
                    Some(key) => key,
                    None => continue,
                },
                None => continue,
            };
            if !signers.contains(&key.id()) {
                signers.push(key.id());
            }
        }
        if signers.is_empty() {
            let list = |ids: Vec<String>| if ids.is_empty() { "nobody".to_owned() } else { ids.join(", ") };
            let found = list(self.signatures.iter().map(|signature| signature.keyid.clone()).collect());
            return Err(EnvelopeError::OtherKey { found, expected: list(keys.iter().map(PublicKey::id).collect()) });
        }
        Ok((payload, signers))
    }
}

/// Base64 of either alphabet.
fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).or_else(|_| BASE64_URL_SAFE.decode(text)).ok()
}

/// PAE(type, body) = "DSSEv1" SP len(type) SP type SP len(body) SP body, lengths in bytes as decimal ASCII (DSSE protocol,
/// "Signature Definition").
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the DSSE protocol's test vectors.
    #[test]
    fn the_encoding_is_that_of_the_specification() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn an_envelope_of_another_tool_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let signer = Signer::open(dir.path()).expect("a key");
        let ours = Envelope::seal(b"{\"a\":\"?>?>?>\"}", &signer);
        let mut theirs = serde_json::to_value(&ours).expect("JSON");
        theirs["payload"] = ours.payload.replace('+', "-").replace('/', "_").into();
        theirs["signatures"][0].as_object_mut().expect("a map").remove("keyid");
        let theirs: Envelope = serde_json::from_value(theirs).expect("an envelope");
        assert_eq!(theirs.open(&[signer.public_key()]), ours.open(&[signer.public_key()]));
        assert!(ours.open(&[signer.public_key()]).is_ok() && ours.payload != theirs.payload);
        let other = tempfile::tempdir().expect("a directory");
        let stranger = Signer::open(other.path()).expect("a key");
        assert!(theirs.open(&[stranger.public_key()]).is_err());
    }
}
