//! What goes on while the gateway serves: the config file is watched, and every target's certificate is looked at again.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backstop_models::machine::Machine;
use metrics::counter;
use tokio::{runtime::Handle, signal::unix::Signal, task::JoinHandle};

use super::{
    App, Releases, drills, health, left_out::left_out as left_out_now, limits, prometheus, recording, releases,
    renewal, rules, sentinel, shares, tidy,
};
use crate::{
    config::{self, Enforcement, Finding, Loaded, Reloaded, Settings, Severity, Watch},
    domain::{RouteId, TargetId},
    observe::metric,
    relay::{Health, Snapshot},
    release::{Examination, Gate, rooms},
    route::{Decision, plan},
};

/// How often every certificate and the bytes it binds are looked at again.
const ROUND: Duration = Duration::from_secs(2);

/// How long a new config waits for files that do not answer; while it does, the old one is in force.
const PATIENCE: Duration = Duration::from_secs(300);

/// Goes on until dropped.
#[derive(Debug)]
pub struct Keeping {
    rounds: JoinHandle<()>,
    health: JoinHandle<()>,
    limits: JoinHandle<()>,
    shares: JoinHandle<()>,
    sentinel: JoinHandle<()>,
    prometheus: JoinHandle<()>,
    audit: JoinHandle<()>,
    rules: JoinHandle<()>,
    releases: JoinHandle<()>,
    papers: JoinHandle<()>,
    tidy: JoinHandle<()>,
    drills: JoinHandle<()>,
    steps: JoinHandle<()>,
    renewal: JoinHandle<()>,
    _watch: Option<Watch>,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.rounds.abort();
        self.health.abort();
        self.limits.abort();
        self.shares.abort();
        self.sentinel.abort();
        self.prometheus.abort();
        self.audit.abort();
        self.rules.abort();
        self.releases.abort();
        self.papers.abort();
        self.tidy.abort();
        self.drills.abort();
        self.steps.abort();
        self.renewal.abort();
    }
}

/// What the gateway started with.
#[derive(Debug)]
pub struct Began {
    /// What was said of the config then: its breaches are known and refuse no reload.
    pub findings: Vec<Finding>,
    /// What a config without routes serves.
    pub default_model: String,
    /// Of SIGHUP, since the process began.
    pub hangup: Signal,
}

/// Watches `origin`, where there is one, and keeps the standings and the local tier true.
pub fn keep(app: &App, origin: Option<PathBuf>, began: Began) -> Keeping {
    let watch = origin.map(|origin| watch_config(app, origin, began));
    let (keeper, settings) = (Arc::clone(&app.keeper), Arc::clone(&app.settings));
    let (standings, alerts) = (Arc::clone(&app.relay.standings), app.alerts.left_out());
    let rounds = tokio::spawn(async move {
        let mut tick = tokio::time::interval(ROUND);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let settings = settings.load_full();
            keeper.round(&settings).await;
            alerts.tell(left_out_now(&settings, &standings.load(), &keeper.warnings()));
        }
    });
    Keeping {
        rounds,
        health: health::keep(app),
        limits: limits::keep(app),
        shares: shares::keep(app),
        sentinel: sentinel::keep(app),
        prometheus: prometheus::keep(app),
        audit: recording::keep(app),
        rules: rules::keep(app),
        releases: releases::keep(app),
        papers: releases::publish(app),
        tidy: tidy::keep(app),
        drills: drills::keep(app),
        steps: releases::step(app),
        renewal: renewal::keep(app),
        _watch: watch,
    }
}

fn watch_config(app: &App, origin: PathBuf, began: Began) -> Watch {
    let Began { findings, default_model, hangup } = began;
    let mut known: BTreeSet<String> = findings.iter().map(breach_key).collect();
    let (gate, live, clients) = (Arc::clone(&app.gate), Arc::clone(&app.settings), Arc::clone(&app.clients));
    let (relay, keeps) = (Arc::clone(&app.relay), Arc::clone(&app.keeper));
    let (book, judged) = (app.releases.clone(), Arc::new(Mutex::new(None)));
    let judging = Arc::clone(&judged);
    let judge = move |loaded: Loaded| {
        let Loaded { settings, findings } = loaded;
        let filed = settings.or_embedded_routes(&default_model);
        let settings = book.applied(&filed);
        if let Some(gone) = gone(&book, &filed) {
            return Err(vec![gone]);
        }
        *judging.lock().unwrap_or_else(PoisonError::into_inner) = Some(filed.orders());
        if settings.enforcement == Enforcement::Strict {
            let mut objections: Vec<Finding> = findings
                .iter()
                .filter(|finding| finding.severity == Severity::Breach && !known.contains(&breach_key(finding)))
                .cloned()
                .collect();
            let live = live.load();
            // A running gateway keeps the memory that it has.
            let new = Settings { local: live.local, ..settings.clone() };
            objections.extend(newly_left_out((&gate, keeps.machine()), &live, &new));
            if !objections.is_empty() {
                return Err(objections);
            }
        }
        // Compiling has no effect but to show that it works.
        if let Err(error) = Snapshot::compile(Arc::new(settings.clone()), &clients, &Health::default()) {
            return Err(vec![Finding::of_file(Severity::Error, "config", error.to_string())]);
        }
        known = findings.iter().filter(|finding| finding.severity == Severity::Breach).map(breach_key).collect();
        Ok(settings)
    };
    let (keeper, readiness, runtime) = (Arc::clone(&app.keeper), Arc::clone(&app.readiness), Handle::current());
    let (snapshot, clients) = (Arc::clone(&app.snapshot), Arc::clone(&app.clients));
    let book = app.releases.clone();
    let told = move |reloaded: &Reloaded| {
        counter!(metric::RELOADS, "result" => reloaded.as_str()).increment(1);
        let orders = judged.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(orders), Reloaded::Applied { .. } | Reloaded::Unchanged) = (orders, reloaded) {
            book.filed.set(orders);
        }
        match reloaded {
            Reloaded::Applied { settings, .. } => {
                // Standings first: a route's new target has its certificate on record before the first call plans with it.
                runtime.block_on(keeper.look(settings));
                relay.share.configure(settings);
                match Snapshot::compile(Arc::clone(settings), &clients, &relay.health) {
                    Ok(compiled) => snapshot.store(Arc::new(compiled)),
                    Err(error) => tracing::error!(%error, "the new config was judged good but cannot be compiled"),
                }
                readiness.reload(None);
            }
            Reloaded::Refused { findings } => {
                let reasons: Vec<String> = findings.iter().map(ToString::to_string).collect();
                readiness.reload(Some(reasons.join("; ")));
            }
            Reloaded::Unchanged => readiness.reload(None),
        }
    };
    let hooks =
        config::Hooks { judge: Box::new(judge), before: recording::before_reload(app, &origin), told: Box::new(told) };
    config::watch(origin, Arc::clone(&app.settings), hangup, hooks)
}

/// A config without a vendor that a release needs, which serves or is retained, would take the release's targets away unsaid.
fn gone(book: &Releases, filed: &Settings) -> Option<Finding> {
    let known = book.shelf.read_now().ok()?;
    filed.routes.keys().find_map(|route| {
        let own = |target: &TargetId| filed.is_own_hardware(target);
        let mut order = known.book.order(route, &own)?;
        let line = known.book.line(route)?;
        order.extend(line.canary.into_iter().flat_map(|running| line.canary_order(running, &own)));
        let target = filed.unknown_vendors(&order).first().copied()?.clone();
        let message = format!(
            "route `{route}` has `{target}` in a release that serves, is retained or is tried: its vendor must stay"
        );
        Some(Finding::of_file(Severity::Error, "config", message))
    })
}

fn breach_key(finding: &Finding) -> String {
    format!("{}: {}", finding.path, finding.message)
}

/// The targets that strict enforcement would leave out of `new` and that are not left out of `old` already.
fn newly_left_out(gate: (&Gate, &Machine), old: &Settings, new: &Settings) -> Vec<Finding> {
    let before: BTreeSet<(RouteId, TargetId)> =
        left_out(gate, old).into_iter().map(|(route, target, _)| (route, target)).collect();
    left_out(gate, new)
        .into_iter()
        .filter(|(route, target, _)| !before.contains(&(route.clone(), target.clone())))
        .map(|(route, target, reason)| {
            let message = format!("route `{route}` gains `{target}`, which may not serve: {reason}");
            Finding::of_file(Severity::Breach, "config", message)
        })
        .collect()
}

fn left_out((gate, machine): (&Gate, &Machine), settings: &Settings) -> Vec<(RouteId, TargetId, Arc<str>)> {
    let Examination { standings, local, .. } = gate.examine(settings, PATIENCE);
    let strictly = |model: &str| {
        let ways = settings.ways();
        let steps = ways.iter().flat_map(|route| plan(route, &standings, Enforcement::Strict).steps);
        steps
            .filter(|step| step.target.is_local() && &*step.target.model == model)
            .any(|step| step.decision.is_attempted())
    };
    let rooms = rooms(settings, machine, &local, strictly);
    let mut out = Vec::new();
    for route in settings.routes.values() {
        for step in plan(route, &standings, Enforcement::Strict).steps {
            if let Decision::Skip(fault) = step.decision {
                out.push((route.id.clone(), step.target, Arc::from(fault.detail)));
            } else if step.target.is_local()
                && let Some(Err(short)) = rooms.get(&*step.target.model)
            {
                out.push((route.id.clone(), step.target, format!("it {short}").into()));
            }
        }
    }
    out
}
