//! `release:` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, Publish};

/// How a route's targets are changed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Release {
    /// How long the release that was replaced stays as a fallback, at least [default: 30d].
    pub(in crate::config) retain: Option<DurationText>,
    /// Whether the gateway renews the certificates of retained releases by itself, by the suite that certified them [default: on].
    pub(in crate::config) renew: Option<Renew>,
    /// How long before a certificate's end that begins [default: 15d]; half of what it holds for at most.
    pub(in crate::config) renew_before: Option<DurationText>,
    /// What the answers of one renewal may cost, in US dollars [default: 10].
    pub(in crate::config) renew_max_usd: Option<f64>,
    /// How many persons it takes to promote a release, whoever proposed, approved and promoted it counted together.
    pub(in crate::config) approvals: Option<Approvals>,
    /// Where model cards and release notes go.
    pub(in crate::config) publish: Option<Vec<Publish>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Renew {
    On,
    /// Somebody certifies them by hand before they end.
    Off,
}

/// Persons, by the route's criticality.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Approvals {
    /// [default: 2]
    pub(in crate::config) critical: Option<u32>,
    /// [default: 1]
    pub(in crate::config) standard: Option<u32>,
    /// [default: 1]
    pub(in crate::config) batch: Option<u32>,
}
