//! How each target is: its breaker, its baseline, its vendor's limits and its retries, in the one place that owns them.
//!
//! A thin shell: it brings time and dice to the pure cores in `route`. One lock per target and one per vendor, held for a
//! few instructions, never across a wait. Whoever asks a target holds an [`Asked`]; one that is dropped says nothing of
//! the target but frees what it held.

mod cell;
mod view;

pub use cell::{Asked, Cell};
pub use view::{HealthView, TargetView, read_views};

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cell::Hosted;

use crate::{
    config::{Hosting, Settings},
    domain::TargetId,
    route::Baselines,
};

/// All targets that routes name or have named since the start.
#[derive(Debug, Default)]
pub struct Health {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    cells: HashMap<TargetId, Arc<Cell>>,
    hosts: HashMap<Hosting, Arc<Hosted>>,
    /// What was stored by an earlier process and is not taken up yet.
    stored: HashMap<TargetId, Baselines>,
}

impl Health {
    /// With the baselines that an earlier process has stored.
    pub fn with_baselines(stored: HashMap<TargetId, Baselines>) -> Self {
        Self { inner: Mutex::new(Inner { stored, ..Inner::default() }) }
    }

    /// The cell of each target of `settings`. One whose address, place and policies are the same keeps what it knows; a baseline is
    /// kept in any case.
    pub fn cells(&self, settings: &Settings) -> HashMap<TargetId, Arc<Cell>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        let targets: Vec<TargetId> = settings.targets().into_iter().cloned().collect();
        for id in &targets {
            let place = settings.place(id);
            let host = inner.hosts.get(&place.hosting).filter(|host| host.policy() == settings.breaker).cloned();
            let host = host.unwrap_or_else(|| Arc::new(Hosted::new(settings.breaker)));
            inner.hosts.insert(place.hosting.clone(), Arc::clone(&host));
            let known = inner.cells.get(id);
            if known.is_some_and(|cell| cell.fits(&place, &host, settings)) {
                continue;
            }
            let baselines = known.map(|cell| cell.baselines()).or_else(|| inner.stored.remove(id)).unwrap_or_default();
            inner.cells.insert(id.clone(), Arc::new(Cell::new(id.clone(), place, host, settings, baselines)));
        }
        inner
            .cells
            .iter()
            .filter(|(id, _)| targets.contains(id))
            .map(|(id, cell)| (id.clone(), Arc::clone(cell)))
            .collect()
    }

    /// Every cell, for whoever stores or prints them.
    pub fn all(&self) -> Vec<Arc<Cell>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cells: Vec<_> = inner.cells.values().cloned().collect();
        cells.sort_by(|a, b| a.id().cmp(b.id()));
        cells
    }
}
