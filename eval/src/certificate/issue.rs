//! From a report to a certificate: the only way to one, and only for a pass of exactly what is bound.

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use crate::{
    report::{Inconsistent, Report, Verdict},
    suite::{Split, Suite},
};

use super::{
    Binding, BoundSubject, Certificate, CertificateStore, Envelope, PublicKey, Reason, Scope, Signer, SignerError,
    Statement, StoreError,
};

#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("{target} did not pass {suite}: {verdict} ({why}); only a pass is certified")]
    NotPassed { target: String, suite: String, verdict: Verdict, why: String },
    #[error(
        "{target} is not what it was when the suite was run: its bytes, engine, limits or address differ; run the suite again"
    )]
    OtherSubject { target: String },
    #[error("only items of the split `gate` decide; run the suite without --split")]
    OtherSplit,
    #[error("{0} of its answers are of an earlier run; run the suite without --cache")]
    Reused(usize),
    #[error("the suite `{suite}` is not for the {what} `{found}`; it is for: {known}")]
    OutsideSuite { what: &'static str, found: String, suite: String, known: String },
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
    #[error("the report's {what} is {report}, but {bound} is to be certified; run the suite again")]
    OtherThanRun { what: &'static str, report: String, bound: String },
    #[error("{} cannot be signed: {reason}", path.display())]
    Unusable { path: PathBuf, reason: Box<Reason> },
    #[error("cannot sign: {0}")]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write the statement as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl CertificateStore {
    /// Certifies that `binding` passed `suite`, as `report` shows, and stores report and certificate. The report's verdict is not
    /// believed: it is made again from its items. `scope`: what it is for, [`Scope::of`] the suite or a part of that.
    pub fn issue(
        &self,
        suite: &Suite,
        report: &Report,
        (binding, scope): (&Binding, Scope),
        now: OffsetDateTime,
    ) -> Result<Certificate, IssueError> {
        let (certificate, json) = self.seal(suite, report, (binding, scope), now)?;
        self.keep_certificate(&binding.target, &binding.suite.name, &json)?;
        Ok(certificate)
    }

    /// As [`Self::issue`], but beside the certificate that is in force, which holds on: what is made takes its place once enough have
    /// signed it, see [`Self::take_over`]. Gives the file, too.
    pub fn issue_beside(
        &self,
        suite: &Suite,
        report: &Report,
        (binding, scope): (&Binding, Scope),
        now: OffsetDateTime,
    ) -> Result<(Certificate, PathBuf), IssueError> {
        let (certificate, json) = self.seal(suite, report, (binding, scope), now)?;
        let path = self.awaited_path(&binding.target, &binding.suite.name);
        self.write(&path, &json)?;
        Ok((certificate, path))
    }

    /// Signed by this installation, verified, and not written yet.
    fn seal(
        &self,
        suite: &Suite,
        report: &Report,
        (binding, scope): (&Binding, Scope),
        now: OffsetDateTime,
    ) -> Result<(Certificate, Vec<u8>), IssueError> {
        report.recheck(suite)?;
        if report.verdict != Verdict::Pass {
            return Err(IssueError::NotPassed {
                target: report.target.clone(),
                suite: suite.name().to_owned(),
                verdict: report.verdict,
                why: report.why.join("; "),
            });
        }
        if report.split != Split::Gate {
            return Err(IssueError::OtherSplit);
        }
        if report.reused > 0 {
            return Err(IssueError::Reused(report.reused));
        }
        same("target", &report.target, &binding.target)?;
        same("suite", &report.suite.digest, &binding.suite.digest)?;
        if let (BoundSubject::Local { engine, .. }, Some(ran_on)) = (&binding.subject, &report.engine) {
            same("engine", ran_on, engine)?;
        }
        if report.subject != binding.key() {
            return Err(IssueError::OtherSubject { target: binding.target.clone() });
        }
        let report_sha256 = self.keep_report(report)?;
        let signer = self.signer()?;
        let keys = [signer.public_key()];
        let supersedes = self.set_former_aside(&binding.target, &binding.suite.name, &keys)?;
        let statement = Statement::new(scope, report, (report_sha256, supersedes), binding, now);
        let envelope = Envelope::seal(&serde_json::to_vec(&statement)?, &signer);
        let json = serde_json::to_vec_pretty(&envelope)?;
        // Read as anyone would read it, so that nothing is handed out that would not verify.
        let certificate = Certificate::read(&json, &keys)
            .map_err(|reason| IssueError::Inconsistent(Inconsistent::because(reason.to_string())))?;
        Ok((certificate, json))
    }

    /// Adds `signer`'s signature to the certificate in `path`, once it is known to be one that `keys` have signed.
    pub fn countersign(&self, path: &Path, keys: &[PublicKey], signer: &Signer) -> Result<Certificate, IssueError> {
        let unusable = |reason: Reason| IssueError::Unusable { path: path.to_owned(), reason: Box::new(reason) };
        let read = self.read_file(path, keys).map_err(unusable)?;
        read.is_a_pass().map_err(unusable)?;
        let mut envelope = read.envelope().clone();
        envelope.sign(signer).map_err(|error| unusable(error.into()))?;
        let json = serde_json::to_vec_pretty(&envelope)?;
        self.write(path, &json)?;
        let keys: Vec<PublicKey> = keys.iter().cloned().chain([signer.public_key()]).collect();
        Certificate::read(&json, &keys).map_err(unusable)
    }
}

fn same(what: &'static str, report: &str, bound: &str) -> Result<(), IssueError> {
    if report == bound {
        return Ok(());
    }
    Err(IssueError::OtherThanRun { what, report: report.to_owned(), bound: bound.to_owned() })
}
