//! Where alerts go, and which of them; secrets by their name in the vault.

use serde::{Deserialize, Serialize};

/// One receiver of alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSink {
    pub to: AlertTo,
    /// What is less than that is not sent there.
    pub min_severity: AlertSeverity,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertTo {
    /// The incoming webhook's URL is the secret.
    Slack {
        url_secret: String,
    },
    Pagerduty {
        routing_key_secret: String,
        /// Without the path `/v2/enqueue`.
        url: String,
    },
    /// The server's own URL, without the path `/api/v2/alerts`.
    Alertmanager {
        url: String,
    },
    Webhook {
        url: String,
        signing_secret: String,
    },
}

/// How much an alert matters, the least first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertSeverity {
    /// A test.
    #[default]
    Info,
    /// A fallback served.
    Warning,
    /// A later fallback served, or something of ours is to be mended.
    Error,
    /// Nobody could answer, or a target left its route: someone is paged.
    Critical,
}

impl AlertSink {
    pub fn kind(&self) -> &'static str {
        match self.to {
            AlertTo::Slack { .. } => "slack",
            AlertTo::Pagerduty { .. } => "pagerduty",
            AlertTo::Alertmanager { .. } => "alertmanager",
            AlertTo::Webhook { .. } => "webhook",
        }
    }

    /// The name, in the vault, of the secret that the sink cannot do without.
    pub fn secret(&self) -> Option<&str> {
        match &self.to {
            AlertTo::Slack { url_secret: name }
            | AlertTo::Pagerduty { routing_key_secret: name, .. }
            | AlertTo::Webhook { signing_secret: name, .. } => Some(name),
            AlertTo::Alertmanager { .. } => None,
        }
    }
}

impl AlertSeverity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}
