//! The operators' JSON API, on a listener of its own: `/admin/v1/…`. Each operation is one entry of a table ([`resource`]), which says
//! what right it needs; the router, the checks and the document are made of that table. The pages for browsers (`/console`) ask the same
//! operations.
//!
//! Whoever comes in is known by a token of ours or of the company's identity provider, and has a role ([`crate::domain::OperatorRole`]).
//! Every write is in the audit log with who did it. No answer holds a secret, but for a key or token in the moment it is issued.

mod asked;
mod console;
mod door;
mod endpoint;
pub mod oidc;
mod once;
mod openapi;
mod perform;
mod refused;
mod resource;
mod router;
mod site;
mod token;
pub mod verb;
pub mod view;

pub use refused::Refused;
pub use router::router;
pub use site::{Site, find_route};
pub use token::{IssuedToken, NewToken, TokenAdmin, TokenAdminError, Tokens, token_id};

use std::sync::Arc;

use crate::{
    api::Api,
    audit::Audit,
    config::{Settings, StateDir},
    limit::Limiter,
    release::{Filed, Gate, Incidents, Trigger, rules::Watcher, shelf::Shelf},
    store::Store,
};

/// What the operations share.
pub struct Admin {
    pub api: Api,
    pub store: Store,
    pub audit: Audit,
    pub gate: Arc<Gate>,
    pub state: StateDir,
    pub tokens: Tokens,
    /// Of operators alone: callers' limits are their own.
    pub limiter: Limiter,
    /// Follows no redirects.
    pub http: reqwest::Client,
    /// What takes a route back to its retained version.
    pub trigger: Trigger,
    pub incidents: Incidents,
    pub rules: Watcher,
    pub shelf: Arc<Shelf>,
    /// Orders of targets as the config file in force has them.
    pub filed: Filed,
    oidc: oidc::Oidc,
    once: once::Once,
}

impl Admin {
    /// Everything but the writes under way, which it keeps itself.
    pub fn new(parts: AdminParts) -> Arc<Self> {
        let AdminParts { api, audit, store, gate, state, tokens, limiter, http, trigger, rules, shelf, filed } = parts;
        let once = once::Once::new(store.clone());
        let oidc = oidc::Oidc::new(http.clone(), audit.clone());
        let incidents = Incidents::new(store.clone(), audit.clone(), trigger.clone());
        Arc::new(Self {
            api,
            store,
            audit,
            gate,
            state,
            tokens,
            limiter,
            http,
            trigger,
            incidents,
            rules,
            shelf,
            filed,
            oidc,
            once,
        })
    }

    /// The config in force.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.api.snapshot.load().settings)
    }
}

/// What the composition root gives.
pub struct AdminParts {
    pub api: Api,
    pub audit: Audit,
    pub store: Store,
    pub gate: Arc<Gate>,
    pub state: StateDir,
    pub tokens: Tokens,
    pub limiter: Limiter,
    pub http: reqwest::Client,
    pub trigger: Trigger,
    pub rules: Watcher,
    pub shelf: Arc<Shelf>,
    pub filed: Filed,
}
