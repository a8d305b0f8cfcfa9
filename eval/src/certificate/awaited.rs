//! Certificates that wait for more signatures, beside the ones that hold until then.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use time::OffsetDateTime;

use super::{Binding, Certificate, CertificateStore, IssueError, StoreError, Trust, store::MAX_CERTIFICATE_BYTES};
use crate::file;

impl CertificateStore {
    /// Where the certificate of a target and a suite waits for its signatures.
    pub(super) fn awaited_path(&self, target: &str, suite: &str) -> PathBuf {
        let path = self.certificate_path(target, suite);
        self.awaited_dir().join(path.file_name().unwrap_or_default())
    }

    /// The certificate that is to take the place of `former`, would hold for `binding` if enough had signed it, and its file.
    pub fn awaited(
        &self,
        (former, binding): (&Certificate, &Binding),
        trust: &Trust,
        now: OffsetDateTime,
    ) -> Option<(Certificate, PathBuf)> {
        let path = self.awaited_path(&binding.target, &binding.suite.name);
        if !file::is_there(&path) {
            return None;
        }
        let certificate = self.read_file(&path, &self.keys(trust).ok()?).ok()?;
        let takes_its_place = certificate.predicate().supersedes.as_deref() == Some(former.digest());
        let by_one = Trust { signatures: 1, ..trust.clone() };
        let holds = self.holds_for(&certificate, binding, &by_one, now).is_ok();
        (takes_its_place && holds).then_some((certificate, path))
    }

    /// Puts the certificate in `path`, if it is one that waits and by now has the signatures that `trust` asks for, in the place of the
    /// one in force; `false`: it is not, or lacks some. One that would end sooner than what is in force goes.
    pub fn take_over(&self, path: &Path, trust: &Trust) -> Result<bool, IssueError> {
        let (Ok(path), Ok(dir)) = (fs::canonicalize(path), fs::canonicalize(self.awaited_dir())) else {
            return Ok(false);
        };
        if path.parent() != Some(&dir) {
            return Ok(false);
        }
        let unusable = |reason| IssueError::Unusable { path: path.clone(), reason: Box::new(reason) };
        let keys = self.keys(trust).map_err(unusable)?;
        let certificate = self.read_file(&path, &keys).map_err(unusable)?;
        if trust.is_signed(&certificate).is_err() {
            return Ok(false);
        }
        let certified = certificate.predicate();
        let (target, suite) = (&certified.target, &certified.suite.name);
        let in_force = self.read_file(&self.certificate_path(target, suite), &keys);
        let is_newer = in_force.is_ok_and(|one| one.predicate().expires_at > certified.expires_at);
        if !is_newer {
            let failed = |source| StoreError::Io { path: path.clone(), source };
            let json = file::read(&path, MAX_CERTIFICATE_BYTES).map_err(failed)?;
            self.set_former_aside(target, suite, &keys)?;
            self.keep_certificate(target, suite, &json)?;
        }
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::Io { path, source }.into()),
        }
        Ok(!is_newer)
    }

    fn awaited_dir(&self) -> PathBuf {
        self.dir.join("certs/awaited")
    }
}
