//! One YAML file, read into checked [`Settings`]: everything behind this room can trust what it is given.
//!
//! text → tree with places ([`tree`]) → shape against the schema ([`shape`]) → raw structs ([`raw`]) → settings
//! ([`resolve`]) → invariants and notes. Each step reports all it finds; a fault in one place never hides another.

mod alert_sink;
mod audit_sink;
mod canary;
mod defaults;
mod difference;
mod drill;
mod eval_settings;
mod finding;
mod health;
pub mod import;
mod incidents;
mod invariants;
mod limits;
mod notes;
mod oidc;
mod path;
mod prices;
mod prometheus;
mod raw;
mod release;
mod resolve;
mod rule;
mod schema;
mod secret_scan;
mod settings;
mod shape;
mod share_cap;
mod state_dir;
mod target;
mod tokenizer;
mod tree;
mod vendor_kind;
mod watch;
mod witness;
mod words;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use alert_sink::{AlertSeverity, AlertSink, AlertTo};
pub use audit_sink::{AuditSettings, AuditSink};
pub use canary::{Canary, CanaryBy, CanaryMode, CanaryShare, Numbered, Numbering};
pub use defaults::{DEFAULT_ROUTE, DEFAULT_SUITE};
pub use drill::DrillSettings;
pub use eval_settings::EvalSettings;
pub use finding::{Finding, Severity};
pub use health::{BreakerPolicy, LatencyPolicy};
pub use incidents::IncidentSettings;
pub use limits::{BudgetKind, Doors, Limits, Tenant, parse_network};
pub use oidc::{LoginToken, OidcSettings, SigningAlgorithm};
pub use prices::{all_shipped as all_shipped_prices, shipped as shipped_prices};
pub use prometheus::{PrometheusQuery, PrometheusSettings};
pub use release::{Orders, ReleaseSettings, RenewSettings, Steer};
pub use rule::{Comparison, Condition, Metric, Rule, RuleAction, Side};
pub use schema::schema;
pub use settings::{
    Criticality, Deadlines, Enforcement, Fingerprints, GateSettings, Hedge, LocalTier, LogFormat, MidStream, OnBudget,
    OnCallerFault, Route, Settings, Telemetry, VaultSource, Vendor,
};
pub use share_cap::{ShareCap, ShareUnit};
pub use state_dir::{StateDir, StateDirError, create_private};
pub use target::{Capabilities, Hosting, Place, Target};
pub use tokenizer::{Tokenizer, Tokenizers};
pub use vendor_kind::{Access, Manners, Messages, VendorKind};
pub use watch::{Applying, Before, Hooks, Judge, Reloaded, Told, Watch, watch};
pub use witness::{Witness, witness_key};

/// A config that can be used, and what is to be said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub settings: Settings,
    /// Breaches and notes, in the order of the file.
    pub findings: Vec<Finding>,
}

/// Reads a config. `origin` is only the name that findings give to the file.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file, when any of that is a [`Severity::Error`].
pub fn load(text: &str, origin: &Path) -> Result<Loaded, Vec<Finding>> {
    let file = origin.to_string_lossy();
    let mut findings = finding::Findings::new(&file);
    let settings = resolve::read(text, &mut findings);
    let failed = findings.has_error();
    let findings = findings.into_sorted();
    if failed { Err(findings) } else { Ok(Loaded { settings, findings }) }
}

/// Reads the config in `file`, which must be UTF-8 and at most 1 MiB.
///
/// # Errors
/// As [`load`]; that the file cannot be read is an error of the same form.
pub fn load_file(file: &Path) -> Result<Loaded, Vec<Finding>> {
    let fault = |message: String| vec![Finding::of_file(Severity::Error, file.to_string_lossy(), message)];
    let text = read_bounded(file).map_err(|error| fault(format!("the config cannot be read: {error}")))?;
    load(&text, file)
}

fn read_bounded(file: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let most = tree::MAX_BYTES as u64;
    let mut text = String::new();
    // One byte more than allowed is enough for `load` to refuse the whole.
    std::fs::File::open(file)?.take(most + 1).read_to_string(&mut text)?;
    Ok(text)
}
