//! Calls in SQLite: many rows a statement, one transaction a batch.

use std::collections::{HashMap, HashSet};

use sqlx::{QueryBuilder, Row as _, Sqlite as Db, SqliteConnection, sqlite::SqliteRow};

use super::{
    Sqlite,
    rows::{self, count, counted_under, micros},
    shares, used,
};
use crate::{
    domain::{Attempt, CallId, Ending, Outcome, PriceState},
    store::{
        Answer, StoreError,
        calls::{CallFilter, Calls, Journaled},
        spent::{Cursor, SpentRow},
        usage::{Dimension, UsageFilter, UsageRow},
    },
};

/// Rows of one statement; 31 columns each stay far below SQLite's bound of 32,766 parameters.
const CHUNK: usize = 128;

/// What became of an answer in JSON is known later than the call.
const CALLS: &str = "SELECT *, (SELECT verdict FROM answer_checks WHERE call_id = calls.id) AS json_verdict FROM calls";

/// The most that one listing gives.
const MOST_LISTED: u32 = 10_000;

impl Calls for Sqlite {
    fn put_calls(&self, calls: Vec<Journaled>) -> Answer<'_, ()> {
        Box::pin(async move {
            let calls = one_per_id(calls);
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            for chunk in calls.chunks(CHUNK) {
                let new = put_rows(&mut transaction, chunk).await?;
                let is_new = |journaled: &&Journaled| new.contains(&journaled.outcome.call.to_string());
                let told: Vec<&Journaled> = chunk.iter().filter(is_new).collect();
                let new: Vec<&Outcome> = told.iter().map(|journaled| &journaled.outcome).collect();
                put_attempts(&mut transaction, &new).await?;
                used::add(&mut transaction, &new).await?;
                shares::add(&mut transaction, &told).await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    fn interrupt_open<'a>(&'a self, journal: &'a str) -> Answer<'a, u64> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            used::add_open(&mut transaction, journal).await?;
            shares::add_open(&mut transaction, journal).await?;
            let sql = "UPDATE calls SET ending = 'interrupted' WHERE ending = 'open' AND journal = ?";
            let ended = sqlx::query(sql).bind(journal).execute(&mut *transaction).await?.rows_affected();
            transaction.commit().await?;
            Ok(ended)
        })
    }

    fn list_calls(&self, filter: CallFilter) -> Answer<'_, Vec<Outcome>> {
        Box::pin(async move {
            let mut query = QueryBuilder::<Db>::new(CALLS);
            query.push(" WHERE true");
            if let Some(tenant) = &filter.tenant {
                query.push(" AND tenant = ").push_bind(tenant.as_str());
            }
            if let Some(route) = &filter.route {
                query.push(" AND route = ").push_bind(route.as_str());
            }
            if let Some(ending) = filter.ending {
                query.push(" AND ending = ").push_bind(ending.as_str());
            }
            query.push(" ORDER BY started_unix_ms DESC, id DESC LIMIT ").push_bind(filter.limit.min(MOST_LISTED));
            let found = query.build().fetch_all(&self.pool).await?;
            self.with_attempts(&found).await
        })
    }

    fn find_call(&self, id: CallId) -> Answer<'_, Option<Outcome>> {
        Box::pin(async move {
            let mut query = QueryBuilder::<Db>::new(CALLS);
            query.push(" WHERE id = ").push_bind(id.to_string());
            let found = query.build().fetch_all(&self.pool).await?;
            Ok(self.with_attempts(&found).await?.pop())
        })
    }

    fn usage<'a>(&'a self, filter: &'a UsageFilter, group_by: &'a [Dimension]) -> Answer<'a, Vec<UsageRow>> {
        Box::pin(super::usage::usage(&self.pool, filter, group_by))
    }

    fn spent<'a>(
        &'a self,
        filter: &'a UsageFilter,
        group_by: &'a [Dimension],
        (after, limit): (Option<&'a Cursor>, u32),
    ) -> Answer<'a, Vec<SpentRow>> {
        Box::pin(super::spent::spent(&self.pool, filter, group_by, (after, limit)))
    }
}

impl Sqlite {
    async fn with_attempts(&self, calls: &[SqliteRow]) -> Result<Vec<Outcome>, StoreError> {
        let mut calls: Vec<Outcome> = calls.iter().map(rows::call).collect::<Result<_, _>>()?;
        let places: HashMap<String, usize> =
            calls.iter().enumerate().map(|(place, outcome)| (outcome.call.to_string(), place)).collect();
        for chunk in places.keys().collect::<Vec<_>>().chunks(CHUNK) {
            let mut query = QueryBuilder::<Db>::new("SELECT * FROM attempts WHERE call_id IN ");
            push_ids(&mut query, chunk.iter().map(|id| id.as_str()));
            query.push(" ORDER BY call_id, position");
            for row in query.build().fetch_all(&self.pool).await? {
                let id: String = row.try_get("call_id")?;
                if let Some(place) = places.get(&id) {
                    calls[*place].attempts.push(rows::attempt(&row)?);
                }
            }
        }
        Ok(calls)
    }
}

/// The row to keep of each call: its first final one, else its last open one.
fn one_per_id(calls: Vec<Journaled>) -> Vec<Journaled> {
    let mut places: HashMap<CallId, usize> = HashMap::with_capacity(calls.len());
    let mut kept: Vec<Journaled> = Vec::with_capacity(calls.len());
    for call in calls {
        match places.get(&call.outcome.call) {
            Some(place) if kept[*place].outcome.ending == Ending::Open => kept[*place] = call,
            Some(_) => {}
            None => {
                places.insert(call.outcome.call, kept.len());
                kept.push(call);
            }
        }
    }
    kept
}

/// Inserts the calls; the ids of those that were new, or took an open row's place.
async fn put_rows(connection: &mut SqliteConnection, calls: &[Journaled]) -> Result<HashSet<String>, StoreError> {
    let mut query = QueryBuilder::<Db>::new(
        "INSERT INTO calls (id, started_unix_ms, tenant, key_id, feature, route, dialect, streamed, served_by, ending, \
         status, ttft_ms, total_ms, overhead_ms, journal, task, drill, release, finish) ",
    );
    query.push_values(calls, |mut row, Journaled { outcome, journal }| {
        row.push_bind(outcome.call.to_string())
            .push_bind(outcome.started_unix_ms)
            .push_bind(outcome.tenant.as_str())
            .push_bind(outcome.key.as_str())
            .push_bind(outcome.feature.as_ref().map(|feature| feature.as_str()))
            .push_bind(outcome.route.as_str())
            .push_bind(outcome.dialect.as_str())
            .push_bind(outcome.streamed)
            .push_bind(outcome.served_by.map(|index| count(index as u64)))
            .push_bind(outcome.ending.as_str())
            .push_bind(outcome.status)
            .push_bind(outcome.ttft_ms)
            .push_bind(outcome.total_ms)
            .push_bind(outcome.overhead_ms)
            .push_bind(&**journal)
            .push_bind(outcome.task.as_str())
            .push_bind(outcome.drill.as_deref())
            .push_bind(outcome.release)
            .push_bind(outcome.finish.map(|finish| finish.as_str()));
    });
    query.push(
        " ON CONFLICT (id) DO UPDATE SET started_unix_ms = excluded.started_unix_ms, tenant = excluded.tenant, \
         key_id = excluded.key_id, feature = excluded.feature, route = excluded.route, dialect = excluded.dialect, \
         streamed = excluded.streamed, served_by = excluded.served_by, ending = excluded.ending, \
         status = excluded.status, ttft_ms = excluded.ttft_ms, total_ms = excluded.total_ms, \
         overhead_ms = excluded.overhead_ms, journal = excluded.journal, task = excluded.task, \
         drill = excluded.drill, release = excluded.release, finish = excluded.finish \
         WHERE calls.ending = 'open' AND excluded.ending <> 'open' RETURNING id",
    );
    let new: Vec<String> = query.build_query_scalar().persistent(calls.len() == CHUNK).fetch_all(connection).await?;
    Ok(new.into_iter().collect())
}

async fn put_attempts(connection: &mut SqliteConnection, calls: &[&Outcome]) -> Result<(), StoreError> {
    if calls.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new("DELETE FROM attempts WHERE call_id IN ");
    let ids: Vec<String> = calls.iter().map(|outcome| outcome.call.to_string()).collect();
    push_ids(&mut query, ids.iter().map(String::as_str));
    query.build().persistent(ids.len() == CHUNK).execute(&mut *connection).await?;

    let attempts: Vec<(&Outcome, usize, &Attempt)> = calls
        .iter()
        .flat_map(|outcome| outcome.attempts.iter().enumerate().map(move |(place, attempt)| (*outcome, place, attempt)))
        .collect();
    for chunk in attempts.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO attempts (call_id, position, counts_call, target_index, vendor, model, started_ms, ttft_ms, \
             duration_ms, fault, status, detail, input_tokens, output_tokens, cached_tokens, cache_write_tokens, \
             reasoning_tokens, usage_source, cost_micros, role, cache_write_1h_tokens, audio_input_tokens, \
             image_input_tokens, unbilled_input_tokens, audio_output_tokens, image_output_tokens, \
             unbilled_output_tokens, machine_us, service, priced, price_row, web_searches, file_searches, code_sessions) ",
        );
        query.push_values(chunk, |mut row, (outcome, place, attempt)| {
            row.push_bind(outcome.call.to_string())
                .push_bind(count(*place as u64))
                .push_bind(counted_under(outcome) == Some(*place))
                .push_bind(count(attempt.target_index as u64))
                .push_bind(attempt.target.vendor.as_str())
                .push_bind(&*attempt.target.model)
                .push_bind(attempt.started_ms)
                .push_bind(attempt.ttft_ms)
                .push_bind(attempt.duration_ms)
                .push_bind(attempt.fault.map(|kind| kind.as_str()))
                .push_bind(attempt.status)
                .push_bind(attempt.detail.as_deref())
                .push_bind(count(attempt.usage.input))
                .push_bind(count(attempt.usage.output))
                .push_bind(count(attempt.usage.cached_input))
                .push_bind(count(attempt.usage.cache_write))
                .push_bind(count(attempt.usage.reasoning))
                .push_bind(attempt.usage_source.as_str())
                .push_bind(attempt.cost.map(micros))
                .push_bind(attempt.role.as_str())
                .push_bind(count(attempt.usage.cache_write_1h))
                .push_bind(count(attempt.usage.audio_input))
                .push_bind(count(attempt.usage.image_input))
                .push_bind(count(attempt.usage.unbilled_input))
                .push_bind(count(attempt.usage.audio_output))
                .push_bind(count(attempt.usage.image_output))
                .push_bind(count(attempt.usage.unbilled_output))
                .push_bind(count(attempt.usage.machine_us))
                .push_bind(attempt.usage.service.as_str())
                .push_bind(priced(attempt).as_str())
                .push_bind(attempt.price_row.as_deref())
                .push_bind(count(attempt.usage.tools.web_searches))
                .push_bind(count(attempt.usage.tools.file_searches))
                .push_bind(count(attempt.usage.tools.code_sessions));
        });
        query.build().persistent(chunk.len() == CHUNK).execute(&mut *connection).await?;
    }
    Ok(())
}

/// A journal's line from before there were states of prices says nothing of one that is missing.
fn priced(attempt: &Attempt) -> PriceState {
    if attempt.cost.is_none() { PriceState::Missing } else { attempt.priced }
}

/// `(?, ?, …)`
fn push_ids<'a>(query: &mut QueryBuilder<Db>, ids: impl Iterator<Item = &'a str>) {
    query.push("(");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(id);
    }
    query.push(")");
}
