//! A fake identity provider on loopback: discovery, keys, device and code grants; and tokens signed with keys that the test makes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use reqwest::Url;
use ring::{
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use serde_json::{Value, json};

use super::vendor::{Reply, Seen, Vendor};

/// For tests alone, as its name says; ring makes no RSA keys.
const RSA_KEY: &str = include_str!("../../../src/vendor/vertex/tests/test_only_key.pem");

pub struct Issuer {
    vendor: Vendor,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    keys: Vec<Value>,
    away: bool,
    /// What the token endpoint says, one after another.
    grants: VecDeque<(u16, Value)>,
    /// Who is let in by its page: what signs their tokens.
    person: Option<Arc<Signer>>,
    /// What the login under way is to have in its token.
    nonce: String,
}

/// A private key with its name.
pub struct Signer {
    kid: String,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

impl Issuer {
    /// One that publishes these keys.
    pub async fn start(signers: &[&Signer]) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let asked = Arc::clone(&state);
        let vendor = Vendor::start(move |_, seen| answer(&asked, seen)).await;
        let issuer = Self { vendor, state };
        issuer.publish(signers);
        issuer
    }

    pub fn url(&self) -> String {
        self.vendor.url()
    }

    pub fn publish(&self, signers: &[&Signer]) {
        self.state().keys = signers.iter().map(|signer| signer.jwk()).collect();
    }

    /// Whether it answers nothing but 503.
    pub fn away(&self, away: bool) {
        self.state().away = away;
    }

    pub fn grants(&self, answers: impl IntoIterator<Item = (u16, Value)>) {
        self.state().grants.extend(answers);
    }

    /// From now on whoever follows the link on its page is logged in, with a token that this signs.
    pub fn lets_in(&self, signer: &Arc<Signer>) {
        self.state().person = Some(Arc::clone(signer));
    }

    /// What was asked of `path`, in order.
    pub fn asked(&self, path: &str) -> Vec<Seen> {
        self.vendor.seen().into_iter().filter(|seen| seen.path == path).collect()
    }

    /// The claims of a token that is taken, with these changed; `null` takes one out.
    pub fn claims(&self, changes: &Value) -> Value {
        claims(&self.url(), changes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }
}

impl Signer {
    pub fn ed25519(kid: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("makes a key");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("reads it");
        Self { kid: kid.to_owned(), pair: Pair::Ed25519(pair) }
    }

    pub fn p256(kid: &str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("makes a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("reads it");
        Self { kid: kid.to_owned(), pair: Pair::P256(pair) }
    }

    pub fn rsa(kid: &str) -> Self {
        let body: String = RSA_KEY.lines().filter(|line| !line.starts_with("-----")).collect();
        let pair = rsa::KeyPair::from_pkcs8(&STANDARD.decode(body).expect("is base64")).expect("reads it");
        Self { kid: kid.to_owned(), pair: Pair::Rsa(pair) }
    }

    /// A token as an issuer makes it.
    pub fn token(&self, claims: &Value) -> String {
        self.token_of(&json!({"alg": self.algorithm(), "kid": self.kid, "typ": "JWT"}), claims)
    }

    /// With a header of the test's own.
    pub fn token_of(&self, header: &Value, claims: &Value) -> String {
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ed25519(_) => "EdDSA",
            Pair::P256(_) => "ES256",
            Pair::Rsa(_) => "RS256",
        }
    }

    /// The public key as its bytes are published.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())}),
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            Pair::Rsa(pair) => {
                let public = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": text(&public.n), "e": text(&public.e)})
            }
        };
        (jwk["kid"], jwk["use"]) = (json!(self.kid), json!("sig"));
        jwk
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Ed25519(pair) => pair.sign(bytes).as_ref().to_vec(),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), bytes).expect("signs").as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), bytes, &mut signature).expect("signs");
                signature
            }
        }
    }
}

fn claims(issuer: &str, changes: &Value) -> Value {
    let now = unix_s();
    let mut claims = json!({
        "iss": issuer, "aud": "backstop", "sub": "user-1", "email": "alice@example.com",
        "iat": now - 5, "exp": now + 600, "groups": ["ops"],
    });
    for (name, value) in changes.as_object().expect("an object of claims") {
        claims[name] = value.clone();
    }
    claims.as_object_mut().expect("is an object").retain(|_, value| !value.is_null());
    claims
}

pub fn unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("is after 1970");
    i64::try_from(since.as_secs()).expect("fits")
}

fn answer(state: &Mutex<State>, seen: &Seen) -> Reply {
    let mut state = state.lock().expect("no test panics while it holds this");
    let url = format!("http://{}", seen.header("host").expect("HTTP/1.1 has it"));
    if state.away {
        return Reply::Whole { status: 503, headers: Vec::new(), body: Vec::new() };
    }
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    match (seen.method.as_str(), path) {
        ("GET", "/.well-known/openid-configuration") => Reply::json(
            200,
            &json!({
                "issuer": url, "jwks_uri": format!("{url}/keys"), "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
                "device_authorization_endpoint": format!("{url}/device"), "revocation_endpoint": format!("{url}/revoke"),
            }),
        ),
        ("GET", "/keys") => Reply::json(200, &json!({ "keys": state.keys })),
        ("POST", "/device") => Reply::json(
            200,
            &json!({
                "device_code": "a-device-code", "user_code": "WDJB-MJHT", "verification_uri": format!("{url}/enter"),
                "expires_in": 60, "interval": 1,
            }),
        ),
        ("GET", "/authorize") => {
            let asked = Url::parse(&format!("{url}/?{query}")).expect("is a URL");
            let asked: HashMap<_, _> = asked.query_pairs().into_owned().collect();
            let Some(nonce) = asked.get("nonce").filter(|_| state.person.is_some()) else {
                return Reply::json(400, &json!({"error": "invalid_request"}));
            };
            state.nonce.clone_from(nonce);
            let back = [("code", "a-code"), ("state", &asked["state"])];
            let back = Url::parse_with_params(&asked["redirect_uri"], back).expect("is a URL");
            let page = format!(
                "<!doctype html><title>Issuer</title><a href=\"{}\">Let me in</a>",
                back.as_str().replace('&', "&amp;")
            );
            let headers = vec![("content-type", "text/html".to_owned())];
            Reply::Whole { status: 200, headers, body: page.into_bytes() }
        }
        ("POST", "/token") => {
            let of_person = state.person.as_ref().map(|signer| {
                let claims = claims(&url, &json!({"nonce": state.nonce}));
                (200, json!({"access_token": "opaque", "id_token": signer.token(&claims), "token_type": "Bearer"}))
            });
            let next = state.grants.pop_front().or(of_person);
            let (status, body) = next.unwrap_or((400, json!({"error": "invalid_grant"})));
            Reply::json(status, &body)
        }
        ("POST", "/revoke") => Reply::Whole { status: 200, headers: Vec::new(), body: Vec::new() },
        _ => Reply::Whole { status: 404, headers: Vec::new(), body: Vec::new() },
    }
}
