//! What an operator, a thief of the disk and a caller would notice.

mod client_keys;
mod transit;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use secrecy::ExposeSecret as _;

use super::*;

const SOON: Duration = Duration::from_secs(20);
const CANARY: &str = "sk-canary-5f2d81aa-do-not-leak-9173";

fn name(text: &str) -> SecretName {
    SecretName::parse(text).expect("is a name")
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("builds")
}

async fn vault(dir: &Path) -> Vault {
    Vault::open(dir, &VaultSource::KeyFile, &http()).await.expect("opens")
}

fn value(vault: &Vault, name: &str) -> Option<String> {
    vault.get(name).map(|secret| secret.expose_secret().to_owned())
}

/// Waits until `seen` is true, at most [`SOON`].
async fn eventually(mut seen: impl FnMut() -> bool) {
    let waiting = async {
        while !seen() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("it happens soon");
}

#[tokio::test]
async fn a_secret_is_kept_rotated_and_removed() {
    let dir = tempfile::tempdir().expect("temp dir");
    let opened = vault(dir.path()).await;
    assert!(matches!(opened.rotate(&name("openai"), &"x".into()), Err(VaultError::NoSuchSecret { .. })));
    opened.set(&name("openai"), &CANARY.into()).expect("sets");
    opened.set(&name("short"), &"elevenchars".into()).expect("sets");
    let rotated = opened.rotate(&name("openai"), &"sk-another-one".into()).expect("rotates");
    assert_eq!((rotated.version, rotated.last_four.as_str()), (2, "-one"));

    let again = vault(dir.path()).await;
    assert_eq!(value(&again, "openai").as_deref(), Some("sk-another-one"));
    let listed: Vec<_> =
        again.list().into_iter().map(|listed| (listed.name, listed.last_four, listed.version)).collect();
    assert_eq!(listed, [("openai".to_owned(), "-one".to_owned(), 2), ("short".to_owned(), "****".to_owned(), 1)]);

    again.remove(&name("openai")).expect("removes");
    assert!(matches!(again.remove(&name("openai")), Err(VaultError::NoSuchSecret { .. })));
    assert_eq!(value(&again, "openai"), None);
}

#[tokio::test]
async fn a_secret_is_in_no_file_and_no_words() {
    let dir = tempfile::tempdir().expect("temp dir");
    let opened = vault(dir.path()).await;
    opened.set(&name("openai"), &CANARY.into()).expect("sets");
    let path = dir.path().join("openai.sealed");
    let mut sealed = fs::read(&path).expect("reads");
    let last = sealed.len() - 4;
    sealed[last] ^= 1;
    fs::write(&path, sealed).expect("writes");
    opened.reload().expect("reads");
    let mut words = format!("{opened:?} {:?} {:?} {:?}", opened.list(), opened.faults(), opened.get("openai"));
    for entry in fs::read_dir(dir.path()).expect("lists") {
        let path = entry.expect("lists").path();
        assert_eq!(fs::metadata(&path).expect("stats").permissions().mode() & 0o777, 0o600, "{path:?}");
        words.push_str(&String::from_utf8_lossy(&fs::read(path).expect("reads")));
    }
    assert_eq!(fs::metadata(dir.path()).expect("stats").permissions().mode() & 0o777, 0o700);
    assert!(!words.contains(&CANARY[..12]), "{words}");
}

#[tokio::test]
async fn a_changed_or_swapped_file_is_refused_and_the_last_good_value_stays() {
    let dir = tempfile::tempdir().expect("temp dir");
    let running = vault(dir.path()).await;
    running.set(&name("cheap"), &"sk-cheap-0000".into()).expect("sets");
    running.set(&name("dear"), &"sk-dear-11111".into()).expect("sets");
    let (cheap, dear) = (dir.path().join("cheap.sealed"), dir.path().join("dear.sealed"));
    fs::copy(&cheap, &dear).expect("copies");
    running.reload().expect("reads");
    assert_eq!(value(&running, "dear").as_deref(), Some("sk-dear-11111"), "what it had");
    assert_eq!(running.faults().len(), 1);
    let fresh = vault(dir.path()).await;
    assert_eq!((value(&fresh, "dear"), fresh.faults().len()), (None, 1), "another secret's file is none");

    // Each byte of the file is bound, but for what JSON itself ignores.
    let whole = fs::read_to_string(&cheap).expect("reads");
    for (from, to) in [("\"version\":1", "\"version\":2"), ("\"set_at_unix_ms\":1", "\"set_at_unix_ms\":2"), ("}", "")]
    {
        fs::write(&cheap, whole.replacen(from, to, 1)).expect("writes");
        assert_eq!(value(&vault(dir.path()).await, "cheap"), None, "{from}");
    }
    running.set(&name("dear"), &"sk-dear-22222".into()).expect("a damaged secret can be set anew");
    assert_eq!(value(&running, "dear").as_deref(), Some("sk-dear-22222"));
}

#[tokio::test]
async fn a_key_that_others_can_read_or_that_is_gone_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    vault(dir.path()).await.set(&name("openai"), &CANARY.into()).expect("sets");
    let key = dir.path().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("widens");
    let error = Vault::open(dir.path(), &VaultSource::KeyFile, &http()).await.expect_err("others can read it");
    assert!(matches!(error, VaultError::OpenToOthers { mode: 0o640, .. }), "{error:?}");
    assert!(error.to_string().contains("chmod 600"), "{error}");

    fs::remove_file(&key).expect("removes");
    let error = Vault::open(dir.path(), &VaultSource::KeyFile, &http()).await.expect_err("no new key is made");
    assert!(matches!(error, VaultError::KeyGone { .. }), "{error:?}");
    assert!(!key.exists());

    fs::write(&key, "no key\n").expect("writes");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("narrows");
    let error = Vault::open(dir.path(), &VaultSource::KeyFile, &http()).await.expect_err("it is no key");
    assert!(matches!(error, VaultError::NotAKey { .. }), "{error:?}");

    fs::write(&key, "00".repeat(32)).expect("writes");
    let other = vault(dir.path()).await;
    assert!(other.faults()[0].1.contains("another key"), "{:?}", other.faults());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_uses_what_another_process_rotates() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (server, cli) = (vault(dir.path()).await, vault(dir.path()).await);
    let _watch = server.watch();
    for version in ["sk-first-value", "sk-second-value"] {
        cli.set(&name("openai"), &version.into()).expect("sets");
        eventually(|| value(&server, "openai").as_deref() == Some(version)).await;
    }
    cli.remove(&name("openai")).expect("removes");
    eventually(|| server.get("openai").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_lose_no_version() {
    let dir = tempfile::tempdir().expect("temp dir");
    let writers = [vault(dir.path()).await, vault(dir.path()).await, vault(dir.path()).await];
    std::thread::scope(|scope| {
        for vault in &writers {
            scope.spawn(|| {
                for _ in 0..5 {
                    vault.set(&name("openai"), &CANARY.into()).expect("sets");
                }
            });
        }
    });
    assert_eq!(vault(dir.path()).await.list()[0].version, 15);
}

#[test]
fn a_name_cannot_leave_the_directory() {
    for bad in ["", "../key", "a/b", ".hidden", "a b", "é", "-x", &"a".repeat(65)] {
        assert!(matches!(SecretName::parse(bad), Err(VaultError::Name { .. })), "{bad}");
    }
    assert_eq!(name("eu-azure_2.test").to_string(), "eu-azure_2.test");
}
