//! The config file as it is written: one struct per section, with nothing checked but its shape.
//!
//! These structs are the one definition of that shape: the published JSON Schema is derived from them, the file is walked
//! against that schema so that every fault has its line, and only then do they read it. Their docs are the schema's.
//!
//! Every field is optional here, also where the schema requires it: a faulty value is left out once it has been reported,
//! and its neighbours are still looked at.

mod admin;
mod alerts;
mod audit;
mod drill;
mod eval;
mod health;
mod incidents;
mod prices;
mod prometheus;
mod release;
mod routes;
mod rules;
mod sections;
mod tenants;
mod texts;
mod vendors;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use admin::{Admin, LoginToken, Oidc, SigningAlgorithm};
pub(super) use alerts::{Alert, AlertKind, AlertSeverity, ShareCap, ShareUnit};
pub(super) use audit::{Audit, Publish, PublishKind, Witness};
pub(super) use drill::Drill;
pub(super) use eval::{Eval, ScorerEntry};
pub(super) use health::{Breaker, Latency};
pub(super) use incidents::Incidents;
pub(super) use prices::{Hours, Price, RatesOf};
pub(super) use prometheus::Prometheus;
pub(super) use release::{Approvals, Release, Renew};
pub(super) use routes::{CallerFault, Criticality, Deadlines, Hedge, MidStream, OnBudget, Route};
pub(super) use rules::{Rule, RuleAction};
pub(super) use sections::{Fingerprints, Gate, Limits, Local, LogFormat, Shared, Storage, Telemetry, Transit, Vault};
pub(super) use tenants::{BudgetKind, Limited, Tenant, Written};
pub(super) use texts::{DateText, DeviceText, DurationText, SizeText, SocketText, TargetText, UrlText};
pub(super) use vendors::{MaxTokensField, Model, Vendor};

/// The config of a Backstop gateway (`backstop.yaml`).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Backstop config")]
pub(super) struct File {
    /// Where callers connect [default: 127.0.0.1:8080]. A change needs a restart.
    pub(super) listen: Option<SocketText>,
    /// What happens to a target that breaks an invariant (an uncertified fallback, say) [default: strict].
    pub(super) enforcement: Option<Enforcement>,
    /// The operators' listener.
    pub(super) admin: Option<Admin>,
    /// Where what must last is kept.
    pub(super) storage: Option<Storage>,
    /// State that several replicas share.
    pub(super) shared: Option<Shared>,
    /// Who can answer, by a name of your own. `local` is built in and needs no entry.
    pub(super) vendors: Option<BTreeMap<String, Vendor>>,
    /// What is known of a model, as `vendor/model`: only where the defaults do not serve.
    pub(super) models: Option<BTreeMap<String, Model>>,
    /// What applications ask for, by the name they send as `model`.
    pub(super) routes: Option<BTreeMap<String, Route>>,
    /// When what fails is left alone.
    pub(super) breaker: Option<Breaker>,
    /// When a target counts as slow.
    pub(super) latency: Option<Latency>,
    /// Who pays, and up to where.
    pub(super) tenants: Option<BTreeMap<String, Tenant>>,
    /// How much of the volume one vendor may have.
    pub(super) share_cap: Option<ShareCap>,
    /// Where alerts go.
    pub(super) alerts: Option<Vec<Alert>>,
    /// Incidents that others report, and what they lead to.
    pub(super) incidents: Option<Incidents>,
    /// What is watched after a promotion, and what follows.
    pub(super) rules: Option<Vec<Rule>>,
    /// Figures that rules may ask for, out of a Prometheus.
    pub(super) prometheus: Option<Prometheus>,
    /// Where the audit log's signed checkpoints go.
    pub(super) audit: Option<Audit>,
    /// Logs and traces.
    pub(super) telemetry: Option<Telemetry>,
    /// Where the key that seals vendor secrets is.
    pub(super) vault: Option<Vault>,
    /// The model inside this process.
    pub(super) local: Option<Local>,
    /// What certificates must have.
    pub(super) gate: Option<Gate>,
    /// Whom `backstop eval run` asks about answers.
    pub(super) eval: Option<Eval>,
    /// How a route's targets are changed: `backstop release`.
    pub(super) release: Option<Release>,
    /// Game days: `backstop drill`.
    pub(super) drill: Option<Drill>,
    /// Bounds on what callers may send.
    pub(super) limits: Option<Limits>,
    /// Whose word counts on where a call came from (`X-Forwarded-For`, `Forwarded`): addresses and networks of proxies of
    /// your own [default: nobody's].
    pub(super) trusted_proxies: Option<Vec<String>>,
    /// How long in-flight answers may go on after a stop was asked for [default: 30s].
    pub(super) drain: Option<DurationText>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Enforcement {
    /// It is never attempted.
    Strict,
    /// It is attempted, and `/readyz`, the log and the answer's headers say so. For development.
    Warn,
}
