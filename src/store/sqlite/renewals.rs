//! Renewals of certificates in SQLite.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::Sqlite;
use crate::{
    domain::TargetId,
    store::{
        Answer, StoreError,
        renewals::{RenewalClaim, RenewalEnd, RenewalOutcome, RenewalRow, Renewals},
    },
};

impl Renewals for Sqlite {
    fn claim_renewal(&self, claim: RenewalClaim, forget_before_unix_ms: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "DELETE FROM renewals WHERE at_unix_ms < ?";
            sqlx::query(sql).bind(forget_before_unix_ms).execute(&mut *transaction).await?;
            let sql = "SELECT EXISTS (SELECT 1 FROM renewals WHERE held_until_unix_ms > ?1 \
                 OR certificate = ?2 AND next_unix_ms > ?1)";
            let query = sqlx::query_scalar(sql).bind(claim.at_unix_ms).bind(&claim.certificate);
            if query.fetch_one(&mut *transaction).await? {
                return Ok(false);
            }
            let sql = "INSERT INTO renewals (certificate, target, suite, at_unix_ms, holder, held_until_unix_ms) \
                 VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (certificate) DO UPDATE SET at_unix_ms = excluded.at_unix_ms, \
                 holder = excluded.holder, held_until_unix_ms = excluded.held_until_unix_ms";
            sqlx::query(sql)
                .bind(&claim.certificate)
                .bind(claim.target.to_string())
                .bind(&claim.suite)
                .bind(claim.at_unix_ms)
                .bind(&claim.holder)
                .bind(claim.until_unix_ms)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(true)
        })
    }

    fn hold_renewal(&self, certificate: String, holder: String, until_unix_ms: i64) -> Answer<'_, ()> {
        Box::pin(async move {
            let sql = "UPDATE renewals SET held_until_unix_ms = ? WHERE certificate = ? AND holder = ?";
            sqlx::query(sql).bind(until_unix_ms).bind(certificate).bind(holder).execute(&self.pool).await?;
            Ok(())
        })
    }

    fn settle_renewal(&self, end: RenewalEnd) -> Answer<'_, ()> {
        Box::pin(async move {
            let sql = "UPDATE renewals SET tries = tries + 1, at_unix_ms = ?, outcome = ?, why = ?, next_unix_ms = ?, \
                 holder = NULL, held_until_unix_ms = NULL WHERE certificate = ?";
            let query = sqlx::query(sql).bind(end.at_unix_ms).bind(end.outcome.as_str()).bind(end.why);
            query.bind(end.next_unix_ms).bind(end.certificate).execute(&self.pool).await?;
            Ok(())
        })
    }

    fn renewals(&self) -> Answer<'_, Vec<RenewalRow>> {
        Box::pin(async move {
            let query = sqlx::query("SELECT * FROM renewals ORDER BY at_unix_ms DESC, certificate LIMIT 1000");
            query.fetch_all(&self.pool).await?.iter().map(renewal).collect()
        })
    }
}

fn renewal(row: &SqliteRow) -> Result<RenewalRow, StoreError> {
    let target: String = row.try_get("target")?;
    let target =
        TargetId::parse(&target).ok_or_else(|| StoreError::Unknown { what: "target", value: target.clone() })?;
    let outcome: Option<String> = row.try_get("outcome")?;
    Ok(RenewalRow {
        certificate: row.try_get("certificate")?,
        target,
        suite: row.try_get("suite")?,
        tries: row.try_get("tries")?,
        at_unix_ms: row.try_get("at_unix_ms")?,
        outcome: outcome.as_deref().map(RenewalOutcome::of).transpose()?,
        why: row.try_get("why")?,
        next_unix_ms: row.try_get("next_unix_ms")?,
        held_until_unix_ms: row.try_get("held_until_unix_ms")?,
    })
}
