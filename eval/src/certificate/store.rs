//! Where certificates, the reports behind them and the signing key are kept.
//!
//! ```text
//! DIR/signing.key  signing.pub
//! DIR/certs/<target>--<suite>-<digest>.json   one file per target and suite; a new certificate replaces the old one
//! DIR/runs/<sha256>.json                      every report, named by its bytes
//! ```
//! Files are written whole or not at all. Nothing is cached: each check reads what is on disk now.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use time::OffsetDateTime;

use crate::{digest::sha256_hex, report::Report};

use super::{Binding, Certificate, Invalid, PublicKey, Reason, Signer, SignerError};

/// The largest certificate that is read, in bytes.
const MAX_CERTIFICATE_BYTES: u64 = 1 << 20;

/// A directory of certificates.
#[derive(Debug, Clone)]
pub struct CertificateStore {
    pub(super) dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot read or write {}: {source}; mend its permissions or make room", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// One certificate file.
#[derive(Debug)]
pub struct Listed {
    pub path: PathBuf,
    /// Verified by the key here, or why it cannot be believed.
    pub certificate: Result<Certificate, Reason>,
}

/// Whether the report that a certificate stands on is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawReport {
    Intact,
    Changed,
    Missing,
}

impl CertificateStore {
    /// The store in `dir`, which is made when missing.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        for made in [dir.to_owned(), dir.join("certs"), dir.join("runs")] {
            fs::create_dir_all(&made).map_err(|source| StoreError::Io { path: made, source })?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// The certificate that holds for `binding` now, or the reason why none does.
    pub fn check(&self, binding: &Binding, now: OffsetDateTime) -> Result<Certificate, Invalid> {
        self.find(binding, now).map_err(|reason| Invalid {
            target: binding.target.clone(),
            suite: binding.suite.name.clone(),
            reason,
        })
    }

    /// Every certificate file, sorted by name, with what it certifies or why it cannot be believed. Whether it holds for what
    /// is on disk now is [`CertificateStore::check`]'s to say.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let certs = self.dir.join("certs");
        let failed = |source| StoreError::Io { path: certs.clone(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(&certs).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|end| end == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths.into_iter().map(|path| Listed { certificate: self.read(&path), path }).collect())
    }

    /// Stores a report, passed or not; gives the digest it is named by.
    pub fn keep_report(&self, report: &Report) -> Result<String, StoreError> {
        let json = serde_json::to_vec_pretty(report)?;
        let digest = sha256_hex(&json);
        self.write(&self.report_path(&digest), &json)?;
        Ok(digest)
    }

    pub fn raw_report(&self, certificate: &Certificate) -> RawReport {
        let digest = &certificate.predicate().report_sha256;
        match fs::read(self.report_path(digest)) {
            Ok(bytes) if sha256_hex(&bytes) == *digest => RawReport::Intact,
            Ok(_) => RawReport::Changed,
            Err(_) => RawReport::Missing,
        }
    }

    /// Where the answers of runs under way are kept.
    pub fn answers(&self) -> PathBuf {
        self.dir.join("answers")
    }

    /// Where the certificate of a target and a suite is.
    pub fn certificate_path(&self, target: &str, suite: &str) -> PathBuf {
        let readable = |text: &str| -> String {
            text.chars()
                .take(60)
                .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' })
                .collect()
        };
        let exact = sha256_hex(format!("{target}\n{suite}").as_bytes());
        self.dir.join("certs").join(format!("{}--{}-{}.json", readable(target), readable(suite), &exact[..12]))
    }

    pub fn report_path(&self, digest: &str) -> PathBuf {
        self.dir.join("runs").join(format!("{digest}.json"))
    }

    /// The key that certificates here must be signed with; `None` when none was made yet. Where the secret half is here too, the public
    /// one must fit it, so a swapped `signing.pub` is seen.
    pub fn public_key(&self) -> Result<Option<PublicKey>, SignerError> {
        match Signer::existing(&self.dir)? {
            Some(signer) => Ok(Some(signer.public_key())),
            None => PublicKey::of(&self.dir),
        }
    }

    pub(super) fn signer(&self) -> Result<Signer, SignerError> {
        Signer::open(&self.dir)
    }

    pub(super) fn keep_certificate(&self, target: &str, suite: &str, json: &[u8]) -> Result<(), StoreError> {
        self.write(&self.certificate_path(target, suite), json)
    }

    fn find(&self, binding: &Binding, now: OffsetDateTime) -> Result<Certificate, Reason> {
        let path = self.certificate_path(&binding.target, &binding.suite.name);
        if !path.exists() {
            return Err(Reason::Missing { target: binding.target.clone(), suite: binding.suite.name.clone() });
        }
        let certificate = self.read(&path)?;
        certificate.holds_for(binding, now)?;
        Ok(certificate)
    }

    fn read(&self, path: &Path) -> Result<Certificate, Reason> {
        let Some(key) = self.public_key()? else {
            return Err(Reason::Unreadable("there is no signing.pub to verify it with".into()));
        };
        Certificate::read(&read_bounded(path)?, &key)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let failed = |source| StoreError::Io { path: path.to_owned(), source };
        let dir = path.parent().unwrap_or(&self.dir);
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
    }
}

/// A certificate's bytes; more than a certificate can have is refused unread.
fn read_bounded(path: &Path) -> Result<Vec<u8>, Reason> {
    let unreadable = |error: io::Error| Reason::Unreadable(format!("{}: {error}", path.display()));
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_CERTIFICATE_BYTES {
        return Err(Reason::Unreadable(format!("{} is larger than {MAX_CERTIFICATE_BYTES} bytes", path.display())));
    }
    fs::read(path).map_err(unreadable)
}
