//! The embedded database: one file, readers beside one writer (WAL), every commit on disk before it is answered.
//!
//! `synchronous = FULL`, because the ledger deletes its journal once a commit was answered.

mod admin;
mod audit;
mod calls;
mod clients;
mod drills;
mod migrate;
mod quality;
mod releases;
mod renewals;
mod rows;
mod shares;
mod spent;
mod tidy;
mod triggers;
mod usage;
mod used;

use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{
    Connection as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Database, StoreError};

/// How long a statement waits for another process's write before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 4;

#[derive(Debug, Clone)]
pub(super) struct Sqlite {
    pool: SqlitePool,
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        create_private_file(path).map_err(|source| StoreError::Create { path: path.to_owned(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // What is forgotten of a person leaves the file, not only the table.
            .pragma("secure_delete", "ON");
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY_TIMEOUT)
            // A full disk ends a transaction in SQLite and not in sqlx, which could begin none on that connection any more.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_lazy_with(options);
        migrate::migrate(&pool, path).await?;
        Ok(Self { pool })
    }
}

impl Database for Sqlite {
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
    }
}

/// A failure while opening `path`, by what the user can do about it.
fn opening(path: &Path, source: sqlx::Error) -> StoreError {
    let path: PathBuf = path.to_owned();
    match result_code(&source) {
        // SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_FULL: https://sqlite.org/rescode.html
        Some(3 | 8 | 14 | 13) => StoreError::NotWritable { path, source },
        // SQLITE_CORRUPT, SQLITE_NOTADB
        Some(11 | 26) => StoreError::Damaged { path, source },
        _ => StoreError::Unavailable { source },
    }
}

/// SQLITE_BUSY: another process holds the lock. Switching to WAL answers so at once, whatever the timeout.
fn is_busy(error: &sqlx::Error) -> bool {
    result_code(error) == Some(5)
}

/// SQLite's primary result code.
fn result_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<u32>().ok().map(|extended| extended & 0xff)
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        Self::Unavailable { source }
    }
}

/// Makes an empty file that only its owner may read, or narrows the one that is there. SQLite gives its WAL the same
/// mode. An existing file is never opened here: closing it would drop the locks of this process's own connections.
fn create_private_file(path: &Path) -> io::Result<()> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path)?.permissions().mode();
            if mode & 0o077 != 0 { fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700)) } else { Ok(()) }
        }
        Err(error) => Err(error),
    }
}
