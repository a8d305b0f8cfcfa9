//! Drills in SQLite.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    Sqlite,
    clients::audited,
    rows::{unsigned, word},
};
use crate::{
    domain::{RouteId, TargetId, VendorId},
    store::{
        Answer, Record, StoreError,
        drills::{DrillAnswer, DrillEnd, DrillRow, DrillSums, Drills, FirstContents, Which},
    },
};

impl Drills for Sqlite {
    fn open_drill(&self, new: DrillRow, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "SELECT EXISTS (SELECT 1 FROM drills WHERE ended_unix_ms IS NULL)";
            if sqlx::query_scalar(sql).fetch_one(&mut *transaction).await? {
                return Ok(false);
            }
            let sql = "INSERT INTO drills (id, plan, asked_unix_ms, ends_unix_ms) VALUES (?, ?, ?, ?)";
            let query = sqlx::query(sql).bind(&new.id).bind(&new.plan).bind(new.asked_unix_ms).bind(new.ends_unix_ms);
            query.execute(&mut *transaction).await?;
            audited(transaction, &entry).await?;
            Ok(true)
        })
    }

    fn take_drill(&self, id: String, at_unix_ms: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let sql =
                "UPDATE drills SET taken_unix_ms = coalesce(taken_unix_ms, ?) WHERE id = ? AND ended_unix_ms IS NULL";
            Ok(sqlx::query(sql).bind(at_unix_ms).bind(id).execute(&self.pool).await?.rows_affected() > 0)
        })
    }

    fn stop_drill(&self, id: String, at_unix_ms: i64, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql =
                "UPDATE drills SET ends_unix_ms = ?1 WHERE id = ?2 AND ended_unix_ms IS NULL AND ends_unix_ms > ?1";
            let done = sqlx::query(sql).bind(at_unix_ms).bind(id).execute(&mut *transaction).await?;
            if done.rows_affected() == 0 {
                return Ok(false);
            }
            audited(transaction, &entry).await?;
            Ok(true)
        })
    }

    fn close_drill(&self, end: DrillEnd, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql =
                "UPDATE drills SET ended_unix_ms = ?, outcome = ?, report = ? WHERE id = ? AND ended_unix_ms IS NULL";
            let query = sqlx::query(sql).bind(end.at_unix_ms).bind(end.outcome).bind(&end.report).bind(&end.id);
            if query.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(false);
            }
            audited(transaction, &entry).await?;
            Ok(true)
        })
    }

    fn drill_on(&self) -> Answer<'_, Option<DrillRow>> {
        Box::pin(async {
            let query = sqlx::query("SELECT * FROM drills WHERE ended_unix_ms IS NULL");
            query.fetch_optional(&self.pool).await?.as_ref().map(drill).transpose()
        })
    }

    fn find_drill(&self, id: String) -> Answer<'_, Option<DrillRow>> {
        Box::pin(async move {
            let query = sqlx::query("SELECT * FROM drills WHERE id = ?").bind(id);
            query.fetch_optional(&self.pool).await?.as_ref().map(drill).transpose()
        })
    }

    fn drills(&self, limit: u32) -> Answer<'_, Vec<DrillRow>> {
        Box::pin(async move {
            let query = sqlx::query("SELECT * FROM drills ORDER BY asked_unix_ms DESC, id DESC LIMIT ?").bind(limit);
            query.fetch_all(&self.pool).await?.iter().map(drill).collect()
        })
    }

    fn put_drill_answer(&self, drill: String, answer: DrillAnswer) -> Answer<'_, ()> {
        Box::pin(async move {
            let json = |source| StoreError::Unreadable { what: "a drill's answer", source };
            let passed = serde_json::to_string(&answer.passed).map_err(json)?;
            let sql = "INSERT INTO drill_answers (drill, route, item, served, passed, refused) VALUES (?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (drill, route, item) DO NOTHING";
            let query = sqlx::query(sql).bind(drill).bind(answer.route.as_str()).bind(&answer.item);
            let query = query.bind(answer.served.as_ref().map(ToString::to_string)).bind(passed).bind(&answer.refused);
            query.execute(&self.pool).await?;
            Ok(())
        })
    }

    fn drill_answers(&self, drill: String) -> Answer<'_, Vec<DrillAnswer>> {
        Box::pin(async move {
            let query = sqlx::query("SELECT * FROM drill_answers WHERE drill = ? ORDER BY route, item").bind(drill);
            query.fetch_all(&self.pool).await?.iter().map(answer).collect()
        })
    }

    fn drill_sums(&self, drill: String, route: RouteId) -> Answer<'_, DrillSums> {
        Box::pin(async move {
            let mut sums = DrillSums::default();
            let calls = "FROM calls c JOIN attempts a ON a.call_id = c.id WHERE c.drill = ? AND c.route = ?";
            let sql = "SELECT ending, status, count(*) AS n FROM calls WHERE drill = ? AND route = ? GROUP BY 1, 2 ORDER BY 1, 2";
            for row in sqlx::query(sql).bind(&drill).bind(route.as_str()).fetch_all(&self.pool).await? {
                let ending = word("ending", &row.try_get::<String, _>("ending")?)?;
                sums.endings.push((ending, row.try_get("status")?, unsigned(row.try_get("n")?)));
            }
            let sql = format!(
                "SELECT a.vendor, a.model, count(*) AS n {calls} AND a.position = c.served_by AND c.ending = 'answered' \
                 GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&drill).bind(route.as_str());
            for row in query.fetch_all(&self.pool).await? {
                sums.served.push((target(&row)?, unsigned(row.try_get("n")?)));
            }
            let sql = format!(
                "SELECT a.vendor, a.model, a.fault, count(*) AS n {calls} AND a.fault IS NOT NULL AND a.fault <> 'drill' \
                 GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&drill).bind(route.as_str());
            for row in query.fetch_all(&self.pool).await? {
                let fault = word("fault", &row.try_get::<String, _>("fault")?)?;
                sums.faults.push((target(&row)?, fault, unsigned(row.try_get("n")?)));
            }
            let sql = format!(
                "SELECT coalesce(sum(a.cost_micros), 0) AS cost, count(*) - count(a.cost_micros) AS unpriced {calls}"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&drill).bind(route.as_str());
            let row = query.fetch_one(&self.pool).await?;
            (sums.cost_micros, sums.unpriced) = (row.try_get("cost")?, unsigned(row.try_get("unpriced")?));
            Ok(sums)
        })
    }

    fn first_contents(&self, route: RouteId, which: Which) -> Answer<'_, FirstContents> {
        Box::pin(async move {
            let (drill, since, until) = match which {
                Which::OfDrill(id, since) => (Some(id), since, i64::MAX),
                Which::Usual(since, until) => (None, since, until),
            };
            let of = "FROM calls WHERE route = ? AND drill IS ? AND started_unix_ms >= ? AND started_unix_ms < ? \
                 AND ending = 'answered' AND task = 'answer' AND ttft_ms IS NOT NULL";
            let count = format!("SELECT count(*) {of}");
            let query = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(count)).bind(route.as_str()).bind(&drill);
            let count = query.bind(since).bind(until).fetch_one(&self.pool).await?;
            let mut found = FirstContents { calls: unsigned(count), p50_ms: None, p95_ms: None };
            for (share, kept) in [(0.5, &mut found.p50_ms), (0.95, &mut found.p95_ms)] {
                // The nearest rank: the smallest time that so many of the calls took at most.
                let place = ((count as f64 * share).ceil() as i64 - 1).max(0);
                let sql = format!("SELECT ttft_ms {of} ORDER BY ttft_ms LIMIT 1 OFFSET ?");
                let query = sqlx::query_scalar::<_, f64>(sqlx::AssertSqlSafe(sql)).bind(route.as_str()).bind(&drill);
                *kept = query.bind(since).bind(until).bind(place).fetch_optional(&self.pool).await?;
            }
            Ok(found)
        })
    }
}

fn target(row: &SqliteRow) -> Result<TargetId, StoreError> {
    let (vendor, model): (String, String) = (row.try_get("vendor")?, row.try_get("model")?);
    Ok(TargetId { vendor: VendorId::new(vendor), model: model.into() })
}

fn drill(row: &SqliteRow) -> Result<DrillRow, StoreError> {
    Ok(DrillRow {
        id: row.try_get("id")?,
        plan: row.try_get("plan")?,
        asked_unix_ms: row.try_get("asked_unix_ms")?,
        ends_unix_ms: row.try_get("ends_unix_ms")?,
        taken_unix_ms: row.try_get("taken_unix_ms")?,
        ended_unix_ms: row.try_get("ended_unix_ms")?,
        outcome: row.try_get("outcome")?,
        report: row.try_get("report")?,
    })
}

fn answer(row: &SqliteRow) -> Result<DrillAnswer, StoreError> {
    let served: Option<String> = row.try_get("served")?;
    let unknown = |value: &str| StoreError::Unknown { what: "target", value: value.to_owned() };
    let served = served.map(|text| TargetId::parse(&text).ok_or_else(|| unknown(&text))).transpose()?;
    let passed: String = row.try_get("passed")?;
    let json = |source| StoreError::Unreadable { what: "a drill's answer", source };
    Ok(DrillAnswer {
        route: RouteId::new(row.try_get::<String, _>("route")?),
        item: row.try_get("item")?,
        served,
        passed: serde_json::from_str(&passed).map_err(json)?,
        refused: row.try_get("refused")?,
    })
}
