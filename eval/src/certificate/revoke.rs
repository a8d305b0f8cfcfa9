//! Taking a certificate back: a signed statement that names it by its digest. It counts whoever holds the certificate's file.
//!
//! `revocations/DIGEST.json` is a DSSE envelope around an in-toto statement whose subject is the certificate's statement and whose
//! predicate has `target`, `suite`, `reason` and `revoked_at`. Fail closed: a file of that name ends the certificate, whatever it holds.

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    Certificate, CertificateStore, Envelope, IssueError, PublicKey, Reason,
    statement::{ResourceDescriptor, STATEMENT_TYPE},
    store::read_bounded,
};

/// What a revocation's predicate is called.
pub const REVOCATION_TYPE: &str = "urn:backstop:stage2-revocation:v1";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevocationStatement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<ResourceDescriptor>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Revocation,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    pub target: String,
    pub suite: String,
    pub reason: String,
    #[serde(with = "time::serde::rfc3339")]
    pub revoked_at: OffsetDateTime,
}

impl CertificateStore {
    /// Takes the certificate back; gives the revocation's file. One that is revoked already stays as it was revoked first.
    pub fn revoke(&self, certificate: &Certificate, reason: &str, now: OffsetDateTime) -> Result<PathBuf, IssueError> {
        let path = self.revocation_path(certificate.digest());
        if path.exists() {
            return Ok(path);
        }
        let certified = certificate.predicate();
        let statement = RevocationStatement {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: vec![ResourceDescriptor::sha256("certificate", certificate.digest().to_owned())],
            predicate_type: REVOCATION_TYPE.to_owned(),
            predicate: Revocation {
                target: certified.target.clone(),
                suite: certified.suite.name.clone(),
                reason: reason.to_owned(),
                revoked_at: now,
            },
        };
        let envelope = Envelope::seal(&serde_json::to_vec(&statement)?, &self.signer()?);
        self.write(&path, &serde_json::to_vec_pretty(&envelope)?)?;
        Ok(path)
    }

    /// Whether the certificate was taken back.
    pub(super) fn is_not_revoked(&self, certificate: &Certificate, keys: &[PublicKey]) -> Result<(), Reason> {
        let path = self.revocation_path(certificate.digest());
        let json = match read_bounded(&path) {
            Ok(json) => json,
            // Only what is not there is none.
            Err(_) if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) => {
                return Ok(());
            }
            Err(_) => return Err(Reason::Revoked("its revocation cannot be read".into())),
        };
        let read = |json: &[u8]| -> Option<Revocation> {
            let envelope: Envelope = serde_json::from_slice(json).ok()?;
            let (payload, _) = envelope.open(keys).ok()?;
            Some(serde_json::from_slice::<RevocationStatement>(&payload).ok()?.predicate)
        };
        Err(Reason::Revoked(match read(&json) {
            Some(revocation) => format!("{} ({})", revocation.reason, super::shown(revocation.revoked_at)),
            None => "its revocation is not signed by a key that counts here, and stands all the same".into(),
        }))
    }

    fn revocation_path(&self, digest: &str) -> PathBuf {
        self.dir.join("revocations").join(format!("{digest}.json"))
    }
}
