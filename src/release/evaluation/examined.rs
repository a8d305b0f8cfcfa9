//! From a target's name to something that can be asked: the local model's own engine, or the vendor's client.

use std::{sync::Arc, time::Duration};

use backstop_eval::{
    certificate::Binding,
    run::USUAL_CONCURRENCY,
    sha256_hex,
    subject::{LocalSubject, Subject},
    suite::SuiteId,
};
use backstop_models::engine::Engine;

use super::{Evaluation, EvaluationError};
use crate::{
    config::Settings,
    domain::TargetId,
    release::{VendorSubject, engine_options},
    vault::Vault,
    vendor::Clients,
};

/// The time that a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(5);

/// A target under examination.
pub struct Examined {
    pub subject: Box<dyn Subject>,
    /// What a certificate would bind; `None` where it could bind nothing that a route names. Made before the run: what changes
    /// meanwhile is not what was asked.
    pub binding: Option<Binding>,
    /// Questions to ask side by side.
    pub concurrency: usize,
}

impl Examined {
    /// A digest over everything of the target that an answer depends on.
    pub fn key(&self) -> String {
        self.binding.as_ref().map_or_else(|| sha256_hex(self.subject.name().as_bytes()), Binding::key)
    }
}

impl Evaluation {
    /// Loads a local model that does not serve here, which takes seconds; a vendor is not called before the first question.
    pub async fn examined(&self, suite: &SuiteId, target: &str) -> Result<Examined, EvaluationError> {
        let settings = &self.settings;
        let target = TargetId::try_from(target.to_owned()).map_err(EvaluationError::Unfit)?;
        let (subject, concurrency): (Box<dyn Subject>, usize) = if target.is_local() {
            let concurrency = settings.local.running.clamp(1, USUAL_CONCURRENCY);
            (Box::new(self.local(&target).await?), concurrency)
        } else {
            (Box::new(self.vendor(settings, &target).await?), USUAL_CONCURRENCY)
        };
        let (gate, bound, suite) = (Arc::clone(&self.gate), Arc::clone(settings), suite.clone());
        let binding = tokio::task::spawn_blocking(move || gate.binding(&bound, &target, &suite)).await?;
        Ok(Examined { subject, binding: Some(binding.map_err(EvaluationError::Unfit)?), concurrency })
    }

    /// `target` of a vendor in `settings`, which need not be those that are in force.
    pub async fn vendor(&self, settings: &Settings, target: &TargetId) -> Result<VendorSubject, EvaluationError> {
        let vendor = settings.vendors.get(&target.vendor).ok_or_else(|| {
            let known: Vec<&str> = settings.vendors.keys().map(|vendor| vendor.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            EvaluationError::Unfit(format!(
                "the config has no vendor `{}` (it has: {known}); add it under `vendors`",
                target.vendor
            ))
        })?;
        let client = Clients::default().with_connect_deadline(CONNECT)?;
        let vault = match &self.vault {
            Some(vault) => vault.clone(),
            None => Vault::open(&self.state.vault(), &self.settings.vault, client.http()).await?,
        };
        let prices = settings.prices.get(target).cloned();
        Ok(VendorSubject {
            name: target.to_string(),
            target: target.clone(),
            vendor: Arc::new(vendor.clone()),
            client,
            vault,
            prices,
        })
    }

    async fn local(&self, target: &TargetId) -> Result<LocalSubject, EvaluationError> {
        let options = engine_options(&self.settings.local, &self.machine());
        let (gate, model, device) = (Arc::clone(&self.gate), Arc::clone(&target.model), options.device);
        let found = tokio::task::spawn_blocking(move || gate.local(&model, device)).await?;
        let found = found.map_err(|why| EvaluationError::Unfit(format!("{target} cannot be loaded: {why}")))?;
        if let Some(engine) = self.served(&target.model).filter(|engine| *engine.identity() == found.identity) {
            // Who calls comes first.
            return Ok(LocalSubject::giving_way(engine));
        }
        let loaded = tokio::task::spawn_blocking(move || Engine::start(found.files, options)).await?;
        let failed = |source| EvaluationError::Load { what: target.to_string(), source };
        Ok(LocalSubject::new(loaded.map_err(failed)?))
    }
}
