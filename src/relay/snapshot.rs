//! Checked settings, compiled for calls: each route with its targets' vendors, clients and prices found once.

use std::{collections::HashMap, sync::Arc};

use super::health::{Cell, Health};
use crate::{
    config::{Route, Settings, Vendor},
    domain::{Prices, RouteId, TargetId},
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
            let mut targets = Vec::with_capacity(route.targets.len());
            for target in &route.targets {
                let reach = if target.id.is_local() {
                    Reach::Local
                } else {
                    let vendor = vendors
                        .get(&target.id.vendor)
                        .ok_or_else(|| SnapshotError::UnknownVendor { route: id.clone(), target: target.id.clone() })?;
                    Reach::Http { vendor: Arc::clone(vendor), client: client.clone() }
                };
                let prices = settings.prices.get(&target.id).cloned();
                let Some(cell) = cells.get(&target.id).cloned() else {
                    return Err(SnapshotError::UnknownVendor { route: id.clone(), target: target.id.clone() });
                };
                targets.push(SnapshotTarget { id: target.id.clone(), prices, cell, reach });
            }
            routes.insert(id.clone(), Arc::new(SnapshotRoute { route: route.clone(), targets }));
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
