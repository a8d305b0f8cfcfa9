//! Brings a file's schema up to ours, in one transaction; never touches one that is newer, or another application's.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{SqliteConnection, SqlitePool};

use super::{BUSY_TIMEOUT, is_busy, opening};
use crate::{clock, store::StoreError};

/// In order; a file's `user_version` is how many of them it has had.
const MIGRATIONS: [&str; 19] = [
    include_str!("../migrations/sqlite/0001_calls.sql"),
    include_str!("../migrations/sqlite/0002_clients.sql"),
    include_str!("../migrations/sqlite/0003_roles.sql"),
    include_str!("../migrations/sqlite/0004_tasks.sql"),
    include_str!("../migrations/sqlite/0014_audit.sql"),
    include_str!("../migrations/sqlite/0015_limits.sql"),
    include_str!("../migrations/sqlite/0016_cost.sql"),
    include_str!("../migrations/sqlite/0018_shares.sql"),
    include_str!("../migrations/sqlite/0019_share_overrides.sql"),
    include_str!("../migrations/sqlite/0021_releases.sql"),
    include_str!("../migrations/sqlite/0025_admin.sql"),
    include_str!("../migrations/sqlite/0026_triggers.sql"),
    include_str!("../migrations/sqlite/0022_call_release.sql"),
    include_str!("../migrations/sqlite/0023_shadows.sql"),
    include_str!("../migrations/sqlite/0024_drills.sql"),
    include_str!("../migrations/sqlite/0029_quality.sql"),
    include_str!("../migrations/sqlite/0030_tool_uses.sql"),
    include_str!("../migrations/sqlite/0033_incidents_again.sql"),
    include_str!("../migrations/sqlite/0034_renewals.sql"),
];

/// `backs` as the file's application id: https://sqlite.org/pragma.html#pragma_application_id
const APPLICATION_ID: i64 = 0x6261_636b;

pub(super) async fn migrate(pool: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let give_up = clock::now() + BUSY_TIMEOUT;
    loop {
        match migrate_once(pool, path).await {
            Err(StoreError::Unavailable { source }) if is_busy(&source) && Instant::now() < give_up => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

async fn migrate_once(pool: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let failed = |source| opening(path, source);
    let ours = MIGRATIONS.len() as i64;
    // One transaction, so one state of the file: another process may be migrating it at this moment.
    let mut reading = pool.begin().await.map_err(failed)?;
    let found = version(&mut reading, path).await?;
    reading.rollback().await.map_err(failed)?;
    if found == ours {
        return Ok(());
    }
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    // Read again under the lock: another process may have been faster.
    let found = version(&mut transaction, path).await?;
    let done = usize::try_from(found).unwrap_or(0);
    for sql in MIGRATIONS.into_iter().skip(done) {
        sqlx::raw_sql(sql).execute(&mut *transaction).await.map_err(failed)?;
    }
    let marks = format!("PRAGMA user_version = {ours}; PRAGMA application_id = {APPLICATION_ID}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// The schema that the file has, if it may be ours.
async fn version(connection: &mut SqliteConnection, path: &Path) -> Result<i64, StoreError> {
    let failed = |source| opening(path, source);
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(failed)?;
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await.map_err(failed)?;
    if application != APPLICATION_ID && (application, found, tables) != (0, 0, 0) {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    let ours = MIGRATIONS.len() as i64;
    if found > ours {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, ours });
    }
    Ok(found)
}
