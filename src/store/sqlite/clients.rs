//! Tenants and client keys in SQLite. Triggers of the schema count the revision up.

use sqlx::{Row as _, Sqlite as Db, SqliteConnection, Transaction, sqlite::SqliteRow};

use super::{Sqlite, audit::append, rows::unsigned};
use crate::{
    config::TenantLimits,
    domain::{KeyId, Money, TenantId},
    store::{
        Answer, Record, StoreError,
        clients::{Clients, KeyRow, TenantRow},
    },
};

impl Clients for Sqlite {
    fn clients_revision(&self) -> Answer<'_, i64> {
        Box::pin(async { Ok(sqlx::query_scalar("SELECT revision FROM clients_revision").fetch_one(&self.pool).await?) })
    }

    fn tenants(&self) -> Answer<'_, Vec<TenantRow>> {
        Box::pin(async {
            let found = sqlx::query("SELECT * FROM tenants ORDER BY id").fetch_all(&self.pool).await?;
            found.iter().map(tenant).collect()
        })
    }

    fn add_tenant(&self, tenant: TenantRow, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            if !insert_tenant(&mut transaction, &tenant, "ON CONFLICT DO NOTHING").await? {
                return Ok(false);
            }
            audited(transaction, &entry).await?;
            Ok(true)
        })
    }

    fn limit_tenant(&self, tenant: TenantRow, entry: Record) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let otherwise = "ON CONFLICT (id) DO UPDATE SET budget_micros_per_month = excluded.budget_micros_per_month, \
                 requests_per_minute = excluded.requests_per_minute, tokens_per_minute = excluded.tokens_per_minute";
            insert_tenant(&mut transaction, &tenant, otherwise).await?;
            audited(transaction, &entry).await
        })
    }

    fn keys(&self) -> Answer<'_, Vec<KeyRow>> {
        Box::pin(async {
            let sql = "SELECT * FROM client_keys ORDER BY tenant, created_unix_ms, key_id";
            sqlx::query(sql).fetch_all(&self.pool).await?.iter().map(key).collect()
        })
    }

    fn add_key(&self, key: KeyRow, entry: Record) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            insert_key(&mut transaction, &key).await?;
            audited(transaction, &entry).await
        })
    }

    fn replace_key(&self, old: KeyId, new: KeyRow, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            if !revoke(&mut transaction, &old, new.created_unix_ms).await? {
                return Ok(false);
            }
            insert_key(&mut transaction, &new).await?;
            audited(transaction, &entry).await?;
            Ok(true)
        })
    }

    fn revoke_key(&self, key: KeyId, now_unix_ms: i64, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            if !revoke(&mut transaction, &key, now_unix_ms).await? {
                return Ok(false);
            }
            audited(transaction, &entry).await?;
            Ok(true)
        })
    }

    fn add_first(&self, tenant: TenantRow, key: KeyRow, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let sql = "SELECT EXISTS (SELECT 1 FROM tenants) OR EXISTS (SELECT 1 FROM client_keys)";
            if sqlx::query_scalar(sql).fetch_one(&mut *transaction).await? {
                return Ok(false);
            }
            insert_tenant(&mut transaction, &tenant, "").await?;
            insert_key(&mut transaction, &key).await?;
            audited(transaction, &entry).await?;
            Ok(true)
        })
    }
}

/// Appends the act's entry and ends the act's transaction.
async fn audited(mut transaction: Transaction<'static, Db>, entry: &Record) -> Result<(), StoreError> {
    append(&mut transaction, entry).await?;
    Ok(transaction.commit().await?)
}

async fn insert_tenant(
    connection: &mut SqliteConnection,
    tenant: &TenantRow,
    otherwise: &'static str,
) -> Result<bool, StoreError> {
    let sql = format!(
        "INSERT INTO tenants (id, created_unix_ms, budget_micros_per_month, requests_per_minute, tokens_per_minute) \
         VALUES (?, ?, ?, ?, ?) {otherwise}"
    );
    let whole = |limit: Option<u64>| limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.id.as_str())
        .bind(tenant.created_unix_ms)
        .bind(tenant.limits.budget_per_month.map(|budget| budget.micros))
        .bind(whole(tenant.limits.requests_per_minute))
        .bind(whole(tenant.limits.tokens_per_minute))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

async fn insert_key(connection: &mut SqliteConnection, key: &KeyRow) -> Result<(), StoreError> {
    let sql = "INSERT INTO client_keys (hash, key_id, tenant, name, created_unix_ms, expires_unix_ms, revoked_unix_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(key.hash.as_slice())
        .bind(key.key_id.as_str())
        .bind(key.tenant.as_str())
        .bind(key.name.as_deref())
        .bind(key.created_unix_ms)
        .bind(key.expires_unix_ms)
        .bind(key.revoked_unix_ms)
        .execute(connection)
        .await?;
    Ok(())
}

async fn revoke(connection: &mut SqliteConnection, key: &KeyId, now_unix_ms: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE client_keys SET revoked_unix_ms = ? WHERE key_id = ? AND revoked_unix_ms IS NULL";
    let done = sqlx::query(sql).bind(now_unix_ms).bind(key.as_str()).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

fn tenant(row: &SqliteRow) -> Result<TenantRow, StoreError> {
    Ok(TenantRow {
        id: TenantId::new(row.try_get::<String, _>("id")?),
        created_unix_ms: row.try_get("created_unix_ms")?,
        limits: TenantLimits {
            budget_per_month: row.try_get::<Option<i64>, _>("budget_micros_per_month")?.map(Money::from_micros),
            requests_per_minute: row.try_get::<Option<i64>, _>("requests_per_minute")?.map(unsigned),
            tokens_per_minute: row.try_get::<Option<i64>, _>("tokens_per_minute")?.map(unsigned),
        },
    })
}

fn key(row: &SqliteRow) -> Result<KeyRow, StoreError> {
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(KeyRow {
        hash: hash.try_into().map_err(|hash| StoreError::Unknown { what: "key hash", value: hex::encode(hash) })?,
        key_id: KeyId::new(row.try_get::<String, _>("key_id")?),
        tenant: TenantId::new(row.try_get::<String, _>("tenant")?),
        name: row.try_get("name")?,
        created_unix_ms: row.try_get("created_unix_ms")?,
        expires_unix_ms: row.try_get("expires_unix_ms")?,
        revoked_unix_ms: row.try_get("revoked_unix_ms")?,
    })
}
