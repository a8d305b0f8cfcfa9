//! The hourly sums in SQLite: written where calls become final, and read once, at a start.

use std::collections::BTreeMap;

use sqlx::{QueryBuilder, Row as _, Sqlite as Db, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{
    Sqlite,
    rows::{count, micros, unsigned},
};
use crate::{
    domain::{Ending, FeatureId, KeyId, Money, Outcome, RouteId, TenantId},
    store::{
        Answer, StoreError,
        used::{Used, UsedRow},
    },
};

const HOUR_MS: i64 = 3_600_000;

/// Rows of one statement.
const CHUNK: usize = 128;

const UPSERT: &str = " ON CONFLICT (hour_unix_ms, tenant, key_id, feature, route) DO UPDATE SET \
     calls = calls + excluded.calls, tokens = tokens + excluded.tokens, \
     cost_micros = cost_micros + excluded.cost_micros";

impl Used for Sqlite {
    fn used_since(&self, since_unix_ms: i64) -> Answer<'_, Vec<UsedRow>> {
        Box::pin(async move {
            // What is open is in no sum yet: its process died, or is about to end it.
            let open = sums(HOUR_MS, "c.ending = 'open' AND c.started_unix_ms >= ?");
            let sql = format!(
                "SELECT hour_unix_ms AS since, tenant, key_id, feature, route, calls, tokens, cost_micros FROM used \
                 WHERE hour_unix_ms >= ? UNION ALL {open}"
            );
            read(&self.pool, sql, [since_unix_ms - since_unix_ms.rem_euclid(HOUR_MS), since_unix_ms].as_slice()).await
        })
    }

    fn used_by_second(&self, since_unix_ms: i64) -> Answer<'_, Vec<UsedRow>> {
        Box::pin(
            async move { read(&self.pool, sums(1000, "c.started_unix_ms >= ?"), [since_unix_ms].as_slice()).await },
        )
    }
}

/// Adds calls that have just become final.
pub(super) async fn add(connection: &mut SqliteConnection, calls: &[&Outcome]) -> Result<(), StoreError> {
    let mut sums = BTreeMap::new();
    for outcome in calls.iter().filter(|outcome| outcome.ending != Ending::Open) {
        let started = outcome.started_unix_ms;
        let key = (
            started - started % HOUR_MS,
            outcome.tenant.as_str(),
            outcome.key.as_str(),
            outcome.feature.as_ref().map_or("", |feature| feature.as_str()),
            outcome.route.as_str(),
        );
        let sum: &mut (i64, i64, i64) = sums.entry(key).or_default();
        sum.0 += 1;
        for attempt in &outcome.attempts {
            sum.1 += count(attempt.usage.input) + count(attempt.usage.output);
            sum.2 += attempt.cost.map_or(0, micros);
        }
    }
    for chunk in sums.into_iter().collect::<Vec<_>>().chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO used (hour_unix_ms, tenant, key_id, feature, route, calls, tokens, cost_micros) ",
        );
        query.push_values(chunk, |mut row, ((hour, tenant, key, feature, route), (calls, tokens, cost))| {
            row.push_bind(*hour)
                .push_bind(*tenant)
                .push_bind(*key)
                .push_bind(*feature)
                .push_bind(*route)
                .push_bind(*calls)
                .push_bind(*tokens)
                .push_bind(*cost);
        });
        query.push(UPSERT);
        query.build().persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Adds what `journal` left open and nobody will end. Before its calls are marked as interrupted.
pub(super) async fn add_open(connection: &mut SqliteConnection, journal: &str) -> Result<(), StoreError> {
    let open = sums(HOUR_MS, "c.ending = 'open' AND c.journal = ?");
    let sql = format!("INSERT INTO used SELECT * FROM ({open}) WHERE true{UPSERT}");
    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(journal).execute(connection).await?;
    Ok(())
}

/// Sums over calls, by spans of so many ms.
fn sums(span_ms: i64, calls: &str) -> String {
    format!(
        "SELECT c.started_unix_ms - c.started_unix_ms % {span_ms} AS since, c.tenant AS tenant, c.key_id AS key_id, \
         coalesce(c.feature, '') AS feature, c.route AS route, count(DISTINCT c.id) AS calls, \
         coalesce(sum(a.input_tokens + a.output_tokens), 0) AS tokens, coalesce(sum(a.cost_micros), 0) AS cost_micros \
         FROM calls c LEFT JOIN attempts a ON a.call_id = c.id WHERE {calls} GROUP BY 1, 2, 3, 4, 5"
    )
}

async fn read(pool: &SqlitePool, sql: String, since: &[i64]) -> Result<Vec<UsedRow>, StoreError> {
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
    for moment in since {
        query = query.bind(*moment);
    }
    query.fetch_all(pool).await?.iter().map(used).collect()
}

fn used(row: &SqliteRow) -> Result<UsedRow, StoreError> {
    let text = |name| row.try_get::<String, _>(name);
    let sum = |name| row.try_get::<i64, _>(name).map(unsigned);
    Ok(UsedRow {
        since_unix_ms: row.try_get("since")?,
        tenant: TenantId::new(text("tenant")?),
        key: KeyId::new(text("key_id")?),
        feature: Some(text("feature")?).filter(|feature| !feature.is_empty()).map(FeatureId::new),
        route: RouteId::new(text("route")?),
        calls: sum("calls")?,
        tokens: sum("tokens")?,
        cost: Money::from_micros(row.try_get("cost_micros")?),
    })
}
