//! Has certified models of vendors asked again, in the background, what they passed: see `release/sentinel.rs`.

use std::sync::Arc;

use metrics::counter;
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use super::App;
use crate::{
    config::GateSettings,
    observe::metric,
    release::{Probe, Seen, Sentinel, VendorSubject},
};

/// How often it is looked whose turn it is.
const LOOK: std::time::Duration = std::time::Duration::from_secs(2);

/// Asks one target after the other until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let (keeper, gate, settings) = (Arc::clone(&app.keeper), Arc::clone(&app.gate), Arc::clone(&app.settings));
    let (clients, vault, suites) = (Arc::clone(&app.clients), app.relay.vault.clone(), app.state.suites());
    let audit = app.audit.clone();
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
                let probe = Probe { questions, fingerprints };
                let seen = sentinel.probe((&gate, &audit), &suites, &certificate, &subject, probe).await;
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
