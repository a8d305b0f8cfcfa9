//! Alerts that are open, and what waits for each receiver.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Kept, SinkId};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertsView {
    #[schemars(with = "Vec<serde_json::Value>")]
    pub open: Vec<Alert>,
    pub outbox: Vec<LaneView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaneView {
    /// Of the receiver: `slack`, `pagerduty`, `alertmanager`, `webhook`.
    pub kind: String,
    pub name: String,
    pub waiting: usize,
}

impl From<&Kept> for AlertsView {
    fn from(kept: &Kept) -> Self {
        let open = kept.incidents.iter().filter(|known| known.is_open());
        let lane = |(sink, waiting): (&SinkId, usize)| LaneView {
            kind: sink.kind().to_owned(),
            name: sink.name().to_owned(),
            waiting,
        };
        Self {
            open: open.map(|known| known.alert.clone()).collect(),
            outbox: kept.outbox.waiting_by_sink().map(lane).collect(),
        }
    }
}
