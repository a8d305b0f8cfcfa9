//! Tenants and client keys in SQLite. Triggers of the schema count the revision up.

use sqlx::{Row as _, Sqlite as Db, SqliteConnection, Transaction, sqlite::SqliteRow};

use super::{Sqlite, audit::append};
use crate::{
    config::Tenant,
    domain::{KeyId, TenantId},
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

    fn limit_tenant(&self, before: Option<Tenant>, limited: TenantRow, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let stored = sqlx::query("SELECT * FROM tenants WHERE id = ?").bind(limited.id.as_str());
            let stored = stored.fetch_optional(&mut *transaction).await?.as_ref().map(tenant).transpose()?;
            if stored.map(|row| row.policy) != before {
                return Ok(false);
            }
            let otherwise = "ON CONFLICT (id) DO UPDATE SET policy = excluded.policy";
            insert_tenant(&mut transaction, &limited, otherwise).await?;
            audited(transaction, &entry).await?;
            Ok(true)
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

    fn replace_key(&self, old: KeyId, new: KeyRow, old_ends_unix_ms: Option<i64>, entry: Record) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let ended = match old_ends_unix_ms {
                None => revoke(&mut transaction, &old, new.created_unix_ms).await?,
                Some(ends) => expire(&mut transaction, &old, (new.created_unix_ms, ends)).await?,
            };
            if !ended {
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
pub(super) async fn audited(mut transaction: Transaction<'static, Db>, entry: &Record) -> Result<(), StoreError> {
    append(&mut transaction, entry).await?;
    Ok(transaction.commit().await?)
}

async fn insert_tenant(
    connection: &mut SqliteConnection,
    tenant: &TenantRow,
    otherwise: &'static str,
) -> Result<bool, StoreError> {
    let sql = format!("INSERT INTO tenants (id, created_unix_ms, policy) VALUES (?, ?, ?) {otherwise}");
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.id.as_str())
        .bind(tenant.created_unix_ms)
        .bind(json("a tenant's limits", &tenant.policy)?)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

async fn insert_key(connection: &mut SqliteConnection, key: &KeyRow) -> Result<(), StoreError> {
    let sql = "INSERT INTO client_keys (hash, key_id, tenant, name, created_unix_ms, expires_unix_ms, revoked_unix_ms, may) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(key.hash.as_slice())
        .bind(key.key_id.as_str())
        .bind(key.tenant.as_str())
        .bind(key.name.as_deref())
        .bind(key.created_unix_ms)
        .bind(key.expires_unix_ms)
        .bind(key.revoked_unix_ms)
        .bind(json("what a key may", &key.may)?)
        .execute(connection)
        .await?;
    Ok(())
}

async fn revoke(connection: &mut SqliteConnection, key: &KeyId, now_unix_ms: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE client_keys SET revoked_unix_ms = ? WHERE key_id = ? AND revoked_unix_ms IS NULL";
    let done = sqlx::query(sql).bind(now_unix_ms).bind(key.as_str()).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// `times`: now, and when it is to end at the latest. What has expired is not valid any more.
async fn expire(connection: &mut SqliteConnection, key: &KeyId, times: (i64, i64)) -> Result<bool, StoreError> {
    let sql = "UPDATE client_keys SET expires_unix_ms = min(coalesce(expires_unix_ms, ?2), ?2) \
         WHERE key_id = ?3 AND revoked_unix_ms IS NULL AND (expires_unix_ms IS NULL OR expires_unix_ms > ?1)";
    let done = sqlx::query(sql).bind(times.0).bind(times.1).bind(key.as_str()).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

fn tenant(row: &SqliteRow) -> Result<TenantRow, StoreError> {
    Ok(TenantRow {
        id: TenantId::new(row.try_get::<String, _>("id")?),
        created_unix_ms: row.try_get("created_unix_ms")?,
        policy: read("a tenant's limits", &row.try_get::<String, _>("policy")?)?,
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
        may: read("what a key may", &row.try_get::<String, _>("may")?)?,
    })
}

fn json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Unreadable { what, source })
}

fn read<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Unreadable { what, source })
}
