//! What must last: calls, tenants and client keys, in SQLite; behind one small trait, so that Postgres can join.
//!
//! Callers see [`Store`] and plain rows, never SQL. Several processes may hold the same database open at once.

use std::{path::Path, sync::Arc};

/// A handle to the database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    _inner: Arc<()>,
}

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("unavailable")]
    Unavailable,
}

impl Store {
    /// Opens or makes the SQLite file at `path` and brings its schema up to date.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        let _ = path;
        todo!()
    }
}
