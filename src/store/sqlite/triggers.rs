//! Incidents, figures and sums over calls in SQLite.

use sqlx::{QueryBuilder, Row as _, Sqlite as Db, sqlite::SqliteRow};

use super::{Sqlite, rows::unsigned};
use crate::{
    domain::RouteId,
    store::{
        Answer, StoreError,
        triggers::{CallSums, CallsOf, IncidentRow, KpiPoint, KpiSums, SumFilter, Triggers},
    },
};

/// The most that one listing gives.
const MOST_LISTED: u32 = 10_000;

/// A call that says nothing of the targets: it is under way, its caller hung up or asked wrongly, or it only counted tokens.
const SAYS_NOTHING: &str = "c.ending IN ('open', 'cancelled') OR c.task = 'count_tokens' \
     OR (c.ending = 'failed' AND c.status BETWEEN 400 AND 499 AND c.status NOT IN (408, 429))";

impl Triggers for Sqlite {
    fn put_incident(&self, incident: IncidentRow) -> Answer<'_, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO incidents (source, external_id, route, severity, title, opened_unix_ms, resolved_unix_ms, \
                 outcome, asks_again) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
                 ON CONFLICT (source, external_id, route) DO UPDATE SET \
                 severity = iif(?10, excluded.severity, min(severity, excluded.severity)), title = excluded.title, \
                 opened_unix_ms = iif(?10, excluded.opened_unix_ms, opened_unix_ms), \
                 resolved_unix_ms = excluded.resolved_unix_ms, \
                 asks_again = iif(?10 OR excluded.outcome IS NOT NULL, excluded.asks_again, asks_again), \
                 outcome = iif(?10, excluded.outcome, coalesce(excluded.outcome, outcome))";
            sqlx::query(sql)
                .bind(&incident.source)
                .bind(&incident.external_id)
                .bind(incident.route.as_str())
                .bind(incident.severity)
                .bind(&incident.title)
                .bind(incident.opened_unix_ms)
                .bind(incident.resolved_unix_ms)
                .bind(incident.outcome.as_deref())
                .bind(incident.asks_again)
                .bind(incident.is_anew)
                .execute(&self.pool)
                .await?;
            Ok(())
        })
    }

    fn find_incident(&self, source: String, external_id: String, route: RouteId) -> Answer<'_, Option<IncidentRow>> {
        Box::pin(async move {
            let query = sqlx::query("SELECT * FROM incidents WHERE source = ? AND external_id = ? AND route = ?");
            let query = query.bind(source).bind(external_id).bind(route.as_str());
            query.fetch_optional(&self.pool).await?.as_ref().map(incident).transpose()
        })
    }

    fn incidents(&self, route: Option<RouteId>, limit: u32) -> Answer<'_, Vec<IncidentRow>> {
        Box::pin(async move {
            let mut query = QueryBuilder::<Db>::new("SELECT * FROM incidents WHERE true");
            if let Some(route) = &route {
                query.push(" AND route = ").push_bind(route.as_str());
            }
            query.push(" ORDER BY opened_unix_ms DESC, external_id LIMIT ").push_bind(limit.min(MOST_LISTED));
            query.build().fetch_all(&self.pool).await?.iter().map(incident).collect()
        })
    }

    fn put_kpis(&self, points: Vec<KpiPoint>, forget_before_unix_ms: i64) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "DELETE FROM kpis WHERE at_unix_ms < ?";
            sqlx::query(sql).bind(forget_before_unix_ms).execute(&mut *transaction).await?;
            for point in &points {
                let sql = "INSERT INTO kpis (name, route, at_unix_ms, value) VALUES (?, ?, ?, ?) \
                     ON CONFLICT (name, route, at_unix_ms) DO UPDATE SET value = excluded.value";
                sqlx::query(sql)
                    .bind(&point.name)
                    .bind(point.route.as_str())
                    .bind(point.at_unix_ms)
                    .bind(point.value)
                    .execute(&mut *transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    fn kpis(&self, name: Option<String>, route: Option<RouteId>, limit: u32) -> Answer<'_, Vec<KpiPoint>> {
        Box::pin(async move {
            let mut query = QueryBuilder::<Db>::new("SELECT * FROM kpis WHERE true");
            if let Some(name) = name {
                query.push(" AND name = ").push_bind(name);
            }
            if let Some(route) = &route {
                query.push(" AND route = ").push_bind(route.as_str());
            }
            query.push(" ORDER BY at_unix_ms DESC, name, route LIMIT ").push_bind(limit.min(MOST_LISTED));
            query.build().fetch_all(&self.pool).await?.iter().map(point).collect()
        })
    }

    fn kpi_sums(&self, name: String, filter: SumFilter) -> Answer<'_, KpiSums> {
        Box::pin(async move {
            let sql = "SELECT count(*) AS count, coalesce(sum(value), 0.0) AS sum, coalesce(sum(value * value), 0.0) AS squares \
                 FROM kpis WHERE name = ? AND route = ? AND at_unix_ms >= ? AND at_unix_ms < ?";
            let query = sqlx::query(sql).bind(name).bind(filter.route.as_str());
            let row = query.bind(filter.since_unix_ms).bind(filter.until_unix_ms).fetch_one(&self.pool).await?;
            Ok(KpiSums {
                count: unsigned(row.try_get("count")?),
                sum: row.try_get("sum")?,
                sum_of_squares: row.try_get("squares")?,
            })
        })
    }

    fn call_sums(&self, filter: SumFilter, slower_than_ms: Option<f64>) -> Answer<'_, CallSums> {
        Box::pin(async move {
            let sql = format!(
                "WITH told AS (SELECT c.ending, c.total_ms, \
                 (SELECT sum(a.cost_micros) FROM attempts a WHERE a.call_id = c.id) AS cost, \
                 EXISTS (SELECT 1 FROM attempts a WHERE a.call_id = c.id AND a.fault = 'content_policy') AS refused \
                 FROM calls c WHERE c.route = ?1 AND c.started_unix_ms >= ?2 AND c.started_unix_ms < ?3 {} \
                 AND (NOT ({SAYS_NOTHING}) OR (refused AND c.ending = 'failed'))) \
                 SELECT count(*) AS calls, coalesce(sum(ending IN ('failed', 'interrupted') AND NOT refused), 0) AS failed, \
                 coalesce(sum(refused), 0) AS refused, \
                 coalesce(sum(ending = 'answered'), 0) AS answered, \
                 coalesce(sum(ending = 'answered' AND ?4 IS NOT NULL AND total_ms > ?4), 0) AS slower, \
                 coalesce(sum(CAST(cost AS REAL)), 0.0) AS cost, \
                 coalesce(sum(CAST(cost AS REAL) * cost), 0.0) AS squares, count(cost) AS priced FROM told",
                counted(filter.calls)
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(filter.route.as_str());
            let query = query.bind(filter.since_unix_ms).bind(filter.until_unix_ms).bind(slower_than_ms);
            let row = query.fetch_one(&self.pool).await?;
            let count = |name| row.try_get::<i64, _>(name).map(unsigned);
            Ok(CallSums {
                calls: count("calls")?,
                failed: count("failed")?,
                refused: count("refused")?,
                answered: count("answered")?,
                slower: count("slower")?,
                cost: row.try_get("cost")?,
                cost_of_squares: row.try_get("squares")?,
                priced: count("priced")?,
            })
        })
    }

    fn call_quantile_ms(&self, filter: SumFilter, share: f64) -> Answer<'_, Option<f64>> {
        Box::pin(async move {
            let counted = counted(filter.calls);
            let span = format!(
                "FROM calls c WHERE route = ? AND started_unix_ms >= ? AND started_unix_ms < ? AND ending = 'answered' \
                 AND task <> 'count_tokens' {counted}"
            );
            let count = format!("SELECT count(*) {span}");
            let query = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(count)).bind(filter.route.as_str());
            let count = query.bind(filter.since_unix_ms).bind(filter.until_unix_ms).fetch_one(&self.pool).await?;
            let place = (count as f64 * share).floor() as i64;
            let sql = format!("SELECT total_ms {span} ORDER BY total_ms DESC LIMIT 1 OFFSET ?");
            let query = sqlx::query_scalar::<_, f64>(sqlx::AssertSqlSafe(sql)).bind(filter.route.as_str());
            let query = query.bind(filter.since_unix_ms).bind(filter.until_unix_ms).bind(place);
            Ok(query.fetch_optional(&self.pool).await?)
        })
    }
}

/// Whose calls count; those that nobody got an answer of, and those of drills, never do. Numbers alone, so nothing of it comes from outside.
pub(super) fn counted(calls: CallsOf) -> String {
    let of_release = match calls {
        CallsOf::Any => String::new(),
        CallsOf::Serving(release) => format!("AND (c.release IS NULL OR c.release = {release})"),
        CallsOf::Only(release) => format!("AND c.release = {release}"),
        CallsOf::Not(release) => format!("AND c.release IS NOT {release}"),
    };
    format!("AND c.tenant <> '(shadow)' AND c.drill IS NULL {of_release}")
}

fn incident(row: &SqliteRow) -> Result<IncidentRow, StoreError> {
    Ok(IncidentRow {
        source: row.try_get("source")?,
        external_id: row.try_get("external_id")?,
        route: RouteId::new(row.try_get::<String, _>("route")?),
        severity: row.try_get("severity")?,
        title: row.try_get("title")?,
        opened_unix_ms: row.try_get("opened_unix_ms")?,
        resolved_unix_ms: row.try_get("resolved_unix_ms")?,
        outcome: row.try_get("outcome")?,
        asks_again: row.try_get("asks_again")?,
        is_anew: false,
    })
}

fn point(row: &SqliteRow) -> Result<KpiPoint, StoreError> {
    Ok(KpiPoint {
        name: row.try_get("name")?,
        route: RouteId::new(row.try_get::<String, _>("route")?),
        at_unix_ms: row.try_get("at_unix_ms")?,
        value: row.try_get("value")?,
    })
}
