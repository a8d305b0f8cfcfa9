//! What a config file means, once it has been checked: the only form the rest of the gateway sees.
//!
//! A snapshot (`Arc<Settings>`) is taken once per call, at admission; a reload replaces the snapshot, never a field.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use backstop_eval::certificate::Trust;
use backstop_models::device::Wanted;
use ipnet::IpNet;

use super::{
    Access, AlertSink, AuditSettings, BreakerPolicy, Canary, Doors, DrillSettings, EvalSettings, IncidentSettings,
    LatencyPolicy, Limits, OidcSettings, PrometheusSettings, ReleaseSettings, Rule, ShareCap, Steer, Tenant,
    Tokenizers, VendorKind,
    target::{Capabilities, Target},
};
use crate::domain::{Dialect, Factor, Prices, Rate, RouteId, TargetId, Task, TenantId, VendorId, Wire};

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub listen: SocketAddr,
    /// Where the operators' listener is; `None`: at its usual place, if that is free.
    pub admin_listen: Option<SocketAddr>,
    /// The identity provider that operators log in at; `None`: they have tokens of ours alone.
    pub oidc: Option<OidcSettings>,
    pub enforcement: Enforcement,
    /// Path of the SQLite file; `None`: inside the state directory.
    pub sqlite_path: Option<PathBuf>,
    pub vendors: BTreeMap<VendorId, Vendor>,
    /// Prices by target; a target without an entry has no known price.
    pub prices: BTreeMap<TargetId, Prices>,
    /// What targets can do, where configured; see [`Settings::capabilities`].
    pub capabilities: BTreeMap<TargetId, Capabilities>,
    /// The embedding spaces of models, where declared; see [`Target::space`].
    pub embedding_spaces: BTreeMap<TargetId, Arc<str>>,
    /// What prompts are counted by, where configured; see [`Settings::tokenizer`].
    pub tokenizers: Tokenizers,
    pub routes: BTreeMap<RouteId, Route>,
    /// The names of routes in the order of the file.
    pub route_order: Vec<RouteId>,
    pub tenants: BTreeMap<TenantId, Tenant>,
    pub breaker: BreakerPolicy,
    pub latency: LatencyPolicy,
    pub share_cap: ShareCap,
    pub alerts: Vec<AlertSink>,
    pub audit: AuditSettings,
    pub incidents: IncidentSettings,
    pub rules: Vec<Rule>,
    /// Where figures are read from, beside those that are sent in.
    pub prometheus: Option<PrometheusSettings>,
    pub telemetry: Telemetry,
    pub vault: VaultSource,
    pub local: LocalTier,
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    pub doors: Doors,
    /// Whose word counts on where a call came from.
    pub trusted_proxies: Vec<IpNet>,
    pub gate: GateSettings,
    pub eval: EvalSettings,
    pub release: ReleaseSettings,
    pub drill: DrillSettings,
    /// How long in-flight answers may go on after a stop was asked for.
    pub drain: Duration,
}

impl Settings {
    /// The vendor of `target`; `None` for the in-process tier.
    pub fn vendor(&self, target: &TargetId) -> Option<&Vendor> {
        self.vendors.get(&target.vendor)
    }

    /// Who runs `target`: what different-vendor rules and share caps count by.
    pub fn operator<'a>(&'a self, target: &'a TargetId) -> &'a str {
        self.vendor(target).map_or(target.vendor.as_str(), Vendor::operator)
    }

    /// What `target` costs, whether or not a route has it.
    pub fn prices_of(&self, target: &TargetId) -> Option<Prices> {
        self.prices.get(target).cloned().or_else(|| super::prices::known(self, target))
    }

    /// Whether `target` runs on our own hardware: in this process, or on an engine of our own.
    pub fn is_own_hardware(&self, target: &TargetId) -> bool {
        target.is_local() || self.vendor(target).is_some_and(|vendor| vendor.self_hosted)
    }

    /// What `target` can do, as far as it is known.
    pub fn capabilities(&self, target: &TargetId) -> Capabilities {
        let (local, embeds) = (target.is_local(), self.embedding_spaces.contains_key(target));
        let has = |task| self.vendor(target).is_some_and(|vendor| VendorKind::has(vendor.kind, vendor.access, task));
        let usual = Capabilities {
            images: !local,
            answers: !embeds,
            embeddings: has(Task::Embed) || local && embeds,
            token_count: local && !embeds || has(Task::CountTokens),
            ..Capabilities::ALL
        };
        self.capabilities.get(target).copied().unwrap_or(usual)
    }

    /// The local models that routes name, each once: those of critical routes first, then in the order of the file.
    pub fn local_models(&self) -> Vec<&str> {
        let place = |route: &Route| self.route_order.iter().position(|id| *id == route.id);
        let mut routes: Vec<&Route> = self.routes.values().collect();
        routes.sort_by_key(|route| (route.criticality != Criticality::Critical, place(route)));
        let mut models = Vec::new();
        for target in routes.iter().flat_map(|route| route.every_target()).filter(|target| target.id.is_local()) {
            if !models.contains(&&*target.id.model) {
                models.push(&*target.id.model);
            }
        }
        models
    }

    /// Tells every route's targets where they run and what they can do. Once all sections are read.
    pub(super) fn locate_targets(&mut self) {
        let mut routes = std::mem::take(&mut self.routes);
        for target in routes.values_mut().flat_map(|route| &mut route.targets) {
            target.place = self.place(&target.id);
            target.can = self.capabilities(&target.id);
            target.declared_space = self.embedding_spaces.get(&target.id).cloned();
            target.counted_by = self.tokenizer(&target.id);
        }
        self.routes = routes;
    }

    /// Every target of every route and its canary, each once.
    pub fn targets(&self) -> BTreeSet<&TargetId> {
        self.routes.values().flat_map(Route::every_target).map(|target| &target.id).collect()
    }
}

/// What happens to a target that breaks an invariant (an uncertified fallback, say).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enforcement {
    /// It is never attempted.
    #[default]
    Strict,
    /// It is attempted, and `/readyz`, the log and the answer's headers say so.
    Warn,
}

/// A vendor, as data.
#[derive(Debug, Clone, PartialEq)]
pub struct Vendor {
    pub id: VendorId,
    /// The `kind` as written: `openai`, `anthropic`, `groq`, …
    pub kind: &'static str,
    /// What it is asked in, see [`Self::wire_for`].
    pub wire: Wire,
    /// Whether a caller of OpenAI's responses is answered by it in that dialect.
    pub responses: bool,
    /// How its address and its credential are made.
    pub access: Access,
    /// Without a trailing slash; the task's path is appended (`/chat/completions`, `/messages`).
    pub base_url: String,
    pub region: Option<String>,
    /// Google's project, where it is not the one that the service account belongs to.
    pub project: Option<String>,
    /// Azure's dated API version, where its v1 API is not used.
    pub api_version: Option<String>,
    /// Who runs the model, when that is not `id`: what different-vendor rules and share caps count by.
    pub operated_by: Option<String>,
    /// What it costs of its kind's built-in prices.
    pub price_factor: Option<Factor>,
    /// Our own hardware: not a vendor to the share cap, and an end for critical routes.
    pub self_hosted: bool,
    /// Whether calls fail without a secret in the vault.
    pub needs_secret: bool,
    /// The secret's name in the vault; the vendor's own name unless configured.
    pub secret: String,
    /// The request field that carries `Chat::max_tokens`: `max_completion_tokens` or `max_tokens`.
    pub max_tokens_field: &'static str,
    /// Whether a stream sends usage when `stream_options.include_usage` asks for it.
    pub stream_usage: bool,
}

impl Vendor {
    /// The name that different-vendor rules and share caps count by.
    pub fn operator(&self) -> &str {
        self.operated_by.as_deref().unwrap_or(self.id.as_str())
    }

    /// What it is asked in for a caller of `dialect`: the caller's own dialect where it has that.
    pub fn wire_for(&self, dialect: Dialect) -> Wire {
        match dialect {
            Dialect::OpenaiResponses if self.responses => Wire::OpenaiResponses,
            Dialect::OpenaiCompletions if self.wire == Wire::OpenaiChat => Wire::OpenaiCompletions,
            _ => self.wire,
        }
    }
}

/// What certificates must have, and how vendors' models are watched.
#[derive(Debug, Clone, PartialEq)]
pub struct GateSettings {
    pub trust: Trust,
    /// How often a certified vendor's model is asked again what it passed; `None`: never.
    pub sentinel_every: Option<Duration>,
    /// How many questions that are.
    pub sentinel_questions: usize,
    /// What another fingerprint in its answers means.
    pub fingerprints: Fingerprints,
}

/// What a vendor says of the machinery behind a model's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fingerprints {
    /// One that was not seen when it was certified suspends the certificate.
    #[default]
    Bind,
    /// It says nothing of the model.
    Ignore,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub id: RouteId,
    pub criticality: Criticality,
    /// In order; at least one.
    pub targets: Vec<Target>,
    /// Vendors that a part of the calls is moved away from.
    pub steers: Vec<Steer>,
    /// The release that serves; `None`: it is not on record yet.
    pub release: Option<u32>,
    /// What is tried on a part of the calls.
    pub canary: Option<Canary>,
    /// The suite a fallback of this route must have passed.
    pub suite: String,
    /// What it is for: the certificates of its fallbacks must cover that.
    pub use_case: Option<String>,
    pub deadlines: Deadlines,
    pub mid_stream: MidStream,
    pub hedge: Option<Hedge>,
    pub on_context_length: OnCallerFault,
    pub on_content_policy: OnCallerFault,
    /// Whether prompts and answers may be logged.
    pub log_content: bool,
    pub on_budget: OnBudget,
    /// Of all its callers together.
    pub limits: Limits,
}

impl Route {
    /// The space that the route's embeddings are of: that of its first target that makes any. Whoever stored vectors of
    /// the route compares them with later ones, so no other space may ever answer.
    pub fn embedding_space(&self) -> Option<&str> {
        self.targets.iter().find(|target| target.can.embeddings).map(Target::space)
    }
}

/// When a slow target is raced by the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hedge {
    /// The P95 of the target's own baseline; no race until there is one.
    P95,
    After(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Criticality {
    Batch,
    #[default]
    Standard,
    /// Ends in our own hardware.
    Critical,
}

impl Criticality {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Standard => "standard",
            Self::Critical => "critical",
        }
    }
}

/// How long each stage may take. `total` bounds all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    pub connect: Duration,
    /// From the request's last byte to the first content, streamed.
    pub first_token: Duration,
    /// Between two pieces of content, streamed.
    pub idle: Duration,
    /// A whole attempt, not streamed.
    pub attempt: Duration,
    /// The whole call, all attempts.
    pub total: Duration,
}

/// What happens when a stream breaks after its first content has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MidStream {
    /// An in-band error.
    #[default]
    Error,
    /// The whole answer is held back until it is whole, so a break is never seen.
    Buffer,
    /// The answer starts again from the next target, marked as such.
    Restart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCallerFault {
    #[default]
    Refuse,
    /// The next target is tried.
    Next,
}

/// What a route does when a hard budget does not cover a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBudget {
    #[default]
    Refuse,
    /// The cheapest target that may be attempted.
    Cheapest,
    /// Targets on our own hardware.
    Local,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// OTLP over HTTP, e.g. `http://127.0.0.1:4318`; `None`: no export.
    pub otlp_endpoint: Option<String>,
    pub log_format: LogFormat,
    /// A `tracing` filter, e.g. `info,backstop=debug`.
    pub log_filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Json,
    Pretty,
}

/// Where the key that seals the vault is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum VaultSource {
    /// A 0600 file in the state directory.
    #[default]
    KeyFile,
    /// HashiCorp Vault's transit engine wraps it.
    Transit {
        /// E.g. `https://vault.internal:8200`.
        address: String,
        /// The engine's mount, usually `transit`.
        mount: String,
        key: String,
        /// A file with the token; read at each use, so a renewed token needs no restart.
        token_file: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTier {
    /// Calls that may wait for the engine, besides those it answers.
    pub queue: usize,
    /// Tokens that the prompts of those may have together.
    pub queue_tokens: usize,
    /// The longest that a call may have to wait for its first token.
    pub max_wait: Duration,
    /// Calls that are answered at once.
    pub running: usize,
    /// Memory of all models together; `None`: a share of the machine's.
    pub memory_bytes: Option<u64>,
    /// What computes.
    pub device: Wanted,
    /// Tokens that an answer guesses ahead at most; 0: none.
    pub lookup_tokens: usize,
    /// Threads that compute, for all models together; `None`: half of the cores.
    pub threads: Option<usize>,
    /// Memory of each model for keys and values.
    pub cache_bytes: usize,
    /// The longest prompt plus answer, in tokens; `None`: the model's own.
    pub context_tokens: Option<u32>,
    /// What an hour of this machine costs; `None`: nobody sends a bill for it.
    pub usd_per_hour: Option<Rate>,
}
