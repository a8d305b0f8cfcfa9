//! Getting away from a vendor, and back to it.

use axum::http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::{
    asked::{Asked, said},
    endpoint::{Endpoint, Nothing},
    refused::Refused,
    verb::evacuations as verb,
    view::{EvacuationView, LeavingView},
};
use crate::{domain::Right, release::evacuation::Move};

const QUARTER_MS: i64 = 15 * 60_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let path = "/vendors/{vendor}/evacuation";
    let away = "Move calls off a vendor on every route that has it: it is then asked last";
    let would = "What would serve without a vendor, by route; nothing is moved";
    vec![
        Endpoint::read(path, Right::Read, "How far each route has left a vendor", status),
        Endpoint::read("/vendors/{vendor}/evacuation/preview", Right::Read, would, preview),
        Endpoint::write((Method::POST, path), Right::VendorEvacuate, away, evacuate),
        Endpoint::write((Method::DELETE, path), Right::RollBack, "Ask a vendor in its place again", back),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewEvacuation {
    /// So many of a hundred calls [default: 100].
    pct: Option<u8>,
    /// Instead of `pct`: parts of a hundred that grow; the gateway makes each step by itself.
    #[serde(default)]
    steps: Vec<u8>,
    /// How long each step is looked at before the next [default: 15 minutes].
    every_ms: Option<i64>,
    /// Why; kept for ever.
    #[schemars(regex(pattern = r"\S"))]
    reason: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Return {
    /// Why; kept for ever.
    #[schemars(regex(pattern = r"\S"))]
    reason: String,
}

async fn status(asked: Asked, _: Nothing) -> Result<LeavingView, Refused> {
    verb::status(&asked.site(), asked.param("vendor")).await
}

async fn preview(asked: Asked, _: Nothing) -> Result<EvacuationView, Refused> {
    verb::preview(&asked.site(), asked.param("vendor")).await
}

async fn evacuate(asked: Asked, new: NewEvacuation) -> Result<EvacuationView, Refused> {
    if new.pct.is_some() && !new.steps.is_empty() {
        return Err(Refused::invalid("say `pct` or `steps`"));
    }
    let how = verb::way(new.pct.unwrap_or(100), new.steps, new.every_ms.unwrap_or(QUARTER_MS));
    let how = how.map_err(Refused::invalid)?;
    verb::evacuate(&asked.site(), asked.param("vendor"), (&how, said(&new.reason)?)).await
}

async fn back(asked: Asked, why: Return) -> Result<EvacuationView, Refused> {
    verb::evacuate(&asked.site(), asked.param("vendor"), (&Move::Back, said(&why.reason)?)).await
}
