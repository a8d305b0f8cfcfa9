//! Keeps the router's standings and the local tier true to the gate's last word.
//!
//! A target whose certificate lapses leaves its routes at the next round; a local model that gains one is loaded and
//! joins. A model is loaded once, and loaded again only when its bytes are other ones.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use backstop_models::{
    embed::Embedder,
    engine::{Engine, EngineOptions, State},
    files::{Family, ModelFiles},
    load::Identity,
};
use metrics::gauge;

use super::{Examination, Gate};
use crate::{
    config::{Enforcement, Settings},
    observe::metric,
    route::{Decision, Standing, Standings, plan},
    vendor::{LocalState, LocalTier},
};

#[derive(Debug)]
pub struct Keeper {
    gate: Arc<Gate>,
    standings: Arc<ArcSwap<Standings>>,
    tier: LocalTier,
}

impl Keeper {
    pub fn new(gate: Arc<Gate>, standings: Arc<ArcSwap<Standings>>, tier: LocalTier) -> Self {
        Self { gate, standings, tier }
    }

    /// The gate's word on `settings`, without any effect.
    pub async fn examine(&self, settings: &Arc<Settings>) -> Examination {
        let (gate, settings) = (Arc::clone(&self.gate), Arc::clone(settings));
        let looked = tokio::task::spawn_blocking(move || gate.examine(&settings)).await;
        // Fail closed: an examination that panicked has found nothing certified.
        looked.unwrap_or_else(|error| {
            tracing::error!(%error, "the gate could not examine the routes; nothing counts as certified");
            Examination::default()
        })
    }

    /// Examines and tells the router.
    pub async fn look(&self, settings: &Arc<Settings>) -> HashMap<String, (ModelFiles, Identity)> {
        let Examination { standings, local } = self.examine(settings).await;
        self.publish(settings, standings);
        local
    }

    /// As [`Self::look`], then loads and unloads local models to match: standings first, so that nothing serves on a
    /// lapsed word while models load.
    pub async fn round(&self, settings: &Arc<Settings>) {
        let local = self.look(settings).await;
        for (model, (files, identity)) in local {
            if self.wanted(settings, &model) && !self.serves(&model, &identity) {
                self.load(settings, files).await;
            }
        }
        for model in self.tier.models().keys() {
            if !self.wanted(settings, model) {
                tracing::info!(%model, "the local model is no longer in a route, or has no certificate: unloaded");
                self.tier.remove(model);
            }
        }
    }

    /// Loads a model and puts it into the tier.
    pub async fn load(&self, settings: &Settings, files: ModelFiles) {
        let model = files.id.clone();
        let options = engine_options(&settings.local);
        if let Some(why) = settings.local.device.choose().fallback {
            tracing::warn!(%model, wanted = %settings.local.device, %why, "the local model is computed on the CPU instead");
        }
        let device = options.device;
        self.tier.set(&model, LocalState::Loading);
        let load = move || match files.family {
            Family::Bert => Embedder::load(&files, options.threads(), options.queue).map(LocalState::Embedder),
            _ => Engine::start(files, options).map(LocalState::Ready),
        };
        let state = match tokio::task::spawn_blocking(load).await {
            Ok(Ok(state)) => state,
            Ok(Err(error)) => LocalState::Failed { why: error.to_string().into() },
            Err(_) => LocalState::Failed { why: "loading it panicked; the log has the reason".into() },
        };
        match &state {
            LocalState::Failed { why } => tracing::error!(%model, %why, "the local model cannot be loaded"),
            LocalState::Ready(_) => tracing::info!(%model, %device, "the local model is loaded"),
            LocalState::Embedder(_) => tracing::info!(%model, "the local model is loaded"),
            LocalState::Loading => {}
        }
        self.tier.set(&model, state);
    }

    /// Takes over what the gate said, and says aloud what changed.
    fn publish(&self, settings: &Settings, standings: Standings) {
        let before = self.standings.load_full();
        for (target, suite, standing) in standings.iter() {
            let was = before.objection(target, suite);
            match standing {
                Standing::Certified if was.is_some() => tracing::info!(%target, suite, "certified: it may serve"),
                Standing::Uncertified { reason } if was.as_deref() != Some(reason) => {
                    let enforcement = match settings.enforcement {
                        Enforcement::Strict => "it is not attempted",
                        Enforcement::Warn => "it is attempted only because enforcement is `warn`",
                    };
                    tracing::warn!(%target, suite, %reason, "not certified: {enforcement}");
                }
                Standing::Certified | Standing::Uncertified { .. } => {}
            }
        }
        for route in settings.routes.values() {
            for step in plan(route, &standings, settings.enforcement).steps {
                let open = if step.decision == Decision::Attempt { 0.0 } else { 1.0 };
                gauge!(metric::UNCERTIFIED, "route" => route.id.to_string(), "target" => step.target.to_string())
                    .set(open);
            }
        }
        self.standings.store(Arc::new(standings));
    }

    /// Whether any route would attempt the model now.
    fn wanted(&self, settings: &Settings, model: &str) -> bool {
        let standings = self.standings.load();
        settings.routes.values().any(|route| {
            plan(route, &standings, settings.enforcement)
                .steps
                .iter()
                .any(|step| step.target.is_local() && &*step.target.model == model && step.decision.is_attempted())
        })
    }

    /// Whether the tier runs exactly this, or has failed at it already. An engine that gave up is started anew.
    fn serves(&self, model: &str, identity: &Identity) -> bool {
        match self.tier.models().get(model) {
            Some(LocalState::Ready(engine)) => {
                engine.identity() == identity && !matches!(engine.health().state, State::Failed { .. })
            }
            Some(LocalState::Embedder(embedder)) => embedder.identity() == identity,
            Some(LocalState::Loading | LocalState::Failed { .. }) => true,
            None => false,
        }
    }
}

/// How the config wants engines to be run: the same at the gate as in service.
pub fn engine_options(local: &crate::config::LocalTier) -> EngineOptions {
    EngineOptions {
        queue: local.queue,
        queue_tokens: local.queue_tokens,
        max_wait: local.max_wait,
        running: local.running,
        device: local.device.choose().device,
        threads: local.threads,
        cache_bytes: local.cache_bytes,
        context_tokens: local.context_tokens,
        ..EngineOptions::default()
    }
}
