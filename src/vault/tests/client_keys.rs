//! Keys as the CLI makes them and a running server sees them.

use std::collections::BTreeSet;

use super::*;
use crate::{
    domain::{Act, Action, Actor, TenantId},
    store::{KeyRow, Record, Store},
};

async fn store(dir: &Path) -> Store {
    Store::open_sqlite(&dir.join("backstop.db")).await.expect("opens")
}

async fn issue(admin: &KeyAdmin, tenant: &str) -> Issued {
    let tenant = admin.tenant(tenant, &[TenantId::new("acme")]).await.expect("is known");
    admin.issue(&tenant, Some("laptop".to_owned())).await.expect("issues")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_works_as_soon_as_it_is_issued_and_not_after_it_is_revoked() {
    let dir = tempfile::tempdir().expect("temp dir");
    let keys = ClientKeys::open(store(dir.path()).await).await.expect("opens");
    let admin = KeyAdmin::new(store(dir.path()).await, Actor::gateway());
    let issued = issue(&admin, "acme").await;
    let key = issued.key.expose_secret();
    assert!(key.len() == 49 && key.starts_with("sk-bs-") && key.starts_with(issued.key_id.as_str()), "{key}");

    let client = keys.find(key).await.expect("is valid at once");
    assert_eq!((client.tenant.as_str(), client.key_id.clone()), ("acme", issued.key_id.clone()));
    assert_eq!(keys.lookup(key), Some(client));
    let mut wrong = key.to_owned();
    wrong.replace_range(48.., if key.ends_with('A') { "E" } else { "A" });
    assert_eq!(keys.find(&wrong).await, None);
    for shape in ["", "sk-bs-", &key[..48], "Bearer x", &format!("{key}x")] {
        assert_eq!(keys.find(shape).await, None, "{shape}");
    }

    let next = admin.rotate(&issued.key_id).await.expect("rotates");
    assert!(keys.find(next.key.expose_secret()).await.is_some());
    eventually(|| keys.lookup(key).is_none()).await;
    admin.revoke(&next.key_id).await.expect("revokes");
    eventually(|| keys.lookup(next.key.expose_secret()).is_none()).await;
    assert!(matches!(admin.revoke(&next.key_id).await, Err(KeyAdminError::UnknownKey { .. })));
    assert!(matches!(admin.rotate(&next.key_id).await, Err(KeyAdminError::UnknownKey { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_stay_valid_while_the_database_is_away() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = store(dir.path()).await;
    let issued = issue(&KeyAdmin::new(store.clone(), Actor::gateway()), "acme").await;
    let keys = ClientKeys::open(store.clone()).await.expect("opens");
    store.close().await;
    eventually(|| !keys.is_fresh()).await;
    assert!(keys.find(issued.key.expose_secret()).await.is_some());
    assert_eq!(keys.find(&"sk-bs-".chars().chain("x".repeat(43).chars()).collect::<String>()).await, None);
}

#[tokio::test]
async fn an_expired_key_is_not_valid() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = store(dir.path()).await;
    let key = format!("sk-bs-{}", "k".repeat(43));
    let row = KeyRow {
        hash: super::super::client_keys::hash(&key.as_str().into()),
        key_id: crate::domain::KeyId::new(&key[..14]),
        tenant: TenantId::new("acme"),
        name: None,
        created_unix_ms: 1,
        expires_unix_ms: Some(clock::unix_ms()),
        revoked_unix_ms: None,
    };
    let later = format!("sk-bs-{}", "l".repeat(43));
    let valid = KeyRow {
        hash: super::super::client_keys::hash(&later.as_str().into()),
        key_id: crate::domain::KeyId::new(&later[..14]),
        expires_unix_ms: Some(clock::unix_ms() + 3_600_000),
        ..row.clone()
    };
    store
        .add_key(row, Record::of(&Act::new(Actor::gateway(), Action::KeyIssue, ("client_key", "a"))))
        .await
        .expect("adds");
    store
        .add_key(valid, Record::of(&Act::new(Actor::gateway(), Action::KeyIssue, ("client_key", "b"))))
        .await
        .expect("adds");
    let keys = ClientKeys::open(store).await.expect("opens");
    assert_eq!(keys.lookup(&key), None);
    assert!(keys.lookup(&later).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_tenant_is_made_once_whoever_asks() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = store(dir.path()).await;
    let mut servers = Vec::new();
    for _ in 0..4 {
        let keys = ClientKeys::open(store.clone()).await.expect("opens");
        servers.push(tokio::spawn(async move {
            let issued = keys.first_tenant().await.expect("asks");
            // Whoever made it can use it at once.
            issued.map(|issued| keys.lookup(issued.key.expose_secret()).map(|client| client.tenant.to_string()))
        }));
    }
    let mut made = Vec::new();
    for server in servers {
        made.extend(server.await.expect("runs"));
    }
    assert_eq!(made, [Some("default".to_owned())]);
    assert_eq!(store.keys().await.expect("lists").len(), 1);
}

#[tokio::test]
async fn a_tenant_is_known_from_the_database_or_the_config_and_else_the_nearest_is_named() {
    let dir = tempfile::tempdir().expect("temp dir");
    let admin = KeyAdmin::new(store(dir.path()).await, Actor::gateway());
    let configured = [TenantId::new("acme"), TenantId::new("globex")];
    admin.add_tenant("initech", &configured).await.expect("adds");
    for again in ["initech", "acme"] {
        let error = admin.add_tenant(again, &configured).await.expect_err("exists");
        assert!(matches!(error, KeyAdminError::TenantExists { .. }), "{error:?}");
    }
    for bad in ["", "a b", "x/y", "-x"] {
        assert!(matches!(admin.add_tenant(bad, &configured).await, Err(KeyAdminError::Name { .. })), "{bad}");
    }
    let names: Vec<_> = admin.tenants(&configured).await.expect("lists").into_iter().map(|known| known.id).collect();
    assert_eq!(names, ["acme", "globex", "initech"].map(TenantId::new));
    let error = admin.tenant("initch", &configured).await.expect_err("is not known");
    assert!(error.to_string().contains("did you mean `initech`?"), "{error}");
    let error = admin.tenant("zzz", &configured).await.expect_err("is not known");
    assert!(!error.to_string().contains("did you mean"), "{error}");
}

#[tokio::test]
async fn no_key_is_in_a_file_and_no_two_are_alike() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = store(dir.path()).await;
    let admin = KeyAdmin::new(store.clone(), Actor::gateway());
    let mut issued = BTreeSet::new();
    for _ in 0..20 {
        issued.insert(issue(&admin, "acme").await.key.expose_secret().to_owned());
    }
    assert_eq!(issued.len(), 20);
    store.close().await;
    for entry in fs::read_dir(dir.path()).expect("lists") {
        let bytes = fs::read(entry.expect("lists").path()).expect("reads");
        let text = String::from_utf8_lossy(&bytes);
        // The id's characters may be there; what follows them may not.
        assert!(issued.iter().all(|key| !text.contains(&key[14..])));
    }
}
