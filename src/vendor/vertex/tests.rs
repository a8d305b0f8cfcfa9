//! Tokens against an endpoint on loopback.
//!
//! The key is for these tests alone: `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 > test_only_key.pem`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, http::StatusCode, routing::post};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    service_account::{NoAccount, ServiceAccount},
    *,
};
use crate::{
    config::{Vendor, load},
    domain::{Task, VendorId},
    vendor::{Client, Clients},
};

const KEY: &str = include_str!("tests/test_only_key.pem");

fn secret(token_uri: &str) -> SecretString {
    let file = json!({
        "type": "service_account", "project_id": "my-project", "private_key_id": "k1", "private_key": KEY,
        "client_email": "backstop@my-project.iam.gserviceaccount.com", "token_uri": token_uri,
    });
    SecretString::from(file.to_string())
}

fn vendor(more: &str) -> Vendor {
    let kind = if more.contains("kind:") { "" } else { "kind: vertex, " };
    let text = format!("vendors: {{ v: {{ {kind}{more} }} }}");
    let loaded = load(&text, std::path::Path::new("test.yaml")).unwrap_or_else(|findings| panic!("{findings:?}"));
    loaded.settings.vendors.into_values().next().expect("there is one")
}

/// A token endpoint: each exchange is answered by what `script` makes of its number, from 0.
struct Endpoint {
    uri: String,
    asked: Arc<AtomicUsize>,
    last: Arc<std::sync::Mutex<String>>,
}

impl Endpoint {
    async fn start(script: impl Fn(usize) -> (u16, Value) + Clone + Send + Sync + 'static) -> Self {
        let (asked, last) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(String::new())));
        let (count, keep) = (Arc::clone(&asked), Arc::clone(&last));
        let answer = move |body: String| {
            *keep.lock().expect("nobody panics") = body;
            let (status, body) = script(count.fetch_add(1, Ordering::SeqCst));
            std::future::ready((StatusCode::from_u16(status).expect("a status"), body.to_string()))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let uri = format!("http://{}/token", listener.local_addr().expect("it is bound"));
        let app = Router::new().route("/token", post(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { uri, asked, last }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn granted(number: usize, expires_in: u32) -> (u16, Value) {
    (200, json!({ "access_token": format!("ya29.t{number}"), "expires_in": expires_in, "token_type": "Bearer" }))
}

async fn ask(client: &Client, vendor: &Vendor, secret: &SecretString, model: &str) -> Result<Prepared, Fault> {
    let (forwarded, body) = (HeaderMap::new(), Bytes::new());
    let secret = Some(secret);
    prepare(Asking {
        vendor,
        client,
        model,
        wire: vendor.wire,
        task: Task::Answer,
        secret,
        forwarded: &forwarded,
        body: &body,
    })
    .await
}

fn bearer(prepared: &Prepared) -> &str {
    prepared.headers[AUTHORIZATION].to_str().expect("it is ASCII")
}

#[test]
fn the_assertion_is_signed_and_says_what_google_wants() {
    let uri = "https://oauth2.googleapis.com/token";
    let account = ServiceAccount::read(&secret(uri)).unwrap_or_else(|error| panic!("{error}"));
    let jwt = account.assertion(1_795_000_000);
    let (signed, signature) = jwt.expose_secret().rsplit_once('.').expect("three parts");
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let key =
        ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, account.public_key());
    key.verify(signed.as_bytes(), &decode(signature)).expect("the signature is the key's");
    let [header, claims]: [Value; 2] =
        [0, 1].map(|at| serde_json::from_slice(&decode(signed.split('.').nth(at).expect("a part"))).expect("JSON"));
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
    let expected = json!({
        "iss": "backstop@my-project.iam.gserviceaccount.com", "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": uri, "iat": 1_795_000_000, "exp": 1_795_003_600,
    });
    assert_eq!(claims, expected);
}

#[test]
fn a_secret_that_is_no_account_is_told_without_being_shown() {
    let read = |secret: &SecretString| ServiceAccount::read(secret).err();
    assert_eq!(read(&SecretString::from("AIza-not-json")), Some(NoAccount::Json));
    let broken = secret("https://x.example").expose_secret().replace("MII", "");
    assert_eq!(read(&broken.into()), Some(NoAccount::Key));
    for uri in ["http://oauth2.example/token", "ftp://127.0.0.1/x", "http://127.0.0.1.evil.example/", "token"] {
        assert_eq!(read(&secret(uri)), Some(NoAccount::TokenUri), "{uri}");
    }
    for uri in ["http://127.0.0.1:1/token", "http://[::1]:1/", "http://localhost:1/", "https://x.example/"] {
        assert_eq!(read(&secret(uri)), None, "{uri}");
    }
}

#[tokio::test]
async fn a_token_is_bought_once_for_all_who_ask_and_anew_for_a_new_secret() {
    let endpoint = Endpoint::start(|number| granted(number, 3600)).await;
    let (client, vendor) = (Clients::for_tests(), vendor("region: europe-west4"));
    let account = secret(&endpoint.uri);
    let first = tokio::join!(
        ask(&client, &vendor, &account, "gemini-2.5-flash"),
        ask(&client, &vendor, &account, "gemini-2.5-flash"),
        ask(&client, &vendor, &account, "gemini-2.5-flash"),
    );
    for asked in [first.0, first.1, first.2] {
        assert_eq!(bearer(&asked.expect("a token")), "Bearer ya29.t0");
    }
    assert_eq!(endpoint.asked(), 1);
    let form = endpoint.last.lock().expect("nobody panics").clone();
    let form = Url::parse(&format!("http://x/?{form}")).expect("a form is a query");
    let grant = form.query_pairs().find(|(name, _)| name == "grant_type").expect("a grant type").1;
    assert_eq!(grant, "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let rotated = SecretString::from(account.expose_secret().replace("\"k1\"", "\"k2\""));
    let asked = ask(&client, &vendor, &rotated, "m").await.expect("a token");
    assert_eq!((bearer(&asked), endpoint.asked()), ("Bearer ya29.t1", 2));
}

#[tokio::test]
async fn a_spent_or_refused_token_is_bought_anew() {
    // Spent as soon as it is there.
    let endpoint = Endpoint::start(|number| granted(number, if number == 0 { 0 } else { 3600 })).await;
    let (client, vendor, account) = (Clients::for_tests(), vendor("region: global"), secret(&endpoint.uri));
    for expected in ["Bearer ya29.t0", "Bearer ya29.t1", "Bearer ya29.t1"] {
        assert_eq!(bearer(&ask(&client, &vendor, &account, "m").await.expect("a token")), expected);
    }
    let refused = ask(&client, &vendor, &account, "m").await.expect("a token").headers;
    assert!(client.tokens().forget_refused(&vendor.id, &refused));
    assert_eq!(bearer(&ask(&client, &vendor, &account, "m").await.expect("a token")), "Bearer ya29.t2");
    // Whoever sent the old one as well does not make us buy a third.
    assert!(!client.tokens().forget_refused(&vendor.id, &refused));
    assert!(!client.tokens().forget_refused(&VendorId::new("other"), &refused));
    assert_eq!(endpoint.asked(), 3);
}

#[tokio::test]
async fn what_goes_wrong_is_told_by_its_kind_and_not_kept() {
    use FaultKind::*;
    const SAID: [(u16, FaultKind); 6] = [
        (400, VendorAuth),
        (401, VendorAuth),
        (403, VendorAuth),
        (429, RateLimited),
        (503, ServerError),
        (302, Redirected),
    ];
    let endpoint = Endpoint::start(|number| match SAID.get(number) {
        Some((status, _)) => (*status, json!({ "error": "invalid_grant", "error_description": "Invalid JWT" })),
        None if number == SAID.len() => (200, json!({ "id_token": "x" })),
        None => granted(number, 3600),
    })
    .await;
    let (client, vendor, account) = (Clients::for_tests(), vendor("region: us"), secret(&endpoint.uri));
    for (status, kind) in SAID {
        let fault = ask(&client, &vendor, &account, "m").await.expect_err("no token");
        assert_eq!((fault.kind, fault.status), (kind, Some(status)), "{fault}");
        assert!(!fault.detail.contains("JWT"), "{fault}");
    }
    assert_eq!(ask(&client, &vendor, &account, "m").await.expect_err("no token").kind, Malformed);
    assert_eq!(bearer(&ask(&client, &vendor, &account, "m").await.expect("a token")), "Bearer ya29.t7");
    let nobody = secret("http://127.0.0.1:1/token");
    assert_eq!(ask(&client, &vendor, &nobody, "m").await.expect_err("nobody listens").kind, ConnectRefused);
    assert_eq!(ask(&client, &vendor, &"AIza".to_owned().into(), "m").await.expect_err("no key").kind, NoSecret);
}

#[tokio::test]
async fn who_gives_up_waiting_does_not_stop_the_exchange_for_others() {
    let endpoint = Endpoint::start(|number| granted(number, 3600)).await;
    let (client, vendor, account) = (Clients::for_tests(), vendor("region: global"), secret(&endpoint.uri));
    // Asked once, and given up before anything could answer.
    tokio::select! {
        biased;
        _ = ask(&client, &vendor, &account, "m") => panic!("an exchange takes a turn at least"),
        () = std::future::ready(()) => {}
    }
    let patient = ask(&client, &vendor, &account, "m").await.expect("a token");
    assert_eq!((bearer(&patient), endpoint.asked()), ("Bearer ya29.t0", 1));
}

#[tokio::test]
async fn the_place_and_the_model_stand_in_the_path() {
    let endpoint = Endpoint::start(|number| granted(number, 3600)).await;
    let (client, account) = (Clients::for_tests(), secret(&endpoint.uri));
    for (more, model, url) in [
        (
            "region: europe-west4",
            "gemini-2.5-flash",
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west4/publishers/google/models/gemini-2.5-flash:generateContent",
        ),
        (
            "region: global, project: other",
            "google/gemini-3-pro-preview",
            "https://aiplatform.googleapis.com/v1/projects/other/locations/global/publishers/google/models/gemini-3-pro-preview:generateContent",
        ),
        (
            "region: eu",
            "endpoints/12/3",
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/my-project/locations/eu/endpoints/12%2F3:generateContent",
        ),
        (
            "kind: vertex_anthropic, region: us-east5",
            "claude-sonnet-4-5@20250929",
            "https://us-east5-aiplatform.googleapis.com/v1/projects/my-project/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
        ),
        (
            "region: us-central1, base_url: \"http://127.0.0.1:9/v1\"",
            "m",
            "http://127.0.0.1:9/v1/projects/my-project/locations/us-central1/publishers/google/models/m:generateContent",
        ),
    ] {
        assert_eq!(ask(&client, &vendor(more), &account, model).await.expect("a token").url, url);
    }
}

#[test]
fn a_region_is_needed_and_becomes_part_of_a_host() {
    for more in ["", ", region: \"evil.example/\"", ", region: EU", ", region: global, api_version: 2024-10-21"] {
        let text = format!("vendors: {{ v: {{ kind: vertex{more} }} }}");
        let findings = load(&text, std::path::Path::new("test.yaml")).expect_err(more);
        assert!(!findings.is_empty());
    }
}
