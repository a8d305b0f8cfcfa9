//! What `release propose`, `approve`, `promote`, `import`, `retire` and `rollback` do, and say.

use std::{process::ExitCode, sync::Arc};

use reqwest::Method;
use serde_json::json;

use super::{Context, Place, part, releases, vouched_for};
use crate::{
    admin::{
        verb::releases as verb,
        view::{Proposed, ReleasesView, RolledBack},
    },
    cli::{
        installation::Installation,
        operator::operator,
        print,
        remote::{self, Remote},
    },
    domain::{RouteId, TargetId},
    release::{
        desk::{Desk, DeskError, Moved, Promotion},
        shelf::Shelf,
    },
};

/// A release that is to serve.
pub(super) struct Order {
    pub(super) number: u32,
    pub(super) reason: String,
    pub(super) approve_by: Vec<String>,
}

/// A rollback.
pub(super) struct Back {
    pub(super) route: RouteId,
    pub(super) from: Option<u32>,
    pub(super) to: Option<u32>,
    pub(super) reason: String,
}

pub(super) async fn propose(
    place: &Place,
    route: &RouteId,
    (targets, reason): (Vec<TargetId>, &str),
    json: bool,
) -> anyhow::Result<()> {
    let made: Proposed = match place {
        Place::Server(remote) => {
            let body = json!({ "targets": targets, "reason": reason });
            remote.write(Method::POST, &releases(route), &body).await?
        }
        Place::Here(here) => {
            let made = verb::propose(&here.site, route, targets, reason).await?;
            here.sign().await?;
            made
        }
    };
    if json {
        return print::json(&made);
    }
    let number = made.release;
    println!("release {number} of {route}; `backstop release promote {route} {number} --reason …` makes it serve");
    Ok(())
}

pub(super) async fn approve(place: &Place, route: &RouteId, number: u32, reason: &str) -> anyhow::Result<()> {
    match place {
        Place::Server(remote) => {
            let path = format!("{}/{number}/approve", releases(route));
            remote.act(Method::POST, &path, &json!({ "reason": reason })).await
        }
        Place::Here(here) => {
            here.site.desk().approve(route, number, reason).await?;
            here.sign().await
        }
    }
}

pub(super) async fn promote(place: &Place, route: &RouteId, order: Order, json: bool) -> anyhow::Result<ExitCode> {
    let Order { number, reason, approve_by } = order;
    let moved: anyhow::Result<Moved> = match place {
        Place::Server(remote) => {
            vouched_for(&approve_by)?;
            let path = format!("{}/{number}/promote", releases(route));
            remote.write(Method::POST, &path, &json!({ "reason": reason })).await
        }
        Place::Here(here) => {
            let promotion = Promotion { number, reason, approved_by: approve_by };
            verb::promote(&here.site, route, promotion).await.map_err(Into::into)
        }
    };
    end(place, moved.map(Some), json).await
}

/// `only`: one route; else all.
pub(super) async fn import(place: &Place, only: Option<RouteId>, order: Order, json: bool) -> anyhow::Result<ExitCode> {
    let routes: Vec<RouteId> = match (only, place) {
        (Some(route), _) => vec![route],
        (None, Place::Here(here)) => here.site.settings.routes.keys().cloned().collect(),
        (None, Place::Server(remote)) => {
            let all: Vec<ReleasesView> = remote.get("/releases", &[]).await?;
            all.into_iter().map(|one| one.route).collect()
        }
    };
    let mut code = ExitCode::SUCCESS;
    for route in routes {
        let moved: anyhow::Result<Option<Moved>> = match place {
            Place::Server(remote) => {
                vouched_for(&order.approve_by)?;
                let path = format!("{}/import", releases(&route));
                remote.write(Method::POST, &path, &json!({ "reason": order.reason })).await
            }
            Place::Here(here) => {
                let (reason, approved_by) = (order.reason.clone(), order.approve_by.clone());
                let promotion = Promotion { number: 0, reason, approved_by };
                verb::import(&here.site, &route, promotion).await.map_err(Into::into)
            }
        };
        let failed = moved.is_err();
        end(place, moved, json).await?;
        if failed {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

pub(super) async fn retire(place: &Place, route: &RouteId, number: u32, reason: &str) -> anyhow::Result<()> {
    match place {
        Place::Server(remote) => {
            let path = format!("{}/{number}/retire", releases(route));
            remote.act(Method::POST, &path, &json!({ "reason": reason })).await
        }
        Place::Here(here) => {
            here.site.desk().retire(route, number, reason).await?;
            here.sign().await
        }
    }
}

/// Waits for nothing: asks a server only where one is named.
pub(super) async fn roll_back(context: &Context, back: Back, json: bool) -> anyhow::Result<ExitCode> {
    let Back { route, from, to, reason } = back;
    if context.names_a_server() {
        let path = format!("/routes/{}/rollback", part(route.as_str()));
        let body = json!({ "reason": reason, "from_version": from, "to_version": to });
        let done: RolledBack = Remote::named(context).await?.write(Method::POST, &path, &body).await?;
        said(&done.moved, json)?;
        return Ok(ExitCode::SUCCESS);
    }
    // A config that cannot be used stands in no rollback's way.
    let installation = Installation::despite_config(context)?;
    let settings = Arc::new(installation.settings());
    // The copy first: nothing here waits for a database that is slow or away.
    let shelf = Shelf::open(&installation.state, None);
    let desk = Desk { shelf: &shelf, settings: Arc::clone(&settings), actor: operator() };
    let moved = match desk.roll_back(&route, (from, to), &reason).await {
        Err(DeskError::NoRoute { .. }) => {
            let shelf = Shelf::open(&installation.state, installation.store().await.ok());
            let desk = Desk { shelf: &shelf, settings, actor: operator() };
            desk.roll_back(&route, (from, to), &reason).await?
        }
        done => done?,
    };
    said(&moved, json)?;
    carry_over(&installation, "the rollback").await
}

/// It stands already. A running server carries it over as well.
pub(super) async fn carry_over(installation: &Installation, what: &str) -> anyhow::Result<ExitCode> {
    let Ok(store) = installation.store().await else { return Ok(ExitCode::SUCCESS) };
    let shelf = Shelf::open(&installation.state, Some(store));
    match shelf.reconcile().await {
        Ok(_) => {
            let audit = installation.audit().await?;
            installation.sign(&audit).await;
        }
        Err(error) => eprintln!("warning: {what} waits in the state directory for the database: {error:#}"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn end(place: &Place, done: anyhow::Result<Option<Moved>>, json: bool) -> anyhow::Result<ExitCode> {
    match done {
        Ok(Some(moved)) => {
            said(&moved, json)?;
            if let Place::Here(here) = place {
                here.sign().await?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Ok(None) => Ok(ExitCode::SUCCESS),
        Err(error) => refused(error, json),
    }
}

/// What a release lacks is for programs too.
pub(super) fn refused(error: anyhow::Error, json: bool) -> anyhow::Result<ExitCode> {
    let Some(lacks) = remote::detail(&error) else { return Err(error) };
    if json {
        print::json(lacks)?;
    }
    eprintln!("error: {error}");
    Ok(ExitCode::FAILURE)
}

fn said(moved: &Moved, json: bool) -> anyhow::Result<()> {
    if json {
        return print::json(moved);
    }
    let targets: Vec<String> = moved.targets.iter().map(ToString::to_string).collect();
    println!("{} serves release {} in the place of {}: {}", moved.route, moved.to, moved.from, targets.join(", "));
    for caution in &moved.cautions {
        eprintln!("warning: only because enforcement is `warn`: {}", caution.why);
    }
    Ok(())
}
