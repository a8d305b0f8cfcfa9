//! What holds when the config says nothing.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use backstop_eval::certificate::Trust;
use backstop_models::device::Wanted;

use super::{
    AuditSettings, BreakerPolicy, Criticality, Deadlines, Doors, DrillSettings, Enforcement, EvalSettings,
    Fingerprints, GateSettings, IncidentSettings, LatencyPolicy, Limits, LocalTier, LogFormat, MidStream, OnBudget,
    OnCallerFault, ReleaseSettings, Route, Settings, ShareCap, ShareUnit, Target, Telemetry, Tokenizers, VaultSource,
    prices,
};
use crate::domain::{RouteId, TargetId, VendorId};

/// The suite that a fallback must have passed unless its route names another.
pub const DEFAULT_SUITE: &str = "stage2-continuity";

/// The route that a gateway without a config has, besides one under the model's own name.
pub const DEFAULT_ROUTE: &str = "default";

impl Settings {
    /// The settings when there is no config file: the model `default_model_id`, served in-process as `default` and under
    /// its own name.
    pub fn embedded_default(default_model_id: &str) -> Self {
        Self::default().or_embedded_routes(default_model_id)
    }

    /// The embedded default's routes, where the config has none of its own.
    pub fn or_embedded_routes(mut self, default_model_id: &str) -> Self {
        if self.routes.is_empty() {
            for name in [DEFAULT_ROUTE, default_model_id] {
                let route = Route::local(RouteId::new(name), default_model_id);
                self.routes.insert(route.id.clone(), route);
            }
            self.locate_targets();
            prices::fill_in(&mut self);
        }
        self
    }
}

impl Route {
    /// A critical route with one target: `local/<model>`.
    fn local(id: RouteId, model: &str) -> Self {
        let target = TargetId { vendor: VendorId::new(VendorId::LOCAL), model: model.into() };
        Self {
            id,
            criticality: Criticality::Critical,
            targets: vec![Target::unlocated(target)],
            steers: Vec::new(),
            release: None,
            canary: None,
            suite: DEFAULT_SUITE.to_owned(),
            use_case: None,
            deadlines: Deadlines::default(),
            mid_stream: MidStream::Error,
            hedge: None,
            on_context_length: OnCallerFault::Refuse,
            on_content_policy: OnCallerFault::Refuse,
            log_content: false,
            on_budget: OnBudget::Refuse,
            limits: Limits::NONE,
        }
    }
}

/// No vendors and no routes.
impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: None,
            oidc: None,
            enforcement: Enforcement::Strict,
            sqlite_path: None,
            vendors: BTreeMap::new(),
            prices: BTreeMap::new(),
            capabilities: BTreeMap::new(),
            embedding_spaces: BTreeMap::new(),
            tokenizers: Tokenizers::default(),
            routes: BTreeMap::new(),
            route_order: Vec::new(),
            tenants: BTreeMap::new(),
            breaker: BreakerPolicy::default(),
            latency: LatencyPolicy::default(),
            share_cap: ShareCap::default(),
            alerts: Vec::new(),
            incidents: IncidentSettings::default(),
            rules: Vec::new(),
            prometheus: None,
            audit: AuditSettings::default(),
            telemetry: Telemetry::default(),
            vault: VaultSource::KeyFile,
            local: LocalTier::default(),
            gate: GateSettings {
                trust: Trust::default(),
                sentinel_every: Some(Duration::from_secs(24 * 3600)),
                sentinel_questions: 10,
                fingerprints: Fingerprints::Bind,
            },
            eval: EvalSettings::default(),
            release: ReleaseSettings::default(),
            drill: DrillSettings::default(),
            max_body_bytes: 32 << 20,
            doors: Doors::default(),
            trusted_proxies: Vec::new(),
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            first_token: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            attempt: Duration::from_secs(30),
            total: Duration::from_secs(60),
        }
    }
}

impl Default for ShareCap {
    fn default() -> Self {
        let window = Duration::from_secs(30 * 24 * 3600);
        Self { max: 0.70, soft: 0.65, window, unit: ShareUnit::Tokens, min_volume: 100_000 }
    }
}

impl Default for Doors {
    fn default() -> Self {
        Self { per_ip: Limits::NONE, failed_auth_per_minute: 60, connections_per_ip: 1024, most_addresses: 1 << 15 }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: None, log_format: LogFormat::Auto, log_filter: "info".to_owned() }
    }
}

impl Default for LocalTier {
    fn default() -> Self {
        Self {
            queue: 64,
            queue_tokens: 1 << 15,
            max_wait: Duration::from_secs(60),
            running: 16,
            memory_bytes: None,
            device: Wanted::Auto,
            lookup_tokens: 15,
            threads: None,
            cache_bytes: 512 << 20,
            context_tokens: None,
            usd_per_hour: None,
        }
    }
}
