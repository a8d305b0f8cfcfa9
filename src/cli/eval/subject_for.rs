//! From a target's name to something that can be asked: the local model's own engine, or the vendor's client.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use backstop_eval::{
    certificate::Binding,
    run::USUAL_CONCURRENCY,
    sha256_hex,
    subject::{LocalSubject, Subject},
    suite::SuiteId,
};
use backstop_models::engine::Engine;

use super::super::installation::{CONNECT, Installation};
use crate::{
    config::{self, Settings},
    domain::TargetId,
    release::{self, Gate, VendorSubject},
    vendor::Clients,
};

/// The id that an ad-hoc vendor has in the config that is made for it.
const BY_URL: &str = "url";

/// A target under examination.
pub(super) struct Examined {
    pub(super) subject: Box<dyn Subject>,
    /// What a certificate would bind; `None` where it could bind nothing that a route names. Made before the run: what changes
    /// meanwhile is not what was asked.
    pub(super) binding: Option<Binding>,
    /// Questions to ask side by side.
    pub(super) concurrency: usize,
}

/// What else is said of a target that is a URL.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByUrl<'a> {
    pub(super) model: Option<&'a str>,
    pub(super) secret: Option<&'a str>,
}

impl Examined {
    /// A digest over everything of the target that an answer depends on.
    pub(super) fn key(&self) -> String {
        self.binding.as_ref().map_or_else(|| sha256_hex(self.subject.name().as_bytes()), Binding::key)
    }
}

/// Loads a local model, which takes seconds; a vendor is not called before the first question.
pub(super) async fn examined(
    installation: &Installation,
    gate: &Arc<Gate>,
    settings: &Settings,
    suite: &SuiteId,
    target: &str,
    by_url: ByUrl<'_>,
) -> anyhow::Result<Examined> {
    if is_url(target) {
        return at_url(installation, target, by_url).await;
    }
    let target = TargetId::try_from(target.to_owned()).map_err(|what| anyhow!(what))?;
    let (subject, concurrency): (Box<dyn Subject>, usize) = if target.is_local() {
        let engine = engine(gate, settings, &target).await?;
        (Box::new(LocalSubject::new(engine)), settings.local.running.clamp(1, USUAL_CONCURRENCY))
    } else {
        (Box::new(vendor(installation, settings, &target).await?), USUAL_CONCURRENCY)
    };
    let binding = gate.binding(settings, &target, suite).map_err(anyhow::Error::msg)?;
    Ok(Examined { subject, binding: Some(binding), concurrency })
}

pub(super) fn is_url(target: &str) -> bool {
    target.starts_with("http://") || target.starts_with("https://")
}

async fn vendor(installation: &Installation, settings: &Settings, target: &TargetId) -> anyhow::Result<VendorSubject> {
    let vendor = settings.vendors.get(&target.vendor).ok_or_else(|| {
        let known: Vec<&str> = settings.vendors.keys().map(|vendor| vendor.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        anyhow!("the config has no vendor `{}` (it has: {known}); add it under `vendors`", target.vendor)
    })?;
    let vault = installation.vault().await?;
    let client = Clients::default().with_connect_deadline(CONNECT)?;
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

/// A server that no config names, asked as an OpenAI-compatible vendor.
async fn at_url(installation: &Installation, url: &str, by_url: ByUrl<'_>) -> anyhow::Result<Examined> {
    let Some(model) = by_url.model else { bail!("a --target that is a URL needs --model, the model's name there") };
    let mut entry = serde_json::json!({ "kind": "openai_compatible", "base_url": url });
    if let Some(secret) = by_url.secret {
        entry["secret"] = secret.into();
    }
    let text = serde_json::json!({ "vendors": { BY_URL: entry } }).to_string();
    let loaded = config::load(&text, Path::new("--target")).map_err(|findings| {
        let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
        anyhow!("{url} cannot be asked:\n{}", said.join("\n"))
    })?;
    let target = TargetId::try_from(format!("{BY_URL}/{model}")).map_err(|what| anyhow!(what))?;
    let subject = vendor(installation, &loaded.settings, &target).await?;
    let subject = VendorSubject { name: format!("{url}#{model}"), ..subject };
    Ok(Examined { subject: Box::new(subject), binding: None, concurrency: USUAL_CONCURRENCY })
}

async fn engine(gate: &Arc<Gate>, settings: &Settings, target: &TargetId) -> anyhow::Result<Engine> {
    let options = release::engine_options(&settings.local, &release::machine(&settings.local));
    let (gate, model) = (Arc::clone(gate), Arc::clone(&target.model));
    let loaded = tokio::task::spawn_blocking(move || {
        let found = gate.local(&model, options.device).map_err(anyhow::Error::msg)?;
        Engine::start(found.files, options).map_err(anyhow::Error::from)
    });
    loaded.await.context("the task ended early")?.with_context(|| format!("{target} cannot be loaded"))
}
