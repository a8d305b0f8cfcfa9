//! Releases of a route, and the card of a model: the same acts as `backstop release`, by whoever the token belongs to.
//!
//! A person counts by the name of its token; nobody vouches for another one here.

use std::sync::Arc;

use axum::http::Method;
use backstop_models::catalog::Catalog;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{
    asked::Asked,
    endpoint::{Endpoint, Nothing},
    refused::{Refused, chain},
};
use crate::{
    config::{CanaryBy, CanaryMode},
    domain::{Right, RouteId, TargetId},
    release::{
        book::{Line, Release},
        desk::{CanaryOrder, Desk, DeskError, Promotion},
        paper, post,
        shadows::ShadowView,
        shelf::ShelfError,
    },
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let promote = "Make a release the one that serves; refused with every reason at once";
    let canary = "Try a release on a part of the route's calls, or on another part than so far";
    let end = "End the route's canary: all calls go to what serves, at once and without the database";
    vec![
        Endpoint::read(
            "/routes/{route}/releases",
            Right::Read,
            "A route's releases: what serves, is retained, is tried",
            list,
        ),
        Endpoint::write(
            (Method::POST, "/routes/{route}/releases"),
            Right::ReleasePropose,
            "Put down a new order of targets; nothing changes until it is promoted",
            propose,
        )
        .makes(),
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
        Endpoint::write((Method::DELETE, "/routes/{route}/canary"), Right::RollBack, end, end_canary),
        Endpoint::read("/models/{id}/card", Right::Read, "The model card of a target (`vendor%2Fmodel`)", card),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Proposal {
    /// In order, as `vendor/model`.
    targets: Vec<String>,
    /// Why; kept for ever.
    reason: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Why {
    /// Why; kept for ever.
    reason: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CanaryEnd {
    /// Why; kept for ever.
    reason: String,
    /// Only if it is this one that is tried now [default: whichever is].
    #[serde(default)]
    release: Option<u32>,
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
    reason: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CardQuery {
    /// The suite of the certificate [default: that of the first route with the model].
    suite: Option<String>,
}

/// A route's releases.
#[derive(Debug, Serialize, JsonSchema)]
struct ReleasesView {
    route: String,
    /// The number of the one that serves.
    serving: u32,
    since_unix_ms: i64,
    retained: Vec<RetainedView>,
    canary: Option<CanaryView>,
    /// What came of asking releases beside what serves.
    shadows: Vec<ShadowView>,
    releases: Vec<ReleaseView>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ReleaseView {
    release: u32,
    targets: Vec<String>,
    reason: Option<String>,
    at_unix_ms: i64,
    /// The audit entries of those who approved it.
    approvals: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RetainedView {
    release: u32,
    until_unix_ms: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CanaryView {
    release: u32,
    pct: u8,
    by: CanaryBy,
    mode: CanaryMode,
    since_unix_ms: i64,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    route: String,
    release: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Promoted {
    route: String,
    release: u32,
    /// What served before, and is retained.
    from: u32,
    targets: Vec<String>,
    decided_unix_ms: i64,
    /// What strict enforcement would have refused.
    cautions: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CardView {
    target: String,
    markdown: String,
    /// With Hugging Face's field names.
    card: Value,
}

async fn list(asked: Asked, _: Nothing) -> Result<ReleasesView, Refused> {
    let route = asked.route(asked.param("route"))?;
    let line = line(&asked, &route).await?;
    let shadows = asked.admin.store.shadows(route.clone()).await?;
    let release = |release: &Release| ReleaseView {
        release: release.number,
        targets: texts(&release.targets),
        reason: release.reason.clone(),
        at_unix_ms: release.at_unix_ms,
        approvals: release.approvals.clone(),
    };
    let retained = line.leases.iter().rev();
    let retained = retained.map(|lease| RetainedView { release: lease.number, until_unix_ms: lease.until_unix_ms });
    let canary = line.canary.map(|running| CanaryView {
        release: running.share.release,
        pct: running.share.pct,
        by: running.share.by,
        mode: running.share.mode,
        since_unix_ms: running.since_unix_ms,
    });
    Ok(ReleasesView {
        route: route.to_string(),
        serving: line.primary,
        since_unix_ms: line.since_unix_ms,
        retained: retained.collect(),
        canary,
        shadows: shadows.into_iter().map(ShadowView::from).collect(),
        releases: line.releases.values().map(release).collect(),
    })
}

async fn propose(asked: Asked, new: Proposal) -> Result<Done, Refused> {
    let route = asked.route(asked.param("route"))?;
    let reason = said(&new.reason)?;
    let targets = new.targets.iter().map(|text| target(text)).collect::<Result<Vec<_>, _>>()?;
    let release = desk(&asked).propose(&route, targets, reason).await?;
    Ok(Done { route: route.to_string(), release })
}

async fn approve(asked: Asked, why: Why) -> Result<Done, Refused> {
    let (route, release) = (asked.route(asked.param("route"))?, number(&asked)?);
    desk(&asked).approve(&route, release, said(&why.reason)?).await?;
    Ok(Done { route: route.to_string(), release })
}

async fn promote_release(asked: Asked, why: Why) -> Result<Promoted, Refused> {
    let (route, number) = (asked.route(asked.param("route"))?, number(&asked)?);
    let promotion = Promotion { number, reason: said(&why.reason)?.to_owned(), approved_by: Vec::new() };
    let (gate, store) = (&asked.admin.gate, &asked.admin.store);
    let moved = desk(&asked).promote((gate, store), &route, promotion).await?;
    let (admin, line) = (Arc::clone(&asked.admin), line(&asked, &route).await?);
    let settings = admin.settings();
    let papers = paper::of_promotion(&settings, (&admin.state, gate), (&route, &line), (moved.from, moved.to));
    if let Err(error) = post::keep(&admin.state, &papers, &settings.release.publish) {
        tracing::warn!(%error, %route, "notes and card are not written; `backstop release notes` makes them anew");
    }
    Ok(Promoted {
        route: route.to_string(),
        release: moved.to,
        from: moved.from,
        targets: texts(&moved.targets),
        decided_unix_ms: moved.decided_unix_ms,
        cautions: moved.cautions.into_iter().map(|need| need.why).collect(),
    })
}

async fn begin_canary(asked: Asked, new: NewCanary) -> Result<CanaryView, Refused> {
    let (route, number) = (asked.route(asked.param("route"))?, number(&asked)?);
    let NewCanary { pct, by, mode, reason } = new;
    let order = CanaryOrder { number, pct, by, mode, reason: said(&reason)?.to_owned(), approved_by: Vec::new() };
    let (gate, store) = (&asked.admin.gate, &asked.admin.store);
    let tried = desk(&asked).canary((gate, store), &route, order).await?;
    Ok(CanaryView { release: number, pct, by, mode, since_unix_ms: tried.decided_unix_ms })
}

async fn end_canary(asked: Asked, end: CanaryEnd) -> Result<Done, Refused> {
    let route = asked.route(asked.param("route"))?;
    let release = desk(&asked).end_canary(&route, end.release, said(&end.reason)?).await?;
    Ok(Done { route: route.to_string(), release })
}

async fn card(asked: Asked, query: CardQuery) -> Result<CardView, Refused> {
    let target = target(asked.param("id"))?;
    let (admin, settings) = (Arc::clone(&asked.admin), asked.admin.settings());
    let made = tokio::task::spawn_blocking(move || {
        let suite = query.suite.unwrap_or_else(|| paper::suite_of(&settings, &target));
        let certificate = admin.gate.certificate(&settings, &target, &suite);
        let catalog = Catalog::load(&admin.state.catalog()).map_err(|error| Refused::internal(chain(&error)))?;
        let card = paper::card(&settings, Some(&catalog), &target, certificate.as_ref());
        Ok(CardView { target: target.to_string(), markdown: card.markdown, card: card.json })
    });
    made.await.map_err(|error| Refused::internal(error.to_string()))?
}

fn desk(asked: &Asked) -> Desk<'_> {
    Desk { shelf: &asked.admin.shelf, settings: asked.admin.settings(), actor: asked.actor() }
}

async fn line(asked: &Asked, route: &RouteId) -> Result<Line, Refused> {
    let known = asked.admin.shelf.read().await.map_err(DeskError::from)?;
    Ok(desk(asked).begun(&known, route)?.1)
}

fn number(asked: &Asked) -> Result<u32, Refused> {
    let text = asked.param("number");
    text.parse().map_err(|_| Refused::invalid(format!("`{text}` is no release's number")))
}

fn target(text: &str) -> Result<TargetId, Refused> {
    TargetId::parse(text.trim()).ok_or_else(|| Refused::invalid(format!("`{text}` is no target; write vendor/model")))
}

fn said(reason: &str) -> Result<&str, Refused> {
    match reason.trim() {
        "" => Err(Refused::invalid("`reason` is empty; say why")),
        reason => Ok(reason),
    }
}

fn texts(targets: &[TargetId]) -> Vec<String> {
    targets.iter().map(ToString::to_string).collect()
}

impl From<DeskError> for Refused {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::NoRoute { .. } | DeskError::NoRelease { .. } => Self::not_found(error.to_string()),
            DeskError::Needs { .. } => Self::conflict("needs", error.to_string()),
            DeskError::Refused(_) | DeskError::Shelf(ShelfError::Overtaken) => {
                Self::conflict("not_done", error.to_string())
            }
            DeskError::Shelf(_) => Self::unavailable(chain(&error)),
            DeskError::Store(error) => error.into(),
        }
    }
}
