//! The vault's key wrapped by a HashiCorp Vault, here a fake one on loopback that speaks its transit API.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Path as Route, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::{Value, json};

use super::*;

const TOKEN: &str = "hvs.canary-token-77aa";

/// Answers as transit does; "encrypts" by turning the text around.
struct FakeVault {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl FakeVault {
    async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let routes = Router::new().route("/v1/{mount}/{act}/{key}", post(answer)).with_state(Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("is bound");
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.expect("serves") });
        Self { address, asked, server }
    }
}

async fn answer(
    State(asked): State<Arc<AtomicUsize>>,
    Route((mount, act, key)): Route<(String, String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    asked.fetch_add(1, Ordering::Relaxed);
    if headers.get("x-vault-token").is_none_or(|token| token != TOKEN) || (&*mount, &*key) != ("transit", "backstop") {
        return (StatusCode::FORBIDDEN, Json(json!({ "errors": ["permission denied"] })));
    }
    let turned = |text: &str| text.chars().rev().collect::<String>();
    let data = match (&*act, body["plaintext"].as_str(), body["ciphertext"].as_str()) {
        ("encrypt", Some(text), None) => {
            json!({ "ciphertext": format!("vault:v1:{}", turned(text)), "key_version": 1 })
        }
        ("decrypt", None, Some(text)) => json!({ "plaintext": turned(text.trim_start_matches("vault:v1:")) }),
        _ => return (StatusCode::BAD_REQUEST, Json(json!({ "errors": ["bad request"] }))),
    };
    (StatusCode::OK, Json(json!({ "request_id": "1", "data": data })))
}

fn source(address: SocketAddr, token_file: PathBuf) -> VaultSource {
    let address = format!("http://{address}/");
    VaultSource::Transit { address, mount: "transit".to_owned(), key: "backstop".to_owned(), token_file }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_on_disk_only_as_transit_wrapped_it() {
    let dir = tempfile::tempdir().expect("temp dir");
    let token_file = dir.path().join("token");
    fs::write(&token_file, format!("{TOKEN}\n")).expect("writes");
    let fake = FakeVault::start().await;
    let source = source(fake.address, token_file);
    let at = dir.path().join("vault");
    let opened = Vault::open(&at, &source, &http()).await.expect("opens");
    opened.set(&name("openai"), &CANARY.into()).expect("sets");
    assert_eq!(fake.asked.load(Ordering::Relaxed), 2, "wrapped once, and unwrapped to be sure");
    assert!(!at.join("key").exists());
    assert!(fs::read_to_string(at.join("key.wrapped")).expect("reads").starts_with("vault:v1:"));

    let again = Vault::open(&at, &source, &http()).await.expect("opens");
    assert_eq!(value(&again, "openai").as_deref(), Some(CANARY));
    fake.server.abort();
    again.set(&name("openai"), &"sk-set-during-the-outage".into()).expect("an open vault goes on without transit");
    assert_eq!(value(&again, "openai").as_deref(), Some("sk-set-during-the-outage"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_said_without_the_token() {
    let dir = tempfile::tempdir().expect("temp dir");
    let token_file = dir.path().join("token");
    let fake = FakeVault::start().await;
    let open = async |address| {
        let source = source(address, token_file.clone());
        Vault::open(&dir.path().join("vault"), &source, &http()).await.expect_err("cannot open")
    };
    let missing = open(fake.address).await;
    assert!(matches!(missing, VaultError::Token { .. }), "{missing:?}");
    fs::write(&token_file, TOKEN.replace("77", "78")).expect("writes");
    let refused = open(fake.address).await;
    assert!(matches!(refused, VaultError::Refused { status: 403 }), "{refused:?}");
    // A port that nobody listens on any more.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr().expect("is bound");
    let gone = open(closed).await;
    assert!(matches!(gone, VaultError::Unreachable { .. }), "{gone:?}");
    for error in [missing, refused, gone] {
        assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
    }
    assert!(!dir.path().join("vault/key.wrapped").exists());
    // A renewed token is read without a restart.
    fs::write(&token_file, TOKEN).expect("writes");
    let source = source(fake.address, token_file.clone());
    Vault::open(&dir.path().join("vault"), &source, &http()).await.expect("opens");
}
