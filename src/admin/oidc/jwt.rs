//! A signed JWT (RFC 7519, RFC 7515, the compact form), read strictly. Pure.
//!
//! What RFC 8725 asks for: the algorithm is one of the config's before any key is looked at, a key is of one algorithm, and a token for
//! another purpose is none.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::config::SigningAlgorithm;

/// The longest token, in bytes: a header of HTTP has no more.
const LONGEST: usize = 16 << 10;
/// What a token's `typ` may say (RFC 7519, RFC 9068); others are for something else, such as a logout.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// A token whose signature was not looked at yet: nothing in it is to be believed.
#[derive(Debug)]
pub(super) struct Unverified<'t> {
    /// What the signature is over.
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) key_id: Option<String>,
    pub(super) claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// What must be understood, and is not (RFC 7515, section 4.1.11).
    crit: Option<Value>,
    /// Unencoded payloads (RFC 7797).
    b64: Option<Value>,
}

/// Whether `presented` may be a JWT: three parts of base64url.
pub(super) fn is_shaped(presented: &str) -> bool {
    let is_text = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    presented.len() <= LONGEST && presented.bytes().all(is_text) && presented.split('.').count() == 3
}

impl<'t> Unverified<'t> {
    /// A token signed with one of `allowed`.
    pub(super) fn read(token: &'t str, allowed: &[SigningAlgorithm]) -> Result<Self, Refusal> {
        if !is_shaped(token) {
            return Err(Refusal::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Refusal::Malformed)?;
        let found = allowed.iter().find(|one| one.as_str() == header.alg);
        let algorithm = *found.ok_or_else(|| Refusal::Algorithm(allowed.to_vec()))?;
        let is_ours = |typ: &String| TYPES.contains(&typ.to_lowercase().trim_start_matches("application/"));
        if header.crit.is_some() || header.b64.is_some() || !header.typ.as_ref().is_none_or(is_ours) {
            return Err(Refusal::Malformed);
        }
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| Refusal::Malformed)?;
        let signature = decode(signature)?;
        Ok(Self { signed: signed.as_bytes(), signature, algorithm, key_id: header.kid, claims })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    BASE64URL.decode(part).map_err(|_| Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!("{}.{}.{}", BASE64URL.encode(header), BASE64URL.encode("{}"), BASE64URL.encode("signature"))
    }

    fn read(header: &str) -> Result<Option<String>, Refusal> {
        Unverified::read(&token(header), &[SigningAlgorithm::Es256]).map(|read| read.key_id)
    }

    #[test]
    fn only_the_named_algorithm_and_purpose_are_read() {
        assert_eq!(read(r#"{"alg":"ES256","kid":"a","typ":"JWT"}"#), Ok(Some("a".to_owned())));
        assert_eq!(read(r#"{"alg":"ES256","typ":"application/at+jwt"}"#), Ok(None));
        for alg in ["none", "None", "HS256", "RS256", "EdDSA", "es256", ""] {
            let read = read(&format!(r#"{{"alg":"{alg}"}}"#));
            assert_eq!(read, Err(Refusal::Algorithm(vec![SigningAlgorithm::Es256])), "{alg}");
        }
        for header in [
            r#"{"alg":"ES256","crit":["exp"]}"#,
            r#"{"alg":"ES256","b64":false}"#,
            r#"{"alg":"ES256","typ":"logout+jwt"}"#,
            r#"{"alg":"ES256","alg":"none"}"#,
            r#"{"kid":"a"}"#,
            "[]",
        ] {
            assert_eq!(read(header), Err(Refusal::Malformed), "{header}");
        }
    }

    #[test]
    fn what_is_no_compact_form_is_refused() {
        let whole = token(r#"{"alg":"ES256"}"#);
        for bad in ["", ".", "..", "a.b", "a.b.c.d", &format!("{whole}="), &format!("{whole}."), &format!(" {whole}")] {
            assert!(Unverified::read(bad, &SigningAlgorithm::ALL).is_err(), "{bad}");
        }
        assert!(Unverified::read(&format!("{whole}{}", "A".repeat(LONGEST)), &SigningAlgorithm::ALL).is_err());
    }
}
