//! Acts on releases in SQLite.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{Sqlite, audit::append};
use crate::{
    domain::RouteId,
    store::{
        Answer, Record, StoreError,
        releases::{ReleaseRow, Releases},
    },
};

const MARK: &str = "SELECT coalesce(max(seq), 0) FROM release_acts";

impl Releases for Sqlite {
    fn release_mark(&self) -> Answer<'_, i64> {
        Box::pin(async { Ok(sqlx::query_scalar(MARK).fetch_one(&self.pool).await?) })
    }

    fn release_acts(&self) -> Answer<'_, Vec<ReleaseRow>> {
        Box::pin(async {
            let found = sqlx::query("SELECT * FROM release_acts ORDER BY seq").fetch_all(&self.pool).await?;
            found.iter().map(row).collect()
        })
    }

    fn release_append(&self, rows: Vec<ReleaseRow>, after: Option<i64>, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            if let Some(after) = after
                && sqlx::query_scalar::<_, i64>(MARK).fetch_one(&mut *transaction).await? != after
            {
                return Ok(false);
            }
            let sql = "INSERT INTO release_acts (id, at_unix_ms, route, entry, act) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING";
            for row in &rows {
                sqlx::query(sql)
                    .bind(&row.id)
                    .bind(row.at_unix_ms)
                    .bind(row.route.as_str())
                    .bind(&row.entry)
                    .bind(&row.act)
                    .execute(&mut *transaction)
                    .await?;
            }
            append(&mut transaction, &entry).await?;
            transaction.commit().await?;
            Ok(true)
        })
    }
}

fn row(row: &SqliteRow) -> Result<ReleaseRow, StoreError> {
    Ok(ReleaseRow {
        id: row.try_get("id")?,
        at_unix_ms: row.try_get("at_unix_ms")?,
        route: RouteId::new(row.try_get::<String, _>("route")?),
        entry: row.try_get("entry")?,
        act: row.try_get("act")?,
    })
}
