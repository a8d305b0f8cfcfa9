//! What must last: calls, tenants, client keys and the audit log, in SQLite; behind one small trait, so that Postgres can join.
//!
//! Callers see [`Store`] and plain rows, never SQL. Several processes may hold the same database open at once. A write
//! that was answered with `Ok` survives a power loss.

mod admin;
pub mod audit;
mod calls;
mod clients;
mod drills;
pub mod merkle;
mod quality;
mod releases;
mod renewals;
#[cfg(test)]
pub(crate) mod sample;
mod shares;
mod spent;
mod sqlite;
#[cfg(test)]
mod tests;
mod tidy;
mod triggers;
mod usage;
mod used;

pub use admin::{AdminStore, AdminTokenRow, Claim, Claimed, Remembered};
pub use audit::{AuditFilter, AuditLog, AuditRow, Personal, Record};
pub use calls::{CallFilter, Calls, Journaled};
pub use clients::{Clients, KeyRow, May, TenantRow};
pub use drills::{DrillAnswer, DrillEnd, DrillRow, DrillSums, Drills, FirstContents, Which};
pub use quality::{ProbeRow, Quality, Share, ShareOf};
pub use releases::{ReleaseRow, Releases, ShadowRow, ShadowSums};
pub use renewals::{RenewalClaim, RenewalEnd, RenewalOutcome, RenewalRow, Renewals};
pub use shares::{Replayed, ShareOverride, ShareRow, Shares};
pub use spent::{Cursor, SpentRow};
pub use tidy::Tidy;
pub use triggers::{CallSums, CallsOf, IncidentRow, KpiPoint, KpiSums, SumFilter, Triggers};
pub use usage::{Dimension, Only, UsageFilter, UsageRow, UsageTotals};
pub use used::{Used, UsedRow};

use std::{
    fmt,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::future::BoxFuture;

/// A handle to the database; cheap to clone. Its methods are those of [`AdminStore`], [`Calls`], [`Clients`], [`AuditLog`],
/// [`Drills`], [`Quality`], [`Releases`], [`Renewals`], [`Shares`], [`Tidy`], [`Triggers`] and [`Used`].
#[derive(Debug, Clone)]
pub struct Store {
    database: Arc<dyn Database>,
}

/// What a database must be able to do.
pub trait Database:
    AdminStore
    + AuditLog
    + Calls
    + Clients
    + Drills
    + Quality
    + Releases
    + Renewals
    + Shares
    + Tidy
    + Triggers
    + Used
    + fmt::Debug
    + Send
    + Sync
{
    /// Ends all connections; what is under way is finished first.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What every question to the database comes back as.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The database cannot be used, or not for this.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot make the database {path}; mend the directory's permissions or name another --state-dir")]
    Create { path: PathBuf, source: std::io::Error },
    #[error("cannot write the database {path}; mend its permissions or free disk space")]
    NotWritable { path: PathBuf, source: sqlx::Error },
    #[error(
        "{path} is damaged or not a database; move it away or restore a copy (the journal beside it keeps what was not stored yet)"
    )]
    Damaged { path: PathBuf, source: sqlx::Error },
    #[error("{path} belongs to another application; name another database")]
    Foreign { path: PathBuf },
    #[error(
        "{path} has schema {found}, which is newer than this program's {ours}; use a newer backstop, or another database"
    )]
    NewerSchema { path: PathBuf, found: i64, ours: i64 },
    #[error(
        "the audit log was changed from outside, so nothing is added to it; `backstop audit verify` says what and where"
    )]
    AuditChanged,
    #[error("the database cannot be used at the moment; it is tried again")]
    Unavailable { source: sqlx::Error },
    #[error("{what} in the database cannot be read; use a newer backstop")]
    Unreadable { what: &'static str, source: serde_json::Error },
    #[error("the database holds `{value}` as a {what}, which this program does not know; use a newer backstop")]
    Unknown { what: &'static str, value: String },
}

impl Store {
    /// Opens or makes the SQLite file at `path` (mode 0600) and brings its schema up to date.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::new(sqlite::Sqlite::open(path).await?))
    }

    /// A store of another kind.
    pub fn new(database: impl Database + 'static) -> Self {
        Self { database: Arc::new(database) }
    }
}

impl Deref for Store {
    type Target = dyn Database;

    fn deref(&self) -> &Self::Target {
        &*self.database
    }
}
