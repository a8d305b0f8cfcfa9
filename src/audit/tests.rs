//! What an auditor, a thief of the database and a crash would notice.

mod journal;
mod tampering;

use std::path::Path;

use super::*;
use crate::{config::VaultSource, domain::Actor, vault::Vault};

/// A log with a key of its own.
struct Kept {
    audit: Audit,
    store: Store,
    key: LogKey,
}

fn state(dir: &Path) -> StateDir {
    StateDir::open(Some(dir)).expect("a fresh directory")
}

async fn store(dir: &Path) -> Store {
    Store::open_sqlite(&dir.join("backstop.db")).await.expect("opens")
}

async fn vault(dir: &Path) -> Vault {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().expect("builds");
    Vault::open(&dir.join("vault"), &VaultSource::KeyFile, &http).await.expect("opens")
}

fn act(name: &str) -> Act {
    let actor = Actor::os_user(Some("alice".to_owned()), Some("build-7".to_owned()));
    Act::new(actor, Action::VaultSet, ("secret", name)).reason("a test")
}

impl Kept {
    /// With `entries` entries.
    async fn of(dir: &Path, entries: usize) -> Self {
        let store = store(dir).await;
        let audit = Audit::open(&state(dir), Some(store.clone())).expect("opens");
        let records = (0..entries).map(|number| Record::of(&act(&format!("secret-{number}")))).collect();
        store.audit_append(records).await.expect("appends");
        let key = LogKey::open(&vault(dir).await, audit.dir()).expect("opens");
        Self { audit, store, key }
    }

    async fn sign(&self) -> Checkpoint {
        self.audit.checkpoint(&self.key).await.expect("signs")
    }

    /// What `audit verify` says of the database, with `checkpoints` brought from elsewhere.
    async fn verdict(&self, checkpoints: &[&Checkpoint]) -> Verdict {
        let mut verifier = verify_live(&self.store).await.expect("reads");
        for checkpoint in checkpoints {
            verifier.checkpoint(checkpoint, "an older checkpoint");
        }
        verifier.finish()
    }

    async fn export(&self, personal: Personal) -> String {
        let checkpoint = self.sign().await;
        let mut out = Vec::new();
        let signed = (&checkpoint, self.key.public());
        write_export(&mut out, &self.store, signed, personal).await.expect("exports");
        String::from_utf8(out).expect("is text")
    }

    fn read(&self, export: &str) -> Verdict {
        read_export(export.as_bytes(), self.key.public()).expect("is an export").finish()
    }
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_whole() {
    let dir = tempfile::tempdir().expect("temp dir");
    let kept = Kept::of(dir.path(), 0).await;
    assert_eq!(kept.verdict(&[&kept.sign().await]).await.faults, []);
    let mut signed = Vec::new();
    for number in 0..20 {
        kept.audit.record(&act(&format!("secret-{number}"))).await.expect("records");
        signed.push(kept.sign().await);
    }
    let checkpoints: Vec<&Checkpoint> = signed.iter().collect();
    let verdict = kept.verdict(&checkpoints).await;
    assert_eq!((verdict.size, verdict.faults), (20, vec![]));
    assert_eq!(verdict.root, signed[19].root);
    assert_eq!(kept.read(&kept.export(Personal::Included).await).faults, []);
    // Nothing new: the same note again, so that it is published once.
    assert_eq!(kept.sign().await, signed[19]);
}

#[tokio::test]
async fn an_entry_says_who_did_what_and_a_person_can_be_forgotten() {
    let dir = tempfile::tempdir().expect("temp dir");
    let kept = Kept::of(dir.path(), 3).await;
    let before = kept.sign().await;
    let rows = kept.store.audit_entries(0, 10).await.expect("reads");
    let text = String::from_utf8(rows[1].bytes.clone()).expect("is text");
    assert!(text.starts_with(r#"{"seq":1,"version":1,"id":""#), "{text}");
    assert!(!text.contains("alice") && !text.contains("build-7"), "{text}");
    for part in [r#""action":"vault.set""#, r#""object":{"kind":"secret","name":"secret-1"}"#, r#""reason":"a test""#] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let known = |row: &crate::store::AuditRow| row.personal.iter().map(|one| one.value.clone()).collect::<Vec<_>>();
    assert_eq!(known(&rows[1]), ["build-7", "alice"]);
    assert_ne!(rows[0].personal[0].commitment, rows[1].personal[0].commitment, "two entries of one person look unlike");

    let forget = Act::new(Actor::gateway(), Action::AuditForget, ("person", "forgotten"));
    assert_eq!(kept.store.audit_forget("alice".to_owned(), forget.clone()).await.expect("forgets"), 6);
    assert_eq!(kept.store.audit_forget("alice".to_owned(), forget).await.expect("knows nothing"), 0);
    let rows = kept.store.audit_entries(0, 10).await.expect("reads");
    assert!(rows.iter().all(|row| known(row).is_empty()));
    assert_eq!((rows.len(), rows[3].action.as_str()), (4, "audit.forget"));
    let verdict = kept.verdict(&[&before]).await;
    assert_eq!((verdict.faults, verdict.forgotten), (vec![], 6));
    kept.store.close().await;
    for file in ["backstop.db", "backstop.db-wal"] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(5).any(|window| window == b"alice"), "{file} still has the name");
    }
}

#[tokio::test]
async fn what_failed_is_recorded_as_failed() {
    let dir = tempfile::tempdir().expect("temp dir");
    let kept = Kept::of(dir.path(), 0).await;
    let effect = async { Err::<(), AuditError>(AuditError::NotRecorded(PendingError::Full)) };
    kept.audit.around(act("openai"), effect).await.expect_err("the effect failed");
    kept.audit.around::<_, AuditError>(act("openai"), async { Ok(()) }).await.expect("the effect is there");
    let rows = kept.store.audit_entries(0, 10).await.expect("reads");
    let said: Vec<serde_json::Value> =
        rows.iter().map(|row| serde_json::from_slice(&row.bytes).expect("is JSON")).collect();
    assert_eq!(
        said.iter().map(|said| said["stage"].as_str()).collect::<Vec<_>>(),
        [Some("begun"), Some("failed"), Some("begun")]
    );
    assert_eq!(said[1]["of"], said[0]["id"]);
}

#[tokio::test]
async fn another_key_is_refused_and_the_own_one_is_kept() {
    let (dir, other) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
    let (kept, thief) = (Kept::of(dir.path(), 2).await, Kept::of(other.path(), 2).await);
    let path = dir.path().join("audit/log.pub");
    assert!(kept.key.is_unused() && !path.exists(), "it is handed out with the first signature, not before");
    kept.sign().await;
    assert!(!LogKey::open(&vault(dir.path()).await, kept.audit.dir()).expect("opens").is_unused() && path.exists());
    let (public, note) = (kept.key.public(), thief.sign().await.note);
    assert!(matches!(Checkpoint::read(&note, public), Err(CheckpointError::Signature(_))));
    let note = kept.sign().await.note;
    Checkpoint::read(&note, public).expect("is its own");
    for (from, to) in [("\n2\n", "\n3\n"), ("backstop-audit-", "backstop-audit-x"), ("\n\n", "\nmore\n\n")] {
        Checkpoint::read(&note.replacen(from, to, 1), public).expect_err("it was changed");
    }
    std::fs::write(&path, thief.key.public().to_string()).expect("writes");
    let swapped = LogKey::open(&vault(dir.path()).await, kept.audit.dir());
    assert!(matches!(swapped, Err(KeyError::Mismatch { .. })), "{swapped:?}");
}
