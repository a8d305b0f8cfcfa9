//! The first start without a config: the default model is pulled, verified, loaded and certified, with visible progress.
//!
//! Every step is skipped when it is done already, so that a later start needs no network.

use std::{sync::Arc, time::Duration};

use backstop_eval::{
    certificate::{IssueError, Scope, StoreError},
    report::Verdict,
    run::{self, RunOptions, RunProgress},
    subject::LocalSubject,
    suite::{Suite, SuiteError},
};
use backstop_models::{
    catalog::{Catalog, CatalogError},
    fetch::{FetchError, Progress},
};
use serde_json::json;
use time::OffsetDateTime;

use super::App;
use crate::{
    audit::AuditError,
    domain::{Act, Action, Actor, TargetId},
    release,
    vendor::LocalState,
};

#[derive(Debug, thiserror::Error)]
pub enum FirstRunError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Suite(#[from] SuiteError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("{0}")]
    Binding(String),
    #[error("the local model `{model}` cannot be loaded: {why}")]
    Load { model: String, why: String },
    #[error("a step of the preparation panicked; the log has the reason")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Brings the model `model` into the tier, certified for `suite`. A verdict other than PASS is not an error: the gateway
/// then serves without the model, and says so.
pub async fn prepare_default_model(
    app: &App,
    model: &str,
    fetching: Arc<dyn Progress>,
    running: &dyn RunProgress,
) -> Result<Verdict, FirstRunError> {
    let settings = app.settings.load_full();
    let gate = Arc::clone(&app.gate);
    let catalog = Catalog::load(&app.state.catalog())?;
    let manifest = catalog.get(model)?.clone();
    let store = Arc::clone(&gate);
    let here = {
        let (store, manifest) = (Arc::clone(&store), manifest.clone());
        tokio::task::spawn_blocking(move || store.models().open(&manifest).is_ok()).await?
    };
    // What is here and good is used as it is; the pull itself knows what is missing.
    if !here {
        let act = Act::new(Actor::gateway(), Action::ModelPull, ("model", model));
        let act =
            act.after(json!({ "weights_sha256": manifest.weights_sha256() })).reason("the default model's first start");
        let pull =
            async { Ok(tokio::task::spawn_blocking(move || store.models().pull(&manifest, &*fetching)).await??) };
        app.audit.around::<_, FirstRunError>(act, pull).await?;
    }
    app.keeper.round(&settings).await;
    app.keeper.settle(Duration::MAX / 4).await;
    let target = TargetId::parse(&format!("local/{model}")).ok_or_else(|| FirstRunError::Binding(model.to_owned()))?;
    let mut verdict = Verdict::Pass;
    for route in settings.routes.values() {
        if app.relay.standings.load().objection(&target, route).is_none() {
            continue;
        }
        let suite = Suite::find(&route.suite, &app.state.suites())?;
        let found = gate.local(model, settings.local.device.choose().device).map_err(FirstRunError::Binding)?;
        if !matches!(app.relay.local.models().get(model), Some(LocalState::Ready(_))) {
            app.keeper.load(&settings, &found).await;
        }
        let engine = match app.relay.local.models().get(model) {
            Some(LocalState::Ready(engine)) => engine.clone(),
            Some(LocalState::Failed { why, .. } | LocalState::NoRoom { why }) => {
                return Err(FirstRunError::Load { model: model.to_owned(), why: why.to_string() });
            }
            Some(LocalState::Loading(_) | LocalState::Embedder(_)) | None => {
                return Err(FirstRunError::Load { model: model.to_owned(), why: "it is not in the tier".to_owned() });
            }
        };
        let binding = gate.binding(&settings, &target, suite.id()).map_err(FirstRunError::Binding)?;
        let subject = binding.key();
        let attempt = gate.certificates().begin_attempt(&subject, &suite, false)?;
        let concurrency = settings.local.running.clamp(1, run::USUAL_CONCURRENCY);
        let options = RunOptions { concurrency, subject, attempt: attempt.number, ..RunOptions::default() };
        let report = run::run(&suite, &LocalSubject::new(engine), options, running).await;
        gate.certificates().end_attempt(attempt, report.verdict)?;
        verdict = report.verdict;
        if verdict != Verdict::Pass {
            break;
        }
        let report_sha256 = gate.certificates().keep_report(&report).map_err(IssueError::from)?;
        let whole = Scope::of(&suite);
        let act = release::certifying(Actor::gateway(), (&binding, &whole), &report_sha256);
        let (bound, now) = ((&binding, whole), OffsetDateTime::now_utc());
        let issue = async { Ok(gate.certificates().issue(&suite, &report, bound, now)?) };
        app.audit.around::<_, FirstRunError>(act, issue).await?;
        app.keeper.round(&settings).await;
    }
    Ok(verdict)
}
