//! `backstop login`: from a code in a browser to a token that verbs use, renewed and given back.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use super::{admin, oidc::known_to, remote::Desk};
use crate::issuer::{Issuer, Signer, unix_s};

fn grant(signer: &Signer, claims: &Value, refresh: &str) -> (u16, Value) {
    let token = signer.token(claims);
    (
        200,
        json!({"access_token": "opaque", "id_token": token, "refresh_token": refresh, "expires_in": 300, "token_type": "Bearer"}),
    )
}

fn pending() -> (u16, Value) {
    (400, json!({"error": "authorization_pending"}))
}

fn form(body: &[u8], name: &str) -> Option<String> {
    let url = reqwest::Url::parse(&format!("form:?{}", String::from_utf8_lossy(body))).expect("is a form");
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_login_serves_verbs_is_renewed_and_is_given_back() {
    let signer = Signer::ed25519("a");
    let issuer = Issuer::start(&[&signer]).await;
    let (home, _vendor) = known_to(&issuer, ", client_id: backstop-cli").await;
    let gateway = home.serve();
    let client = admin(&gateway, "nothing").await;
    let url = client.base().trim_end_matches("/admin/v1").to_owned();
    let desk = Desk::bare();
    let dir = desk.home.path().join(".config/backstop");
    let missing = desk.run(&["--server", &url, "keys", "list"]).expect_failure();
    assert!(missing.contains("backstop login"), "{missing}");

    let told = client.get("/login").await.expect(200).json();
    assert_eq!(
        (&told["issuer"], &told["client_id"], &told["token"]),
        (&json!(issuer.url()), &json!("backstop-cli"), &json!("id"))
    );

    // Soon over, so that the next verb renews it.
    let (brief, now) = (issuer.claims(&json!({"exp": unix_s() + 25, "sid": "s"})), unix_s());
    issuer.grants([pending(), grant(&signer, &brief, "refresh-1")]);
    let done = desk.run(&["--server", &url, "login"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("WDJB-MJHT") && done.stderr.contains("/enter"), "{done:?}");
    assert!(done.stdout.contains("role operator"), "{done:?}");
    let asked = issuer.asked("/device");
    assert_eq!(form(&asked[0].body, "client_id").as_deref(), Some("backstop-cli"));
    assert!(form(&asked[0].body, "scope").is_some_and(|scope| scope.contains("openid")));
    let polled = issuer.asked("/token");
    assert_eq!(form(&polled[1].body, "device_code").as_deref(), Some("a-device-code"));
    let kept = dir.join("login.json");
    for path in [&kept, &dir.join("context.toml")] {
        assert_eq!(fs::metadata(path).expect("is there").permissions().mode() & 0o777, 0o600, "{}", path.display());
    }

    issuer.grants([grant(&signer, &issuer.claims(&json!({"iat": now, "sid": "s"})), "refresh-2")]);
    let listed = desk.ok(&["keys", "list"]);
    assert!(listed.contains("sk-bs-"), "{listed}");
    desk.ok(&["tenants", "list"]);
    let polled = issuer.asked("/token");
    assert_eq!(polled.len(), 3, "renewed once");
    assert_eq!(form(&polled[2].body, "refresh_token").as_deref(), Some("refresh-1"));
    assert!(fs::read_to_string(&kept).expect("reads").contains("refresh-2"));
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o644)).expect("is there");
    let open = desk.run(&["keys", "list"]).expect_failure();
    assert!(open.contains("chmod 600"), "{open}");
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).expect("is there");
    let logins = home.json(&["audit", "list", "--action", "admin.login"]);
    assert_eq!(logins.as_array().map(Vec::len), Some(1), "one session, one entry: {logins:#}");

    desk.ok(&["logout"]);
    assert!(!kept.exists());
    assert_eq!(form(&issuer.asked("/revoke")[0].body, "token").as_deref(), Some("refresh-2"));
    let after = desk.run(&["keys", "list"]).expect_failure();
    assert!(after.contains("backstop login"), "{after}");
    assert!(desk.ok(&["logout"]).contains("not logged in"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_refused_keeps_nothing_and_is_told_why() {
    let signer = Signer::p256("a");
    let issuer = Issuer::start(&[&signer]).await;
    let (home, _vendor) = known_to(&issuer, "").await;
    let gateway = home.serve();
    let url = admin(&gateway, "nothing").await.base().trim_end_matches("/admin/v1").to_owned();
    let desk = Desk::bare();
    let nobody = issuer.claims(&json!({"groups": []}));
    for (answers, why) in [
        (vec![(400, json!({"error": "access_denied"}))], "refused in the browser"),
        (vec![(400, json!({"error": "expired_token"}))], "login` again"),
        (vec![(400, json!({"error": "unauthorized_client\u{1b}[2J"}))], "unauthorized_client"),
        (vec![(200, json!({"access_token": "opaque"}))], "no `id_token`"),
        (vec![grant(&signer, &nobody, "r")], "admin.oidc.roles"),
    ] {
        issuer.grants(answers);
        let said = desk.run(&["--server", &url, "login"]).expect_failure();
        assert!(said.contains(why) && !said.contains('\u{1b}'), "{why}: {said}");
        assert!(!desk.home.path().join(".config/backstop/login.json").exists(), "{why}");
    }
    // A gateway that believes nobody else.
    let (plain, _vendor) = super::home("").await;
    let gateway = plain.serve();
    let url = admin(&gateway, "nothing").await.base().trim_end_matches("/admin/v1").to_owned();
    let said = desk.run(&["--server", &url, "login"]).expect_failure();
    assert!(said.contains("no identity provider"), "{said}");
}
