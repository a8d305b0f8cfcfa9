//! The DSSE envelope: bytes, their type, and signatures over both.
//!
//! What is signed is the pre-authentication encoding of the payload's raw bytes, never a re-serialization, so there is nothing to
//! canonicalize. Nothing in an envelope is looked at before a signature by the expected key has been verified.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{PublicKey, Signer};

pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    pub payload_type: String,
    /// Standard base64, padded.
    pub payload: String,
    pub signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
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

    /// The payload, once a signature by `key` over it has been verified. `keyid` only tells which one to try: it is not
    /// itself signed.
    pub fn open(&self, key: &PublicKey) -> Result<Vec<u8>, EnvelopeError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(self.payload_type.clone()));
        }
        let payload = BASE64_STANDARD.decode(&self.payload).map_err(|_| EnvelopeError::Payload)?;
        let expected = key.id();
        let Some(signature) = self.signatures.iter().find(|signature| signature.keyid == expected) else {
            let ids: Vec<&str> = self.signatures.iter().map(|signature| signature.keyid.as_str()).collect();
            let found = if ids.is_empty() { "nobody".to_owned() } else { ids.join(", ") };
            return Err(EnvelopeError::OtherKey { found, expected });
        };
        let bytes = BASE64_STANDARD.decode(&signature.sig).map_err(|_| EnvelopeError::Signature)?;
        let message = pre_authentication_encoding(&self.payload_type, &payload);
        if key.verifies(&message, &bytes) { Ok(payload) } else { Err(EnvelopeError::Signature) }
    }
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
}
