//! Acts on releases in SQLite.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    Sqlite,
    audit::append,
    rows::{count, unsigned},
};
use crate::{
    domain::RouteId,
    store::{
        Answer, Record, StoreError,
        releases::{ReleaseRow, Releases, ShadowRow, ShadowSums},
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

    fn shadows_add(&self, rows: Vec<ShadowRow>) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sums = SUMS.map(|name| format!("{name} = {name} + excluded.{name}")).join(", ");
            let sql = format!(
                "INSERT INTO shadows (route, release, {}) VALUES (?, ?{}) ON CONFLICT (route, release) DO UPDATE SET {sums}",
                SUMS.join(", "),
                ", ?".repeat(SUMS.len()),
            );
            for ShadowRow { route, release, sums } in &rows {
                let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.clone())).bind(route.as_str()).bind(release);
                for sum in in_order(sums) {
                    query = query.bind(count(sum));
                }
                query.execute(&mut *transaction).await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    fn shadows(&self, route: RouteId) -> Answer<'_, Vec<ShadowRow>> {
        Box::pin(async move {
            let query = sqlx::query("SELECT * FROM shadows WHERE route = ? ORDER BY release").bind(route.as_str());
            query.fetch_all(&self.pool).await?.iter().map(|row| shadow(row, &route)).collect()
        })
    }
}

/// The columns of sums, as [`in_order`] gives them.
const SUMS: [&str; 13] = [
    "asked",
    "failed",
    "dropped",
    "compared",
    "same_finish",
    "same_json",
    "same_tools",
    "refused",
    "served_refused",
    "bytes",
    "served_bytes",
    "took_us",
    "served_us",
];

fn in_order(sums: &ShadowSums) -> [u64; 13] {
    [
        sums.asked,
        sums.failed,
        sums.dropped,
        sums.compared,
        sums.same_finish,
        sums.same_json,
        sums.same_tools,
        sums.refused,
        sums.served_refused,
        sums.bytes,
        sums.served_bytes,
        sums.took_us,
        sums.served_us,
    ]
}

fn shadow(row: &SqliteRow, route: &RouteId) -> Result<ShadowRow, StoreError> {
    let sum = |name| row.try_get::<i64, _>(name).map(unsigned);
    let sums = ShadowSums {
        asked: sum("asked")?,
        failed: sum("failed")?,
        dropped: sum("dropped")?,
        compared: sum("compared")?,
        same_finish: sum("same_finish")?,
        same_json: sum("same_json")?,
        same_tools: sum("same_tools")?,
        refused: sum("refused")?,
        served_refused: sum("served_refused")?,
        bytes: sum("bytes")?,
        served_bytes: sum("served_bytes")?,
        took_us: sum("took_us")?,
        served_us: sum("served_us")?,
    };
    Ok(ShadowRow { route: route.clone(), release: row.try_get("release")?, sums })
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
