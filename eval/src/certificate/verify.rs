//! Whether a certificate holds, and if not, exactly why not.
//!
//! Fails closed: what cannot be read, verified or compared is invalid. Nothing of a statement is looked at before its signature
//! was verified.

use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    report::{GateResult, Verdict},
    suite::Split,
};

use super::{
    Binding, Envelope, EnvelopeError, PREDICATE_TYPE, Predicate, PublicKey, RunsOn, SignerError, Statement,
    statement::STATEMENT_TYPE,
};

/// How far another machine's clock may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::minutes(5);

/// A statement whose signature was verified. Whether it is about what runs here now is [`Certificate::holds_for`]'s to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    envelope: Envelope,
    statement: Statement,
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
    #[error("it is valid from {0} on only; check this machine's clock")]
    NotYetValid(String),
    #[error("it expired at {0}; certify again")]
    Expired(String),
}

impl Reason {
    /// Time alone ended it: the bytes are still those that passed.
    pub fn is_expiry(&self) -> bool {
        matches!(self, Self::Expired(_))
    }
}

impl Certificate {
    /// Reads an envelope's JSON and verifies it with nothing but the public key.
    pub fn read(json: &[u8], key: &PublicKey) -> Result<Self, Reason> {
        let envelope: Envelope = serde_json::from_slice(json).map_err(|error| Reason::Unreadable(error.to_string()))?;
        let payload = envelope.open(key)?;
        let statement: Statement =
            serde_json::from_slice(&payload).map_err(|error| Reason::Unreadable(format!("its statement: {error}")))?;
        same("statement type", &statement.statement_type, STATEMENT_TYPE)?;
        same("predicate type", &statement.predicate_type, PREDICATE_TYPE)?;
        Ok(Self { envelope, statement })
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

    /// Whether it certifies a pass, of exactly this, at this time.
    pub fn holds_for(&self, binding: &Binding, now: OffsetDateTime) -> Result<(), Reason> {
        self.is_about(binding)?;
        self.is_a_pass()?;
        self.is_in_time(now)
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
                _ => "vendor target's digest",
            };
            let known = self.statement.digest_of(name).unwrap_or("nothing");
            // A vendor's target differs in a field that can be named, which says more than a digest.
            if name == "vendor-target" {
                same_runs_on(&certified.runs_on, &binding.subject.runs_on())?;
            }
            same(what, known, &found)?;
        }
        if self.statement.subject.len() != binding.subject.digests().len() {
            return Err(Reason::Unreadable("it has subjects that we do not know".into()));
        }
        same_runs_on(&certified.runs_on, &binding.subject.runs_on())?;
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

fn same_runs_on(certified: &RunsOn, found: &RunsOn) -> Result<(), Reason> {
    match (certified, found) {
        (RunsOn::Local { engine: was }, RunsOn::Local { engine: is }) => same("engine", was, is),
        (
            RunsOn::Vendor { kind, base_url_sha256, region, model },
            RunsOn::Vendor { kind: kind_now, base_url_sha256: url_now, region: region_now, model: model_now },
        ) => {
            same("vendor's kind", kind, kind_now)?;
            same("base URL's digest", base_url_sha256, url_now)?;
            same("region", region.as_deref().unwrap_or("none"), region_now.as_deref().unwrap_or("none"))?;
            same("model", model, model_now)
        }
        (RunsOn::Local { .. }, RunsOn::Vendor { .. }) => same("kind of target", "local", "vendor"),
        (RunsOn::Vendor { .. }, RunsOn::Local { .. }) => same("kind of target", "vendor", "local"),
    }
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

fn shown(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
