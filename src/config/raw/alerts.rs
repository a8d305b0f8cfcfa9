//! `share_cap:` and `alerts:` as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, UrlText};

/// How much of the volume one vendor may have over a sliding window.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ShareCap {
    /// More than 0, at most 1; 1: no cap [default: 0.70].
    pub(in crate::config) max: Option<f64>,
    /// From here on calls move to other vendors in proportion, until at `max` all do; at most `max`
    /// [default: 13/14 of `max`, which is 0.65 of 0.70].
    pub(in crate::config) soft: Option<f64>,
    /// Counted in whole hours [default: 30d].
    pub(in crate::config) window: Option<DurationText>,
    /// [default: tokens]
    pub(in crate::config) unit: Option<ShareUnit>,
    /// Below this volume in the window the cap refuses nothing; of the cost, in micro-dollars [default: 100000].
    pub(in crate::config) min_volume: Option<u64>,
}

/// What a share is counted in.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ShareUnit {
    Tokens,
    /// Attempts that used anything.
    Requests,
    /// Every vendor's models need a known price.
    Cost,
}

/// Where alerts go. Secrets are named here and live in the vault.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Alert {
    #[schemars(required)]
    pub(in crate::config) kind: Option<AlertKind>,
    /// Slack: the name, in the vault, of the webhook's URL.
    pub(in crate::config) url_secret: Option<String>,
    /// PagerDuty: the name, in the vault, of the routing key.
    pub(in crate::config) routing_key_secret: Option<String>,
    /// Webhook: where to post to. Alertmanager: its own URL, without `/api/v2/alerts`. PagerDuty: where its events go,
    /// without `/v2/enqueue`, e.g. `https://events.eu.pagerduty.com` [default: https://events.pagerduty.com].
    pub(in crate::config) url: Option<UrlText>,
    /// Webhook: the name, in the vault, of the key that signs each post.
    pub(in crate::config) signing_secret: Option<String>,
    /// What is less than that is not sent there [default: all].
    pub(in crate::config) min_severity: Option<AlertSeverity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AlertSeverity {
    /// The first fallback served.
    Warning,
    /// A later fallback served, an answer broke off, or something of ours is to be mended: a secret, a model's name.
    Error,
    /// No target could answer, or one left its route.
    Critical,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AlertKind {
    /// Takes `url_secret`.
    Slack,
    /// Takes `routing_key_secret`, and `url` where it is not the default.
    Pagerduty,
    /// Takes `url`.
    Alertmanager,
    /// Takes `url` and `signing_secret`.
    Webhook,
}
