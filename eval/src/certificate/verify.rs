//! Whether a certificate holds, and if not, exactly why not.
//!
//! Fails closed: what cannot be read, verified or compared is invalid. Nothing of a statement is looked at before its signature
//! was verified.

use time::{Duration, OffsetDateTime};

use crate::{
    digest::sha256_hex,
    report::{GateResult, Verdict},
    suite::Split,
};

use super::{
    Binding, BoundSubject, Envelope, EnvelopeError, PREDICATE_TYPE, Predicate, PublicKey, RunsOn, SignerError,
    Statement, shown, statement::STATEMENT_TYPE,
};

/// How far another machine's clock may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::minutes(5);

/// A statement whose signature was verified. Whether it is about what runs here now is [`Certificate::holds_for`]'s to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    envelope: Envelope,
    statement: Statement,
    /// Hex SHA-256 of the statement's bytes: what revocations name, however many have signed.
    digest: String,
    /// The ids of the keys that count and have signed.
    signers: Vec<String>,
}

/// There is no valid certificate.
#[derive(Debug, thiserror::Error)]
#[error("{target} is not certified by {suite}: {reason}")]
pub struct Invalid {
    pub target: String,
    pub suite: String,
    #[source]
    pub reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("there is no certificate; run `backstop eval run --suite {suite} --target {target} --certify`")]
    Missing { target: String, suite: String },
    #[error("the certificate cannot be read: {0}; certify again")]
    Unreadable(String),
    #[error("the key that verifies it cannot be used: {0}")]
    Key(#[from] SignerError),
    #[error("{0}; certify again")]
    Envelope(#[from] EnvelopeError),
    #[error("it does not certify a pass: {0}")]
    NotAPass(String),
    /// `what` is in the genitive where it is a digest: `weights' digest`.
    #[error("the {what} differs: certified {certified}, now {found}; certify again if the change was meant")]
    Differs { what: &'static str, certified: String, found: String },
    #[error(
        "its scope does not cover the {what} `{wanted}`: it is for {certified}; certify for that, by a suite that covers it"
    )]
    OutOfScope { what: &'static str, wanted: String, certified: String },
    #[error("it is valid from {0} on only; check this machine's clock")]
    NotYetValid(String),
    #[error("it expired at {0}; certify again")]
    Expired(String),
    #[error(
        "it has {found} of {needed} signatures by keys that count here; `backstop eval certify --file FILE --key-dir DIR` adds one"
    )]
    TooFewSignatures { found: usize, needed: usize },
    #[error("it was revoked: {0}; certify again")]
    Revoked(String),
    #[error("it is suspended: {0}; certify again")]
    Suspended(String),
}

impl Reason {
    /// Time alone ended it: the bytes are still those that passed.
    pub fn is_expiry(&self) -> bool {
        matches!(self, Self::Expired(_))
    }
}

impl Certificate {
    /// Reads an envelope's JSON and verifies it with nothing but public keys: one of `keys` must have signed it.
    pub fn read(json: &[u8], keys: &[PublicKey]) -> Result<Self, Reason> {
        let envelope: Envelope = serde_json::from_slice(json).map_err(|error| Reason::Unreadable(error.to_string()))?;
        let (payload, signers) = envelope.open(keys)?;
        let statement: Statement =
            serde_json::from_slice(&payload).map_err(|error| Reason::Unreadable(format!("its statement: {error}")))?;
        same("statement type", &statement.statement_type, STATEMENT_TYPE)?;
        same("predicate type", &statement.predicate_type, PREDICATE_TYPE)?;
        Ok(Self { envelope, statement, digest: sha256_hex(&payload), signers })
    }

    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    pub fn predicate(&self) -> &Predicate {
        &self.statement.predicate
    }

    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub fn signers(&self) -> &[String] {
        &self.signers
    }

    /// Whether target, digests, engine and suite are those of `binding`.
    pub fn is_about(&self, binding: &Binding) -> Result<(), Reason> {
        let certified = self.predicate();
        same("target", &certified.target, &binding.target)?;
        for (name, found) in binding.subject.digests() {
            let what = match name {
                "weights" => "weights' digest",
                "tokenizer" => "tokenizer's digest",
                "template" => "template's digest",
                "generation-config" => "generation config's digest",
                _ => "vendor target's digest",
            };
            let known = self.statement.digest_of(name).unwrap_or("nothing");
            // A vendor's target differs in a field that can be named, which says more than a digest.
            if name == "vendor-target" {
                same_runs_on(&certified.runs_on, &binding.subject)?;
            }
            same(what, known, &found)?;
        }
        if self.statement.subject.len() != binding.subject.digests().len() {
            return Err(Reason::Unreadable("it has subjects that we do not know".into()));
        }
        same_runs_on(&certified.runs_on, &binding.subject)?;
        same("suite", &certified.suite.name, &binding.suite.name)?;
        same("suite's version", &certified.suite.version, &binding.suite.version)?;
        same("suite's digest", &certified.suite.digest, &binding.suite.digest)
    }

    /// Whether the gates it lists really pass, by their own numbers.
    pub fn is_a_pass(&self) -> Result<(), Reason> {
        let certified = self.predicate();
        let fail = |what: String| Err(Reason::NotAPass(what));
        if certified.verdict != Verdict::Pass {
            return fail(format!("its verdict is {}", certified.verdict));
        }
        if certified.split != Split::Gate {
            return fail("it is of the split `dev`, which decides nothing".into());
        }
        if certified.errors > certified.errors_allowed {
            return fail(format!("{} errors where {} are allowed", certified.errors, certified.errors_allowed));
        }
        if certified.gates.is_empty() {
            return fail("it lists no gate".into());
        }
        if let Some(Err(why)) = certified.referees.as_ref().map(|referees| referees.check(&certified.target)) {
            return fail(why);
        }
        match certified.gates.iter().find(|gate| !passes(gate)) {
            Some(gate) => fail(gate.describe()),
            None => Ok(()),
        }
    }

    /// Whether `now` lies in its validity.
    pub fn is_in_time(&self, now: OffsetDateTime) -> Result<(), Reason> {
        let Predicate { issued_at, expires_at, .. } = *self.predicate();
        if now + CLOCK_SKEW < issued_at {
            return Err(Reason::NotYetValid(shown(issued_at)));
        }
        if now >= expires_at {
            return Err(Reason::Expired(shown(expires_at)));
        }
        Ok(())
    }
}

fn passes(gate: &GateResult) -> bool {
    gate.verdict == Verdict::Pass && gate.judge() == Verdict::Pass
}

fn same_runs_on(certified: &RunsOn, found: &BoundSubject) -> Result<(), Reason> {
    match (certified, found) {
        (
            RunsOn::Local { engine, quantization, limits },
            BoundSubject::Local { engine: engine_now, quantization: quantization_now, limits: limits_now, .. },
        ) => {
            same("engine", engine, engine_now)?;
            same("quantization", quantization, quantization_now)?;
            at_most("context limit", limits.context_tokens as usize, limits_now.context_tokens as usize)?;
            at_most("number of calls answered at once", limits.running, limits_now.running)
        }
        (
            RunsOn::Vendor { kind, base_url_sha256, region, model, answered_as: _, fingerprints: _ },
            BoundSubject::Vendor { kind: kind_now, base_url_sha256: url_now, region: region_now, model: model_now },
        ) => {
            same("vendor's kind", kind, kind_now)?;
            same("base URL's digest", base_url_sha256, url_now)?;
            same("region", region.as_deref().unwrap_or("none"), region_now.as_deref().unwrap_or("none"))?;
            same("model", model, model_now)
        }
        (RunsOn::Local { .. }, BoundSubject::Vendor { .. }) => same("kind of target", "local", "vendor"),
        (RunsOn::Vendor { .. }, BoundSubject::Local { .. }) => same("kind of target", "vendor", "local"),
    }
}

/// Less than what was examined is fine.
fn at_most(what: &'static str, certified: usize, found: usize) -> Result<(), Reason> {
    if found <= certified {
        return Ok(());
    }
    Err(Reason::Differs { what, certified: certified.to_string(), found: found.to_string() })
}

fn same(what: &'static str, certified: &str, found: &str) -> Result<(), Reason> {
    if certified == found {
        return Ok(());
    }
    Err(Reason::Differs { what, certified: shortened(certified), found: shortened(found) })
}

/// The first digits of a digest; other texts whole.
fn shortened(value: &str) -> String {
    let is_digest = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { format!("{}…", &value[..12]) } else { value.to_owned() }
}
