//! Where the audit log's signed checkpoints are published; secrets by their name in the vault.

use std::{path::PathBuf, time::Duration};

use super::Witness;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    pub publish: Vec<AuditSink>,
    /// Who cosigns each checkpoint before that.
    pub witnesses: Vec<Witness>,
    /// How often a log that has grown is signed and published.
    pub every: Duration,
}

/// One place off the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSink {
    /// A directory, say of another machine's file system.
    File { dir: PathBuf },
    /// One object per checkpoint under `url`, by HTTP PUT.
    Put {
        url: String,
        /// Sent as a bearer token.
        secret: Option<String>,
    },
    /// The same in S3, or what is compatible with it, never over an object that is there.
    S3 { url: String, secret: String, region: String },
    /// A signed post.
    Webhook { url: String, secret: String },
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { publish: Vec::new(), witnesses: Vec::new(), every: Duration::from_secs(60) }
    }
}

impl AuditSink {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Put { .. } => "put",
            Self::S3 { .. } => "s3",
            Self::Webhook { .. } => "webhook",
        }
    }

    /// The name, in the vault, of the secret that it cannot do without.
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::File { .. } => None,
            Self::Put { secret, .. } => secret.as_deref(),
            Self::S3 { secret, .. } | Self::Webhook { secret, .. } => Some(secret),
        }
    }
}
