//! Puts what the releases say into force: the file's settings with the orders of governed routes, and every act as it is done.
//!
//! A watch on the state directory tells of acts at once, a look every second of those that another process put into the database. What
//! is applied comes from the state directory alone, so an absent or slow database delays nothing. A call under way keeps the
//! order it was admitted under.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use metrics::{counter, gauge};
use notify::{RecursiveMode, Watcher as _};
use serde_json::json;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use super::App;
use crate::{
    api::Readiness,
    clock,
    config::{CanaryMode, Orders, Route, Settings, StateDir},
    domain::{Act, Action, Actor, RouteId},
    observe::metric,
    relay::{Relay, Snapshot},
    release::{
        Filed, Gate, Keeper,
        book::{Book, Deed},
        desk,
        evacuation::steps::{Stepper, StepperParts},
        owed::Owed,
        post,
        shelf::{Known, Shelf},
    },
    vendor::Clients,
};

const LOOK: Duration = Duration::from_millis(500);

/// What the file says, beside what is in force.
#[derive(Debug, Clone)]
pub struct Releases {
    pub shelf: Arc<Shelf>,
    pub filed: Filed,
}

impl Releases {
    pub fn new(shelf: Shelf, filed: Orders) -> Self {
        Self { shelf: Arc::new(shelf), filed: Filed::new(filed) }
    }

    /// `settings`, with the orders of governed routes as the book has them.
    pub fn applied(&self, settings: &Settings) -> Settings {
        match self.shelf.read_now() {
            Ok(known) => known.book.applied(settings),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the releases cannot be read; the config file's orders hold"
                );
                settings.clone()
            }
        }
    }
}

/// Brings model cards and release notes to where the config sends them. Goes on until aborted.
pub(super) fn publish(app: &App) -> JoinHandle<()> {
    let (state, settings) = (app.state.clone(), Arc::clone(&app.settings));
    let (client, vault) = (app.http.clone(), app.relay.vault.clone());
    let (shelf, gate) = (Arc::clone(&app.releases.shelf), Arc::clone(&app.gate));
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut owed = Owed::default();
        loop {
            tick.tick().await;
            if let Ok(known) = shelf.read_now() {
                owed = settle(owed, known.book, (settings.load_full(), state.clone(), Arc::clone(&gate))).await;
            }
            let publish = settings.load().release.publish.clone();
            post::deliver(&state, &publish, (&client, &vault)).await;
        }
    })
}

/// Whoever promoted may have died before it wrote the papers.
async fn settle(owed: Owed, book: Book, (settings, state, gate): (Arc<Settings>, StateDir, Arc<Gate>)) -> Owed {
    let mut settling = owed.clone();
    let settle = move || {
        settling.settle(&book, &settings, (&state, &gate));
        settling
    };
    tokio::task::spawn_blocking(settle).await.unwrap_or(owed)
}

/// Makes the steps of evacuations. Goes on until aborted.
pub(super) fn step(app: &App) -> JoinHandle<()> {
    let parts = StepperParts {
        shelf: Arc::clone(&app.releases.shelf),
        store: app.store.clone(),
        settings: Arc::clone(&app.settings),
        standings: Arc::clone(&app.relay.standings),
        rules: app.rules.clone(),
    };
    tokio::spawn(Stepper::new(parts).run())
}

/// Everything that applying touches.
struct Follower {
    releases: Releases,
    settings: Arc<ArcSwap<Settings>>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    clients: Arc<Clients>,
    relay: Arc<Relay>,
    keeper: Arc<Keeper>,
    readiness: Arc<Readiness>,
    /// Acts whose effect was told already.
    told: BTreeSet<String>,
    warned: BTreeMap<RouteId, Vec<crate::domain::TargetId>>,
}

/// Everything that has to do with the database: what may wait for it, and what comes from it.
struct Carrier {
    releases: Releases,
    /// The last act that the copy has.
    mark: Option<i64>,
}

/// Goes on until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let releases = app.releases.clone();
    let told = releases.shelf.read_now().map(|known| acts(&known.book)).unwrap_or_default();
    let mut follower = Follower {
        releases,
        settings: Arc::clone(&app.settings),
        snapshot: Arc::clone(&app.snapshot),
        clients: Arc::clone(&app.clients),
        relay: Arc::clone(&app.relay),
        keeper: Arc::clone(&app.keeper),
        readiness: Arc::clone(&app.readiness),
        told,
        warned: BTreeMap::new(),
    };
    let mut carrier = Carrier { releases: follower.releases.clone(), mark: None };
    let (changed, mut changes) = mpsc::channel(1);
    let watcher = watcher(&follower.releases.shelf, changed.clone());
    if let Err(error) = &watcher {
        tracing::warn!(%error, "acts on releases are seen within half a second, not at once");
    }
    let applied = Arc::new(Notify::new());
    let told = Arc::clone(&applied);
    let applies = async move {
        let _kept = (watcher, changed);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = changes.recv() => {}
                _ = look.tick() => {}
            }
            follower.apply().await;
            told.notify_one();
        }
    };
    // After it, and not before the next one: a database that is locked keeps nobody's second act waiting.
    let carries = async move {
        loop {
            applied.notified().await;
            carrier.round().await;
        }
    };
    tokio::spawn(async move {
        tokio::join!(applies, carries);
    })
}

fn watcher(shelf: &Shelf, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel holds a wake-up already.
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(shelf.dir(), RecursiveMode::Recursive)?;
    Ok(watcher)
}

fn acts(book: &Book) -> BTreeSet<String> {
    book.lines().flat_map(|(_, line)| line.history.iter().map(|done| done.id.clone())).collect()
}

impl Follower {
    async fn apply(&mut self) {
        let known = match self.releases.shelf.read_now() {
            Ok(known) => known,
            Err(error) => {
                return tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the releases cannot be read; what is in force stays"
                );
            }
        };
        let current = self.settings.load_full();
        let filed = self.releases.filed.orders();
        let mut orders = filed.clone();
        orders.extend(known.book.orders(&current));
        orders.retain(|route, _| current.routes.contains_key(route));
        let steers = known.book.steers();
        let is_steered = |route: &Route| match steers.get(&route.id) {
            Some(steers) => route.steers == *steers,
            None => route.steers.is_empty(),
        };
        let numbering = known.book.numbering(&current, &orders);
        let is_so = current.orders() == orders && current.routes.values().all(is_steered);
        let desired = match is_so && current.numbering() == numbering {
            true => Arc::clone(&current),
            false => Arc::new(current.with_orders(&orders).with_steers(&steers).with_numbering(&numbering)),
        };
        // A reload may have put its settings in force between two steps of ours: then what calls see follows here.
        if !Arc::ptr_eq(&desired, &self.snapshot.load().settings) {
            self.put_in_force(&current, desired).await;
        }
        self.tell(&known.book);
        self.warn(&known.book, &filed);
    }

    /// Unless a reload was faster: the next round looks at what that left.
    async fn put_in_force(&self, current: &Arc<Settings>, desired: Arc<Settings>) {
        let knows_all = {
            let standings = self.relay.standings.load();
            desired.ways().iter().all(|route| {
                route.targets.iter().enumerate().all(|(index, target)| {
                    index == 0 && !target.id.is_local() || standings.has_looked_at(&target.id, route)
                })
            })
        };
        // A new target has its certificate on record before the first call plans with it; a rollback has no new target, and
        // waits for no file.
        if !knows_all {
            self.keeper.look(&desired).await;
        }
        match Snapshot::compile(Arc::clone(&desired), &self.clients, &self.relay.health) {
            Ok(compiled) => {
                let before = self.settings.compare_and_swap(current, Arc::clone(&desired));
                if Arc::ptr_eq(&before, current) {
                    self.snapshot.store(Arc::new(compiled));
                }
            }
            Err(error) => tracing::error!(%error, "the release cannot be put in force; what was stays"),
        }
    }

    /// Says every act that has taken effect, once, and how long that took.
    fn tell(&mut self, book: &Book) {
        for (route, line) in book.lines() {
            gauge!(metric::RELEASE_SERVING, "route" => route.to_string()).set(f64::from(line.primary));
            let share = line.canary.filter(|running| running.share.mode == CanaryMode::Serve);
            let share = share.map_or(0.0, |running| f64::from(running.share.pct) / 100.0);
            gauge!(metric::RELEASE_CANARY, "route" => route.to_string()).set(share);
            for done in &line.history {
                if !self.told.insert(done.id.clone()) {
                    continue;
                }
                let (act, from, to) = match &done.deed {
                    Deed::Promoted { number, from, .. } => ("promote", *from, *number),
                    Deed::RolledBack { from, to, .. } => ("rollback", *from, *to),
                    Deed::Canary { share, .. } => ("canary", line.primary, share.release),
                    Deed::CanaryEnded { release, .. } => ("canary_end", *release, line.primary),
                    _ => continue,
                };
                let shifted = clock::unix_ms();
                let took_ms = shifted.saturating_sub(done.at_unix_ms);
                counter!(metric::RELEASE_MOVES, "route" => route.to_string(), "act" => act).increment(1);
                gauge!(metric::RELEASE_SHIFT_SECONDS, "route" => route.to_string(), "act" => act)
                    .set(took_ms as f64 / 1000.0);
                tracing::info!(%route, act, from, to, took_ms, decided_unix_ms = done.at_unix_ms, "the release's traffic has shifted");
                self.releases.shelf.note_shift(&done.id, shifted);
            }
        }
    }

    /// A changed file does not win silently over a governed route, and is not ignored silently either.
    fn warn(&mut self, book: &Book, filed: &Orders) {
        let differs = |route: &RouteId| {
            let line = book.line(route)?;
            filed.get(route).filter(|targets| line.asks_for_import(targets))
        };
        let now: BTreeMap<_, _> =
            filed.keys().filter_map(|route| Some((route.clone(), differs(route)?.clone()))).collect();
        for (route, _) in now.iter().filter(|(route, targets)| self.warned.get(*route) != Some(*targets)) {
            tracing::warn!(%route, "the config file has other targets than the release that serves, which stays; `backstop release import {route}` takes the file's over");
        }
        self.readiness.releases_differ(now.keys().cloned().collect());
        self.warned = now;
    }
}

impl Carrier {
    /// A copy that is new, and an act that is carried over, are seen in the state directory by whoever applies.
    async fn round(&mut self) {
        let shelf = Arc::clone(&self.releases.shelf);
        shelf.spare();
        if shelf.waiting() > 0
            && let Err(error) = shelf.reconcile().await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "acts on releases wait for the database");
        }
        gauge!(metric::RELEASES_WAITING).set(shelf.waiting() as f64);
        let mark = shelf.mark().await;
        if mark.is_some() && mark != self.mark {
            shelf.refresh().await;
            self.mark = mark;
        }
        if mark.is_some() {
            self.record_the_file().await;
        }
    }

    /// Routes on which nobody acted follow the file: each order that it has had is a release.
    async fn record_the_file(&self) {
        // The copy says at no cost whether there is anything to record.
        if self.releases.shelf.read_now().is_ok_and(|known| unrecorded(&self.releases, &known).is_empty()) {
            return;
        }
        let Ok(known) = self.releases.shelf.read().await else { return };
        record(&self.releases, &known).await;
    }
}

/// Puts the orders of the file down that the book lacks, in one act.
async fn record(releases: &Releases, known: &Known) {
    let deeds = unrecorded(releases, known);
    if deeds.is_empty() || known.mark.is_none() {
        return;
    }
    let said: serde_json::Map<_, _> = deeds
        .iter()
        .filter_map(|(route, deed)| match deed {
            Deed::Recorded { number, targets, .. } => {
                Some((route.to_string(), json!({ "release": number, "targets": targets })))
            }
            _ => None,
        })
        .collect();
    let act = Act::new(Actor::gateway(), Action::ReleaseRecord, ("config", "routes")).after(said.into());
    if let Err(error) = releases.shelf.keep(known, deeds, &act).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "the file's releases are not recorded yet");
    }
}

fn unrecorded(releases: &Releases, known: &Known) -> Vec<(RouteId, Deed)> {
    let filed = releases.filed.orders().into_iter();
    filed.filter_map(|(route, targets)| Some((route.clone(), desk::following(known, &route, targets)?))).collect()
}
