//! How often a route is to be drilled, and how a synthetic drill asks.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrillSettings {
    /// A critical route's last drill may be so old.
    pub warn_after: Duration,
    /// Questions that each route is asked in a synthetic drill.
    pub questions: usize,
}

impl Default for DrillSettings {
    /// A drill a month, and some days for whoever does it.
    fn default() -> Self {
        Self { warn_after: Duration::from_secs(35 * 24 * 3600), questions: 40 }
    }
}
