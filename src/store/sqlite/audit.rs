//! The audit log in SQLite. [`append`] is for every act that is in the database: call it in the act's own transaction.

use std::collections::HashMap;

use serde_json::json;
use sqlx::{QueryBuilder, Row as _, Sqlite as Db, SqliteConnection, sqlite::SqliteRow};

use super::{Sqlite, rows::unsigned};
use crate::{
    domain::Act,
    store::{
        Answer, StoreError,
        audit::{AuditFilter, AuditLog, AuditRow, Personal, Record},
        merkle::{self, Digest, Question},
    },
};

/// Parameters of one statement, far below SQLite's bound.
const CHUNK: usize = 500;
/// The most that one listing gives.
const MOST_LISTED: u32 = 100_000;

const GUARDS: [&str; 8] = [
    "audit_entries_no_update",
    "audit_entries_no_delete",
    "audit_entries_in_order",
    "audit_hashes_no_update",
    "audit_hashes_no_delete",
    "audit_hashes_in_order",
    "audit_personal_no_update",
    "audit_personal_once",
];

impl AuditLog for Sqlite {
    fn audit_append(&self, records: Vec<Record>) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            for record in &records {
                append(&mut transaction, record).await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    fn audit_size(&self) -> Answer<'_, u64> {
        Box::pin(async { size(&mut *self.pool.acquire().await?).await })
    }

    fn audit_entries(&self, from: u64, limit: u32) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(async move {
            let query = sqlx::query("SELECT * FROM audit_entries WHERE seq >= ? ORDER BY seq LIMIT ?");
            let found = query.bind(signed(from)).bind(limit).fetch_all(&self.pool).await?;
            self.with_personal(&found).await
        })
    }

    fn audit_find(&self, filter: AuditFilter) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(async move {
            let mut query = QueryBuilder::<Db>::new("SELECT * FROM audit_entries AS entry WHERE true");
            if let Some(action) = &filter.action {
                query.push(" AND (action = ").push_bind(action.clone());
                query.push(" OR substr(action, 1, ").push_bind(action.chars().count() as i64 + 1);
                query.push(") = ").push_bind(format!("{action}.")).push(")");
            }
            if let Some(object) = &filter.object {
                query.push(" AND (object = ").push_bind(object.clone());
                query.push(" OR substr(object, instr(object, ':') + 1) = ").push_bind(object.clone()).push(")");
            }
            if let Some(actor) = &filter.actor {
                // Its kind, as the bytes begin to say it: a value inside of them cannot look like this, since its quotes are escaped.
                let kind = format!("\"actor\":{{\"kind\":{},", serde_json::Value::from(actor.as_str()));
                query.push(" AND (instr(CAST(entry.bytes AS TEXT), ").push_bind(kind).push(") > 0");
                query.push(" OR EXISTS (SELECT 1 FROM audit_personal AS known WHERE known.seq = entry.seq");
                query.push(" AND known.field LIKE 'actor.%' AND known.value = ").push_bind(actor.clone()).push("))");
            }
            if let Some(since) = filter.since_unix_ms {
                query.push(" AND at_unix_ms >= ").push_bind(since);
            }
            if let Some(before) = filter.before_seq {
                query.push(" AND seq < ").push_bind(signed(before));
            }
            query.push(" ORDER BY seq DESC LIMIT ").push_bind(filter.limit.min(MOST_LISTED));
            let found = query.build().fetch_all(&self.pool).await?;
            self.with_personal(&found).await
        })
    }

    fn audit_hashes(&self, positions: Vec<u64>) -> Answer<'_, Vec<(u64, Digest)>> {
        Box::pin(async move {
            let found = hashes(&mut *self.pool.acquire().await?, &positions).await?;
            Ok(found.into_iter().collect())
        })
    }

    fn audit_hashes_from(&self, from: u64, limit: u32) -> Answer<'_, Vec<(u64, Vec<u8>)>> {
        Box::pin(async move {
            let query = sqlx::query("SELECT * FROM audit_hashes WHERE position >= ? ORDER BY position LIMIT ?");
            let found = query.bind(signed(from)).bind(limit).fetch_all(&self.pool).await?;
            found.iter().map(|row| Ok((unsigned(row.try_get("position")?), row.try_get("hash")?))).collect()
        })
    }

    fn audit_forget(&self, value: String, act: Act) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            // What stands beside the value in the same part of an entry (a host beside a name) tells of the same person.
            let part = "rtrim(rtrim(field, 'abcdefghijklmnopqrstuvwxyz_'), '.')";
            let sql = format!(
                "DELETE FROM audit_personal WHERE (seq, {part}) IN (SELECT seq, {part} FROM audit_personal WHERE value = ?)"
            );
            let done = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(value).execute(&mut *transaction).await?;
            let erased = done.rows_affected();
            if erased == 0 {
                return Ok(0);
            }
            append(&mut transaction, &Record::of(&act.after(json!({ "values_erased": erased })))).await?;
            transaction.commit().await?;
            // The pages were overwritten (secure_delete); their copies in the write-ahead log go too, unless a reader holds it.
            let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.pool).await;
            Ok(erased)
        })
    }

    fn audit_guards_gone(&self) -> Answer<'_, Vec<&'static str>> {
        Box::pin(async {
            let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
            let there: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.pool).await?;
            Ok(GUARDS.into_iter().filter(|guard| !there.iter().any(|name| name == guard)).collect())
        })
    }
}

impl Sqlite {
    async fn with_personal(&self, found: &[SqliteRow]) -> Result<Vec<AuditRow>, StoreError> {
        let mut entries: Vec<AuditRow> = found.iter().map(entry).collect::<Result<_, _>>()?;
        let places: HashMap<u64, usize> = entries.iter().enumerate().map(|(place, row)| (row.seq, place)).collect();
        let seqs: Vec<u64> = entries.iter().map(|row| row.seq).collect();
        for chunk in seqs.chunks(CHUNK) {
            let mut query = QueryBuilder::<Db>::new("SELECT * FROM audit_personal WHERE seq IN (");
            let mut list = query.separated(", ");
            for seq in chunk {
                list.push_bind(signed(*seq));
            }
            query.push(") ORDER BY seq, field");
            for row in query.build().fetch_all(&self.pool).await? {
                let place = places.get(&unsigned(row.try_get("seq")?));
                if let Some(entry) = place.and_then(|place| entries.get_mut(*place)) {
                    entry.personal.push(personal(&row)?);
                }
            }
        }
        Ok(entries)
    }
}

/// Appends `record` in the caller's transaction, which must have begun with a write lock; nothing when it is there already.
///
/// # Errors
/// [`StoreError::AuditChanged`] when the log is not as it was left: nothing is added to a log that was tampered with.
pub(super) async fn append(connection: &mut SqliteConnection, record: &Record) -> Result<(), StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM audit_entries WHERE id = ?)";
    if sqlx::query_scalar(sql).bind(&record.id).fetch_one(&mut *connection).await? {
        return Ok(());
    }
    let seq = size(connection).await?;
    let stored: i64 = sqlx::query_scalar("SELECT coalesce(max(position) + 1, 0) FROM audit_hashes")
        .fetch_one(&mut *connection)
        .await?;
    if unsigned(stored) != merkle::stored_count(seq) {
        return Err(StoreError::AuditChanged);
    }
    let bytes = record.bytes(seq);
    let question = Question::Append { seq, leaf: merkle::leaf(&bytes) };
    let needs = question.needs().map_err(|_| StoreError::AuditChanged)?;
    let known = hashes(connection, &needs).await?;
    let new = question.answer(&known).map_err(|_| StoreError::AuditChanged)?;
    let sql = "INSERT INTO audit_entries (seq, id, at_unix_ms, action, object, bytes) VALUES (?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(signed(seq))
        .bind(&record.id)
        .bind(record.at_unix_ms)
        .bind(&record.action)
        .bind(&record.object)
        .bind(bytes)
        .execute(&mut *connection)
        .await?;
    for (position, hash) in (merkle::position_of(seq)..).zip(new) {
        let query = sqlx::query("INSERT INTO audit_hashes (position, hash) VALUES (?, ?)");
        query.bind(signed(position)).bind(hash.as_slice()).execute(&mut *connection).await?;
    }
    for one in &record.personal {
        let sql = "INSERT INTO audit_personal (seq, field, commitment, salt, value) VALUES (?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(signed(seq))
            .bind(&one.field)
            .bind(&one.commitment)
            .bind(&one.salt)
            .bind(&one.value)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn size(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(seq) + 1, 0) FROM audit_entries";
    Ok(unsigned(sqlx::query_scalar(sql).fetch_one(connection).await?))
}

async fn hashes(connection: &mut SqliteConnection, positions: &[u64]) -> Result<HashMap<u64, Digest>, StoreError> {
    let mut known = HashMap::new();
    for chunk in positions.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new("SELECT position, hash FROM audit_hashes WHERE position IN (");
        let mut list = query.separated(", ");
        for position in chunk {
            list.push_bind(signed(*position));
        }
        query.push(")");
        for row in query.build().fetch_all(&mut *connection).await? {
            let hash: Vec<u8> = row.try_get("hash")?;
            // One of another length is as good as none; `audit verify` names it.
            if let Ok(hash) = hash.try_into() {
                known.insert(unsigned(row.try_get("position")?), hash);
            }
        }
    }
    Ok(known)
}

fn entry(row: &SqliteRow) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        seq: unsigned(row.try_get("seq")?),
        id: row.try_get("id")?,
        at_unix_ms: row.try_get("at_unix_ms")?,
        action: row.try_get("action")?,
        object: row.try_get("object")?,
        bytes: row.try_get("bytes")?,
        personal: Vec::new(),
    })
}

fn personal(row: &SqliteRow) -> Result<Personal, StoreError> {
    Ok(Personal {
        field: row.try_get("field")?,
        commitment: row.try_get("commitment")?,
        salt: row.try_get("salt")?,
        value: row.try_get("value")?,
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
