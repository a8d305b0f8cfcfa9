//! The in-toto Statement that is signed: plain data, strict to read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{
    referee::CertifiedReferees,
    report::{GateResult, Report, Verdict},
    suite::{Split, SuiteId},
};

use super::{Binding, Scope};

/// The `_type` of every in-toto Statement v1.
pub(super) const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// What our predicates are called; the fields are documented in [`super`].
pub const PREDICATE_TYPE: &str = "urn:backstop:stage2-certificate:v2";

/// How long a local model's certificate holds: its bytes are pinned, so it is only to be looked at again now and then.
pub const LOCAL_VALIDITY: Duration = Duration::days(365);

/// How long a vendor's holds: what is behind a name may change any day.
pub const VENDOR_VALIDITY: Duration = Duration::days(30);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    #[serde(rename = "_type")]
    pub statement_type: String,
    pub subject: Vec<ResourceDescriptor>,
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    pub predicate: Predicate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceDescriptor {
    pub name: String,
    /// Algorithm → hex; always `sha256` here.
    pub digest: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predicate {
    pub target: String,
    pub runs_on: RunsOn,
    /// What it may be used for.
    pub scope: Scope,
    pub suite: SuiteId,
    /// Always `gate`.
    pub split: Split,
    pub harness: String,
    /// Which run of this target over exactly this suite passed, counted from 1.
    pub attempt: u64,
    pub verdict: Verdict,
    pub errors: usize,
    pub errors_allowed: usize,
    pub gates: Vec<GateResult>,
    /// The incumbent that it was compared with.
    pub against: Option<Compared>,
    /// Who had a say besides the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referees: Option<CertifiedReferees>,
    pub report_sha256: String,
    /// The certificate of the same target and suite that it takes the place of: the digest of its statement.
    pub supersedes: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub issued_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    pub target: String,
    pub report_sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RunsOn {
    Local {
        engine: String,
        /// How the weights are stored: `Q4_1`, `BF16`.
        quantization: String,
        limits: Limits,
    },
    Vendor {
        kind: String,
        base_url_sha256: String,
        region: Option<String>,
        model: String,
        /// What the vendor said the model is, in every answer of the run: the dated name behind an alias.
        answered_as: Vec<String>,
        /// What it said of what stands behind that name, where it says anything.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fingerprints: Vec<String>,
    },
}

/// What the model was examined under. Service may ask less of it, and never more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The longest prompt plus answer.
    pub context_tokens: u32,
    /// Calls that are answered at once.
    pub running: usize,
}

impl ResourceDescriptor {
    pub(super) fn sha256(name: &str, hex: String) -> Self {
        Self { name: name.to_owned(), digest: BTreeMap::from([("sha256".to_owned(), hex)]) }
    }
}

impl RunsOn {
    fn validity(&self) -> Duration {
        match self {
            Self::Local { .. } => LOCAL_VALIDITY,
            Self::Vendor { .. } => VENDOR_VALIDITY,
        }
    }
}

impl Statement {
    pub(super) fn new(
        scope: Scope,
        report: &Report,
        (report_sha256, supersedes): (String, Option<String>),
        binding: &Binding,
        now: OffsetDateTime,
    ) -> Self {
        let runs_on = binding.subject.runs_on(report);
        let digests = binding.subject.digests().into_iter();
        Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: digests.map(|(name, sha256)| ResourceDescriptor::sha256(name, sha256)).collect(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Predicate {
                target: binding.target.clone(),
                expires_at: now + runs_on.validity(),
                runs_on,
                scope,
                suite: binding.suite.clone(),
                split: report.split,
                harness: report.harness.clone(),
                attempt: report.attempt,
                verdict: report.verdict,
                errors: report.errors,
                errors_allowed: report.errors_allowed,
                gates: report.gates.clone(),
                against: report.against.as_ref().map(|against| Compared {
                    target: against.target.clone(),
                    report_sha256: against.report_sha256.clone(),
                }),
                referees: CertifiedReferees::of(&report.referees),
                report_sha256,
                supersedes,
                issued_at: now,
            },
        }
    }

    /// The digest under this name, when there is exactly one such subject.
    pub fn digest_of(&self, name: &str) -> Option<&str> {
        let mut named = self.subject.iter().filter(|subject| subject.name == name);
        let (only, None) = (named.next()?, named.next()) else {
            return None;
        };
        only.digest.get("sha256").map(String::as_str)
    }
}
