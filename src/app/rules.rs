//! Looks at the rules, and tells people of those that have fired.

use std::{collections::BTreeSet, time::Duration};

use tokio::{task::JoinHandle, time::MissedTickBehavior};

use super::App;
use crate::{alert::RuleFired, clock, domain::RouteId, release::rules::RuleState};

const TELL: Duration = Duration::from_secs(1);
/// For so long after its last look a rule's word stands: a route that was taken back is not looked at any more.
const STANDS_MS: i64 = 600_000;

/// Goes on until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let (watcher, alerts) = (app.rules.clone(), app.alerts.rules());
    let looks = app.rules.clone().run();
    let tells = async move {
        let mut tick = tokio::time::interval(TELL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let states = watcher.states();
            // Before the first look after a start nothing is known, which ends nothing.
            if !states.is_empty() {
                alerts.tell(fired(&states, clock::unix_ms()));
            }
        }
    };
    tokio::spawn(async move {
        tokio::join!(looks, tells);
    })
}

fn fired(states: &[RuleState], now_unix_ms: i64) -> BTreeSet<RuleFired> {
    let stands = |state: &&RuleState| now_unix_ms.saturating_sub(state.looked_at_unix_ms) < STANDS_MS;
    let of = |state: &RuleState| {
        let (rule, route, version) = (state.rule.clone(), RouteId::new(state.route.clone()), state.version);
        Some(RuleFired { rule, route, version, outcome: state.outcome.clone()? })
    };
    states.iter().filter(stands).filter_map(of).collect()
}
