//! Has certificates of retained releases renewed while the gateway serves, and tells of those that are not: see `release/renewal.rs`.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::App;
use crate::release::{
    evaluation::{Evaluation, Serving},
    renewal::{Renewer, RenewerParts},
};

/// How often it is looked what ends.
const LOOK: Duration = Duration::from_secs(5);

/// Goes on until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let renewer = Renewer::new(RenewerParts {
        shelf: Arc::clone(&app.releases.shelf),
        store: app.store.clone(),
        settings: Arc::clone(&app.settings),
        audit: app.audit.clone(),
        evaluation: Evaluation {
            state: app.state.clone(),
            settings: app.settings.load_full(),
            gate: Arc::clone(&app.gate),
            vault: Some(app.relay.vault.clone()),
            serving: Some(Serving { tier: app.relay.local.clone(), machine: app.keeper.machine().clone() }),
        },
    });
    let alerts = app.alerts.renewals();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Some(seen) = renewer.look().await else { continue };
            alerts.tell(seen.not_renewed().into_iter().collect());
            renewer.renew(seen).await;
        }
    })
}
