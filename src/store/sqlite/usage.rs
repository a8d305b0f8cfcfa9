//! Usage as SQL: sums over attempts, where each call counts once.

use sqlx::{QueryBuilder, Row as _, Sqlite as Db, SqlitePool, sqlite::SqliteRow};

use super::rows::unsigned;
use crate::{
    domain::Money,
    store::{
        StoreError,
        usage::{Dimension, UsageFilter, UsageRow, UsageTotals},
    },
};

/// A call without attempts still is one, so it joins as a row of nulls.
const SUMS: &str = "sum(a.call_id IS NULL OR a.counts_call) AS calls, \
     sum((a.call_id IS NULL OR a.counts_call) AND c.ending IN ('failed', 'interrupted')) AS failed, \
     count(CASE WHEN a.fault IS NULL OR a.duration_ms IS NOT NULL THEN a.call_id END) AS attempts, \
     coalesce(sum(a.input_tokens), 0) AS input_tokens, \
     coalesce(sum(a.output_tokens), 0) AS output_tokens, \
     coalesce(sum(a.cached_tokens), 0) AS cached_tokens, \
     coalesce(sum(a.cache_write_tokens), 0) AS cache_write_tokens, \
     coalesce(sum(a.reasoning_tokens), 0) AS reasoning_tokens, \
     coalesce(sum(a.cost_micros), 0) AS cost_micros, \
     count(CASE WHEN a.cost_micros IS NULL AND a.input_tokens + a.output_tokens > 0 THEN 1 END) AS unpriced_attempts \
     FROM calls c LEFT JOIN attempts a ON a.call_id = c.id WHERE true";

pub(super) async fn usage(
    pool: &SqlitePool,
    filter: &UsageFilter,
    group_by: &[Dimension],
) -> Result<Vec<UsageRow>, StoreError> {
    let mut query = QueryBuilder::<Db>::new("SELECT ");
    for dimension in group_by {
        query.push(column(*dimension)).push(", ");
    }
    query.push(SUMS);
    if let Some(since) = filter.since_unix_ms {
        query.push(" AND c.started_unix_ms >= ").push_bind(since);
    }
    if let Some(until) = filter.until_unix_ms {
        query.push(" AND c.started_unix_ms < ").push_bind(until);
    }
    if let Some(tenant) = &filter.tenant {
        query.push(" AND c.tenant = ").push_bind(tenant.as_str());
    }
    if group_by.is_empty() {
        query.push(" HAVING count(c.id) > 0");
    } else {
        let places: Vec<String> = (1..=group_by.len()).map(|place| place.to_string()).collect();
        let places = places.join(", ");
        query.push(" GROUP BY ").push(&places).push(" ORDER BY ").push(&places);
    }
    let found = query.build().fetch_all(pool).await?;
    found.iter().map(|row| usage_row(row, group_by.len())).collect()
}

fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Tenant => "c.tenant",
        Dimension::Feature => "c.feature",
        Dimension::Model => "a.model",
        Dimension::Vendor => "a.vendor",
        Dimension::Route => "c.route",
        Dimension::Key => "c.key_id",
        Dimension::Day => "strftime('%Y-%m-%d', c.started_unix_ms / 1000, 'unixepoch')",
    }
}

fn usage_row(row: &SqliteRow, dimensions: usize) -> Result<UsageRow, StoreError> {
    let sum = |name| row.try_get::<i64, _>(name).map(unsigned);
    Ok(UsageRow {
        group: (0..dimensions).map(|place| row.try_get(place)).collect::<Result<_, _>>()?,
        totals: UsageTotals {
            calls: sum("calls")?,
            failed: sum("failed")?,
            attempts: sum("attempts")?,
            input_tokens: sum("input_tokens")?,
            output_tokens: sum("output_tokens")?,
            cached_tokens: sum("cached_tokens")?,
            cache_write_tokens: sum("cache_write_tokens")?,
            reasoning_tokens: sum("reasoning_tokens")?,
            cost: Money::from_micros(row.try_get("cost_micros")?),
            unpriced_attempts: sum("unpriced_attempts")?,
        },
    })
}
