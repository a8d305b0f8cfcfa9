//! How much hangs on a call: what a suite's bar is high enough for, and what a certificate is for.

use serde::{Deserialize, Serialize};

/// The tiers of routes, as the gateway's config names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    Batch,
    Standard,
    Critical,
}

impl Tier {
    pub const ALL: [Self; 3] = [Self::Batch, Self::Standard, Self::Critical];

    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Standard => "standard",
            Self::Critical => "critical",
        }
    }

    /// What a scope that does not say covers.
    pub(crate) fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
