//! Keeps vendors' shares true while the gateway serves: what other processes have served, overrides, gauges and the alert.
//!
//! While the database is away, the shares go on from memory, and an override that is known goes on to its end.

use std::{sync::Arc, time::Duration};

use metrics::gauge;
use tokio::task::JoinHandle;

use super::App;
use crate::{
    clock,
    limit::Share,
    observe::metric,
    store::{ShareOverride, Store, StoreError},
};

/// How often the database is asked: what another process has served, and what it has overridden, is known so long after it
/// is stored.
const ROUND: Duration = Duration::from_secs(2);

/// Goes on until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let (share, store, owner) = (app.relay.share.clone(), app.store.clone(), app.relay.ledger.owner());
    let alerts = app.alerts.overrides();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(ROUND);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut known: Option<ShareOverride> = None;
        let mut failing = false;
        loop {
            tick.tick().await;
            match follow(&share, &store, &owner).await {
                Ok(now) => {
                    if now != known {
                        told(now.as_ref());
                    }
                    (known, failing) = (now, false);
                }
                Err(error) if !failing => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "what other processes serve is not known; shares go on from memory");
                    failing = true;
                }
                Err(_) => {}
            }
            known = known.filter(|known| clock::unix_ms() < known.ends_unix_ms);
            measure(&share, known.as_ref());
            alerts.tell(known.clone());
        }
    })
}

/// Takes up what is in the database.
pub(super) async fn follow(
    share: &Share,
    store: &Store,
    owner: &Arc<str>,
) -> Result<Option<ShareOverride>, StoreError> {
    let found = store.share_override(clock::unix_ms()).await?;
    let rows = store.shares_since(share.since_unix_ms(), Some(owner.to_string())).await?;
    share.follow(rows, found.as_ref().map(|found| found.ends_unix_ms));
    Ok(found)
}

fn told(now: Option<&ShareOverride>) {
    match now {
        Some(ShareOverride { id, reason, ends_unix_ms, .. }) => {
            tracing::warn!(id, reason, ends_unix_ms, "the share cap is overridden: it refuses no call until then");
        }
        None => tracing::info!("the share cap holds again"),
    }
}

fn measure(share: &Share, known: Option<&ShareOverride>) {
    let (unit, parts) = share.parts();
    for (vendor, (part, reserved)) in parts {
        let name = vendor.map_or_else(|| "own_hardware".to_owned(), |name| name.to_string());
        gauge!(metric::VENDOR_SHARE, "vendor" => name.clone()).set(part);
        gauge!(metric::VENDOR_SHARE_RESERVED, "vendor" => name, "unit" => unit.as_str()).set(reserved as f64);
    }
    gauge!(metric::SHARE_OVERRIDDEN).set(if known.is_some() { 1.0 } else { 0.0 });
}
