//! `audit:` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, UrlText};

/// The audit log's signed checkpoints.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Audit {
    /// Where they go. Without it they stay on this host, and whoever holds it can rewrite the log unseen.
    pub(in crate::config) publish: Option<Vec<Publish>>,
    /// Who is asked to cosign each checkpoint before it is published.
    pub(in crate::config) witnesses: Option<Vec<Witness>>,
    /// How often a log that has grown is signed and published [default: 60s].
    pub(in crate::config) every: Option<DurationText>,
}

/// A place off the host. Secrets are named here and live in the vault.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Publish {
    #[schemars(required)]
    pub(in crate::config) kind: Option<PublishKind>,
    /// File: a directory, which must be there; each checkpoint becomes a file of its own.
    pub(in crate::config) dir: Option<String>,
    /// Put and s3: what each checkpoint's own name is appended to, with a slash between; for s3 with the bucket in the path. Webhook: where
    /// to post to.
    pub(in crate::config) url: Option<UrlText>,
    /// Put: the name, in the vault, of a bearer token [default: none is sent]. Webhook: of the key that signs each post.
    /// S3: of a JSON object of `access_key_id`, `secret_access_key` and perhaps `session_token`.
    pub(in crate::config) secret: Option<String>,
    /// S3: the bucket's region, e.g. `eu-central-1`.
    pub(in crate::config) region: Option<String>,
}

/// A witness (c2sp.org/tlog-witness): somebody else, who sees that the log only grows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Witness {
    /// Its submission prefix: `/add-checkpoint` is below it.
    #[schemars(required)]
    pub(in crate::config) url: Option<UrlText>,
    /// Its public key, `NAME+HASH+KEY`, of the type Ed25519 cosignature.
    #[schemars(required)]
    pub(in crate::config) key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum PublishKind {
    /// Takes `dir`.
    File,
    /// Takes `url`, and `secret` where the store wants one.
    Put,
    /// An object of S3, or of what is compatible with it. Takes `url`, `region` and `secret`.
    S3,
    /// Takes `url` and `secret`.
    Webhook,
}
