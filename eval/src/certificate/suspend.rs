//! A vendor's model that is not what passed any more: its certificate is put aside until it is certified again.
//!
//! `suspensions/DIGEST.json` holds why, since when, and what was seen; it is written by the sentinel. A file of that name
//! suspends the certificate, whatever it holds.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Certificate, CertificateStore, Reason, StoreError, store::read_bounded};
use crate::file;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspension {
    pub target: String,
    pub suite: String,
    /// What drifted, for people.
    pub reason: String,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl CertificateStore {
    /// Suspends the certificate. One that is suspended already stays as it was suspended first.
    pub fn suspend(&self, certificate: &Certificate, reason: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        let path = self.suspension_path(certificate.digest());
        if path.exists() {
            return Ok(());
        }
        let certified = certificate.predicate();
        let suspension = Suspension {
            target: certified.target.clone(),
            suite: certified.suite.name.clone(),
            reason: reason.to_owned(),
            at: now,
        };
        self.write(&path, &serde_json::to_vec_pretty(&suspension)?)
    }

    pub(super) fn is_not_suspended(&self, certificate: &Certificate) -> Result<(), Reason> {
        let path = self.suspension_path(certificate.digest());
        if !file::is_there(&path) {
            return Ok(());
        }
        let read = read_bounded(&path).ok().and_then(|json| serde_json::from_slice::<Suspension>(&json).ok());
        Err(Reason::Suspended(match read {
            Some(Suspension { reason, at, .. }) => format!("{reason} ({})", super::shown(at)),
            None => format!("{} cannot be read", path.display()),
        }))
    }

    fn suspension_path(&self, digest: &str) -> PathBuf {
        self.dir.join("suspensions").join(format!("{digest}.json"))
    }
}
