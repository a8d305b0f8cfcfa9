//! What an operator's verb works with, whoever asks for it: a running gateway over its API, or the command line on the state directory.

use std::{sync::Arc, time::Duration};

use super::refused::Refused;
use crate::{
    config::{Route, Settings, StateDir},
    domain::{Actor, RouteId},
    ledger,
    release::{
        Gate,
        book::Line,
        desk::{Desk, DeskError},
        shelf::Shelf,
    },
    route::Standings,
    store::Store,
};

/// How long it waits for files that do not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// One installation, and who acts on it.
pub struct Site {
    pub state: StateDir,
    /// With each route's targets as the config file has them.
    pub settings: Arc<Settings>,
    /// `None`: the database cannot be opened.
    pub store: Option<Store>,
    pub shelf: Arc<Shelf>,
    pub gate: Arc<Gate>,
    pub actor: Actor,
}

impl Site {
    pub fn store(&self) -> Result<&Store, Refused> {
        self.store.as_ref().ok_or_else(|| Refused::unavailable("the database cannot be opened; see that it is there"))
    }

    /// The database, with every call in it that was answered so far.
    pub async fn ledger(&self) -> Result<&Store, Refused> {
        let store = self.store()?;
        let caught = ledger::catch_up(&self.state, store).await;
        caught.map(|_| store).map_err(|error| Refused::unavailable(error.to_string()))
    }

    pub fn desk(&self) -> Desk<'_> {
        Desk { shelf: &self.shelf, settings: Arc::clone(&self.settings), actor: self.actor.clone() }
    }

    /// One route's releases, also of a route that the file names no more.
    pub async fn line(&self, route: &RouteId) -> Result<Line, Refused> {
        let known = self.shelf.read().await.map_err(DeskError::from)?;
        match (self.desk().begun(&known, route), known.book.line(route)) {
            (Ok((_, line)), _) => Ok(line),
            (Err(_), Some(line)) => Ok(line.clone()),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// The settings with what releases have put in force.
    pub async fn in_force(&self) -> Settings {
        match self.shelf.read().await {
            Ok(known) => known.book.applied(&self.settings),
            Err(_) => Settings::clone(&self.settings),
        }
    }

    /// What each target's certificates are worth, looked up now.
    pub async fn standings(&self, settings: &Settings) -> Result<Standings, Refused> {
        let (gate, settings) = (Arc::clone(&self.gate), settings.clone());
        let looked = tokio::task::spawn_blocking(move || gate.examine(&settings, PATIENCE).standings).await;
        looked.map_err(|error| Refused::internal(error.to_string()))
    }
}

/// The route of that name.
pub fn find_route<'s>(settings: &'s Settings, name: &str) -> Result<&'s Route, Refused> {
    settings.routes.get(name).ok_or_else(|| {
        let known: Vec<&str> = settings.routes.keys().map(RouteId::as_str).collect();
        Refused::not_found(format!("there is no route `{name}`; those there are: {}", known.join(", ")))
    })
}
