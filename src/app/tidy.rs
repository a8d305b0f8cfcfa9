//! Forgets, while the gateway serves, the hourly sums that no window reaches back to, so that a database grows by its calls and by
//! nothing else.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::App;
use crate::clock;

const ROUND: Duration = Duration::from_secs(3600);
/// How long sums are kept at least, whatever the windows are: three months, so that a window can be made longer afterwards, and
/// longer than any budget's month.
const KEPT: Duration = Duration::from_secs(92 * 24 * 3600);
/// What is kept beyond a longer window: rows are counted by whole hours, on clocks that differ.
const BEYOND: Duration = Duration::from_secs(24 * 3600);

/// Goes on until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let (store, settings) = (app.store.clone(), Arc::clone(&app.settings));
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(ROUND);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let now = clock::unix_ms();
            let window = settings.load().share_cap.window;
            match store.forget_sums(before(now, KEPT), before(now, KEPT.max(window.saturating_add(BEYOND)))).await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "hourly sums that no window reaches back to are forgotten"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "old hourly sums cannot be forgotten; it is tried again in an hour");
                }
            }
        }
    })
}

fn before(now_unix_ms: i64, span: Duration) -> i64 {
    now_unix_ms.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}
