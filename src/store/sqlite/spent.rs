//! Attempts one by one, in order of time: a page at a time, so that any ledger fits into memory.

use sqlx::{QueryBuilder, Row as _, Sqlite as Db, SqlitePool, sqlite::SqliteRow};

use super::{
    rows,
    usage::{column, push_filter},
};
use crate::{
    domain::{CallId, Money, TargetId, VendorId},
    store::{
        StoreError,
        spent::{Cursor, SpentRow},
        usage::{Dimension, UsageFilter},
    },
};

pub(super) async fn spent(
    pool: &SqlitePool,
    filter: &UsageFilter,
    group_by: &[Dimension],
    (after, limit): (Option<&Cursor>, u32),
) -> Result<Vec<SpentRow>, StoreError> {
    let mut query = QueryBuilder::<Db>::new("SELECT ");
    for dimension in group_by {
        query.push(column(*dimension)).push(", ");
    }
    query.push("c.started_unix_ms AS began, a.* FROM calls c JOIN attempts a ON a.call_id = c.id WHERE true");
    push_filter(&mut query, filter);
    query.push(
        " AND (a.cost_micros IS NOT 0 OR a.input_tokens + a.output_tokens + a.machine_us \
         + a.web_searches + a.file_searches + a.code_sessions > 0)",
    );
    if let Some(after) = after {
        // The first condition is for the index.
        query.push(" AND c.started_unix_ms >= ").push_bind(after.started_unix_ms);
        query.push(" AND (c.started_unix_ms, c.id, a.position) > (").push_bind(after.started_unix_ms);
        query.push(", ").push_bind(after.call.to_string()).push(", ").push_bind(after.position).push(")");
    }
    query.push(" ORDER BY c.started_unix_ms, c.id, a.position LIMIT ").push_bind(limit);
    let found = query.build().fetch_all(pool).await?;
    found.iter().map(|row| spent_row(row, group_by.len())).collect()
}

fn spent_row(row: &SqliteRow, dimensions: usize) -> Result<SpentRow, StoreError> {
    let text = |name| row.try_get::<String, _>(name);
    let id = text("call_id")?;
    Ok(SpentRow {
        at: Cursor {
            started_unix_ms: row.try_get("began")?,
            call: CallId::parse(&id).ok_or(StoreError::Unknown { what: "call id", value: id })?,
            position: row.try_get("position")?,
        },
        group: (0..dimensions).map(|place| row.try_get(place)).collect::<Result<_, _>>()?,
        target: TargetId { vendor: VendorId::new(text("vendor")?), model: text("model")?.into() },
        usage: rows::usage(row)?,
        usage_source: rows::word("usage source", &text("usage_source")?)?,
        cost: row.try_get::<Option<i64>, _>("cost_micros")?.map(Money::from_micros),
        priced: rows::word("price state", &text("priced")?)?,
        price_row: row.try_get::<Option<String>, _>("price_row")?.map(Into::into),
    })
}
