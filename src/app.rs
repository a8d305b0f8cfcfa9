//! The composition root: opens every part once, in order, and wires them; decides nothing that a room could decide.

mod drills;
mod first_run;
mod health;
mod left_out;
mod limits;
mod listening;
mod operators;
mod patience;
mod prometheus;
pub mod recording;
pub mod releases;
pub mod reload;
mod renewal;
mod rules;
mod sentinel;
mod serving;
mod shares;
mod tidy;

pub use first_run::{FirstRunError, prepare_default_model};
pub use releases::Releases;
pub use serving::Serving;

use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use crate::{
    alert::{Alerts, Post},
    api::{Api, CALLS_AT_ONCE, Readiness},
    audit::{Audit, AuditError},
    clock,
    config::{Settings, StateDir},
    ledger::{self, Ledger, LedgerError},
    limit::{Limiter, RestoreError, Share},
    observe::{
        otlp::Traces,
        publish::{self, Publisher},
    },
    relay::{Checks, Counter, Drills, Health, Relay, Shadows, Snapshot, SnapshotError, health::read_views},
    release::{
        Gate, GateError, Keeper, ReleaseBook, Trigger, TriggerParts, machine, rules::Watcher, shadows, shelf::Shelf,
    },
    store::{Store, StoreError},
    vault::{ClientKeys, Vault, VaultError, VaultWatch},
    vendor::{Clients, LocalTier},
};

/// How many budgets that have reached a mark may wait to be told.
const BUDGET_MARKS: usize = 256;

/// Everything that a running gateway is made of.
pub struct App {
    pub state: StateDir,
    pub settings: Arc<ArcSwap<Settings>>,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub clients: Arc<Clients>,
    pub keys: ClientKeys,
    pub relay: Arc<Relay>,
    pub gate: Arc<Gate>,
    pub keeper: Arc<Keeper>,
    pub readiness: Arc<Readiness>,
    pub audit: Audit,
    store: Store,
    pub releases: Releases,
    /// What takes a route back, for whatever asks.
    pub trigger: Trigger,
    pub rules: Watcher,
    /// Follows no redirects.
    http: reqwest::Client,
    alerts: Alerts,
    metrics: PrometheusHandle,
    published: JoinHandle<()>,
    /// Ends when the relay is gone and what it compared is stored.
    compared: JoinHandle<()>,
    _vault_watch: VaultWatch,
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Limits(#[from] RestoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("telemetry.otlp_endpoint `{endpoint}` cannot be used")]
    Traces { endpoint: String, source: opentelemetry_otlp::ExporterBuildError },
    #[error("the outbound HTTP client cannot be made; check this machine's certificate store")]
    Client(#[from] reqwest::Error),
}

impl App {
    /// Opens the state directory's parts and wires them. No model is loaded and nothing listens yet.
    pub async fn open(state: StateDir, settings: Settings, metrics: PrometheusHandle) -> Result<Self, AppError> {
        let clients = Arc::new(Clients::default());
        let (marks, budgets) = mpsc::channel(BUDGET_MARKS);
        let http = clients.with_connect_deadline(std::time::Duration::from_secs(5))?.http().clone();
        let database = settings.sqlite_path.clone().unwrap_or_else(|| state.database());
        let store = Store::open_sqlite(&database).await?;
        let audit = Audit::open(&state, Some(store.clone()))?;
        let ledger = Ledger::open(&state, store.clone()).await?;
        let vault = Vault::open(&state.vault(), &settings.vault, &http).await?;
        let limiter = Limiter::new(marks);
        // What an earlier process left in its journal was used all the same.
        ledger::catch_up(&state, &store).await?;
        limiter.restore(&store, &settings, clock::unix_ms()).await?;
        let share = Share::new(&settings);
        shares::follow(&share, &store, &ledger.owner()).await?;
        let keys = ClientKeys::open(store.clone()).await?;
        let traces = match &settings.telemetry.otlp_endpoint {
            Some(endpoint) => Some(
                Traces::start(endpoint, http.clone())
                    .map_err(|source| AppError::Traces { endpoint: endpoint.clone(), source })?,
            ),
            None => None,
        };
        let shelf = Shelf::open(&state, Some(store.clone()));
        shelf.refresh().await;
        let releases = Releases::new(shelf, settings.orders());
        let local = settings.local;
        let settings = Arc::new(releases.applied(&settings));
        let health = stored_health(&state);
        let snapshot = Snapshot::compile(Arc::clone(&settings), &clients, &health)?;
        let settings = Arc::new(ArcSwap::new(settings));
        let post = Post { client: http.clone(), vault: vault.clone() };
        let (alerts, listener) = Alerts::start(state.alerts(), Arc::clone(&settings), post, budgets).await;
        let (publisher, published) = publish::start(traces, vec![listener]);
        let gate = Arc::new(Gate::open(&state)?);
        let (shadows, compared) = Shadows::new();
        let compared = shadows::keep(store.clone(), compared);
        let relay = Arc::new(relay((ledger, store.clone()), (limiter, share), publisher, vault, (health, shadows)));
        let keeper = Keeper::new(
            Arc::clone(&gate),
            Arc::clone(&relay.standings),
            relay.local.clone(),
            machine(&local),
            audit.clone(),
        );
        let trigger = trigger(&relay, &settings, &audit, &releases);
        let rules = Watcher::new(store.clone(), audit.clone(), trigger.clone(), Arc::clone(&settings));
        Ok(Self {
            state,
            settings,
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            clients,
            keys,
            _vault_watch: relay.vault.watch(),
            relay,
            gate,
            keeper,
            readiness: Arc::default(),
            audit,
            store,
            releases,
            trigger,
            rules,
            http,
            alerts,
            metrics,
            published,
            compared,
        })
    }

    /// What the HTTP surface shares.
    pub fn api(&self) -> Api {
        Api {
            relay: Arc::clone(&self.relay),
            snapshot: Arc::clone(&self.snapshot),
            keys: self.keys.clone(),
            readiness: Arc::clone(&self.readiness),
            metrics: self.metrics.clone(),
            permits: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
        }
    }
}

fn trigger(relay: &Arc<Relay>, settings: &Arc<ArcSwap<Settings>>, audit: &Audit, releases: &Releases) -> Trigger {
    let (shelf, settings) = (Arc::clone(&releases.shelf), Arc::clone(settings));
    let reversal = Arc::new(ReleaseBook::new(shelf, Arc::clone(&settings)));
    Trigger::new(TriggerParts {
        reversal,
        audit: audit.clone(),
        settings,
        standings: Arc::clone(&relay.standings),
        relay: Arc::downgrade(relay),
    })
}

fn relay(
    (ledger, store): (Ledger, Store),
    (limiter, share): (Limiter, Share),
    publisher: Publisher,
    vault: Vault,
    (health, shadows): (Health, Shadows),
) -> Relay {
    let (local, standings) = (LocalTier::default(), Arc::default());
    let (drills, checks) = (Drills::default(), Checks::start(store));
    let counter = Counter::default();
    Relay { ledger, limiter, share, counter, publisher, vault, local, standings, health, drills, shadows, checks }
}

/// With the baselines of the last run. A file that cannot be read costs only those.
fn stored_health(state: &StateDir) -> Health {
    match read_views(&state.health()) {
        Ok(view) => Health::with_baselines(view.unwrap_or_default().into_baselines()),
        Err(error) => {
            tracing::warn!(%error, "the stored latency baselines cannot be read; they are learnt anew");
            Health::default()
        }
    }
}
