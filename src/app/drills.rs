//! Holds drills while the gateway serves, and says of every route how long ago the last one was.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use metrics::gauge;
use tokio::task::JoinHandle;

use super::App;
use crate::{
    clock,
    config::Criticality,
    domain::RouteId,
    observe::metric,
    release::drill::{Conductor, ConductorParts, is_overdue, last_by_route},
};

/// How often it is looked how old the last drills are.
const LOOK: Duration = Duration::from_secs(2);
/// Of so many drills it is looked which routes they showed.
const MOST: u32 = 200;

/// Goes on until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let conductor = Conductor::new(ConductorParts {
        relay: Arc::clone(&app.relay),
        snapshot: Arc::clone(&app.snapshot),
        store: app.store.clone(),
        gate: Arc::clone(&app.gate),
        state: app.state.clone(),
    });
    let (store, settings) = (app.store.clone(), Arc::clone(&app.settings));
    let (shelf, alerts) = (Arc::clone(&app.releases.shelf), app.alerts.drills());
    let ages = async move {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // While the database is away, what was told stands.
            let Ok(rows) = store.drills(MOST).await else { continue };
            let (last, known) = (last_by_route(&rows), shelf.read_now().ok());
            let (settings, now) = (settings.load_full(), clock::unix_ms());
            let mut overdue = BTreeSet::new();
            for route in settings.routes.values() {
                let drilled = last.get(&route.id).map(|last| last.ended_unix_ms);
                let first = || Some(known.as_ref()?.book.line(&route.id)?.history.first()?.at_unix_ms);
                let critical = route.criticality == Criticality::Critical;
                let Some(since) = drilled.or_else(|| first().filter(|_| critical)) else { continue };
                gauge!(metric::DRILL_AGE, "route" => route.id.to_string())
                    .set(now.saturating_sub(since).max(0) as f64 / 1e3);
                if is_overdue(&settings, route, since, now) {
                    overdue.insert(RouteId::clone(&route.id));
                }
            }
            alerts.tell(overdue);
        }
    };
    tokio::spawn(async move {
        tokio::join!(conductor.run(), ages);
    })
}
