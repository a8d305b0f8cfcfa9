//! The database file itself in the hands of someone who can write it and takes the guards away: whatever is changed, `audit verify` says so.

use std::{fs, path::PathBuf};

use sqlx::{Connection as _, Executor as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{CONFIG, exported, offline, settle};
use crate::home::Home;

/// Entries of the log that the tests tamper with, the key's own among them.
const ENTRIES: u64 = 9;

/// A log, its file put by, and a checkpoint that was published before anything was done to it.
struct Log {
    home: Home,
    copy: PathBuf,
    published: String,
    key: String,
}

impl Log {
    fn new() -> Self {
        let home = Home::new(CONFIG);
        for number in 1..ENTRIES {
            home.ok(&["tenants", "add", &format!("tenant-{number}")]);
        }
        let key = home.ok(&["audit", "key"]).trim().to_owned();
        assert!(home.ok(&["audit", "verify"]).starts_with(&format!("whole: {ENTRIES} entries")));
        let published = home.path().join("published.checkpoint");
        fs::copy(home.state().join("audit/checkpoint"), &published).expect("is signed after each act");
        settle(&home);
        let copy = home.path().join("copy.db");
        fs::copy(home.state().join("backstop.db"), &copy).expect("copies");
        Self { copy, published: published.to_str().expect("is text").to_owned(), key, home }
    }

    /// As it was.
    fn put_back(&self) {
        settle(&self.home);
        fs::copy(&self.copy, self.home.state().join("backstop.db")).expect("copies");
    }

    /// Runs `sql` with the guards out of the way, and puts them back, so that only the tampering is seen.
    fn tamper(&self, sql: &str) {
        self.on_file(async |connection| {
            let guards =
                sqlx::query("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'audit_%'");
            let guards = guards.fetch_all(&mut *connection).await.expect("reads");
            let guards: Vec<(String, String)> = guards.iter().map(|row| (row.get(0), row.get(1))).collect();
            assert!(guards.len() >= 4, "there are guards: {guards:?}");
            let mut script = "PRAGMA foreign_keys = OFF; ".to_owned();
            script.extend(guards.iter().map(|(name, _)| format!("DROP TRIGGER {name}; ")));
            script.push_str(sql);
            script.extend(guards.iter().map(|(_, sql)| format!("; {sql}")));
            connection.execute(sqlx::AssertSqlSafe(script)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        });
    }

    fn on_file<T: Send>(&self, work: impl AsyncFnOnce(&mut SqliteConnection) -> T + Send) -> T {
        let database = self.home.state().join("backstop.db");
        std::thread::scope(|scope| {
            let working = scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let options = SqliteConnectOptions::new().filename(&database);
                    let mut connection = SqliteConnection::connect_with(&options).await.expect("opens");
                    let done = work(&mut connection).await;
                    connection.close().await.expect("closes");
                    done
                })
            });
            working.join().expect("does not panic")
        })
    }

    /// What verifying says of the database alone, as its exit code has it.
    fn is_found(&self, what: &str) {
        let ran = self.home.run(&["audit", "verify"]);
        assert!(ran.code == Some(1) && ran.stdout.contains("WRONG"), "{what} was not found: {ran:?}");
    }
}

#[test]
fn each_column_of_each_table_of_the_log_counts() {
    let log = Log::new();
    let columns = log.on_file(async |connection| {
        let mut columns: Vec<(String, String, String)> = Vec::new();
        for table in ["audit_entries", "audit_hashes", "audit_personal"] {
            let sql = "SELECT name, type FROM pragma_table_info(?)";
            for row in sqlx::query(sql).bind(table).fetch_all(&mut *connection).await.expect("reads") {
                columns.push((table.to_owned(), row.get(0), row.get(1)));
            }
        }
        columns
    });
    assert!(columns.len() >= 13, "{columns:?}");
    for (table, column, kind) in columns {
        // The last row: what a cut or a shift would spare.
        let row = format!("rowid = (SELECT max(rowid) FROM {table})");
        let changed = match (column.as_str(), kind.as_str()) {
            // To another entry, which has no such value.
            ("seq", _) if table == "audit_personal" => {
                "(SELECT seq FROM audit_entries WHERE action = 'audit.key')".to_owned()
            }
            ("bytes", _) => "CAST(CAST(bytes AS TEXT) || ' ' AS BLOB)".to_owned(),
            (_, "INTEGER") => format!("{column} + 1000"),
            (_, "BLOB") => format!("zeroblob(length({column}))"),
            _ => format!("{column} || 'x'"),
        };
        log.tamper(&format!("UPDATE {table} SET {column} = {changed} WHERE {row}"));
        log.is_found(&format!("{table}.{column}"));
        log.put_back();
    }
    assert!(log.home.ok(&["audit", "verify"]).starts_with("whole: "), "put back, it is whole");
}

#[test]
fn rows_that_are_gone_added_or_in_another_order_are_found() {
    let log = Log::new();
    let shifted = |from: u64, by: i64| {
        // In two steps, because a number is there once.
        format!(
            "UPDATE audit_entries SET seq = -1 - seq WHERE seq >= {from}; \
             UPDATE audit_entries SET seq = -1 - seq + {by} WHERE seq < 0"
        )
    };
    let swapped = "UPDATE audit_entries SET seq = -1 WHERE seq = 3; UPDATE audit_entries SET seq = 3 WHERE seq = 4; \
         UPDATE audit_entries SET seq = 4 WHERE seq = -1";
    let one_more = |seq: u64| {
        format!(
            "INSERT INTO audit_entries SELECT {seq}, 'new', at_unix_ms, action, object, bytes FROM audit_entries WHERE seq = 1"
        )
    };
    let mut cases: Vec<(String, String)> = (0..ENTRIES)
        .map(|seq| (format!("entry {seq} gone"), format!("DELETE FROM audit_entries WHERE seq = {seq}")))
        .collect();
    cases.extend([
        ("a gap that was closed".to_owned(), format!("DELETE FROM audit_entries WHERE seq = 5; {}", shifted(6, -1))),
        ("another order".to_owned(), swapped.to_owned()),
        ("one more at the end".to_owned(), one_more(ENTRIES)),
        ("one more in the middle".to_owned(), format!("{}; {}", shifted(5, 1), one_more(5))),
        ("the hashes gone".to_owned(), "DELETE FROM audit_hashes".to_owned()),
        (
            "all of it gone".to_owned(),
            "DELETE FROM audit_entries; DELETE FROM audit_hashes; DELETE FROM audit_personal".to_owned(),
        ),
    ]);
    for (what, sql) in cases {
        log.tamper(&sql);
        log.is_found(&what);
        log.put_back();
    }
}

#[test]
fn a_cut_that_fits_a_fork_and_another_key_are_found() {
    let log = Log::new();
    let with_published = |what: &str| {
        let ran = log.home.run(&["audit", "verify", "--checkpoint", &log.published]);
        assert!(ran.code == Some(1) && ran.stdout.contains("WRONG"), "{what} was not found: {ran:?}");
    };
    // Seven entries have eleven hashes: what is left fits together, and the host's own last checkpoint tells.
    log.tamper("DELETE FROM audit_entries WHERE seq >= 7; DELETE FROM audit_hashes WHERE position >= 11; DELETE FROM audit_personal WHERE seq >= 7");
    log.is_found("a cut tail");
    with_published("a cut tail");
    // Grown on from there: another history of the same length, which the gateway does not sign.
    for number in 0..2 {
        log.home.run(&["tenants", "add", &format!("forked-{number}")]);
    }
    log.is_found("a fork");
    with_published("a fork");
    log.put_back();

    // Another installation's key in the place of this one's, with all that it needs: it signs, and convinces nobody.
    let other = Home::new(CONFIG);
    other.key();
    for dir in ["audit", "vault"] {
        let (from, to) = (other.state().join(dir), log.home.state().join(dir));
        fs::remove_dir_all(&to).expect("is there");
        fs::create_dir(&to).expect("makes");
        for file in fs::read_dir(from).expect("lists").flatten().filter(|file| file.path().is_file()) {
            fs::copy(file.path(), to.join(file.file_name())).expect("copies");
        }
    }
    let signed = log.home.run(&["audit", "export", "--out", "early.jsonl"]);
    assert_ne!(signed.code, Some(0), "its own last checkpoint is of another log: {signed:?}");
    fs::remove_file(log.home.state().join("audit/checkpoint")).expect("is there");
    let export = exported(&log.home, "signed-anew.jsonl");
    let ran = offline(&export, &log.key, &[]);
    assert!(ran.code == Some(1), "another key's signature is believed: {ran:?}");
    let ran = offline(&export, log.home.ok(&["audit", "key"]).trim(), &["--checkpoint", &log.published]);
    assert!(ran.code == Some(1), "a published checkpoint of another key is believed: {ran:?}");
    let ran = log.home.run(&["audit", "verify", "--checkpoint", &log.published]);
    assert!(ran.code == Some(1), "{ran:?}");
}
