//! Releases over the admin API: proposed, approved, tried and promoted by the persons behind the tokens.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::{
    admin, code, put,
    rollback::{home, served_by},
    token,
};
use crate::{
    home::Home,
    vendor::{Say, Vendor},
};

const SOON: Duration = Duration::from_secs(20);

fn named(home: &Home, role: &str, name: &str) -> String {
    home.ok(&["admin", "token", "issue", "--role", role, "--name", name]).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_eyes_are_two_tokens_of_two_persons() {
    let (old, new) = (Vendor::openai(Say::Text("old")).await, Vendor::openai(Say::Text("new")).await);
    let own = Vendor::openai(Say::Text("own")).await;
    let home = home(&old, &new, &own, "");
    let gateway = home.serve();
    let manager = admin(&gateway, &named(&home, "release-manager", "mia")).await;
    let same = manager.with_key(&named(&home, "coe-lead", "mia"));
    let lead = manager.with_key(&named(&home, "coe-lead", "leo"));
    let operator = manager.with_key(&token(&home, "operator"));
    served_by(&gateway, "old/m", SOON).await;

    let why = json!({"reason": "evaluated"});
    let proposal = json!({"targets": ["new/m", "old/m", "own/m"], "reason": "the newer one is better"});
    put(&operator, Method::POST, "/routes/chat/releases", &proposal).await.expect(403);
    let made = put(&manager, Method::POST, "/routes/chat/releases", &proposal).await.expect(201).json();
    assert_eq!((&made["route"], &made["release"]), (&json!("chat"), &json!(2)));
    let twice = put(&manager, Method::POST, "/routes/chat/releases", &proposal).await.expect(409);
    assert!(twice.body.contains("release 2 of `chat` has these targets already"), "{twice:?}");
    let approve = "/routes/chat/releases/2/approve";
    put(&manager, Method::POST, approve, &why).await.expect(403);
    put(&same, Method::POST, approve, &why).await.expect(200);
    // A token that was issued anew, by somebody who writes names otherwise.
    for spelt in ["Mia", " mia ", "m\u{200b}ia"] {
        let again = manager.with_key(&named(&home, "coe-lead", spelt));
        put(&again, Method::POST, approve, &why).await.expect(200);
    }
    for path in ["/routes/chat/releases/2/promote", "/routes/chat/releases/2/canary"] {
        let body = if path.ends_with("canary") { json!({"pct": 50, "reason": "a look first"}) } else { why.clone() };
        let alone = put(&manager, Method::POST, path, &body).await.expect(409);
        assert_eq!(code(&alone), "needs", "the same person twice is one: {alone:?}");
        assert!(alone.body.contains("1 of the 2 persons"), "{alone:?}");
    }
    put(&lead, Method::POST, approve, &why).await.expect(200);

    let half = json!({"pct": 50, "by": "call", "reason": "a look first"});
    let tried = put(&manager, Method::POST, "/routes/chat/releases/2/canary", &half).await.expect(200).json();
    assert_eq!((&tried["release"], &tried["pct"], &tried["mode"]), (&json!(2), &json!(50), &json!("serve")));
    served_by(&gateway, "new/m", SOON).await;
    let shown = manager.get("/routes/chat/releases").await.expect(200).json();
    assert_eq!((&shown["serving"], &shown["canary"]["release"]), (&json!(1), &json!(2)), "{shown:#}");
    put(&operator, Method::DELETE, "/routes/chat/canary", &json!({"reason": "enough"})).await.expect(200);
    put(&operator, Method::DELETE, "/routes/chat/canary", &json!({"reason": "enough"})).await.expect(409);

    let moved = put(&manager, Method::POST, "/routes/chat/releases/2/promote", &why).await.expect(200).json();
    assert_eq!((&moved["from"], &moved["targets"][0]), (&json!(1), &json!("new/m")));
    served_by(&gateway, "new/m", SOON).await;
    let shown = manager.get("/routes/chat/releases").await.expect(200).json();
    assert_eq!((&shown["serving"], &shown["retained"][0]["release"]), (&json!(2), &json!(1)), "{shown:#}");
    assert_eq!(shown["releases"][1]["approvals"].as_array().map(Vec::len), Some(5), "{shown:#}");
    assert!(home.ok(&["release", "notes", "chat", "2"]).contains("chat, release 2"), "the notes are written");
    let card = operator.get("/models/new%2Fm/card").await.expect(200).json();
    assert!(card["markdown"].as_str().is_some_and(|text| text.contains("new/m")), "{card:#}");
    assert_eq!(card["target"], "new/m");
    for (path, status) in [("/routes/chat/releases/9/promote", 404), ("/routes/chat/releases/x/promote", 400)] {
        put(&manager, Method::POST, path, &why).await.expect(status);
    }
    operator.get("/models/nonsense/card").await.expect(400);

    let entries = operator.get("/audit?action=release").await.expect(200).json();
    let by = |action: &str| {
        let entry = entries.as_array().into_iter().flatten().find(|one| one["action"] == action);
        entry.and_then(|one| one["actor"]["authenticated_by"].as_str()).unwrap_or_default().to_owned()
    };
    assert!(by("release.promote").ends_with("role release-manager"), "{entries:#}");
    assert!(by("release.approve").ends_with("role coe-lead") && by("release.canary_end").ends_with("role operator"));
    assert!(!entries.to_string().contains("mia"), "persons are not for everyone");
    gateway.stop();
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: "));
}
