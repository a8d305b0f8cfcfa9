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
     count(CASE WHEN a.cost_micros IS NULL AND a.input_tokens + a.output_tokens + a.machine_us \
     + a.web_searches + a.file_searches + a.code_sessions > 0 THEN 1 END) \
     AS unpriced_attempts, \
     coalesce(sum(CASE WHEN a.usage_source = 'estimated' THEN a.cost_micros END), 0) AS estimated_cost_micros, \
     coalesce(sum(CASE WHEN a.position IS NOT c.served_by THEN a.cost_micros END), 0) AS unserved_cost_micros, \
     count(CASE WHEN a.priced IN ('partial', 'stale') THEN 1 END) AS doubtful_attempts, \
     coalesce(sum(a.cache_write_1h_tokens), 0) AS cache_write_1h_tokens, \
     coalesce(sum(a.audio_input_tokens), 0) AS audio_input_tokens, \
     coalesce(sum(a.audio_output_tokens), 0) AS audio_output_tokens, \
     coalesce(sum(a.image_input_tokens), 0) AS image_input_tokens, \
     coalesce(sum(a.image_output_tokens), 0) AS image_output_tokens, \
     coalesce(sum(a.machine_us), 0) AS machine_us, \
     coalesce(sum(a.web_searches), 0) AS web_searches, \
     coalesce(sum(a.file_searches), 0) AS file_searches, \
     coalesce(sum(a.code_sessions), 0) AS code_sessions \
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
    push_filter(&mut query, filter);
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

/// Says which rows of `calls c` and `attempts a` count.
pub(super) fn push_filter(query: &mut QueryBuilder<Db>, filter: &UsageFilter) {
    if let Some(since) = filter.since_unix_ms {
        query.push(" AND c.started_unix_ms >= ").push_bind(since);
    }
    if let Some(until) = filter.until_unix_ms {
        query.push(" AND c.started_unix_ms < ").push_bind(until);
    }
    for only in &filter.only {
        let column = column(only.dimension);
        query.push(" AND (false");
        for value in &only.values {
            query.push(" OR ").push(column);
            match value {
                Some(value) => query.push(" = ").push_bind(value.clone()),
                None => query.push(" IS NULL"),
            };
        }
        query.push(")");
    }
}

/// As text, so that every value of every dimension is read, compared and written alike.
pub(super) fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Tenant => "c.tenant",
        Dimension::Feature => "c.feature",
        Dimension::Model => "a.model",
        Dimension::Vendor => "a.vendor",
        Dimension::Target => "(a.vendor || '/' || a.model)",
        Dimension::Route => "c.route",
        Dimension::Key => "c.key_id",
        Dimension::Hour => "strftime('%Y-%m-%dT%H:00Z', c.started_unix_ms / 1000, 'unixepoch')",
        Dimension::Day => "strftime('%Y-%m-%d', c.started_unix_ms / 1000, 'unixepoch')",
        // The next Sunday, and six days back.
        Dimension::Week => "date(c.started_unix_ms / 1000, 'unixepoch', 'weekday 0', '-6 days')",
        Dimension::Month => "strftime('%Y-%m', c.started_unix_ms / 1000, 'unixepoch')",
        Dimension::Status => "CAST(c.status AS TEXT)",
        Dimension::Ending => "c.ending",
        Dimension::Finish => "c.finish",
        Dimension::Json => "(SELECT k.verdict FROM answer_checks k WHERE k.call_id = c.id)",
        Dimension::Task => "c.task",
        Dimension::Dialect => "c.dialect",
        Dimension::Role => "a.role",
        Dimension::Fault => "a.fault",
        Dimension::Use => {
            "CASE WHEN a.position IS NULL THEN NULL WHEN a.position IS c.served_by THEN 'served' ELSE 'unserved' END"
        }
        Dimension::Source => "a.usage_source",
        Dimension::Priced => "a.priced",
        Dimension::PriceRow => "a.price_row",
        Dimension::Service => "a.service",
    }
}

fn usage_row(row: &SqliteRow, dimensions: usize) -> Result<UsageRow, StoreError> {
    let sum = |name| row.try_get::<i64, _>(name).map(unsigned);
    let money = |name| row.try_get::<i64, _>(name).map(Money::from_micros);
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
            cost: money("cost_micros")?,
            unpriced_attempts: sum("unpriced_attempts")?,
            estimated_cost: money("estimated_cost_micros")?,
            unserved_cost: money("unserved_cost_micros")?,
            doubtful_attempts: sum("doubtful_attempts")?,
            cache_write_1h_tokens: sum("cache_write_1h_tokens")?,
            audio_input_tokens: sum("audio_input_tokens")?,
            audio_output_tokens: sum("audio_output_tokens")?,
            image_input_tokens: sum("image_input_tokens")?,
            image_output_tokens: sum("image_output_tokens")?,
            machine_us: sum("machine_us")?,
            web_searches: sum("web_searches")?,
            file_searches: sum("file_searches")?,
            code_sessions: sum("code_sessions")?,
        },
    })
}
