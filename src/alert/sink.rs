//! A receiver of alerts by name: what the outbox keeps its lanes by, and what a log line may say of it.

use serde::{Deserialize, Serialize};

use crate::config::{AlertSink, AlertTo};

/// The kind and what tells two of a kind apart: a secret's name or a URL of the config. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SinkId(String);

impl SinkId {
    pub fn of(sink: &AlertSink) -> Self {
        let name = match &sink.to {
            AlertTo::Slack { url_secret } => url_secret,
            AlertTo::Pagerduty { routing_key_secret, .. } => routing_key_secret,
            AlertTo::Alertmanager { url } | AlertTo::Webhook { url, .. } => url,
        };
        Self(format!("{}:{name}", sink.kind()))
    }

    /// `slack`, `pagerduty`, `alertmanager` or `webhook`.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(kind, _)| kind)
    }

    /// The secret's name or the URL.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, name)| name)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
