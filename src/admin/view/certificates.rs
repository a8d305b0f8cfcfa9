//! A certificate, and whether it holds for what is here now. Blocking: hashing a model takes seconds.

use backstop_eval::{
    certificate::{Certificate, Listed, Warning},
    suite::Suite,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    config::{Settings, StateDir},
    domain::TargetId,
    release::{Gate, GateError},
};

/// One certificate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateView {
    pub file: String,
    /// Empty where the file cannot be believed.
    pub target: String,
    pub suite: String,
    pub version: String,
    pub issued_at: String,
    pub expires_at: String,
    /// What was asked of it, and what it reached.
    pub gates: Vec<Value>,
    /// Of the signed statement: what revoking takes.
    pub digest: String,
    pub signers: Vec<String>,
    pub attempt: u64,
    /// What it is for; a route that names a use case needs it here.
    pub use_cases: Vec<String>,
    /// The criticality of the routes that it is for.
    pub tiers: Vec<String>,
    /// It holds, but not for long.
    pub warning: Option<String>,
    /// `null`: it holds for what is here now.
    pub fault: Option<String>,
}

/// One that was taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RevokedView {
    pub target: String,
    pub suite: String,
    pub digest: String,
    /// The file that says so, on the gateway's machine.
    pub revocation: String,
}

pub fn certificates(gate: &Gate, settings: &Settings, state: &StateDir) -> Result<Vec<CertificateView>, GateError> {
    let listed = gate.certificates().list(&settings.gate.trust)?.into_iter();
    Ok(listed.map(|listed| view(listed, gate, settings, state)).collect())
}

fn view(listed: Listed, gate: &Gate, settings: &Settings, state: &StateDir) -> CertificateView {
    let file = listed.path.display().to_string();
    let certificate = match listed.certificate {
        Ok(certificate) => certificate,
        Err(reason) => return CertificateView { file, fault: Some(reason.to_string()), ..CertificateView::default() },
    };
    let held = holds(&certificate, gate, settings, state);
    let certified = certificate.predicate();
    CertificateView {
        file,
        target: certified.target.clone(),
        suite: certified.suite.name.clone(),
        version: certified.suite.version.clone(),
        issued_at: shown(certified.issued_at),
        expires_at: shown(certified.expires_at),
        gates: certified.gates.iter().map(|gate| serde_json::to_value(gate).unwrap_or_default()).collect(),
        digest: certificate.digest().to_owned(),
        signers: certificate.signers().to_vec(),
        attempt: certified.attempt,
        use_cases: certified.scope.use_cases.clone(),
        tiers: certified.scope.tiers.iter().map(ToString::to_string).collect(),
        warning: held.as_ref().ok().and_then(|warning| warning.map(|warning| warning.to_string())),
        fault: held.err(),
    }
}

/// Whether the certificate holds for what is on disk and in the config now.
fn holds(
    certificate: &Certificate,
    gate: &Gate,
    settings: &Settings,
    state: &StateDir,
) -> Result<Option<Warning>, String> {
    let certified = certificate.predicate();
    let target = TargetId::try_from(certified.target.clone())?;
    let suite = Suite::identify(&certified.suite.name, &state.suites()).map_err(|error| error.to_string())?;
    let binding = gate.binding(settings, &target, &suite)?;
    let (store, now) = (gate.certificates(), OffsetDateTime::now_utc());
    store.holds_for(certificate, &binding, &settings.gate.trust, now).map_err(|reason| reason.to_string())
}

fn shown(time: OffsetDateTime) -> String {
    let to_seconds = time.replace_nanosecond(0).unwrap_or(time);
    to_seconds.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
