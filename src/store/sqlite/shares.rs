//! Shares in SQLite: sums written where calls become final, overrides beside their audit entries.

use std::collections::BTreeMap;

use sqlx::{QueryBuilder, Row as _, Sqlite as Db, SqliteConnection, sqlite::SqliteRow};

use super::{
    Sqlite,
    clients::audited,
    rows::{self, unsigned, word},
};
use crate::{
    domain::{CallId, Ending, RouteId, TargetId, Task, VendorId, Volume},
    store::{
        Answer, Journaled, Record, StoreError,
        shares::{Replayed, ShareOverride, ShareRow, Shares},
    },
};

const HOUR_MS: i64 = 3_600_000;
/// Rows of one statement.
const CHUNK: usize = 128;

const UPSERT: &str = " ON CONFLICT (hour_unix_ms, vendor, journal) DO UPDATE SET tokens = tokens + excluded.tokens, \
     requests = requests + excluded.requests, cost_micros = cost_micros + excluded.cost_micros";

/// Sums over attempts of calls that a condition picks.
const SUMS: &str = "SELECT c.started_unix_ms - c.started_unix_ms % 3600000 AS hour_unix_ms, a.vendor AS vendor, \
     c.journal AS journal, sum(a.input_tokens + a.output_tokens) AS tokens, count(*) AS requests, \
     coalesce(sum(max(a.cost_micros, 0)), 0) AS cost_micros \
     FROM calls c INDEXED BY calls_open JOIN attempts a ON a.call_id = c.id WHERE c.ending = 'open' AND a.usage_source <> 'none' AND ";

impl Shares for Sqlite {
    fn shares_since(&self, since_unix_ms: i64, journal: Option<String>) -> Answer<'_, Vec<ShareRow>> {
        Box::pin(async move {
            // What is open is in no sum yet: its process died, or is about to end it.
            let sql = format!(
                "SELECT hour_unix_ms, vendor, sum(tokens) AS tokens, sum(requests) AS requests, \
                 sum(cost_micros) AS cost_micros FROM (SELECT hour_unix_ms, vendor, journal, tokens, requests, cost_micros \
                 FROM share_hours WHERE hour_unix_ms >= ?1 \
                 UNION ALL {SUMS} c.started_unix_ms >= ?1 GROUP BY 1, 2, 3) WHERE journal IS NOT ?2 GROUP BY 1, 2"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(sql));
            let since = since_unix_ms - since_unix_ms.rem_euclid(HOUR_MS);
            query.bind(since).bind(journal).fetch_all(&self.pool).await?.iter().map(share).collect()
        })
    }

    fn share_override(&self, now_unix_ms: i64) -> Answer<'_, Option<ShareOverride>> {
        Box::pin(async move {
            let sql = "SELECT * FROM share_overrides WHERE ends_unix_ms > ? ORDER BY ends_unix_ms DESC LIMIT 1";
            let found = sqlx::query(sql).bind(now_unix_ms).fetch_optional(&self.pool).await?;
            found.as_ref().map(share_override).transpose()
        })
    }

    fn begin_share_override(&self, new: ShareOverride, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "SELECT EXISTS (SELECT 1 FROM share_overrides WHERE ends_unix_ms > ?)";
            if sqlx::query_scalar(sql).bind(new.begins_unix_ms).fetch_one(&mut *transaction).await? {
                return Ok(false);
            }
            let sql = "INSERT INTO share_overrides (id, begins_unix_ms, ends_unix_ms, reason) VALUES (?, ?, ?, ?)";
            let query = sqlx::query(sql).bind(&new.id).bind(new.begins_unix_ms).bind(new.ends_unix_ms);
            query.bind(&new.reason).execute(&mut *transaction).await?;
            audited(transaction, &entry).await?;
            Ok(true)
        })
    }

    fn end_share_override(&self, id: String, now_unix_ms: i64, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "UPDATE share_overrides SET ends_unix_ms = ?1 WHERE id = ?2 AND ends_unix_ms > ?1";
            let done = sqlx::query(sql).bind(now_unix_ms).bind(id).execute(&mut *transaction).await?;
            if done.rows_affected() == 0 {
                return Ok(false);
            }
            audited(transaction, &entry).await?;
            Ok(true)
        })
    }

    fn replay(&self, since_unix_ms: i64, after: Option<(i64, CallId)>, limit: u32) -> Answer<'_, Vec<Replayed>> {
        Box::pin(async move {
            let (at, id) = after.map_or((since_unix_ms - 1, String::new()), |(at, call)| (at, call.to_string()));
            let sql = "SELECT c.id, c.started_unix_ms, c.route, c.task, c.streamed, c.ending, \
                 a.vendor, a.model, a.ttft_ms, a.duration_ms, a.cost_micros, coalesce(a.service, 'standard') AS service, \
                 coalesce(a.input_tokens, 0) AS input_tokens, coalesce(a.output_tokens, 0) AS output_tokens, \
                 coalesce(a.cached_tokens, 0) AS cached_tokens, coalesce(a.cache_write_tokens, 0) AS cache_write_tokens, \
                 coalesce(a.cache_write_1h_tokens, 0) AS cache_write_1h_tokens, coalesce(a.audio_input_tokens, 0) AS audio_input_tokens, \
                 coalesce(a.image_input_tokens, 0) AS image_input_tokens, coalesce(a.unbilled_input_tokens, 0) AS unbilled_input_tokens, \
                 coalesce(a.reasoning_tokens, 0) AS reasoning_tokens, coalesce(a.audio_output_tokens, 0) AS audio_output_tokens, \
                 coalesce(a.image_output_tokens, 0) AS image_output_tokens, coalesce(a.unbilled_output_tokens, 0) AS unbilled_output_tokens, \
                 coalesce(a.machine_us, 0) AS machine_us, coalesce(a.web_searches, 0) AS web_searches, \
                 coalesce(a.file_searches, 0) AS file_searches, coalesce(a.code_sessions, 0) AS code_sessions \
                 FROM calls c LEFT JOIN attempts a ON a.call_id = c.id AND a.counts_call \
                 WHERE c.ending <> 'open' AND (c.started_unix_ms, c.id) > (?, ?) \
                 ORDER BY c.started_unix_ms, c.id LIMIT ?";
            let query = sqlx::query(sql).bind(at).bind(id).bind(limit);
            query.fetch_all(&self.pool).await?.iter().map(replayed).collect()
        })
    }
}

/// Adds calls that have just become final.
pub(super) async fn add(connection: &mut SqliteConnection, calls: &[&Journaled]) -> Result<(), StoreError> {
    let mut sums: BTreeMap<_, Volume> = BTreeMap::new();
    for Journaled { outcome, journal } in calls.iter().filter(|call| call.outcome.ending != Ending::Open) {
        let started = outcome.started_unix_ms;
        for attempt in &outcome.attempts {
            let volume = Volume::of_attempt(attempt);
            if volume != Volume::ZERO {
                let key = (started - started.rem_euclid(HOUR_MS), attempt.target.vendor.as_str(), &**journal);
                *sums.entry(key).or_default() += volume;
            }
        }
    }
    for chunk in sums.into_iter().collect::<Vec<_>>().chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO share_hours (hour_unix_ms, vendor, journal, tokens, requests, cost_micros) ",
        );
        query.push_values(chunk, |mut row, ((hour, vendor, journal), volume)| {
            row.push_bind(*hour)
                .push_bind(*vendor)
                .push_bind(*journal)
                .push_bind(sum(volume.tokens))
                .push_bind(sum(volume.requests))
                .push_bind(sum(volume.cost_micros));
        });
        query.push(UPSERT);
        query.build().persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Adds what `journal` left open and nobody will end. Before its calls are marked as interrupted.
pub(super) async fn add_open(connection: &mut SqliteConnection, journal: &str) -> Result<(), StoreError> {
    let sql =
        format!("INSERT INTO share_hours SELECT * FROM ({SUMS} c.journal = ? GROUP BY 1, 2, 3) WHERE true{UPSERT}");
    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(journal).execute(connection).await?;
    Ok(())
}

/// A sum over some calls: each attempt of it is bounded, see [`Volume::of_attempt`].
fn sum(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn share(row: &SqliteRow) -> Result<ShareRow, StoreError> {
    let sum = |name| row.try_get::<i64, _>(name).map(unsigned);
    Ok(ShareRow {
        vendor: VendorId::new(row.try_get::<String, _>("vendor")?),
        hour_unix_ms: row.try_get("hour_unix_ms")?,
        volume: Volume { tokens: sum("tokens")?, requests: sum("requests")?, cost_micros: sum("cost_micros")? },
    })
}

fn share_override(row: &SqliteRow) -> Result<ShareOverride, StoreError> {
    Ok(ShareOverride {
        id: row.try_get("id")?,
        begins_unix_ms: row.try_get("begins_unix_ms")?,
        ends_unix_ms: row.try_get("ends_unix_ms")?,
        reason: row.try_get("reason")?,
    })
}

fn replayed(row: &SqliteRow) -> Result<Replayed, StoreError> {
    let id: String = row.try_get("id")?;
    let text = |name| row.try_get::<Option<String>, _>(name);
    let streamed: bool = row.try_get("streamed")?;
    let ending: Ending = word("ending", &row.try_get::<String, _>("ending")?)?;
    let target = match (text("vendor")?, text("model")?) {
        (Some(vendor), Some(model)) => Some(TargetId { vendor: VendorId::new(vendor), model: model.into() }),
        _ => None,
    };
    let (ttft_ms, duration_ms): (Option<f64>, Option<f64>) = (row.try_get("ttft_ms")?, row.try_get("duration_ms")?);
    Ok(Replayed {
        call: CallId::parse(&id).ok_or(StoreError::Unknown { what: "call id", value: id })?,
        at_unix_ms: row.try_get("started_unix_ms")?,
        route: RouteId::new(row.try_get::<String, _>("route")?),
        task: word::<Task>("task", &row.try_get::<String, _>("task")?)?,
        streamed,
        answered: ending == Ending::Answered,
        // One that was only passed over was not asked.
        target: target.filter(|_| duration_ms.is_some()),
        usage: rows::usage(row)?,
        cost_micros: row.try_get("cost_micros")?,
        waited_ms: if streamed { ttft_ms } else { duration_ms },
    })
}
