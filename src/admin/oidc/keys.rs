//! An issuer's public keys (JWK, RFC 7517 and RFC 7518), and whether one of them signed a token. Pure; the arithmetic is ring's.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

use crate::config::SigningAlgorithm;

/// More than any issuer has.
const MOST: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeySet(Vec<Key>);

/// One key, which is of one algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Uncompressed.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// The keys that can check signatures here; others are passed over, as RFC 7517 has it. `None`: this is no set of keys, or has none
    /// of use.
    pub(super) fn read(document: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(document).ok()?;
        let keys: Vec<Key> = document.keys.into_iter().take(MOST).filter_map(Key::read).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The key of `algorithm` that a token names. A token that names none is checked where there is only one.
    pub(super) fn find(&self, algorithm: SigningAlgorithm, id: Option<&str>) -> Option<&Key> {
        let mut fit = self.0.iter().filter(|key| key.algorithm() == algorithm);
        match id {
            Some(id) => fit.find(|key| key.id.as_deref() == Some(id)),
            None => fit.next().filter(|_| fit.next().is_none()),
        }
    }
}

impl Key {
    fn read(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let signs = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let verifies = jwk.key_ops.as_ref().is_none_or(|uses| uses.iter().any(|one| one == "verify"));
        if !signs || !verifies {
            return None;
        }
        let part = |text: &Option<String>| BASE64URL.decode(text.as_ref()?).ok().filter(|bytes| !bytes.is_empty());
        let curve = jwk.crv.as_deref();
        let material = match (jwk.kty.as_str(), curve) {
            ("RSA", _) => Material::Rsa { modulus: unpadded(part(&jwk.n)?), exponent: unpadded(part(&jwk.e)?) },
            ("EC", Some("P-256")) => {
                let (x, y) = (part(&jwk.x)?, part(&jwk.y)?);
                ((x.len(), y.len()) == (32, 32)).then(|| Material::P256([&[4], &x[..], &y[..]].concat()))?
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(part(&jwk.x).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        let key = Self { id: jwk.kid, material };
        // A key that is said to be for another algorithm is not used for this one.
        jwk.alg.as_deref().is_none_or(|alg| alg == key.algorithm().as_str()).then_some(key)
    }

    fn algorithm(&self) -> SigningAlgorithm {
        match self.material {
            Material::Rsa { .. } => SigningAlgorithm::Rs256,
            Material::P256(_) => SigningAlgorithm::Es256,
            Material::Ed25519(_) => SigningAlgorithm::EdDsa,
        }
    }

    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let checked = match &self.material {
            Material::Rsa { modulus: n, exponent: e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature),
            Material::Ed25519(point) => UnparsedPublicKey::new(&ED25519, point).verify(message, signature),
        };
        checked.is_ok()
    }
}

/// Some issuers write a zero in front, which RFC 7518 does not have and ring does not take.
fn unpadded(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 8037, appendix A.2 and A.4: the key and the signature over the header `{"alg":"EdDSA"}` and the text of the payload.
    #[test]
    fn the_published_ed25519_signature_is_taken_and_a_changed_one_is_not() {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let keys = KeySet::read(json!({"keys": [jwk]}).to_string().as_bytes()).expect("has a key");
        let key = keys.find(SigningAlgorithm::EdDsa, None).expect("is the only one");
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = BASE64URL
            .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
            .expect("is base64url");
        assert!(key.signed(message, &signature));
        assert!(!key.signed(&message[1..], &signature));
    }

    /// RFC 7515, appendix A.3.
    #[test]
    fn the_published_es256_signature_is_taken() {
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": "a",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        });
        let keys = KeySet::read(json!({"keys": [jwk]}).to_string().as_bytes()).expect("has a key");
        let key = keys.find(SigningAlgorithm::Es256, Some("a")).expect("is there");
        let message = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = BASE64URL
            .decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
            .expect("is base64url");
        assert!(key.signed(message, &signature));
    }

    #[test]
    fn a_key_is_for_one_algorithm_and_a_token_without_a_name_needs_the_only_one() {
        let point = |id: &str| json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": BASE64URL.encode([1; 32])});
        let rsa = json!({"kty": "RSA", "kid": "a", "n": BASE64URL.encode([9; 256]), "e": "AQAB"});
        let with = |mut jwk: Value, name: &str, value: Value| {
            jwk[name] = value;
            jwk
        };
        let read = |keys: Value| KeySet::read(json!({ "keys": keys }).to_string().as_bytes());
        let keys = read(json!([point("a"), point("b"), rsa])).expect("has keys");
        assert!(keys.find(SigningAlgorithm::EdDsa, Some("b")).is_some());
        assert!(keys.find(SigningAlgorithm::EdDsa, None).is_none(), "which of both?");
        assert!(
            keys.find(SigningAlgorithm::Rs256, Some("a")).is_some_and(|key| key.algorithm() == SigningAlgorithm::Rs256)
        );
        assert!(keys.find(SigningAlgorithm::Rs256, Some("b")).is_none());
        assert!(keys.find(SigningAlgorithm::Es256, Some("a")).is_none());
        for none in [
            json!([with(point("a"), "use", json!("enc"))]),
            json!([with(point("a"), "key_ops", json!(["sign"]))]),
            json!([with(point("a"), "alg", json!("RS256"))]),
            json!([with(rsa.clone(), "alg", json!("PS256"))]),
            json!([with(point("a"), "x", json!("AAAA"))]),
            json!([{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]),
            json!([]),
            json!({}),
        ] {
            assert_eq!(read(none.clone()), None, "{none}");
        }
    }
}
