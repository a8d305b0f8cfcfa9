//! Where certificates, the reports behind them and the signing key are kept.
//!
//! ```text
//! DIR/signing.key  signing.pub
//! DIR/certs/<target>--<suite>-<digest>.json   one file per target and suite; a new certificate replaces the old one
//! DIR/certs/awaited/…                         likewise, of those that wait for more signatures while the old one holds
//! DIR/runs/<sha256>.json                      every report, named by its bytes
//! ```
//! Files are written whole or not at all. Nothing is cached: each check reads what is on disk now.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use time::OffsetDateTime;

use crate::{
    digest::sha256_hex,
    file,
    report::{MAX_REPORT_BYTES, Report},
};

use super::{Binding, Certificate, Holding, Invalid, PublicKey, Reason, Signer, SignerError, Trust, Warning};

/// The largest certificate that is read, in bytes.
pub(super) const MAX_CERTIFICATE_BYTES: u64 = 1 << 20;

/// A directory of certificates.
#[derive(Debug, Clone)]
pub struct CertificateStore {
    pub(super) dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot read or write {}: {source}; mend its permissions or make room", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("no run in {} begins with `{beginning}`; `backstop eval run` says where it stored its report", dir.display())]
    NoRun { beginning: String, dir: PathBuf },
    #[error("{count} runs begin with `{beginning}`; give more digits")]
    ManyRuns { beginning: String, count: usize },
    #[error("{} was changed after the run: its digest is not its name; run the suite again", .0.display())]
    Changed(PathBuf),
    #[error("the report is not JSON as it should be: {0}")]
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
        for made in [
            dir.to_owned(),
            dir.join("certs"),
            dir.join("certs/former"),
            dir.join("certs/awaited"),
            dir.join("runs"),
            dir.join("revocations"),
            dir.join("suspensions"),
        ] {
            fs::create_dir_all(&made).map_err(|source| StoreError::Io { path: made, source })?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// The certificate that holds for `binding` now by what `trust` asks, or the reason why none does.
    pub fn check(&self, binding: &Binding, trust: &Trust, now: OffsetDateTime) -> Result<Holding, Invalid> {
        self.find(binding, trust, now).map_err(|reason| Invalid {
            target: binding.target.clone(),
            suite: binding.suite.name.clone(),
            reason,
        })
    }

    /// Every certificate file, sorted by name, with what it certifies or why it cannot be believed. Whether it holds for what
    /// is on disk now is [`CertificateStore::check`]'s to say.
    pub fn list(&self, trust: &Trust) -> Result<Vec<Listed>, StoreError> {
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
        let read = |path: PathBuf| Listed {
            certificate: self.keys(trust).and_then(|keys| self.read_file(&path, &keys)),
            path,
        };
        Ok(paths.into_iter().map(read).collect())
    }

    /// Stores a report, passed or not; gives the digest it is named by.
    pub fn keep_report(&self, report: &Report) -> Result<String, StoreError> {
        let json = serde_json::to_vec_pretty(report)?;
        let digest = sha256_hex(&json);
        self.write(&self.report_path(&digest), &json)?;
        Ok(digest)
    }

    /// The digest of the stored report that this is the beginning of.
    pub fn run_named(&self, beginning: &str) -> Result<String, StoreError> {
        let dir = self.dir.join("runs");
        let failed = |source| StoreError::Io { path: dir.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if let Some(digest) = name.strip_suffix(".json").filter(|digest| digest.starts_with(beginning)) {
                found.push(digest.to_owned());
            }
        }
        match found.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(StoreError::NoRun { beginning: beginning.to_owned(), dir }),
            _ => Err(StoreError::ManyRuns { beginning: beginning.to_owned(), count: found.len() }),
        }
    }

    /// A stored report, by the digest it is named by.
    pub fn read_report(&self, digest: &str) -> Result<Report, StoreError> {
        let path = self.report_path(digest);
        let json =
            file::read(&path, MAX_REPORT_BYTES).map_err(|source| StoreError::Io { path: path.clone(), source })?;
        if sha256_hex(&json) != digest {
            return Err(StoreError::Changed(path));
        }
        Ok(serde_json::from_slice(&json)?)
    }

    pub fn raw_report(&self, certificate: &Certificate) -> RawReport {
        let digest = &certificate.predicate().report_sha256;
        match file::read(&self.report_path(digest), MAX_REPORT_BYTES) {
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

    /// Keeps the certificate that another is about to take the place of; gives its digest, if it can be read.
    pub(super) fn set_former_aside(
        &self,
        target: &str,
        suite: &str,
        keys: &[PublicKey],
    ) -> Result<Option<String>, StoreError> {
        let path = self.certificate_path(target, suite);
        let Ok(former) = self.read_file(&path, keys) else { return Ok(None) };
        let json = file::read(&path, MAX_CERTIFICATE_BYTES).map_err(|source| StoreError::Io { path, source })?;
        self.write(&self.dir.join("certs/former").join(format!("{}.json", former.digest())), &json)?;
        Ok(Some(former.digest().to_owned()))
    }

    /// The keys whose signatures count here.
    pub fn keys(&self, trust: &Trust) -> Result<Vec<PublicKey>, Reason> {
        let own = self.public_key()?;
        let keys: Vec<PublicKey> = own.into_iter().chain(trust.signers.iter().cloned()).collect();
        if keys.is_empty() {
            return Err(Reason::Unreadable("there is no signing.pub to verify it with".into()));
        }
        Ok(keys)
    }

    /// Reads and verifies one file.
    pub fn read_file(&self, path: &Path, keys: &[PublicKey]) -> Result<Certificate, Reason> {
        Certificate::read_file(path, keys)
    }

    /// Whether it was neither taken back nor put aside.
    pub fn stands(&self, certificate: &Certificate, keys: &[PublicKey]) -> Result<(), Reason> {
        self.is_not_revoked(certificate, keys)?;
        self.is_not_suspended(certificate)
    }

    /// Whether a certificate is about `binding`, and holds now by what `trust` asks.
    pub fn holds_for(
        &self,
        certificate: &Certificate,
        binding: &Binding,
        trust: &Trust,
        now: OffsetDateTime,
    ) -> Result<Option<Warning>, Reason> {
        certificate.is_about(binding)?;
        certificate.is_a_pass()?;
        trust.is_signed(certificate)?;
        self.stands(certificate, &self.keys(trust)?)?;
        trust.in_time(certificate, now)
    }

    fn find(&self, binding: &Binding, trust: &Trust, now: OffsetDateTime) -> Result<Holding, Reason> {
        let path = self.certificate_path(&binding.target, &binding.suite.name);
        if !file::is_there(&path) {
            return Err(Reason::Missing { target: binding.target.clone(), suite: binding.suite.name.clone() });
        }
        let certificate = self.read_file(&path, &self.keys(trust)?)?;
        let warning = self.holds_for(&certificate, binding, trust, now)?;
        Ok(Holding { certificate, warning })
    }

    /// The certificate of `binding` that holds by what `trust` asks, or that would but for its end: what may be renewed unasked. Whatever
    /// else is against it is for people.
    pub fn renewable(&self, binding: &Binding, trust: &Trust, now: OffsetDateTime) -> Result<Certificate, Reason> {
        let path = self.certificate_path(&binding.target, &binding.suite.name);
        if !file::is_there(&path) {
            return Err(Reason::Missing { target: binding.target.clone(), suite: binding.suite.name.clone() });
        }
        let certificate = self.read_file(&path, &self.keys(trust)?)?;
        match self.holds_for(&certificate, binding, trust, now) {
            Err(reason) if !reason.is_expiry() => Err(reason),
            Ok(_) | Err(_) => Ok(certificate),
        }
    }

    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let failed = |source| StoreError::Io { path: path.to_owned(), source };
        let dir = path.parent().unwrap_or(&self.dir);
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
    }
}

impl Certificate {
    /// Reads and verifies one file; see [`Certificate::read`].
    pub fn read_file(path: &Path, keys: &[PublicKey]) -> Result<Self, Reason> {
        Self::read(&read_bounded(path)?, keys)
    }
}

/// A certificate's bytes; more than a certificate can have is refused unread.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, Reason> {
    file::read(path, MAX_CERTIFICATE_BYTES).map_err(|error| Reason::Unreadable(format!("{}: {error}", path.display())))
}
