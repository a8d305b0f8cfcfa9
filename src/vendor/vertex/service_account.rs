//! A Google service account's key, and the assertion that it signs. Pure but for the randomness of the signature's blinding.
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use reqwest::Url;
use ring::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The longest that Google lets an assertion hold, in seconds.
const LIFETIME_S: i64 = 3600;

/// What a key file has that is needed.
pub(super) struct ServiceAccount {
    pub(super) project: Option<String>,
    pub(super) token_uri: Url,
    email: String,
    key_id: Option<String>,
    key: KeyPair,
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: String,
    project_id: Option<String>,
}

/// Why a secret is no service account's key; never with what it has instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAccount {
    #[error("it is not the JSON of a service account's key, with `client_email`, `private_key` and `token_uri`")]
    Json,
    #[error("its `private_key` is not a PKCS#8 RSA key of 2048 to 4096 bits in PEM")]
    Key,
    #[error("its `token_uri` is neither https nor on this machine")]
    TokenUri,
}

impl ServiceAccount {
    pub(super) fn read(secret: &SecretString) -> Result<Self, NoAccount> {
        let file: KeyFile = serde_json::from_str(secret.expose_secret()).map_err(|_| NoAccount::Json)?;
        let KeyFile { client_email: email, private_key, private_key_id: key_id, token_uri, project_id: project } = file;
        let private_key = Zeroizing::new(private_key);
        let der = pem(&private_key).ok_or(NoAccount::Key)?;
        let key = KeyPair::from_pkcs8(&der).map_err(|_| NoAccount::Key)?;
        let token_uri = Url::parse(&token_uri).ok().filter(is_safe).ok_or(NoAccount::TokenUri)?;
        Ok(Self { project, token_uri, email, key_id, key })
    }

    /// A JWT that the token endpoint takes for an hour from `now_unix_s`.
    pub(super) fn assertion(&self, now_unix_s: i64) -> SecretString {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": self.token_uri.as_str(),
            "iat": now_unix_s, "exp": now_unix_s + LIFETIME_S,
        });
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .expect("the key is sound and the signature as long as its modulus");
        SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    #[cfg(test)]
    pub(super) fn public_key(&self) -> &[u8] {
        self.key.public().as_ref()
    }
}

/// The bytes of the one block of a PEM text.
fn pem(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    STANDARD.decode(body.as_bytes()).ok().map(Zeroizing::new)
}

/// An assertion goes over TLS, or does not leave this machine.
fn is_safe(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && here)
}
