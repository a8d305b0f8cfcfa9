//! From a target's name to something that can be asked: the local model's own engine, or the vendor's client.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use backstop_eval::subject::{LocalSubject, Subject};
use backstop_models::engine::Engine;

use super::super::installation::Installation;
use crate::{
    config::Settings,
    domain::TargetId,
    release::{Gate, VendorSubject},
    vendor::Clients,
};

/// Loads a local model, which takes seconds; a vendor is not called before the first question.
pub(super) async fn subject_for(
    installation: &Installation,
    gate: &Arc<Gate>,
    settings: &Settings,
    target: &TargetId,
) -> anyhow::Result<Box<dyn Subject>> {
    if target.is_local() {
        return Ok(Box::new(LocalSubject::new(engine(gate, settings, target).await?)));
    }
    let vendor = settings.vendors.get(&target.vendor).ok_or_else(|| {
        let known: Vec<&str> = settings.vendors.keys().map(|vendor| vendor.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        anyhow!("the config has no vendor `{}` (it has: {known}); add it under `vendors`", target.vendor)
    })?;
    let vault = installation.vault().await?;
    let client = Clients::default().with_connect_deadline(super::super::installation::CONNECT)?;
    Ok(Box::new(VendorSubject { target: target.clone(), vendor: Arc::new(vendor.clone()), client, vault }))
}

async fn engine(gate: &Arc<Gate>, settings: &Settings, target: &TargetId) -> anyhow::Result<Engine> {
    let options = crate::release::engine_options(&settings.local);
    let (gate, model) = (Arc::clone(gate), Arc::clone(&target.model));
    let loaded = tokio::task::spawn_blocking(move || {
        let (files, _) = gate.local(&model, options.device).map_err(anyhow::Error::msg)?;
        Engine::start(files, options).map_err(anyhow::Error::from)
    });
    loaded.await.context("the task ended early")?.with_context(|| format!("{target} cannot be loaded"))
}
