//! For operators: `/livez`, `/readyz`, `/metrics`.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use metrics::gauge;
use serde_json::{Value, json};

use super::Api;
use crate::{
    config::Enforcement,
    domain::{RouteId, TargetId},
    observe::metric,
    route::{Decision, plan},
    vendor::LocalState,
};

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    Starting = 0,
    Serving = 1,
    Draining = 2,
}

/// What the composition root tells `/readyz`.
#[derive(Debug, Default)]
pub struct Readiness {
    stage: AtomicU8,
    /// Why the last reload was refused; `None` when the config in force is the one on disk.
    refused_reload: Mutex<Option<String>>,
    /// Routes of which the file has other targets than the release that serves.
    differing: Mutex<Vec<RouteId>>,
}

impl Readiness {
    pub fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Serving,
            _ => Stage::Draining,
        }
    }

    pub fn reload(&self, refused: Option<String>) {
        *self.refused_reload.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// On these routes the config file asks for an import.
    pub fn releases_differ(&self, routes: Vec<RouteId>) {
        *self.differing.lock().unwrap_or_else(PoisonError::into_inner) = routes;
    }

    fn differing(&self) -> Vec<Value> {
        let routes = self.differing.lock().unwrap_or_else(PoisonError::into_inner);
        let said = |route: &RouteId| {
            let help = format!("backstop release import {route}");
            json!({"route": route, "release": "the config file has other targets than the release that serves", "help": help})
        };
        routes.iter().map(said).collect()
    }

    fn refused_reload(&self) -> Option<String> {
        self.refused_reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// 200 `ready` or `degraded` (calls are answered, but not all that is configured works), 503 `starting`, `draining` or
/// `unready` (no route has a target that may be attempted and, of a local one, is loaded; or calls cannot be recorded).
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    let (status, said) = readiness(&api);
    (status, Json(said)).into_response()
}

/// What `/readyz` says.
pub fn readiness(api: &Api) -> (StatusCode, Value) {
    let mut degraded: Vec<Value> = Vec::new();
    let snapshot = api.snapshot.load();
    let standings = api.relay.standings.load();
    let enforcement = snapshot.settings.enforcement;
    let (local, now) = (api.relay.local.models(), Instant::now());
    let answers = |target: &TargetId| {
        !target.is_local() || local.get(&*target.model).is_some_and(|state| state.refusal(now).is_none())
    };
    let mut open_routes = 0;
    for route in snapshot.settings.routes.values() {
        let plan = plan(route, &standings, enforcement);
        let mut open = false;
        for step in &plan.steps {
            let (what, reason) = match &step.decision {
                Decision::Attempt => {
                    open |= answers(&step.target);
                    let needs_certificate = step.index > 0 || step.target.is_local();
                    let Some(grace) = standings.grace(&step.target, route).filter(|_| needs_certificate) else {
                        continue;
                    };
                    degraded.push(
                        json!({"route": route.id, "target": step.target, "what": "serves in grace", "reason": &*grace}),
                    );
                    continue;
                }
                Decision::AttemptDespite { reason } | Decision::LastResort { reason } => {
                    open |= answers(&step.target);
                    ("attempted only because enforcement is warn", &**reason)
                }
                Decision::Skip(fault) => ("left out", fault.detail.as_str()),
            };
            degraded.push(json!({"route": route.id, "target": step.target, "what": what, "reason": reason}));
        }
        open_routes += usize::from(open);
    }
    degraded.extend(local.iter().filter_map(|(model, state)| {
        let why = match state {
            LocalState::Ready(engine) => engine.health().objection(now),
            other => other.refusal(now),
        };
        why.map(|reason| json!({"local_model": model, "reason": reason}))
    }));
    let wanted = snapshot.settings.local.device;
    if let Some(why) = wanted.choose().fallback {
        degraded.push(json!({"local_device": wanted.to_string(), "what": "the CPU computes instead", "reason": why}));
    }
    let ledger = api.relay.ledger.health();
    if !ledger.journal_ok || !ledger.db_ok {
        let reason = if ledger.journal_ok { "the database cannot be written" } else { "the journal cannot be written" };
        degraded.push(json!({"ledger": reason, "buffered_rows": ledger.buffered, "lag_rows": ledger.lag_rows}));
    }
    if let Some(why) = api.readiness.refused_reload() {
        degraded.push(json!({"config": "the file on disk was refused; the last good one is in force", "reason": why}));
    }
    degraded.extend(api.readiness.differing());
    let (status, word) = match api.readiness.stage() {
        Stage::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Stage::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        Stage::Serving if open_routes == 0 || !api.relay.ledger.takes_calls() => {
            (StatusCode::SERVICE_UNAVAILABLE, "unready")
        }
        Stage::Serving if degraded.is_empty() => (StatusCode::OK, "ready"),
        Stage::Serving => (StatusCode::OK, "degraded"),
    };
    let enforcement = match enforcement {
        Enforcement::Strict => "strict",
        Enforcement::Warn => "warn",
    };
    let mut said = json!({"status": word, "enforcement": enforcement, "degraded": degraded});
    if let Some(drill) = api.relay.drills.on() {
        said["drill"] = json!({
            "id": drill.id, "routes": drill.routes, "seen_as_down": drill.down, "live_pct": drill.live_pct,
            "ends_unix_ms": drill.ends_unix_ms,
        });
    }
    (status, said)
}

/// The Prometheus text format; names in `observe::metric`.
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let ledger = api.relay.ledger.health();
    gauge!(metric::LEDGER_BUFFERED).set(ledger.buffered as f64);
    gauge!(metric::LEDGER_LAG).set(ledger.lag_rows as f64);
    for (model, state) in api.relay.local.models().iter() {
        let (ready, queued) = match state {
            LocalState::Ready(engine) => {
                let health = engine.health();
                (health.objection(Instant::now()).is_none(), health.queued)
            }
            LocalState::Embedder(embedder) => (true, embedder.calls()),
            LocalState::Loading(_) | LocalState::Failed { .. } | LocalState::NoRoom { .. } => (false, 0),
        };
        gauge!(metric::LOCAL_READY, "model" => model.clone()).set(if ready { 1.0 } else { 0.0 });
        gauge!(metric::LOCAL_QUEUED, "model" => model.clone()).set(queued as f64);
    }
    api.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], api.metrics.render()).into_response()
}
