//! Shares of vendors, and the override of their cap: two persons ask for it, each with a token of their own.

use axum::http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::{
    asked::{Asked, said},
    endpoint::{Endpoint, Nothing},
    refused::Refused,
    verb::shares as verb,
    view::{OverrideView, SharesView},
};
use crate::domain::Right;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let shown = "Each vendor's part of the volume, its trend and forecast; the override that holds";
    let ask =
        "Let calls through where only vendors at their cap are left; in force once a second person asks for the same";
    vec![
        Endpoint::read("/share", Right::Read, shown, list),
        Endpoint::write((Method::POST, "/share/override"), Right::ShareOverride, ask, ask_for),
        Endpoint::write((Method::DELETE, "/share/override"), Right::RollBack, "End the override that holds", end),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewOverride {
    /// How long: 1 to 168.
    hours: i64,
    /// Why; kept for ever.
    #[schemars(regex(pattern = r"\S"))]
    reason: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct EndOfOverride {
    /// Why; kept for ever.
    reason: String,
}

async fn list(asked: Asked, _: Nothing) -> Result<SharesView, Refused> {
    verb::shown(&asked.site()).await
}

async fn ask_for(asked: Asked, new: NewOverride) -> Result<OverrideView, Refused> {
    let reason = said(&new.reason)?;
    if !(1..=verb::MOST_HOURS).contains(&new.hours) || reason.chars().count() > verb::MOST_CHARS {
        let (hours, chars) = (verb::MOST_HOURS, verb::MOST_CHARS);
        return Err(Refused::invalid(format!(
            "`hours` is from 1 to {hours}, and `reason` has 1 to {chars} characters"
        )));
    }
    verb::ask(&asked.site(), (new.hours, reason)).await
}

async fn end(asked: Asked, end: EndOfOverride) -> Result<OverrideView, Refused> {
    verb::end(&asked.site(), end.reason.trim()).await
}
