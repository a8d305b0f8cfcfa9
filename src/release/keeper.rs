//! Keeps the router's standings and the local tier true to the gate's last word.
//!
//! A target whose certificate lapses leaves its routes at the next round; a local model that gains one is loaded and
//! joins. A model is loaded once, and loaded again only when its bytes are other ones, or when more important models need of its memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use backstop_eval::certificate::{Certificate, Warning};
use backstop_models::{
    engine::State,
    files::ModelFiles,
    machine::{Bytes, Machine, Short},
};
use metrics::gauge;
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use super::{
    Examination, Gate, LocalModel,
    certifying::gracing,
    loading::Load,
    room::{Room, engine_options, rooms},
};
use crate::{
    audit::Audit,
    config::{Enforcement, Settings},
    domain::{Act, Action, Actor, TargetId},
    observe::metric,
    route::{Decision, Demand, Standing, Standings, plan},
    vendor::{LocalState, LocalTier},
};

/// How long a round waits for files that do not answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A model that could not be loaded is tried again after this: its disk may answer again.
const AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Keeper {
    gate: Arc<Gate>,
    standings: Arc<ArcSwap<Standings>>,
    tier: LocalTier,
    machine: Machine,
    /// Loads go one after the other.
    loads: Arc<Semaphore>,
    audit: Audit,
    /// As of the last look.
    warnings: Mutex<BTreeMap<(TargetId, String), Warning>>,
    /// Graces that are in the audit log.
    graces: Mutex<BTreeSet<(TargetId, String, OffsetDateTime)>>,
    /// Certificates of vendors' models that held at the last look.
    certified: Mutex<Vec<(TargetId, Certificate)>>,
}

impl Keeper {
    pub fn new(
        gate: Arc<Gate>,
        standings: Arc<ArcSwap<Standings>>,
        tier: LocalTier,
        machine: Machine,
        audit: Audit,
    ) -> Arc<Self> {
        let (warnings, graces, certified) = (Mutex::default(), Mutex::default(), Mutex::default());
        let loads = Arc::new(Semaphore::new(1));
        Arc::new(Self { gate, standings, tier, machine, loads, audit, warnings, graces, certified })
    }

    /// Targets whose certificate ends soon or is in its grace, by target and suite, as of the last look.
    pub fn warnings(&self) -> BTreeMap<(TargetId, String), Warning> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Certificates of vendors' models that held at the last look.
    pub fn certified_vendors(&self) -> Vec<(TargetId, Certificate)> {
        self.certified.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The memory and the cores of the local models.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The gate's word on `settings`, without any effect.
    pub async fn examine(&self, settings: &Arc<Settings>) -> Examination {
        let (gate, settings) = (Arc::clone(&self.gate), Arc::clone(settings));
        let looked = tokio::task::spawn_blocking(move || gate.examine(&settings, PATIENCE)).await;
        // Fail closed: an examination that panicked has found nothing certified.
        looked.unwrap_or_else(|error| {
            tracing::error!(%error, "the gate could not examine the routes; nothing counts as certified");
            Examination::default()
        })
    }

    /// Examines and tells the router.
    pub async fn look(&self, settings: &Arc<Settings>) -> HashMap<String, LocalModel> {
        let Examination { mut standings, local, warnings, vendors } = self.examine(settings).await;
        self.grant(&mut standings, &warnings);
        self.publish(settings, standings);
        self.warn(warnings);
        *self.certified.lock().unwrap_or_else(PoisonError::into_inner) = vendors;
        local
    }

    /// As [`Self::look`], then unloads and begins to load local models to match: standings first, so that nothing serves on a
    /// lapsed word. What is loaded waits until the memory of what is unloaded is free.
    pub async fn round(&self, settings: &Arc<Settings>) {
        let local = self.look(settings).await;
        let rooms = rooms(settings, &self.machine, &local, |model| self.wanted(settings, model));
        for model in self.tier.models().keys() {
            if !self.wanted(settings, model) {
                tracing::info!(%model, "the local model is no longer in a route, or has no certificate: unloaded");
                self.tier.remove(model);
            } else if let (Some(room), Some(found)) = (rooms.get(model), local.get(model)) {
                self.make_room(model, room, found);
            }
        }
        for model in settings.local_models() {
            if let (Some(Ok(room)), Some(found)) = (rooms.get(model), local.get(model))
                && !self.tier.models().contains_key(model)
            {
                self.begin(settings, found.files.clone(), *room);
            }
        }
        self.tell_who_has_no_room(&rooms);
    }

    /// Waits until no load goes on, or for as long as `patience` says.
    pub async fn settle(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let loads = |state: &LocalState| matches!(state, LocalState::Loading(_));
        while Instant::now() < until && self.tier.models().values().any(loads) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Loads a model and puts it into the tier.
    pub async fn load(&self, settings: &Settings, model: &LocalModel) {
        let needs = engine_options(&settings.local, &self.machine).needs(&model.size);
        let cache_bytes = needs.cache_within(self.machine.memory.total()).unwrap_or(needs.least_cache);
        let bytes = needs.with_cache(cache_bytes);
        if let (total, true) = (self.machine.memory.total(), bytes > self.machine.memory.total()) {
            let why = Short { needs: bytes, left: total, total }.to_string().into();
            return self.tier.set(&model.files.id, LocalState::NoRoom { why });
        }
        self.begin(settings, model.files.clone(), Room { cache_bytes, bytes });
        self.settle(Duration::MAX / 4).await;
    }

    fn begin(&self, settings: &Settings, files: ModelFiles, room: Room) {
        if let Some(why) = settings.local.device.choose().fallback {
            tracing::warn!(model = %files.id, wanted = %settings.local.device, %why, "the local model is computed on the CPU instead");
        }
        let loading = self.tier.load(&files.id);
        let options = engine_options(&settings.local, &self.machine);
        let load = Load { tier: self.tier.clone(), turn: Arc::clone(&self.loads), files, options, room };
        tokio::spawn(load.run(loading));
    }

    /// Unloads what is not, or not as it should be: it is loaded anew then.
    fn make_room(&self, model: &str, room: &Result<Room, Short>, found: &LocalModel) {
        let Some(state) = self.tier.models().get(model).cloned() else { return };
        let cache = room.map_or(0, |room| room.cache_bytes);
        let goes = match &state {
            LocalState::Loading(_) => room.is_err(),
            LocalState::NoRoom { .. } => room.is_ok(),
            LocalState::Failed { at, .. } => at.elapsed() > AGAIN,
            LocalState::Embedder(embedder) => room.is_err() || *embedder.identity() != found.identity,
            // An engine that gave up is started anew.
            LocalState::Ready(engine) => {
                let stands =
                    engine.identity() == &found.identity && !matches!(engine.health().state, State::Failed { .. });
                let shrinks = room.is_ok() && engine.cache_bytes() > cache;
                if stands && shrinks {
                    tracing::info!(%model, cache = %Bytes(cache), "the local model is loaded anew with a smaller cache: others need room");
                }
                room.is_err() || shrinks || !stands
            }
        };
        if goes {
            self.tier.remove(model);
        }
    }

    /// Says it once.
    fn tell_who_has_no_room(&self, rooms: &BTreeMap<String, Result<Room, Short>>) {
        for (model, short) in rooms.iter().filter_map(|(model, room)| Some((model, room.err()?))) {
            let why: Arc<str> = short.to_string().into();
            let told = |state: &LocalState| matches!(state, LocalState::NoRoom { why: told } if *told == why);
            if !self.tier.models().get(model).is_some_and(told) {
                tracing::error!(%model, %why, "the local model does not fit the memory: it is not loaded");
                self.tier.set(model, LocalState::NoRoom { why });
            }
        }
    }

    /// Takes over what the gate said, and says aloud what changed.
    fn publish(&self, settings: &Settings, standings: Standings) {
        let before = self.standings.load_full();
        let first = before.is_empty();
        for (target, demand, standing) in standings.iter() {
            let was = before.objection_to(target, demand);
            match standing {
                Standing::Certified | Standing::InGrace { .. } if was.is_some() => {
                    if !first {
                        self.record(Action::TargetOpen, settings, (target, demand), "certified");
                    }
                    tracing::info!(%target, suite = demand.suite, for_ = %demand, "certified: it may serve");
                }
                Standing::Uncertified { reason } if was.as_deref() != Some(reason) => {
                    let enforcement = match settings.enforcement {
                        Enforcement::Strict => "it is not attempted",
                        Enforcement::Warn => "it is attempted only because enforcement is `warn`",
                    };
                    if first || was.is_none() {
                        self.record(Action::TargetClose, settings, (target, demand), reason);
                    }
                    tracing::warn!(%target, suite = demand.suite, %reason, "not certified: {enforcement}");
                }
                Standing::Certified | Standing::InGrace { .. } | Standing::Uncertified { .. } => {}
            }
        }
        for route in settings.routes.values() {
            for step in plan(route, &standings, settings.enforcement).steps {
                let open = if step.decision == Decision::Attempt { 0.0 } else { 1.0 };
                gauge!(metric::UNCERTIFIED, "route" => route.id.to_string(), "target" => step.target.to_string())
                    .set(open);
            }
        }
        self.standings.store(Arc::new(standings));
    }

    /// A grace is an exception to the gate: it begins when it is in the audit log, and not before.
    fn grant(&self, standings: &mut Standings, warnings: &BTreeMap<(TargetId, String), Warning>) {
        let mut known = self.graces.lock().unwrap_or_else(PoisonError::into_inner);
        for ((target, suite), warning) in warnings {
            let Warning::Grace { expired_at, .. } = warning else { continue };
            let grace = (target.clone(), suite.clone(), *expired_at);
            if known.contains(&grace) {
                continue;
            }
            match self.audit.record_now(&gracing(target, suite, warning)) {
                Ok(()) => {
                    known.insert(grace);
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, %target, "its grace cannot be written into the audit log: it is not given");
                    standings.close(
                        target,
                        suite,
                        "its certificate has ended, and its grace cannot be written into the audit log",
                    );
                }
            }
        }
    }

    /// Says aloud what is new about certificates that end.
    fn warn(&self, warnings: BTreeMap<(TargetId, String), Warning>) {
        let mut before = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for ((target, suite), warning) in &warnings {
            let was = before.get(&(target.clone(), suite.clone()));
            if was.map(Warning::name) != Some(warning.name()) {
                tracing::warn!(%target, suite, what = warning.name(), "{warning}");
            }
        }
        *before = warnings;
    }

    /// Into the audit log, before it takes effect. A target closes also when that fails: what is uncertified must not serve on.
    fn record(&self, action: Action, settings: &Settings, (target, demand): (&TargetId, &Demand), why: &str) {
        let enforcement = match settings.enforcement {
            Enforcement::Strict => "strict",
            Enforcement::Warn => "warn",
        };
        let act = Act::new(Actor::gateway(), action, ("target", target.to_string()));
        let after = json!({
            "suite": demand.suite, "tier": demand.tier.as_str(), "use_case": demand.use_case, "enforcement": enforcement,
        });
        let act = act.after(after).reason(why);
        if let Err(error) = self.audit.record_now(&act) {
            tracing::error!(error = &error as &dyn std::error::Error, %target, "what the gate did is not in the audit log");
        }
    }

    /// Whether any route would attempt the model now.
    fn wanted(&self, settings: &Settings, model: &str) -> bool {
        let standings = self.standings.load();
        settings.ways().iter().any(|route| {
            plan(route, &standings, settings.enforcement)
                .steps
                .iter()
                .any(|step| step.target.is_local() && &*step.target.model == model && step.decision.is_attempted())
        })
    }
}
