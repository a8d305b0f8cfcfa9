//! What a running gateway tells the audit log: the config that it was started with and every one it takes over; and the log's upkeep.
//!
//! A config is told by its digest and by names: no value of it, so never a secret.

use std::{fs, path::Path, sync::Arc};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::App;
use crate::{
    audit::Publisher,
    config::{Applying, Before, Finding, Settings, Severity},
    domain::{Act, Action, Actor},
};

/// Signs and publishes the log, and carries over what waited for the database. Goes on until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let publisher = Publisher::new(app.audit.clone(), app.relay.vault.clone(), app.http.clone());
    tokio::spawn(publisher.run(Arc::clone(&app.settings)))
}

/// The config that the gateway starts with; without a file, the built-in one. An incident is no time to refuse to start: where the
/// entry cannot be kept, the log says so and the gateway starts.
pub async fn load(app: &App, file: Option<&Path>) {
    let digest = file.and_then(|file| fs::read(file).ok()).map(|bytes| Sha256::digest(bytes).into());
    let act = Act::new(Actor::gateway(), Action::ConfigLoad, ("config", name(file)));
    if let Err(error) = app.audit.record(&act.after(described(&app.settings.load(), digest))).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the start's config is not in the audit log");
    }
}

/// Records each reload before it takes effect, and refuses one that cannot be recorded.
pub(super) fn before_reload(app: &App, file: &Path) -> Before {
    let (audit, file) = (app.audit.clone(), file.to_owned());
    Box::new(move |applying: &Applying<'_>| {
        let mut after = described(applying.settings, Some(applying.digest));
        after["changes"] = json!(applying.changes);
        after["needs_restart"] = json!(applying.needs_restart);
        let act = Act::new(Actor::gateway(), Action::ConfigReload, ("config", name(Some(&file)))).after(after);
        audit.record_now(&act).map_err(|error| {
            let why = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Finding::of_file(Severity::Error, file.to_string_lossy(), format!("{error}{why}"))
        })
    })
}

fn name(file: Option<&Path>) -> String {
    file.map_or_else(|| "built-in".to_owned(), |file| file.display().to_string())
}

fn described(settings: &Settings, digest: Option<[u8; 32]>) -> Value {
    json!({
        "sha256": digest.map(hex::encode),
        "vendors": settings.vendors.keys().map(|id| id.as_str()).collect::<Vec<_>>(),
        "routes": settings.routes.iter().map(|(id, route)| {
            (id.to_string(), json!(route.targets.iter().map(|target| target.id.to_string()).collect::<Vec<_>>()))
        }).collect::<serde_json::Map<_, _>>(),
        "rules": settings.rules.iter().map(|rule| (rule.name.clone(), json!({
            "when": rule.when.to_string(),
            "action": rule.action.as_str(),
            "routes": rule.routes.iter().map(|route| route.as_str()).collect::<Vec<_>>(),
        }))).collect::<serde_json::Map<_, _>>(),
        "oidc": settings.oidc.as_ref().map(|oidc| json!({
            "issuer": oidc.issuer, "audience": oidc.audience, "role_claim": oidc.role_claim, "roles": oidc.roles,
        })),
        "tenants": settings.tenants.keys().map(|id| id.as_str()).collect::<Vec<_>>(),
    })
}
