//! Forgetting in SQLite: a day of sums a transaction, so that nobody waits for the writer long.

use sqlx::{AssertSqlSafe, SqlitePool};

use super::Sqlite;
use crate::store::{Answer, StoreError, tidy::Tidy};

const DAY_MS: i64 = 24 * 3600 * 1000;

impl Tidy for Sqlite {
    fn forget_sums(&self, used_before_unix_ms: i64, served_before_unix_ms: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let used = forget(&self.pool, "used", used_before_unix_ms).await?;
            Ok(used + forget(&self.pool, "share_hours", served_before_unix_ms).await?)
        })
    }
}

/// The primary keys of both tables begin with the hour.
async fn forget(pool: &SqlitePool, table: &'static str, before_unix_ms: i64) -> Result<u64, StoreError> {
    let sql = format!("DELETE FROM {table} WHERE hour_unix_ms < min(?1, (SELECT min(hour_unix_ms) FROM {table}) + ?2)");
    let mut all = 0;
    loop {
        let query = sqlx::query(AssertSqlSafe(sql.clone())).bind(before_unix_ms).bind(DAY_MS);
        match query.execute(pool).await?.rows_affected() {
            0 => return Ok(all),
            rows => all += rows,
        }
    }
}
