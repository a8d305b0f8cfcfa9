//! Operators by the company's identity provider: which tokens let in, with which role, and what the audit log says of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{admin, code, put, token};
use crate::{
    client::{Answer, Client},
    config::Config,
    home::Home,
    issuer::{Issuer, Signer, unix_s},
    vendor::{Say, Vendor},
};

const ROLES: &str = "{ ops: operator, coe: coe-lead, sec: security }";

/// A gateway's home with `admin.oidc`, these fields besides.
pub async fn known_to(issuer: &Issuer, more: &str) -> (Home, Vendor) {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    (Home::new(&config(&vendor, issuer, ROLES, more)), vendor)
}

fn config(vendor: &Vendor, issuer: &Issuer, roles: &str, more: &str) -> String {
    let oidc = format!("{{ issuer: \"{}\", audience: backstop, roles: {roles}{more} }}", issuer.url());
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    config.more(&format!("admin: {{ listen: 127.0.0.1:0, oidc: {oidc} }}")).text()
}

async fn me(client: &Client, token: &str) -> Answer {
    client.with_key(token).get("/me").await
}

/// Asks until the answer has `status`, and not too often: an address that fails often is turned away.
async fn until(client: &Client, token: &str, status: u16) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = me(client, token).await;
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "not {status} in 30 s, but {answer:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_of_the_issuer_gives_its_mapped_role_and_each_session_is_one_entry() {
    let signers = [Signer::ed25519("ed"), Signer::p256("ec"), Signer::rsa("rsa")];
    let issuer = Issuer::start(&signers.iter().collect::<Vec<_>>()).await;
    let (home, vendor) = known_to(&issuer, "").await;
    let gateway = home.serve();
    let client = admin(&gateway, "nothing").await;
    for (signer, group, role) in
        [(&signers[0], "ops", "operator"), (&signers[1], "coe", "coe-lead"), (&signers[2], "sec", "security")]
    {
        let token = signer.token(&issuer.claims(&json!({"groups": ["x", group], "jti": group, "sub": group})));
        for _ in 0..3 {
            let me = me(&client, &token).await.expect(200).json();
            assert_eq!((me["role"].as_str(), me["id"].as_str().map(|id| &id[..5])), (Some(role), Some("oidc-")));
        }
    }
    assert_eq!(issuer.asked("/keys").len(), 1, "the keys are kept");
    // What is done is done by the person.
    let operator = signers[0].token(&issuer.claims(&json!({"sid": "one-session", "jti": "a"})));
    let person = client.with_key(&operator);
    put(&person, reqwest::Method::POST, "/tenants", &json!({"name": "initech"})).await.expect(201);
    let renewed = signers[0].token(&issuer.claims(&json!({"sid": "one-session", "jti": "b"})));
    me(&client, &renewed).await.expect(200);
    let security =
        client.with_key(&signers[2].token(&issuer.claims(&json!({"groups": "sec", "jti": "sec", "sub": "sec"}))));
    let logins = security.get("/audit?action=admin.login").await.expect(200).json();
    let roles: Vec<&str> =
        logins.as_array().into_iter().flatten().filter_map(|one| one["after"]["role"].as_str()).collect();
    assert_eq!(roles, ["operator", "security", "coe-lead", "operator"], "{logins:#}");
    assert_eq!(
        (&logins[0]["known"]["actor.name"], &logins[0]["known"]["actor.subject"]),
        (&json!("alice@example.com"), &json!("user-1"))
    );
    let made = security.get("/audit?action=tenant.add").await.expect(200).json();
    let by = made[0]["actor"]["authenticated_by"].as_str().expect("is text");
    assert_eq!(by, format!("a token of {}, role operator", issuer.url()));
    // The entries' own bytes name nobody, and no token is kept.
    let exported = security.get("/audit/export").await.expect(200).body;
    assert!(
        !exported.contains("alice") && !exported.contains("user-1") && !exported.contains(&operator[20..]),
        "{exported}"
    );

    // A changed config holds at once: who lost the mapping is out.
    home.configure(&config(&vendor, &issuer, "{ sec: security }", ", algorithms: [RS256]"));
    gateway.signal("HUP");
    gateway.logged("config reloaded").await;
    // The log says it a moment before the last part of the gateway has it.
    assert_eq!(code(&until(&client, &operator, 401).await), "unauthenticated");
    let rsa = signers[2].token(&issuer.claims(&json!({"jti": "late"})));
    assert_eq!(code(&me(&client, &rsa).await.expect(403)), "forbidden");
    security.get("/me").await.expect(200);
    gateway.stop();
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_not_the_issuers_for_this_gateway_and_now_is_refused_and_told_once() {
    let (right, other, forger) = (Signer::ed25519("a"), Signer::p256("b"), Signer::ed25519("a"));
    let issuer = Issuer::start(&[&right, &other]).await;
    let (home, _vendor) = known_to(&issuer, "").await;
    let gateway = home.serve();
    let client = admin(&gateway, "nothing").await;
    let good = right.token(&issuer.claims(&json!({})));
    me(&client, &good).await.expect(200);
    let now = unix_s();
    let claims = |changes: Value| issuer.claims(&changes);
    let header = |alg: &str| json!({"alg": alg, "kid": "a"});
    let unsigned = |alg: &str| {
        let token = right.token_of(&header(alg), &claims(json!({})));
        token.rsplit_once('.').map(|(signed, _)| format!("{signed}.")).expect("has parts")
    };
    let mut changed = good.clone().into_bytes();
    let middle = good.find('.').expect("has parts") + 30;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    // The oldest trick: the public key as a shared secret.
    let hmac = {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let (signed, _) =
            unsigned("HS256").rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("has parts");
        let public = right.jwk()["x"].as_str().expect("is text").to_owned();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(public.as_bytes()).expect("takes any key");
        mac.update(signed.as_bytes());
        let tag = mac.finalize().into_bytes();
        format!("{signed}.{}", base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, tag))
    };
    for (what, token, status) in [
        ("no signature", unsigned("none"), 401),
        ("an empty signature", unsigned("EdDSA"), 401),
        ("a shared secret", hmac, 401),
        ("another key's algorithm", right.token_of(&header("ES256"), &claims(json!({}))), 401),
        ("a forger's key of the same name", forger.token(&claims(json!({}))), 401),
        ("an unknown key", forger.token_of(&json!({"alg": "EdDSA", "kid": "z"}), &claims(json!({}))), 401),
        ("a changed claim", String::from_utf8(changed).expect("is text"), 401),
        ("a key in the token", forger.token_of(&json!({"alg": "EdDSA", "jwk": forger.jwk()}), &claims(json!({}))), 401),
        ("another audience", right.token(&claims(json!({"aud": ["other"]}))), 401),
        ("another issuer", right.token(&claims(json!({"iss": "http://127.0.0.1:1"}))), 401),
        ("it is over", right.token(&claims(json!({"iat": now - 700, "exp": now - 40}))), 401),
        ("it never ends", right.token(&claims(json!({"exp": null}))), 401),
        ("an end that is text", right.token(&claims(json!({"exp": "4000000000"}))), 401),
        ("it ends in years", right.token(&claims(json!({"exp": now + 100_000_000}))), 401),
        ("it is early", right.token(&claims(json!({"nbf": now + 300}))), 401),
        ("nobody's", right.token(&claims(json!({"sub": null}))), 401),
        ("for a logout", right.token_of(&json!({"alg": "EdDSA", "kid": "a", "typ": "logout+jwt"}), &claims(json!({}))), 401),
        ("no group", right.token(&claims(json!({"groups": null}))), 403),
        ("roles by claims that give none", right.token(&claims(json!({
            "groups": ["security", "admin"], "role": "security", "roles": ["sec"], "scope": "sec coe", "admin": true,
        }))), 403),
        ("two duties", right.token(&claims(json!({"groups": ["sec", "ops"]}))), 403),
    ] {
        let answer = me(&client, &token).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(!answer.body.contains(&token[40..]), "{what}: {answer:?}");
        // Not all of them: an address that fails 30 times is turned away.
        if status == 403 {
            me(&client, &token).await.expect(status);
        }
    }
    me(&client, &good).await.expect(200);
    let metrics = gateway.client().get("/metrics").await.body;
    assert!(metrics.contains("backstop_admin_oidc_total{result=\"no_role\"} 4"), "{metrics}");
    gateway.stop();
    let told = home.json(&["audit", "list", "--action", "admin.login_refuse", "--limit", "100"]);
    let mut kinds: Vec<&str> =
        told.as_array().into_iter().flatten().filter_map(|one| one["after"]["why"].as_str()).collect();
    let all = kinds.len();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), all, "each kind once: {told:#}");
    for kind in ["algorithm", "signature", "no_role", "two_duties", "unknown_key"] {
        assert!(kinds.contains(&kind), "{kind}: {told:#}");
    }
    let no_role = told.as_array().into_iter().flatten().find(|one| one["after"]["why"] == "no_role").expect("is told");
    assert_eq!(no_role["known"]["actor.subject"], "user-1", "{no_role:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_rotate_floods_are_bounded_and_an_issuer_that_is_away_is_believed_for_a_while() {
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    let issuer = Issuer::start(&[&old]).await;
    let (home, _vendor) = known_to(&issuer, ", max_stale: 6s").await;
    let gateway = home.serve();
    let client = admin(&gateway, "nothing").await;
    issuer.away(true);
    let early = me(&client, &old.token(&issuer.claims(&json!({})))).await.expect(503);
    early.expect_header("retry-after");
    let ours = token(&home, "viewer");
    me(&client, &ours).await.expect(200);
    issuer.away(false);
    let first = old.token(&issuer.claims(&json!({"jti": "1"})));
    until(&client, &first, 200).await;

    // The issuer changes its key: the new one is found, and the old one is none any more.
    issuer.publish(&[&new]);
    let second = new.token(&issuer.claims(&json!({"jti": "2"})));
    until(&client, &second, 200).await;
    me(&client, &first).await.expect(401);

    // Names of keys that nobody has: however many come, it is asked now and then.
    let (before, began) = (issuer.asked("/keys").len(), Instant::now());
    let stranger = Signer::ed25519("x");
    for number in 0..15 {
        let header = json!({"alg": "EdDSA", "kid": format!("made-up-{number}")});
        let answer = me(&client, &stranger.token_of(&header, &issuer.claims(&json!({})))).await;
        assert!(matches!(answer.status, 401 | 429), "{answer:?}");
    }
    let most = 2 + began.elapsed().as_secs() as usize / 5;
    assert!(issuer.asked("/keys").len() - before <= most, "asked {} times", issuer.asked("/keys").len() - before);

    // Away: what it said counts for six seconds, and then not even its own tokens; ours go on.
    until(&client, &second, 200).await;
    issuer.away(true);
    me(&client, &second).await.expect(200);
    assert_eq!(code(&until(&client, &second, 503).await), "unavailable");
    me(&client, &ours).await.expect(200);
    issuer.away(false);
    until(&client, &second, 200).await;
}
