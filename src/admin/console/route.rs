//! One route: what serves, is retained and is tried, and all that was done to it. Of the releases' shelf, so it is there while the database
//! is away.

use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::{page::NoPage, pages::block, visit::Visit};
use crate::{
    admin::{asked::known_route, door, refused::Refused},
    clock,
    config::CanaryShare,
    domain::{Right, RouteId, TargetId},
    release::{
        book::{CameBy, Deed, Done, Line},
        desk::{Desk, DeskError},
        shelf::Known,
    },
};

/// The most acts that are shown.
const MOST_SHOWN: usize = 100;
/// A younger act's traffic may be shifting yet: the page looks again.
const SHIFTING_MS: i64 = 10_000;

/// What a button is about.
pub(super) struct Stand {
    pub(super) serving: Value,
    pub(super) retained: Option<Value>,
    pub(super) canary: Option<CanaryShare>,
    pub(super) came_by: CameBy,
}

/// An act on the route's releases, and when its traffic had shifted.
#[derive(Serialize)]
struct Acted<'l> {
    #[serde(flatten)]
    done: &'l Done,
    shifted_unix_ms: Option<i64>,
    took_ms: Option<i64>,
}

/// Without the database: what a rollback goes by.
pub(super) fn stand(visit: &Visit, route: &RouteId) -> Result<Stand, Refused> {
    let known = visit.console.admin.shelf.read_now().map_err(DeskError::from)?;
    let line = line(visit, &known, route)?;
    let release = |number: u32| line.release(number).map_or(&[] as &[TargetId], |release| &release.targets);
    let retained = line.retained().map(|lease| {
        json!({ "number": lease.number, "until_unix_ms": lease.until_unix_ms, "targets": release(lease.number) })
    });
    Ok(Stand {
        serving: json!({ "number": line.primary, "targets": line.serving() }),
        retained,
        canary: line.canary.map(|running| running.share),
        came_by: line.came_by,
    })
}

pub(super) async fn page(visit: Visit) -> Result<Response, NoPage> {
    door::may(&visit.operator, Right::Read)?;
    let (admin, settings) = (&visit.console.admin, visit.console.admin.settings());
    let route = known_route(admin, visit.param("route"))?;
    let known = admin.shelf.read().await.map_err(|error| Refused::from(DeskError::from(error)))?;
    let line = line(&visit, &known, &route)?;
    let shifts = admin.shelf.shifts();
    let acted = |done| {
        let done: &Done = done;
        let shifted_unix_ms = shifts.get(&done.id).copied();
        Acted { done, shifted_unix_ms, took_ms: shifted_unix_ms.map(|at| at - done.at_unix_ms) }
    };
    let acts: Vec<Acted<'_>> = line.history.iter().rev().take(MOST_SHOWN).map(acted).collect();
    let now = clock::unix_ms();
    let is_shifting = acts.first().is_some_and(|last| last.shifted_unix_ms.is_none() && moves(last, now));
    if is_shifting && let Some(said) = visit.said() {
        // The page looks again by itself, and is not to take away what it has just said.
        visit.say(said.to_owned());
    }
    let configured = settings.routes.get(&route);
    let standing = visit.read("/routes", &[]).await.map(|routes| {
        let mut routes = routes.as_array().cloned().unwrap_or_default().into_iter();
        routes.find(|one| one["route"] == route.as_str()).unwrap_or_default()
    });
    let values = json!({
        "route": route.as_str(),
        "criticality": configured.map(|route| route.criticality.as_str()),
        "suite": configured.map(|route| route.suite.as_str()),
        "standing": block(standing),
        "serving": line.primary,
        "since_unix_ms": line.since_unix_ms,
        "came_by": line.came_by,
        "retained": line.leases.iter().rev().collect::<Vec<_>>(),
        "canary": line.canary,
        "left": line.left,
        "releases": line.releases.values().rev().collect::<Vec<_>>(),
        "acts": acts,
        "older": line.history.len().saturating_sub(MOST_SHOWN),
        "is_shifting": is_shifting,
        "database_is_away": known.mark.is_none(),
        "waiting": admin.shelf.waiting(),
    });
    Ok(visit.page("route.html", values))
}

/// Whether it moves calls, and has just been done.
fn moves(act: &Acted<'_>, now_unix_ms: i64) -> bool {
    let is_move = matches!(act.done.deed, Deed::Promoted { .. } | Deed::RolledBack { .. } | Deed::CanaryEnded { .. });
    is_move && now_unix_ms - act.done.at_unix_ms < SHIFTING_MS
}

/// A route of which nothing is on record yet serves the config file's order.
fn line(visit: &Visit, known: &Known, route: &RouteId) -> Result<Line, Refused> {
    let admin = &visit.console.admin;
    let desk = Desk { shelf: &admin.shelf, settings: admin.settings(), actor: visit.operator.actor.clone() };
    Ok(desk.begun(known, route)?.1)
}
