//! Who may call: every valid client key in memory by the hash of what is presented.
//!
//! A lookup hashes and then finds, so its time says nothing about how much of a key was right. The snapshot follows the
//! database within a second; while that is away the last one goes on.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};

use super::key_admin::{Issued, KeyAdmin, KeyAdminError, is_key_shaped};
use crate::{
    clock,
    config::TenantLimits,
    domain::{Actor, KeyId, TenantId},
    store::{Store, StoreError},
};

/// How often the database is asked whether anything changed.
const POLL: Duration = Duration::from_millis(500);
/// The least time between two such questions, however many keys are guessed.
const LEAST: Duration = Duration::from_millis(100);
/// How long a caller with an unknown key waits for the answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// All valid client keys. Cheap to clone; the work behind it ends when the last one is dropped.
#[derive(Clone)]
pub struct ClientKeys {
    keys: Arc<Keys>,
    refreshed: watch::Receiver<Refreshed>,
}

/// Who a client key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub tenant: TenantId,
    pub key_id: KeyId,
    /// What the key was called when it was issued.
    pub name: Option<String>,
    /// `None`: does not expire.
    pub expires_unix_ms: Option<i64>,
}

struct Keys {
    store: Store,
    snapshot: ArcSwap<Snapshot>,
    /// Told when somebody wants to know now.
    ask: Notify,
    begun: AtomicU64,
}

#[derive(Default)]
struct Snapshot {
    revision: Option<i64>,
    clients: HashMap<[u8; 32], Client>,
    tenants: BTreeMap<TenantId, TenantLimits>,
}

/// How many times the database was asked, and whether it answered the last time.
#[derive(Debug, Clone, Copy)]
struct Refreshed {
    times: u64,
    ok: bool,
}

impl ClientKeys {
    /// Loads all keys, and follows the database from then on. Needs a tokio runtime.
    pub async fn open(store: Store) -> Result<Self, StoreError> {
        let snapshot = read(&store, None).await?.unwrap_or_default();
        let snapshot = ArcSwap::from_pointee(snapshot);
        let keys = Arc::new(Keys { store, snapshot, ask: Notify::new(), begun: AtomicU64::new(0) });
        let (tell, refreshed) = watch::channel(Refreshed { times: 0, ok: true });
        tokio::spawn(keep_fresh(Arc::clone(&keys), tell));
        Ok(Self { keys, refreshed })
    }

    /// From the snapshot: no lock, no I/O.
    pub fn lookup(&self, presented: &str) -> Option<Client> {
        if !is_key_shaped(presented) {
            return None;
        }
        let hash: [u8; 32] = Sha256::digest(presented).into();
        let snapshot = self.keys.snapshot.load();
        let client = snapshot.clients.get(&hash)?;
        let is_valid = client.expires_unix_ms.is_none_or(|expires| clock::unix_ms() < expires);
        is_valid.then(|| client.clone())
    }

    /// As [`Self::lookup`]; what is not there is looked for in the database, which is asked at most once per 100 ms for
    /// all callers together. Waits at most 1 s.
    pub async fn find(&self, presented: &str) -> Option<Client> {
        let found = self.lookup(presented);
        if found.is_some() || !is_key_shaped(presented) {
            return found;
        }
        // An answer that was under way already may have missed the key.
        let next = self.keys.begun.load(Ordering::Acquire) + 1;
        self.keys.ask.notify_one();
        let mut refreshed = self.refreshed.clone();
        let _ = tokio::time::timeout(PATIENCE, refreshed.wait_for(|refreshed| refreshed.times >= next)).await;
        self.lookup(presented)
    }

    /// Whether the database answered the last time.
    pub fn is_fresh(&self) -> bool {
        self.refreshed.borrow().ok
    }

    /// Limits of the tenants that are stored; those of the config file are in the settings.
    pub fn tenant_limits(&self, tenant: &TenantId) -> Option<TenantLimits> {
        self.keys.snapshot.load().tenants.get(tenant).copied()
    }

    /// On an empty database: makes the tenant `default` and a key of its own, which is valid at once. `None` when there
    /// are tenants or keys.
    pub async fn first_tenant(&self) -> Result<Option<Issued>, KeyAdminError> {
        let issued = KeyAdmin::new(self.keys.store.clone(), Actor::gateway()).first_tenant().await?;
        if let Some(issued) = &issued {
            self.find(issued.key.expose_secret()).await;
        }
        Ok(issued)
    }
}

/// What of a key is kept.
pub(super) fn hash(key: &SecretString) -> [u8; 32] {
    Sha256::digest(key.expose_secret()).into()
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKeys").field("keys", &self.keys.snapshot.load().clients.len()).finish_non_exhaustive()
    }
}

async fn keep_fresh(keys: Arc<Keys>, tell: watch::Sender<Refreshed>) {
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = poll.tick() => {}
            () = keys.ask.notified() => {}
            () = tell.closed() => return,
        }
        let times = keys.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let was_ok = tell.borrow().ok;
        let ok = refresh(&keys).await;
        if ok && !was_ok {
            tracing::info!("client keys are read from the database again");
        }
        tell.send_replace(Refreshed { times, ok });
        tokio::time::sleep(LEAST).await;
    }
}

/// Whether the snapshot is now what the database has.
async fn refresh(keys: &Keys) -> bool {
    let was_known = keys.snapshot.load().revision;
    match read(&keys.store, was_known).await {
        Ok(Some(snapshot)) => keys.snapshot.store(Arc::new(snapshot)),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "client keys cannot be read; the last known ones stay valid"
            );
            return false;
        }
    }
    true
}

/// `None` when `known` is still the revision.
async fn read(store: &Store, known: Option<i64>) -> Result<Option<Snapshot>, StoreError> {
    // Before the rows: what changes in between is read again the next time.
    let revision = store.clients_revision().await?;
    if known == Some(revision) {
        return Ok(None);
    }
    let tenants = store.tenants().await?.into_iter().map(|tenant| (tenant.id, tenant.limits)).collect();
    let clients = store.keys().await?.into_iter().filter(|key| key.revoked_unix_ms.is_none()).map(|key| {
        let client =
            Client { tenant: key.tenant, key_id: key.key_id, name: key.name, expires_unix_ms: key.expires_unix_ms };
        (key.hash, client)
    });
    Ok(Some(Snapshot { revision: Some(revision), clients: clients.collect(), tenants }))
}
