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
    /// How many persons it takes to promote a release, whoever proposed, approved and promoted it counted together.
    pub(in crate::config) approvals: Option<Approvals>,
    /// Where model cards and release notes go.
    pub(in crate::config) publish: Option<Vec<Publish>>,
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
