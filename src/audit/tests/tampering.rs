//! A real database file in the hands of someone who can write it, drops its triggers and knows how the log works.

use std::fs;

use sqlx::{ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};

use super::*;
use crate::store::merkle;

const ENTRIES: usize = 11;

/// Runs `sql` on the database as another program would.
async fn sql(dir: &Path, sql: &str) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(dir.join("backstop.db"));
    let mut connection = options.connect().await?;
    connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.map(drop)
}

/// What guards the log inside of the database, taken away and put back, so that only the tampering is seen.
async fn unguarded(dir: &Path, tamper: &str) {
    let options = SqliteConnectOptions::new().filename(dir.join("backstop.db"));
    let mut connection = options.connect().await.expect("opens");
    let query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'audit_%'";
    let guards: Vec<(String, String)> = sqlx::query_as(query).fetch_all(&mut connection).await.expect("reads");
    for (name, _) in &guards {
        connection.execute(sqlx::AssertSqlSafe(format!("DROP TRIGGER {name}"))).await.expect("drops");
    }
    connection.execute(sqlx::AssertSqlSafe(tamper.to_owned())).await.expect("tampers");
    for (_, sql) in guards {
        connection.execute(sqlx::AssertSqlSafe(sql)).await.expect("makes");
    }
}

#[tokio::test]
async fn the_database_itself_refuses_changes() {
    let dir = tempfile::tempdir().expect("temp dir");
    let kept = Kept::of(dir.path(), 3).await;
    for change in [
        "UPDATE audit_entries SET action = 'x' WHERE seq = 1",
        "DELETE FROM audit_entries WHERE seq = 2",
        "DELETE FROM audit_entries",
        "INSERT OR REPLACE INTO audit_entries SELECT 1, 'x', at_unix_ms, action, object, bytes FROM audit_entries WHERE seq = 1",
        "INSERT OR REPLACE INTO audit_entries SELECT 3, id, at_unix_ms, action, object, bytes FROM audit_entries WHERE seq = 1",
        "INSERT INTO audit_entries VALUES (9, 'x', 0, 'x', 'x', 'x')",
        "UPDATE audit_hashes SET hash = zeroblob(32) WHERE position = 0",
        "DELETE FROM audit_hashes",
        "INSERT OR REPLACE INTO audit_hashes VALUES (0, zeroblob(32))",
        "UPDATE audit_personal SET value = 'mallory'",
        "INSERT OR REPLACE INTO audit_personal VALUES (0, 'actor.name', 'x', x'00', 'mallory')",
    ] {
        let error = sql(dir.path(), change).await.expect_err(change);
        assert!(error.to_string().contains("audit log"), "{change}: {error}");
    }
    assert_eq!(kept.verdict(&[]).await.faults, []);
}

/// Every way to change what is stored: what verifying says, and where.
#[tokio::test]
async fn each_change_is_found_and_its_entry_named() {
    let cases: [(&str, Option<u64>, &str); 16] = [
        ("UPDATE audit_entries SET bytes = replace(bytes, 'secret-4', 'secret-5') WHERE seq = 4", Some(4), "bytes"),
        ("UPDATE audit_entries SET bytes = CAST(bytes AS TEXT) || ' ' WHERE seq = 4", Some(4), "bytes"),
        ("UPDATE audit_entries SET bytes = x'ff' WHERE seq = 10", Some(10), "not an entry"),
        ("UPDATE audit_entries SET id = 'x' WHERE seq = 3", Some(3), "`id`"),
        ("UPDATE audit_entries SET at_unix_ms = at_unix_ms + 1 WHERE seq = 0", Some(0), "`at_unix_ms`"),
        ("UPDATE audit_entries SET action = 'vault.rotate' WHERE seq = 7", Some(7), "`action`"),
        ("UPDATE audit_entries SET object = 'secret:x' WHERE seq = 7", Some(7), "`object`"),
        ("UPDATE audit_entries SET seq = 99 WHERE seq = 10", Some(10), "not here"),
        ("DELETE FROM audit_entries WHERE seq = 5", Some(5), "not here"),
        ("DELETE FROM audit_entries WHERE seq = 10", Some(10), "removed from the end"),
        (
            "UPDATE audit_entries SET seq = -1 WHERE seq = 2; UPDATE audit_entries SET seq = 2 WHERE seq = 3; \
             UPDATE audit_entries SET seq = 3 WHERE seq = -1",
            Some(2),
            "say that it is entry 3",
        ),
        (
            "INSERT INTO audit_entries SELECT 11, 'new', at_unix_ms, action, object, bytes FROM audit_entries WHERE seq = 1",
            Some(11),
            "was there before",
        ),
        ("UPDATE audit_hashes SET hash = zeroblob(32) WHERE position = 0", Some(0), "bytes"),
        ("UPDATE audit_hashes SET hash = zeroblob(32) WHERE position = 2", Some(0), "from here to 1"),
        ("DELETE FROM audit_hashes WHERE position = 18", Some(10), "hashes"),
        ("UPDATE audit_personal SET value = 'mallory' WHERE seq = 6 AND field = 'actor.name'", Some(6), "actor.name"),
    ];
    let whole = tempfile::tempdir().expect("temp dir");
    Kept::of(whole.path(), ENTRIES).await.store.close().await;
    for (tamper, seq, what) in cases {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::copy(whole.path().join("backstop.db"), dir.path().join("backstop.db")).expect("copies");
        let kept = Kept::of(dir.path(), 0).await;
        unguarded(dir.path(), tamper).await;
        let faults = kept.verdict(&[]).await.faults;
        let found = faults.iter().any(|fault| fault.seq == seq && fault.to_string().contains(what));
        assert!(found, "{tamper}: {faults:#?}");
    }
}

#[tokio::test]
async fn a_dropped_guard_is_told() {
    let dir = tempfile::tempdir().expect("temp dir");
    let kept = Kept::of(dir.path(), 2).await;
    sql(dir.path(), "DROP TRIGGER audit_entries_no_delete").await.expect("drops");
    let faults = kept.verdict(&[]).await.faults;
    assert!(faults.len() == 1 && faults[0].what.contains("audit_entries_no_delete"), "{faults:?}");
}

/// Entries, hashes and columns all made to fit: only a checkpoint that was signed before tells.
#[tokio::test]
async fn a_rewritten_history_that_fits_is_found_by_an_older_checkpoint() {
    let dir = tempfile::tempdir().expect("temp dir");
    let kept = Kept::of(dir.path(), ENTRIES).await;
    let published = kept.sign().await;
    let rows = kept.store.audit_entries(0, 100).await.expect("reads");
    let mut hashes: Vec<merkle::Digest> = Vec::new();
    let mut script = "DELETE FROM audit_hashes; ".to_owned();
    for row in &rows {
        let bytes = String::from_utf8(row.bytes.clone()).expect("is text").replace("secret-4", "secret-X");
        let question = merkle::Question::Append { seq: row.seq, leaf: merkle::leaf(bytes.as_bytes()) };
        hashes.extend(question.answer(&hashes).expect("is whole"));
        let object = row.object.replace("secret-4", "secret-X");
        let (bytes, seq) = (hex::encode(bytes), row.seq);
        script += &format!("UPDATE audit_entries SET bytes = x'{bytes}', object = '{object}' WHERE seq = {seq}; ");
    }
    for (position, hash) in hashes.iter().enumerate() {
        script += &format!("INSERT INTO audit_hashes VALUES ({position}, x'{}'); ", hex::encode(hash));
    }
    unguarded(dir.path(), &script).await;
    assert_eq!(kept.verdict(&[]).await.faults, [], "the database alone cannot tell");
    let faults = kept.verdict(&[&published]).await.faults;
    assert!(faults.len() == 1 && faults[0].what.contains("signs another tree"), "{faults:?}");
    // The gateway itself signs no such log.
    let refused = kept.audit.checkpoint(&kept.key).await;
    assert!(matches!(refused, Err(CheckpointError::Rewritten { signed: 11 })), "{refused:?}");
}

#[tokio::test]
async fn a_cut_tail_an_older_copy_and_a_fork_are_found() {
    let dir = tempfile::tempdir().expect("temp dir");
    let kept = Kept::of(dir.path(), 5).await;
    kept.store.close().await;
    let database = dir.path().join("backstop.db");
    fs::copy(&database, dir.path().join("older.db")).expect("copies");
    let kept = Kept::of(dir.path(), 4).await;
    let published = kept.sign().await;
    assert_eq!(published.size, 9);

    // Cut so that what is left fits together.
    unguarded(dir.path(), "DELETE FROM audit_entries WHERE seq >= 8; DELETE FROM audit_hashes WHERE position >= 15")
        .await;
    assert_eq!(kept.verdict(&[]).await.faults, []);
    let faults = kept.verdict(&[&published]).await.faults;
    assert!(faults[0].to_string().starts_with("entry 8:") && faults[0].what.contains("are gone"), "{faults:?}");
    let refused = kept.audit.checkpoint(&kept.key).await;
    assert!(matches!(refused, Err(CheckpointError::Shrunk { size: 8, signed: 9 })), "{refused:?}");
    kept.store.close().await;

    // An older copy, put back.
    for file in ["backstop.db-wal", "backstop.db-shm"] {
        let _ = fs::remove_file(dir.path().join(file));
    }
    fs::copy(dir.path().join("older.db"), &database).expect("copies");
    let kept = Kept::of(dir.path(), 0).await;
    assert_eq!(kept.verdict(&[]).await.size, 5);
    assert!(!kept.verdict(&[&published]).await.faults.is_empty());

    // Grown on from there to what it had before: another history.
    let kept = Kept::of(dir.path(), 4).await;
    let faults = kept.verdict(&[&published]).await.faults;
    assert!(faults.len() == 1 && faults[0].what.contains("signs another tree"), "{faults:?}");
    let refused = kept.audit.checkpoint(&kept.key).await;
    assert!(matches!(refused, Err(CheckpointError::Rewritten { signed: 9 })), "{refused:?}");
}

#[tokio::test]
async fn nothing_is_added_to_a_log_that_was_changed() {
    let dir = tempfile::tempdir().expect("temp dir");
    let kept = Kept::of(dir.path(), 3).await;
    sql(dir.path(), "INSERT INTO audit_entries VALUES (3, 'x', 0, 'x', 'x', 'x')")
        .await
        .expect("its number is the next");
    let entry = Record::of(&act("more"));
    assert!(matches!(kept.store.audit_append(vec![entry]).await, Err(StoreError::AuditChanged)));
    // What is done meanwhile is not lost.
    assert_eq!(kept.audit.record(&act("more")).await.expect("keeps"), super::super::Kept::InJournal);
    let faults = kept.verdict(&[]).await.faults;
    assert!(faults.iter().any(|fault| fault.seq == Some(3)), "{faults:?}");
}

#[tokio::test]
async fn a_changed_export_is_found() {
    let dir = tempfile::tempdir().expect("temp dir");
    let kept = Kept::of(dir.path(), ENTRIES).await;
    let export = kept.export(Personal::Included).await;
    assert_eq!(kept.read(&export).faults, []);
    let lines: Vec<&str> = export.lines().collect();
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let without = |index: usize| joined(&[&lines[..index], &lines[index + 1..]].concat());
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    let twice = joined(&[&lines[..4], &lines[3..]].concat());
    let cases = [
        (export.replace("secret-4", "secret-5"), Some(4)),
        (export.replacen("alice", "mallory", 1), Some(0)),
        (without(3), Some(2)),
        (without(lines.len() - 2), None),
        (without(lines.len() - 1), None),
        (joined(&swapped), Some(2)),
        (twice, Some(3)),
        (export.replace(r#""size":11"#, r#""size":10"#), None),
        (export.replace("\\n11\\n", "\\n10\\n"), None),
        (format!("{export}{}\n", lines[1]), Some(11)),
    ];
    for (number, (changed, seq)) in cases.into_iter().enumerate() {
        assert_ne!(changed, export, "{number}");
        let faults = kept.read(&changed).faults;
        assert!(faults.iter().any(|fault| seq.is_none() || fault.seq == seq), "{number}: {faults:#?}");
    }
    // Signed anew by someone else, over whatever they like.
    let other = tempfile::tempdir().expect("temp dir");
    let forged = Kept::of(other.path(), ENTRIES).await.export(Personal::LeftOut).await;
    assert!(!kept.read(&forged).faults.is_empty());
    assert!(read_export(&b"{}\n"[..], kept.key.public()).is_err());
    // Every single byte counts: somewhere in an entry, a hash, the key or the note.
    let bytes = export.as_bytes();
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        let found = match read_export(&changed[..], kept.key.public()) {
            Ok(verifier) => !verifier.finish().faults.is_empty(),
            Err(_) => true,
        };
        assert!(
            found,
            "byte {at} was flipped unseen: {:?}",
            &export[at.saturating_sub(30)..(at + 30).min(export.len())]
        );
    }
}
