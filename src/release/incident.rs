//! Incidents on routes, from wherever they are reported: kept, audited, and the worst of them take the route back, once.
//!
//! Acting needs no database: where it is away the rollback happens all the same, and the incident is in the audit log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use super::trigger::{At, Cause, Fired, Trigger};
use crate::{
    audit::Audit,
    clock,
    domain::{Act, Action, Actor, RouteId},
    store::{IncidentRow, Store},
};

/// Incidents that this process remembers having acted on, for when the database cannot say.
const REMEMBERED: usize = 4096;

/// How far an incident has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Triggered,
    Resolved,
}

/// One report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// `admin_api`, `pagerduty`, `alertmanager`.
    pub source: &'static str,
    /// What it is called there.
    pub external_id: String,
    pub route: RouteId,
    /// 1 is the worst.
    pub severity: u8,
    pub title: String,
    pub phase: Phase,
    /// When that was, where the source says so: what came late, or again, is not news.
    pub at_unix_ms: Option<i64>,
    /// When it began, where the source says so each time: a later beginning is another time of the same trouble.
    pub began_unix_ms: Option<i64>,
    pub actor: Actor,
}

/// What a report is to what is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// Of the same time of trouble, or of the first.
    Now,
    /// It was over, or never heard to be over, and has begun anew.
    Anew,
    /// Of what is past.
    Past,
}

impl Report {
    fn tells(&self, before: Option<&IncidentRow>) -> Tells {
        let Some(before) = before else { return Tells::Now };
        match (self.phase, self.began_unix_ms) {
            (_, Some(began)) if began < before.opened_unix_ms => Tells::Past,
            (Phase::Triggered, Some(began)) if began > before.opened_unix_ms => Tells::Anew,
            (Phase::Triggered, None) => match (before.resolved_unix_ms, self.at_unix_ms) {
                (Some(resolved), Some(at)) if at <= resolved => Tells::Past,
                (Some(_), _) => Tells::Anew,
                (None, _) => Tells::Now,
            },
            (Phase::Resolved, None) if self.at_unix_ms.is_some_and(|at| at < before.opened_unix_ms) => Tells::Past,
            _ => Tells::Now,
        }
    }
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Taken {
    pub id: String,
    pub route: String,
    pub severity: u8,
    /// `rolled_back`; `canary_ended`: what was tried on the route ended, and what serves serves on; `stayed`: it asked for a rollback, and there was a reason against; `none`: it asked for none, or has before.
    pub action: String,
    /// For people.
    pub detail: String,
}

/// Takes reports. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Incidents {
    store: Store,
    audit: Audit,
    trigger: Trigger,
    acted: Arc<Mutex<Acted>>,
}

#[derive(Debug, Default)]
struct Acted {
    known: BTreeSet<(String, RouteId)>,
    in_order: VecDeque<(String, RouteId)>,
}

impl Incidents {
    pub fn new(store: Store, audit: Audit, trigger: Trigger) -> Self {
        Self { store, audit, trigger, acted: Arc::default() }
    }

    pub async fn take(&self, report: Report) -> Taken {
        let known = self.known(&report).await;
        let tells = report.tells(known.as_ref());
        if tells == Tells::Past {
            return taken(report, "none", "it tells of what is over by what is on record".to_owned());
        }
        // What is known of another time counts no more.
        let before = known.as_ref().filter(|_| tells == Tells::Now);
        let now = report.at_unix_ms.unwrap_or_else(clock::unix_ms);
        // The worst that was said of it counts, whoever softened it later.
        let severity = before.map_or(report.severity, |before| before.severity.min(report.severity));
        let is_news = before.is_none_or(|before| {
            before.severity != severity || before.resolved_unix_ms.is_some() != (report.phase == Phase::Resolved)
        });
        if is_news {
            self.tell(&report).await;
        }
        let time = report.began_unix_ms.or_else(|| known.as_ref()?.resolved_unix_ms).unwrap_or_default();
        let asks = match before {
            _ if report.phase == Phase::Resolved || severity > 2 => false,
            Some(before) if before.asks_again => true,
            Some(before) if before.outcome.is_some() => false,
            _ => self.is_first(&report, time),
        };
        let cause = Cause {
            kind: "incident",
            name: report.external_id.clone(),
            reason: format!("severity {severity} incident {}: {}", report.external_id, report.title),
            actor: report.actor.clone(),
            at: At::Route,
        };
        // What still stands against it was said before.
        let stays = match before {
            Some(before) if asks && before.asks_again => self.trigger.stays(&report.route, cause.at),
            _ => None,
        };
        let fired = match (asks, stays) {
            (true, None) => Some(self.trigger.fire(&report.route, cause).await),
            (true, Some(stay)) => Some(Fired::Stayed(stay)),
            (false, _) => None,
        };
        let may_pass = fired.as_ref().is_some_and(Fired::may_pass);
        if may_pass {
            self.forget(&report, time);
        }
        let row = IncidentRow {
            source: report.source.to_owned(),
            external_id: report.external_id.clone(),
            route: report.route.clone(),
            severity,
            title: report.title.clone(),
            opened_unix_ms: before.map_or(report.began_unix_ms.unwrap_or(now), |before| before.opened_unix_ms),
            resolved_unix_ms: (report.phase == Phase::Resolved).then_some(now),
            outcome: fired.as_ref().map(ToString::to_string),
            asks_again: may_pass,
            is_anew: tells == Tells::Anew,
        };
        if let Err(error) = self.store.put_incident(row).await {
            tracing::error!(%error, incident = report.external_id, "an incident is not kept; the audit log has it");
        }
        let (action, detail) = match (&fired, report.phase) {
            (Some(fired), _) => (fired.as_str(), fired.to_string()),
            (None, Phase::Resolved) => ("none", "its end is kept; a route is not promoted again by that".to_owned()),
            (None, Phase::Triggered) if severity <= 2 => ("none", "it has asked for a rollback before".to_owned()),
            (None, Phase::Triggered) => ("none", "only severities 1 and 2 take a route back".to_owned()),
        };
        taken(Report { severity, ..report }, action, detail)
    }

    async fn known(&self, report: &Report) -> Option<IncidentRow> {
        let found =
            self.store.find_incident(report.source.to_owned(), report.external_id.clone(), report.route.clone());
        found.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the database does not tell of an incident; it is taken for a new one");
            None
        })
    }

    async fn tell(&self, report: &Report) {
        let action = match report.phase {
            Phase::Triggered => Action::IncidentReport,
            Phase::Resolved => Action::IncidentResolve,
        };
        let name = format!("{} on {}", report.external_id, report.route);
        let act = Act::new(report.actor.clone(), action, ("incident", name));
        let act = act.after(json!({
            "source": report.source, "route": report.route, "severity": report.severity, "title": report.title,
        }));
        if let Err(error) = self.audit.record(&act).await {
            tracing::error!(error = &error as &dyn std::error::Error, "an incident is not in the audit log");
        }
    }

    /// Whether no report of that time of it has asked for a rollback in this process.
    fn is_first(&self, report: &Report, time: i64) -> bool {
        let mut acted = self.acted.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(report, time);
        if !acted.known.insert(place.clone()) {
            return false;
        }
        acted.in_order.push_back(place);
        if acted.in_order.len() > REMEMBERED
            && let Some(oldest) = acted.in_order.pop_front()
        {
            acted.known.remove(&oldest);
        }
        true
    }

    /// It may ask again.
    fn forget(&self, report: &Report, time: i64) {
        let mut acted = self.acted.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(report, time);
        acted.known.remove(&place);
        acted.in_order.retain(|known| *known != place);
    }
}

/// What is remembered of a report.
fn place(report: &Report, time: i64) -> (String, RouteId) {
    (format!("{}:{}:{time}", report.source, report.external_id), report.route.clone())
}

fn taken(report: Report, action: &str, detail: String) -> Taken {
    let (route, severity) = (report.route.to_string(), report.severity);
    Taken { id: report.external_id, route, severity, action: action.to_owned(), detail }
}

#[cfg(test)]
mod tests;
