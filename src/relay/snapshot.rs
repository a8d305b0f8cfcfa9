//! Checked settings, compiled for calls: each route with its targets' vendors, clients and prices found once.

use std::{collections::HashMap, sync::Arc};

use super::health::{Cell, Health};
use crate::{
    config::{CanaryMode, Criticality, Route, Settings, Vendor},
    domain::{CallId, KeyId, Prices, RouteId, TargetId, Task, VendorId},
    vendor::{Client, Clients},
};

/// What a call is admitted under. Replaced as a whole by a reload.
#[derive(Debug)]
pub struct Snapshot {
    pub settings: Arc<Settings>,
    routes: HashMap<RouteId, Arc<SnapshotRoute>>,
}

#[derive(Debug)]
pub struct SnapshotRoute {
    pub route: Route,
    /// In the order of `route.targets`.
    pub targets: Vec<SnapshotTarget>,
    /// As the calls on its canary's side see it.
    pub canary: Option<Arc<SnapshotRoute>>,
}

#[derive(Debug)]
pub struct SnapshotTarget {
    pub id: TargetId,
    pub prices: Option<Prices>,
    /// What is known of its health; outlives the snapshot.
    pub cell: Arc<Cell>,
    pub reach: Reach,
}

/// How a target is reached.
#[derive(Debug)]
pub enum Reach {
    Http { vendor: Arc<Vendor>, client: Client },
    Local,
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the outbound HTTP client cannot be made; check this machine's certificate store")]
    Client(#[from] reqwest::Error),
    #[error("route `{route}` has the target `{target}`, whose vendor is not configured; add it under `vendors:`")]
    UnknownVendor { route: RouteId, target: TargetId },
}

impl Snapshot {
    pub fn compile(settings: Arc<Settings>, clients: &Clients, health: &Health) -> Result<Self, SnapshotError> {
        let vendors: HashMap<_, _> =
            settings.vendors.iter().map(|(id, vendor)| (id.clone(), Arc::new(vendor.clone()))).collect();
        let cells = health.cells(&settings);
        let mut routes = HashMap::with_capacity(settings.routes.len());
        for (id, route) in &settings.routes {
            let client = clients.with_connect_deadline(route.deadlines.connect)?;
            let parts = Parts { settings: &settings, vendors: &vendors, cells: &cells, client };
            let canary = route.as_canary().map(|canary| parts.compile(as_asked(route, canary), None)).transpose()?;
            routes.insert(id.clone(), Arc::new(parts.compile(route.clone(), canary.map(Arc::new))?));
        }
        Ok(Self { settings, routes })
    }

    pub fn route(&self, name: &str) -> Option<&Arc<SnapshotRoute>> {
        self.routes.get(name)
    }

    pub fn route_names(&self) -> impl Iterator<Item = &RouteId> {
        self.settings.routes.keys()
    }
}

impl SnapshotRoute {
    /// The order that answers this call: the canary's, where the call is on its side.
    pub fn side(self: &Arc<Self>, (key, call, task): (&KeyId, CallId, Task)) -> &Arc<Self> {
        let Some((canary, taken)) = self.canary.as_ref().zip(self.takes(key, call)) else { return self };
        // Vectors that somebody stored are compared with later ones: no other space ever answers.
        let elsewhere = task == Task::Embed && canary.route.embedding_space() != self.route.embedding_space();
        if taken == CanaryMode::Shadow || elsewhere { self } else { canary }
    }

    /// Where the canary is only asked beside what serves, and for this call: its first target alone.
    pub fn shadow(&self, (key, call): (&KeyId, CallId)) -> Option<&Arc<Self>> {
        self.canary.as_ref().filter(|_| self.takes(key, call) == Some(CanaryMode::Shadow))
    }

    /// What the canary does with this call; `None`: it is not on its side.
    fn takes(&self, key: &KeyId, call: CallId) -> Option<CanaryMode> {
        let share = self.route.canary.as_ref()?.share;
        share.takes(&self.route.id, key.as_str(), &call.to_string()).then_some(share.mode)
    }
}

/// A shadow asks the canary's first target and nobody else, and gives way to every caller.
fn as_asked(route: &Route, mut canary: Route) -> Route {
    if route.canary.as_ref().is_some_and(|running| running.share.mode == CanaryMode::Shadow) {
        canary.targets.truncate(1);
        canary.criticality = Criticality::Batch;
        (canary.hedge, canary.log_content) = (None, false);
    }
    canary
}

/// What a route is compiled from.
struct Parts<'p> {
    settings: &'p Settings,
    vendors: &'p HashMap<VendorId, Arc<Vendor>>,
    cells: &'p HashMap<TargetId, Arc<Cell>>,
    client: Client,
}

impl Parts<'_> {
    fn compile(&self, route: Route, canary: Option<Arc<SnapshotRoute>>) -> Result<SnapshotRoute, SnapshotError> {
        let mut targets = Vec::with_capacity(route.targets.len());
        for target in &route.targets {
            let unknown = || SnapshotError::UnknownVendor { route: route.id.clone(), target: target.id.clone() };
            let reach = if target.id.is_local() {
                Reach::Local
            } else {
                let vendor = self.vendors.get(&target.id.vendor).ok_or_else(unknown)?;
                Reach::Http { vendor: Arc::clone(vendor), client: self.client.clone() }
            };
            let prices = self.settings.prices.get(&target.id).cloned();
            let cell = self.cells.get(&target.id).cloned().ok_or_else(unknown)?;
            targets.push(SnapshotTarget { id: target.id.clone(), prices, cell, reach });
        }
        Ok(SnapshotRoute { route, targets, canary })
    }
}
