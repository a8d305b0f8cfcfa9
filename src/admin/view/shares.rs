//! Shares of vendors, and the override of their cap.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{limit::share::ShareView, store::ShareOverride};

/// Everything on shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SharesView {
    #[serde(flatten)]
    pub view: ShareView,
    /// The override that holds.
    #[serde(rename = "override")]
    pub overridden: Option<ShareOverride>,
}

/// An override that was asked for, begun or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OverrideView {
    #[serde(flatten)]
    pub what: ShareOverride,
    /// `false`: it waits for a second person, or was ended.
    pub in_force: bool,
}
