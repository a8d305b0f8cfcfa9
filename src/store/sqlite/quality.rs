//! How good answers were, in SQLite.

use sqlx::{QueryBuilder, Row as _, Sqlite as Db};

use super::{
    Sqlite,
    rows::{count, unsigned},
    triggers::counted,
};
use crate::{
    domain::{CallId, JsonVerdict},
    store::{
        Answer,
        quality::{ProbeRow, Quality, Share, ShareOf},
        triggers::SumFilter,
    },
};

/// Answers whose end is known.
const FINISHED: &str = "SELECT count(*) AS n, coalesce(sum(c.finish = ?4), 0) AS hits FROM calls c WHERE c.route = ?1 \
     AND c.started_unix_ms >= ?2 AND c.started_unix_ms < ?3 AND c.ending = 'answered' AND c.finish IS NOT NULL";
const FELL_BACK: &str = "SELECT count(*) AS n, coalesce(sum(a.target_index > 0), 0) AS hits FROM calls c \
     JOIN attempts a ON a.call_id = c.id AND a.position = c.served_by WHERE c.route = ?1 AND c.started_unix_ms >= ?2 \
     AND c.started_unix_ms < ?3 AND c.ending = 'answered' AND c.task <> 'count_tokens' AND ?4 IS NULL";
const JSON: &str = "SELECT count(*) AS n, coalesce(sum(k.verdict = ?4), 0) AS hits FROM calls c \
     JOIN answer_checks k ON k.call_id = c.id WHERE c.route = ?1 AND c.started_unix_ms >= ?2 AND c.started_unix_ms < ?3 \
     AND c.ending = 'answered' AND k.verdict <> 'unchecked'";
const PROBES: &str = "SELECT coalesce(sum(asked), 0) AS n, coalesce(sum(passed), 0) AS hits FROM probes WHERE route = ?1 \
     AND at_unix_ms >= ?2 AND at_unix_ms < ?3 AND ?4 IS NULL";

impl Quality for Sqlite {
    fn put_json_verdicts(&self, verdicts: Vec<(CallId, JsonVerdict)>) -> Answer<'_, ()> {
        Box::pin(async move {
            if verdicts.is_empty() {
                return Ok(());
            }
            let mut query = QueryBuilder::<Db>::new("INSERT INTO answer_checks (call_id, verdict) ");
            query.push_values(&verdicts, |mut row, (call, verdict)| {
                row.push_bind(call.to_string()).push_bind(verdict.as_str());
            });
            query.push(" ON CONFLICT DO NOTHING");
            query.build().execute(&self.pool).await?;
            Ok(())
        })
    }

    fn put_probe(&self, probe: ProbeRow, forget_before_unix_ms: i64) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "DELETE FROM probes WHERE at_unix_ms < ?";
            sqlx::query(sql).bind(forget_before_unix_ms).execute(&mut *transaction).await?;
            let sql = "INSERT INTO probes (route, target, at_unix_ms, asked, passed) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT DO NOTHING";
            sqlx::query(sql)
                .bind(probe.route.as_str())
                .bind(probe.target.to_string())
                .bind(probe.at_unix_ms)
                .bind(count(probe.asked))
                .bind(count(probe.passed))
                .execute(&mut *transaction)
                .await?;
            Ok(transaction.commit().await?)
        })
    }

    fn share_of(&self, what: ShareOf, filter: SumFilter) -> Answer<'_, Share> {
        Box::pin(async move {
            let counted = counted(filter.calls);
            let (sql, word) = match what {
                ShareOf::FellBack => (format!("{FELL_BACK} {counted}"), None),
                ShareOf::Finished(reason) => (format!("{FINISHED} {counted}"), Some(reason.as_str())),
                ShareOf::ValidJson => (format!("{JSON} {counted}"), Some(JsonVerdict::Valid.as_str())),
                // Those of the gateway's own, which belong to no release.
                ShareOf::PassedProbes => (PROBES.to_owned(), None),
            };
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(filter.route.as_str());
            let query = query.bind(filter.since_unix_ms).bind(filter.until_unix_ms).bind(word);
            let row = query.fetch_one(&self.pool).await?;
            Ok(Share { hits: unsigned(row.try_get("hits")?), of: unsigned(row.try_get("n")?) })
        })
    }
}
