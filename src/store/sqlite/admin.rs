//! Operators' tokens and their writes in SQLite.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{Sqlite, audit::append};
use crate::store::{
    Answer, Record, StoreError,
    admin::{AdminStore, AdminTokenRow, Claim, Claimed, Remembered},
};

/// Writes that are remembered; past it the oldest are forgotten.
const MOST_REQUESTS: i64 = 20_000;

impl AdminStore for Sqlite {
    fn admin_tokens(&self) -> Answer<'_, Vec<AdminTokenRow>> {
        Box::pin(async {
            let sql = "SELECT * FROM admin_tokens ORDER BY created_unix_ms, id";
            sqlx::query(sql).fetch_all(&self.pool).await?.iter().map(token).collect()
        })
    }

    fn add_admin_token(&self, token: AdminTokenRow, entry: Record) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "INSERT INTO admin_tokens (id, hash, role, name, created_unix_ms, expires_unix_ms, revoked_unix_ms) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)";
            sqlx::query(sql)
                .bind(&token.id)
                .bind(token.hash.as_slice())
                .bind(token.role.as_str())
                .bind(token.name.as_deref())
                .bind(token.created_unix_ms)
                .bind(token.expires_unix_ms)
                .bind(token.revoked_unix_ms)
                .execute(&mut *transaction)
                .await?;
            append(&mut transaction, &entry).await?;
            Ok(transaction.commit().await?)
        })
    }

    fn revoke_admin_token(&self, id: String, now_unix_ms: i64, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "UPDATE admin_tokens SET revoked_unix_ms = ? WHERE id = ? AND revoked_unix_ms IS NULL";
            let done = sqlx::query(sql).bind(now_unix_ms).bind(&id).execute(&mut *transaction).await?;
            if done.rows_affected() == 0 {
                return Ok(false);
            }
            append(&mut transaction, &entry).await?;
            transaction.commit().await?;
            Ok(true)
        })
    }

    fn claim_request(&self, claim: Claim, forget_before_unix_ms: i64) -> Answer<'_, Claimed> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "DELETE FROM admin_requests WHERE at_unix_ms < max(?1, coalesce((SELECT at_unix_ms FROM admin_requests \
                 ORDER BY at_unix_ms DESC LIMIT 1 OFFSET ?2), ?1))";
            sqlx::query(sql).bind(forget_before_unix_ms).bind(MOST_REQUESTS).execute(&mut *transaction).await?;
            let sql = "INSERT INTO admin_requests (operator, key, fingerprint, at_unix_ms) VALUES (?, ?, ?, ?) \
                 ON CONFLICT DO NOTHING";
            let new = sqlx::query(sql)
                .bind(&claim.operator)
                .bind(&claim.key)
                .bind(claim.fingerprint.as_slice())
                .bind(claim.at_unix_ms)
                .execute(&mut *transaction)
                .await?;
            let claimed = if new.rows_affected() == 1 {
                Claimed::New
            } else {
                let sql = "SELECT * FROM admin_requests WHERE operator = ? AND key = ?";
                let row = sqlx::query(sql).bind(&claim.operator).bind(&claim.key).fetch_one(&mut *transaction).await?;
                known(&row, &claim)?
            };
            transaction.commit().await?;
            Ok(claimed)
        })
    }

    fn settle_request(&self, operator: String, key: String, answer: Option<Remembered>) -> Answer<'_, ()> {
        Box::pin(async move {
            let query = match &answer {
                Some(answer) => {
                    let sql = "UPDATE admin_requests SET status = ?, body = ? WHERE operator = ? AND key = ?";
                    sqlx::query(sql).bind(answer.status).bind(&answer.body)
                }
                None => sqlx::query("DELETE FROM admin_requests WHERE operator = ? AND key = ?"),
            };
            query.bind(operator).bind(key).execute(&self.pool).await?;
            Ok(())
        })
    }
}

fn known(row: &SqliteRow, claim: &Claim) -> Result<Claimed, StoreError> {
    let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
    if fingerprint != claim.fingerprint {
        return Ok(Claimed::OtherRequest);
    }
    let status: Option<u16> = row.try_get("status")?;
    let Some(status) = status else { return Ok(Claimed::Begun) };
    let body: Option<String> = row.try_get("body")?;
    Ok(Claimed::Answered(Remembered { status, body: body.unwrap_or_default() }))
}

fn token(row: &SqliteRow) -> Result<AdminTokenRow, StoreError> {
    let (hash, role): (Vec<u8>, String) = (row.try_get("hash")?, row.try_get("role")?);
    Ok(AdminTokenRow {
        id: row.try_get("id")?,
        hash: hash.try_into().map_err(|hash| StoreError::Unknown { what: "token's hash", value: hex::encode(hash) })?,
        role: role.parse().map_err(|_| StoreError::Unknown { what: "role", value: role })?,
        name: row.try_get("name")?,
        created_unix_ms: row.try_get("created_unix_ms")?,
        expires_unix_ms: row.try_get("expires_unix_ms")?,
        revoked_unix_ms: row.try_get("revoked_unix_ms")?,
    })
}
