//! Login at the company's identity provider: the code flow with PKCE, bound to the browser that began it.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use reqwest::Url;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Browser, browser, entries};
use crate::{
    admin::oidc::known_to,
    client::Answer,
    issuer::{Issuer, Signer, unix_s},
};

const BEGIN: &str = "/console/login/oidc";

fn asked(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
    found.unwrap_or_else(|| panic!("no `{name}` in {url}"))
}

fn form(body: &[u8], name: &str) -> String {
    asked(&Url::parse(&format!("form:?{}", String::from_utf8_lossy(body))).expect("is a form"), name)
}

/// What the issuer is asked by way of the browser.
async fn begin(browser: &Browser) -> Url {
    let sent = browser.get(BEGIN).await.expect(303);
    let cookie = sent.expect_header("set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Lax; Max-Age=600"), "{cookie}");
    Url::parse(sent.location()).expect("is a URL")
}

async fn come_back(browser: &Browser, code: &str, state: &str) -> Answer {
    browser.get(&format!("{BEGIN}/back?code={code}&state={state}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_login_at_the_issuer_opens_a_session_that_ends_with_its_token() {
    let signer = Signer::ed25519("a");
    let issuer = Issuer::start(&[&signer]).await;
    let (home, _vendor) = known_to(&issuer, ", client_id: backstop-web").await;
    let gateway = home.serve();
    let browser = browser(&gateway).await;
    assert!(browser.get("/console/login").await.expect(200).body.contains(BEGIN));
    let at = begin(&browser).await;
    assert!(at.as_str().starts_with(&format!("{}/authorize?", issuer.url())), "{at}");
    let back = format!("{}{BEGIN}/back", browser.base());
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "backstop-web"),
        ("redirect_uri", back.as_str()),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(asked(&at, name), value);
    }
    let scope = asked(&at, "scope");
    assert!(scope.contains("openid") && !scope.contains("offline_access"), "{scope}");
    let claims = issuer.claims(&json!({"nonce": asked(&at, "nonce"), "sid": "s", "exp": unix_s() + 600}));
    issuer
        .grants([(200, json!({"access_token": "opaque", "id_token": signer.token(&claims), "token_type": "Bearer"}))]);
    let arrived = come_back(&browser, "a-code", &asked(&at, "state")).await.expect(200);
    let cookies = arrived.headers("set-cookie");
    assert!(
        cookies.iter().any(|one| one.starts_with("backstop_console=") && one.ends_with("HttpOnly; SameSite=Strict")),
        "{cookies:?}"
    );
    assert!(cookies.iter().any(|one| one.starts_with("backstop_console_login=;")), "{cookies:?}");
    let polled = &issuer.asked("/token")[0];
    assert_eq!(
        (form(&polled.body, "grant_type"), form(&polled.body, "code")),
        ("authorization_code".into(), "a-code".into())
    );
    assert_eq!(form(&polled.body, "redirect_uri"), back);
    let challenge = BASE64URL.encode(Sha256::digest(form(&polled.body, "code_verifier")));
    assert_eq!(challenge, asked(&at, "code_challenge"));
    let overview = browser.get("/console").await.expect(200);
    assert!(overview.body.contains("alice@example.com, operator"), "{overview:?}");
    let logins = entries(&home, "admin.login");
    assert_eq!(logins.iter().filter(|one| one["object"]["kind"] == "console_session").count(), 1, "{logins:#?}");
    let person = logins.iter().all(|one| one["known"]["actor.subject"] == "user-1");
    assert!(person, "{logins:#?}");

    // What the person may is looked up anew at each request, as the config in force has it.
    let config = std::fs::read_to_string(home.config()).expect("reads");
    home.configure(&config.replace("ops: operator", "ops: viewer"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !browser.get("/console").await.expect(200).body.contains("alice@example.com, viewer") {
        assert!(Instant::now() < deadline, "the role is still the old one");
    }
    home.configure(&config.replace("ops: operator, ", ""));
    while browser.get("/console").await.status == 200 {
        assert!(Instant::now() < deadline, "who lost the mapping is still in");
    }
    assert_eq!(browser.get("/console").await.expect(303).location(), "/console/login");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_login_that_another_began_is_none() {
    let signer = Signer::ed25519("a");
    let issuer = Issuer::start(&[&signer]).await;
    let (home, _vendor) = known_to(&issuer, "").await;
    let gateway = home.serve();
    let (browser, other) = (browser(&gateway).await, browser(&gateway).await);
    let (at, others) = (begin(&browser).await, begin(&other).await);
    let grant = |nonce: &str, changes: serde_json::Value| {
        let mut claims = issuer.claims(&changes);
        claims["nonce"] = json!(nonce);
        (200, json!({"access_token": "opaque", "id_token": signer.token(&claims)}))
    };
    // The state of another's login, none, or another issuer's answer: the code is not even looked at.
    come_back(&browser, "a-code", &asked(&others, "state")).await.expect(401);
    come_back(&browser, "a-code", "").await.expect(401);
    browser.fresh().get(&format!("{BEGIN}/back?code=c&state={}", asked(&at, "state"))).await.expect(401);
    come_back(&browser, "a-code&iss=http%3A%2F%2Felsewhere", &asked(&at, "state")).await.expect(401);
    browser.get(&format!("{BEGIN}/back?error=access_denied&state={}", asked(&at, "state"))).await.expect(401);
    assert!(issuer.asked("/token").is_empty());
    for (answer, status) in [
        ((400, json!({"error": "invalid_grant"})), 401),
        ((200, json!({"access_token": "opaque"})), 401),
        (grant(&asked(&others, "nonce"), json!({})), 401),
        (grant(&asked(&at, "nonce"), json!({"groups": []})), 403),
        (grant(&asked(&at, "nonce"), json!({"aud": "someone else"})), 401),
    ] {
        issuer.grants([answer.clone()]);
        let refused = come_back(&browser, "a-code", &asked(&at, "state")).await.expect(status);
        let opened = refused.headers("set-cookie").iter().any(|one| one.starts_with("backstop_console="));
        assert!(!opened, "{answer:?}: {refused:?}");
    }
    assert_eq!(browser.get("/console").await.expect(303).location(), "/console/login");
    assert!(entries(&home, "admin.login").iter().all(|one| one["object"]["kind"] != "console_session"));
}
