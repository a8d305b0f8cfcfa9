//! Releases of a route, and the card of a model: the same acts as `backstop release`, by whoever the token belongs to.
//!
//! A person counts by the name of its token; nobody vouches for another one here.

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::{
    asked::{Asked, said},
    endpoint::{Endpoint, Nothing},
    refused::{Refused, chain},
    verb::releases as verb,
    view::{CanaryEnded, CardView, DiffView, DoneView, PaperView, Proposed, ReleasesView, RolledBack},
};
use crate::{
    config::{CanaryBy, CanaryMode},
    domain::{Right, RouteId, TargetId},
    release::{
        desk::{CanaryOrder, DeskError, Moved, Promotion, Tried},
        post::{self, Todo},
        shelf::ShelfError,
    },
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = reads();
    all.extend(writes());
    all
}

fn reads() -> Vec<Endpoint> {
    let read = Right::Read;
    vec![
        Endpoint::read("/releases", read, "Every route's releases: what serves, is retained, is tried", list_all),
        Endpoint::read("/releases/pending", read, "Cards and notes that some place has not acknowledged yet", pending),
        Endpoint::read("/routes/{route}/releases", read, "A route's releases", list),
        Endpoint::read("/routes/{route}/releases/history", read, "Everything that was done to them", history),
        Endpoint::read("/routes/{route}/releases/{number}/diff", read, "What changes from it to another", diff),
        Endpoint::read("/routes/{route}/releases/{number}/notes", read, "The release notes of its promotion", notes),
        Endpoint::read("/models/{id}/card", read, "The model card of a target (`vendor%2Fmodel`)", card),
    ]
}

fn writes() -> Vec<Endpoint> {
    let promote = "Make a release the one that serves; refused with every reason at once";
    let canary = "Try a release on a part of the route's calls, or on another part than so far";
    let end = "End the route's canary: all calls go to what serves, at once and without the database";
    let propose_new = "Put down a new order of targets; nothing changes until it is promoted";
    let back = "Take a route back to its retained version, with a reason";
    let retire_old = "Let a retained release go, once its time is over";
    vec![
        Endpoint::write((Method::POST, "/routes/{route}/releases"), Right::ReleasePropose, propose_new, propose)
            .makes(),
        Endpoint::write(
            (Method::POST, "/routes/{route}/releases/import"),
            Right::ReleasePromote,
            "Take the config file's order over as a release that serves",
            import,
        ),
        Endpoint::write(
            (Method::POST, "/routes/{route}/releases/{number}/approve"),
            Right::ReleaseApprove,
            "Stand behind a release, as one more person",
            approve,
        ),
        Endpoint::write(
            (Method::POST, "/routes/{route}/releases/{number}/promote"),
            Right::ReleasePromote,
            promote,
            promote_release,
        ),
        Endpoint::write(
            (Method::POST, "/routes/{route}/releases/{number}/canary"),
            Right::ReleasePromote,
            canary,
            begin_canary,
        ),
        Endpoint::write(
            (Method::POST, "/routes/{route}/releases/{number}/retire"),
            Right::ReleasePromote,
            retire_old,
            retire,
        ),
        Endpoint::write((Method::DELETE, "/routes/{route}/canary"), Right::RollBack, end, end_canary),
        Endpoint::write((Method::POST, "/routes/{route}/rollback"), Right::RollBack, back, roll_back),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Proposal {
    /// In order, as `vendor/model`.
    targets: Vec<String>,
    /// Why; kept for ever.
    #[schemars(regex(pattern = r"\S"))]
    reason: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Why {
    /// Why; kept for ever.
    #[schemars(regex(pattern = r"\S"))]
    reason: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewCanary {
    /// So many of a hundred calls.
    pct: u8,
    /// `key` (all of a client key's calls on one side) or `call` [default: key].
    #[serde(default)]
    by: CanaryBy,
    /// `serve`, or `shadow`: asked beside what serves, compared, never returned [default: serve].
    #[serde(default)]
    mode: CanaryMode,
    /// Why; kept for ever.
    #[schemars(regex(pattern = r"\S"))]
    reason: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EndOfCanary {
    /// Only if this release is tried.
    #[serde(default)]
    release: Option<u32>,
    /// Why; kept for ever.
    #[schemars(regex(pattern = r"\S"))]
    reason: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rollback {
    /// Only if this release serves now.
    #[serde(default)]
    from_version: Option<u32>,
    /// A certain retained release instead of the latest.
    #[serde(default)]
    to_version: Option<u32>,
    /// Why; kept for ever.
    #[schemars(regex(pattern = r"\S"))]
    reason: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CardQuery {
    /// The suite of the certificate [default: that of the first route with the model].
    suite: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct DiffQuery {
    /// The other release [default: the one that serves].
    to: Option<u32>,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
struct Acted {
    route: RouteId,
    release: u32,
}

async fn list_all(asked: Asked, _: Nothing) -> Result<Vec<ReleasesView>, Refused> {
    verb::status(&asked.site(), None).await
}

async fn pending(asked: Asked, _: Nothing) -> Result<Vec<Todo>, Refused> {
    Ok(post::pending(&asked.admin.state))
}

async fn list(asked: Asked, _: Nothing) -> Result<ReleasesView, Refused> {
    verb::of_route(&asked.site(), &RouteId::new(asked.param("route"))).await
}

async fn history(asked: Asked, _: Nothing) -> Result<Vec<DoneView>, Refused> {
    verb::history(&asked.site(), &RouteId::new(asked.param("route"))).await
}

async fn diff(asked: Asked, query: DiffQuery) -> Result<DiffView, Refused> {
    verb::diff(&asked.site(), &RouteId::new(asked.param("route")), (number(&asked)?, query.to)).await
}

async fn notes(asked: Asked, _: Nothing) -> Result<PaperView, Refused> {
    verb::notes(&asked.site(), &RouteId::new(asked.param("route")), number(&asked)?).await
}

async fn card(asked: Asked, query: CardQuery) -> Result<CardView, Refused> {
    let (site, target) = (asked.site(), target(asked.param("id"))?);
    let made = tokio::task::spawn_blocking(move || verb::card(&site, &target, query.suite));
    made.await.map_err(|error| Refused::internal(error.to_string()))?
}

async fn propose(asked: Asked, new: Proposal) -> Result<Proposed, Refused> {
    let route = asked.route(asked.param("route"))?;
    let reason = said(&new.reason)?;
    let targets = new.targets.iter().map(|text| target(text)).collect::<Result<Vec<_>, _>>()?;
    verb::propose(&asked.site(), &route, targets, reason).await
}

async fn import(asked: Asked, why: Why) -> Result<Option<Moved>, Refused> {
    let route = asked.route(asked.param("route"))?;
    let promotion = Promotion { reason: said(&why.reason)?.to_owned(), ..Promotion::default() };
    verb::import(&asked.site(), &route, promotion).await
}

async fn approve(asked: Asked, why: Why) -> Result<Acted, Refused> {
    let (route, release) = (asked.route(asked.param("route"))?, number(&asked)?);
    asked.site().desk().approve(&route, release, said(&why.reason)?).await?;
    Ok(Acted { route, release })
}

async fn promote_release(asked: Asked, why: Why) -> Result<Moved, Refused> {
    let (route, number) = (asked.route(asked.param("route"))?, number(&asked)?);
    let promotion = Promotion { number, reason: said(&why.reason)?.to_owned(), approved_by: Vec::new() };
    verb::promote(&asked.site(), &route, promotion).await
}

async fn begin_canary(asked: Asked, new: NewCanary) -> Result<Tried, Refused> {
    let (route, number) = (asked.route(asked.param("route"))?, number(&asked)?);
    let NewCanary { pct, by, mode, reason } = new;
    let order = CanaryOrder { number, pct, by, mode, reason: said(&reason)?.to_owned(), approved_by: Vec::new() };
    verb::canary(&asked.site(), &route, order).await
}

async fn retire(asked: Asked, why: Why) -> Result<Acted, Refused> {
    let (route, release) = (RouteId::new(asked.param("route")), number(&asked)?);
    asked.site().desk().retire(&route, release, said(&why.reason)?).await?;
    Ok(Acted { route, release })
}

async fn end_canary(asked: Asked, end: EndOfCanary) -> Result<CanaryEnded, Refused> {
    let route = asked.route(asked.param("route"))?;
    verb::end_canary(&asked.site(), &route, end.release, said(&end.reason)?).await
}

async fn roll_back(asked: Asked, rollback: Rollback) -> Result<RolledBack, Refused> {
    let route = asked.route(asked.param("route"))?;
    let which = (rollback.from_version, rollback.to_version);
    verb::roll_back(&asked.site(), &route, which, said(&rollback.reason)?).await
}

fn number(asked: &Asked) -> Result<u32, Refused> {
    let text = asked.param("number");
    text.parse().map_err(|_| Refused::invalid(format!("`{text}` is no release's number")))
}

fn target(text: &str) -> Result<TargetId, Refused> {
    TargetId::parse(text.trim()).ok_or_else(|| Refused::invalid(format!("`{text}` is no target; write vendor/model")))
}

impl From<DeskError> for Refused {
    fn from(error: DeskError) -> Self {
        let said = error.to_string();
        match error {
            DeskError::NoRoute { .. } | DeskError::NoRelease { .. } => Self::not_found(said),
            DeskError::Needs { route, number, needs } => {
                let detail = json!({ "route": route, "release": number, "refused": needs });
                Self::conflict("needs", said).with_detail(detail)
            }
            DeskError::Refused(_) | DeskError::Shelf(ShelfError::Overtaken) => Self::conflict("not_done", said),
            DeskError::Shelf(_) => Self::unavailable(chain(&error)),
            DeskError::Store(error) => error.into(),
        }
    }
}
