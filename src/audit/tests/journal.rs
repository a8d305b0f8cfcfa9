//! The database away, full, locked or damaged; processes that die between two writes.

use std::fs;

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir.join("audit/pending"))
        .expect("is there")
        .map(|entry| entry.expect("lists").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

async fn objects(store: &Store) -> Vec<String> {
    store.audit_entries(0, 1000).await.expect("reads").into_iter().map(|row| row.object).collect()
}

#[tokio::test]
async fn what_waits_comes_into_the_log_in_order_and_once() {
    let dir = tempfile::tempdir().expect("temp dir");
    let away = Audit::open(&state(dir.path()), None).expect("opens");
    for number in 0..5 {
        let kept = away.record(&act(&format!("away-{number}"))).await.expect("records");
        assert_eq!(kept, super::super::Kept::InJournal);
    }
    assert_eq!((away.waiting(), names(dir.path()).len()), (5, 5));
    let kept = Kept::of(dir.path(), 0).await;
    // As after a kill between the commit and the removal of the files.
    let copies: Vec<(String, Vec<u8>)> = names(dir.path())
        .into_iter()
        .map(|name| (name.clone(), fs::read(dir.path().join("audit/pending").join(name)).expect("reads")))
        .collect();
    // The next act comes after those that waited.
    kept.audit.record(&act("next")).await.expect("records");
    let expected: Vec<String> =
        (0..5).map(|number| format!("secret:away-{number}")).chain(["secret:next".to_owned()]).collect();
    assert_eq!(objects(&kept.store).await, expected);
    for (name, bytes) in copies {
        fs::write(dir.path().join("audit/pending").join(name), bytes).expect("writes");
    }
    assert_eq!(kept.audit.reconcile().await.expect("carries over"), 5);
    assert_eq!((objects(&kept.store).await, kept.audit.waiting()), (expected, 0));
    assert_eq!(kept.verdict(&[]).await.faults, []);
}

#[tokio::test]
async fn a_torn_or_damaged_file_loses_nothing_silently() {
    let dir = tempfile::tempdir().expect("temp dir");
    let away = Audit::open(&state(dir.path()), None).expect("opens");
    away.record(&act("first")).await.expect("records");
    away.record(&act("second")).await.expect("records");
    let first = names(dir.path())[0].clone();
    let path = dir.path().join("audit/pending").join(&first);
    let mut bytes = fs::read(&path).expect("reads");
    bytes[40] ^= 1;
    fs::write(&path, bytes).expect("writes");
    // Being written when the process died: its act never took effect.
    fs::write(dir.path().join("audit/pending/0.new"), b"12").expect("writes");
    let kept = Kept::of(dir.path(), 0).await;
    kept.audit.reconcile().await.expect("carries over");
    let name = first.trim_end_matches(".entry");
    assert_eq!(objects(&kept.store).await, [format!("pending_entry:{name}"), "secret:second".to_owned()]);
    assert_eq!(names(dir.path()), ["0.new".to_owned(), format!("{name}.damaged")]);
    assert_eq!(kept.verdict(&[]).await.faults, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_at_once_lose_and_repeat_nothing() {
    let dir = tempfile::tempdir().expect("temp dir");
    let away = Audit::open(&state(dir.path()), None).expect("opens");
    for number in 0..20 {
        away.record(&act(&format!("away-{number}"))).await.expect("records");
    }
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let path = dir.path().to_owned();
            tokio::spawn(async move {
                let audit = Audit::open(&state(&path), Some(store(&path).await)).expect("opens");
                for number in 0..10 {
                    audit.record(&act(&format!("{writer}-{number}"))).await.expect("records");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("runs");
    }
    let kept = Kept::of(dir.path(), 0).await;
    kept.audit.reconcile().await.expect("carries over");
    let mut found = objects(&kept.store).await;
    assert_eq!(found.len(), 80);
    let waited: Vec<String> = (0..20).map(|number| format!("secret:away-{number}")).collect();
    assert_eq!(found[..20], waited);
    found.sort_unstable();
    found.dedup();
    assert_eq!((found.len(), kept.audit.waiting()), (80, 0));
    assert_eq!(kept.verdict(&[]).await.faults, []);
}

#[tokio::test]
async fn an_act_that_cannot_be_written_down_does_not_happen() {
    let dir = tempfile::tempdir().expect("temp dir");
    let away = Audit::open(&state(dir.path()), None).expect("opens");
    fs::remove_dir_all(dir.path().join("audit/pending")).expect("removes");
    fs::write(dir.path().join("audit/pending"), b"no directory").expect("writes");
    let mut happened = false;
    let effect = async {
        happened = true;
        Ok::<(), AuditError>(())
    };
    let refused = away.around(act("x"), effect).await;
    assert!(matches!(refused, Err(AuditError::NotRecorded(PendingError::Io { .. }))), "{refused:?}");
    assert!(!happened);
}
