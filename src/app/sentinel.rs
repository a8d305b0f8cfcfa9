//! Has certified models of vendors asked again, in the background, what they passed: see `release/sentinel.rs`.

use std::sync::Arc;

use metrics::counter;
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use super::App;
use crate::{
    clock,
    config::{GateSettings, Route, Settings},
    domain::TargetId,
    observe::metric,
    release::{Asking, Probe, Seen, Sentinel, VendorSubject},
    store::{ProbeRow, Store},
};

/// How long its findings are kept.
const KEPT_MS: i64 = 400 * 24 * 3600 * 1000;
/// How often it is looked whose turn it is.
const LOOK: std::time::Duration = std::time::Duration::from_secs(2);

/// Asks one target after the other until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let (keeper, gate, settings) = (Arc::clone(&app.keeper), Arc::clone(&app.gate), Arc::clone(&app.settings));
    let (clients, vault, suites) = (Arc::clone(&app.clients), app.relay.vault.clone(), app.state.suites());
    let (audit, store) = (app.audit.clone(), app.store.clone());
    tokio::spawn(async move {
        let mut sentinel = Sentinel::default();
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let settings = settings.load_full();
            let Some(every) = settings.gate.sentinel_every else { continue };
            for (target, certificate) in keeper.certified_vendors() {
                if !sentinel.is_due(&certificate, every, OffsetDateTime::now_utc()) {
                    continue;
                }
                let Some(vendor) = settings.vendors.get(&target.vendor) else { continue };
                let client = match clients.with_connect_deadline(std::time::Duration::from_secs(5)) {
                    Ok(client) => client,
                    Err(error) => {
                        tracing::error!(%error, "the sentinel has no client");
                        continue;
                    }
                };
                let subject = VendorSubject {
                    name: target.to_string(),
                    target: target.clone(),
                    vendor: Arc::new(vendor.clone()),
                    client,
                    vault: vault.clone(),
                    prices: None,
                };
                let GateSettings { sentinel_questions: questions, fingerprints, .. } = settings.gate;
                let asking = Asking { questions, fingerprints };
                let probe = sentinel.probe((&gate, &audit), &suites, &certificate, &subject, asking).await;
                remember(&store, &settings, &target, &probe).await;
                let seen = probe.seen;
                let outcome = match &seen {
                    Seen::Same => "same",
                    Seen::Drift(_) => "drift",
                    Seen::Unknown(_) => "unknown",
                };
                counter!(metric::SENTINEL_PROBES, "target" => target.to_string(), "outcome" => outcome).increment(1);
                match seen {
                    Seen::Same => tracing::debug!(%target, "the sentinel found the model as it was certified"),
                    Seen::Drift(why) => {
                        tracing::error!(%target, %why, "the model is not what was certified: suspended");
                    }
                    Seen::Unknown(why) => tracing::warn!(%target, %why, "the sentinel could not look at the model"),
                }
            }
        }
    })
}

/// What rules ask of it, for each route that has the target.
async fn remember(store: &Store, settings: &Settings, target: &TargetId, probe: &Probe) {
    if probe.asked == 0 {
        return;
    }
    let now = clock::unix_ms();
    let has = |route: &&Route| route.targets.iter().any(|one| one.id == *target);
    for route in settings.routes.values().filter(has) {
        let (asked, passed) = (probe.asked as u64, probe.passed as u64);
        let row = ProbeRow { route: route.id.clone(), target: target.clone(), at_unix_ms: now, asked, passed };
        if let Err(error) = store.put_probe(row, now - KEPT_MS).await {
            tracing::warn!(%error, %target, "what the sentinel found is not stored; rules do not see it");
        }
    }
}
