//! A target asked the questions of a suite, and certified when it passed: by hand (`eval run`) and by the gateway itself the same way.
//!
//! Answers are in a journal before the next question, so that whoever was killed goes on where it was; each run is counted as an
//! attempt. Who decides what is asked, printed or certified is the caller.

mod examined;
mod referees;

use std::{path::PathBuf, sync::Arc};

use backstop_eval::{
    certificate::{Binding, Certificate, IssueError, Scope, SignerError, StoreError},
    referee::{Bench, ScorerFault},
    report::{Against, Report},
    run::{self, Ending, Journal, JournalError, Reuse, RunOptions, RunProgress},
    subject::Subject,
    suite::{Suite, SuiteError},
};
use backstop_models::{chat::Usage, embed::Embedder, engine::Engine, load::LoadError, machine::Machine};
use time::OffsetDateTime;

pub use examined::Examined;
pub use referees::Chosen;

use super::{Gate, certifying};
use crate::{
    audit::{Audit, AuditError},
    config::{Settings, StateDir},
    domain::Actor,
    vault::{Vault, VaultError},
    vendor::{LocalState, LocalTier},
};

/// What an evaluation reaches targets and referees with.
#[derive(Debug, Clone)]
pub struct Evaluation {
    pub state: StateDir,
    pub settings: Arc<Settings>,
    pub gate: Arc<Gate>,
    /// `None`: opened once a vendor is to be asked.
    pub vault: Option<Vault>,
    /// `None`: nothing is loaded in this process yet, and each local model may have all the memory that the config gives.
    pub serving: Option<Serving>,
}

/// The local models of a gateway that serves: one that is loaded is asked as it is, and another must fit in beside them.
#[derive(Debug, Clone)]
pub struct Serving {
    pub tier: LocalTier,
    pub machine: Machine,
}

/// How a target is asked.
#[derive(Debug)]
pub struct Terms {
    /// Questions side by side.
    pub concurrency: usize,
    /// The most questions a minute.
    pub per_minute: Option<u32>,
    /// What the answers may cost, in millionths of a dollar.
    pub max_cost_micros: Option<u64>,
    pub reuse: Reuse,
    /// Whom it is compared with.
    pub against: Option<Against>,
}

/// A run that is over but for its last line, which comes after all that it leads to.
#[derive(Debug)]
pub struct Asked {
    pub report: Report,
    pub ending: Ending,
}

/// Where a certificate goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filing {
    /// In the place of the one before, at once.
    InForce,
    /// Beside the one in force, until enough others have signed it.
    Awaited,
}

#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// What cannot be asked as it was named, and what to do.
    #[error("{0}")]
    Unfit(String),
    #[error(
        "a ceiling of cost cannot hold back {0}, whose price nobody knows; add it to the config under `models`, or ask by hand without --max-cost-usd"
    )]
    Unpriced(String),
    #[error("{what} cannot be loaded")]
    Load { what: String, source: LoadError },
    #[error("the judge {judge} cannot be asked")]
    Judge { judge: String, source: Box<EvaluationError> },
    #[error("the client that asks vendors cannot be made; check this machine's certificate store")]
    Client(#[from] reqwest::Error),
    #[error(transparent)]
    Suite(#[from] SuiteError),
    #[error(transparent)]
    Scorer(#[from] ScorerFault),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("a step of it ended early; the log has the reason")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Evaluation {
    /// Asks every question of the suite's split that is in force.
    pub async fn ask(
        &self,
        suite: &Suite,
        examined: &Examined,
        (bench, terms): (Bench, Terms),
        progress: &dyn RunProgress,
    ) -> Result<Asked, EvaluationError> {
        let Terms { concurrency, per_minute, max_cost_micros, reuse, against } = terms;
        let (certificates, key) = (self.gate.certificates(), examined.key());
        let journal = Journal::open(&certificates.answers(), &key, suite, reuse)?;
        let attempt = certificates.begin_attempt(&key, suite, journal.is_resumed())?;
        let ending = journal.ending();
        let options = RunOptions {
            concurrency,
            per_minute,
            max_cost_micros,
            journal: Some(journal),
            subject: key,
            attempt: attempt.number,
            against,
            bench,
        };
        let report = run::run(suite, examined.subject.as_ref(), options, progress).await;
        certificates.end_attempt(attempt, report.verdict)?;
        Ok(Asked { report, ending })
    }

    /// Certifies what passed, with its entry in the audit log before it takes effect; gives the certificate and its file.
    pub async fn certify(
        &self,
        (suite, report): (&Suite, &Report),
        (binding, scope): (&Binding, &Scope),
        (audit, actor): (&Audit, Actor),
        filing: Filing,
    ) -> Result<(Certificate, PathBuf), EvaluationError> {
        let certificates = self.gate.certificates();
        let report_sha256 = certificates.keep_report(report)?;
        let act = certifying(actor, (binding, scope), &report_sha256);
        let (bound, now) = ((binding, scope.clone()), OffsetDateTime::now_utc());
        let issue = async {
            Ok(match filing {
                Filing::Awaited => certificates.issue_beside(suite, report, bound, now)?,
                Filing::InForce => {
                    let path = certificates.certificate_path(&binding.target, &binding.suite.name);
                    (certificates.issue(suite, report, bound, now)?, path)
                }
            })
        };
        audit.around(act, issue).await
    }

    /// A ceiling over what has no price would hold nothing back. What this process computes by itself costs nobody else's money.
    pub fn can_be_bounded(&self, subject: &dyn Subject) -> Result<(), EvaluationError> {
        let usage = Usage { input_tokens: Some(1000), output_tokens: Some(1000), ..Usage::default() };
        let name = subject.name();
        if name.starts_with("local/") || subject.cost_micros(&usage).is_some() {
            return Ok(());
        }
        Err(EvaluationError::Unpriced(name))
    }

    /// A local model that serves here.
    fn served(&self, model: &str) -> Option<Engine> {
        match self.serving.as_ref()?.tier.models().get(model)? {
            LocalState::Ready(engine) => Some(engine.clone()),
            _ => None,
        }
    }

    /// An embedding model that serves here.
    fn served_embedder(&self, model: &str) -> Option<Embedder> {
        match self.serving.as_ref()?.tier.models().get(model)? {
            LocalState::Embedder(embedder) => Some(embedder.clone()),
            _ => None,
        }
    }

    fn machine(&self) -> Machine {
        self.serving.as_ref().map_or_else(|| super::machine(&self.settings.local), |serving| serving.machine.clone())
    }
}

/// Whether a target is named by its address.
pub fn is_url(target: &str) -> bool {
    target.starts_with("http://") || target.starts_with("https://")
}
