//! `share_cap:` and `alerts:`.

use super::Resolver;
use crate::config::{AlertSeverity, AlertSink, AlertTo, ShareCap, ShareUnit, path::Path, raw};

/// Where calls begin to move elsewhere, unless the config says: 0.65 of 0.70.
const SOFT_OF_MAX: f64 = 0.65 / 0.70;

/// Where PagerDuty takes events, in its first region.
const PAGERDUTY: &str = "https://events.pagerduty.com";

impl Resolver<'_, '_> {
    pub(super) fn share_cap(&mut self, raw: Option<&raw::ShareCap>) -> ShareCap {
        let mut cap = ShareCap::default();
        let Some(raw) = raw else { return cap };
        let path = Path::root().key("share_cap");
        if let Some(max) = raw.max {
            if !(max > 0.0 && max <= 1.0) {
                let help = if max > 1.0 && max <= 100.0 { "70 % is written as 0.70" } else { "e.g. 0.70" };
                self.error(&path.key("max"), "a share is more than 0 and at most 1", help);
            }
            cap.max = max;
            cap.soft = max * SOFT_OF_MAX;
        }
        if let Some(soft) = raw.soft {
            if !(soft > 0.0 && soft <= cap.max) {
                self.error(&path.key("soft"), "the soft mark is more than 0 and at most `max`", "e.g. 0.65");
            }
            cap.soft = soft;
        }
        if let Some(window) = raw.window.as_ref().and_then(|text| self.duration(&path.key("window"), text)) {
            cap.window = window;
        }
        cap.unit = match raw.unit {
            Some(raw::ShareUnit::Requests) => ShareUnit::Requests,
            Some(raw::ShareUnit::Cost) => ShareUnit::Cost,
            Some(raw::ShareUnit::Tokens) | None => ShareUnit::Tokens,
        };
        cap.min_volume = raw.min_volume.unwrap_or(cap.min_volume);
        cap
    }

    pub(super) fn alerts(&mut self, file: &raw::File) -> Vec<AlertSink> {
        let path = Path::root().key("alerts");
        let alerts = file.alerts.iter().flatten().enumerate();
        alerts.filter_map(|(index, raw)| self.alert(&path.index(index), raw)).collect()
    }

    fn alert(&mut self, path: &Path, raw: &raw::Alert) -> Option<AlertSink> {
        for (key, name) in [
            ("url_secret", &raw.url_secret),
            ("routing_key_secret", &raw.routing_key_secret),
            ("signing_secret", &raw.signing_secret),
        ] {
            if let Some(name) = name {
                self.secret_name(&path.key(key), name);
            }
        }
        let kind = raw.kind?;
        let url = raw.url.as_ref().map(|url| self.url(&path.key("url"), url));
        let (name, needs, takes): (_, &[&str], &[&str]) = match kind {
            raw::AlertKind::Slack => ("slack", &["url_secret"], &[]),
            raw::AlertKind::Pagerduty => ("pagerduty", &["routing_key_secret"], &["url"]),
            raw::AlertKind::Alertmanager => ("alertmanager", &["url"], &[]),
            raw::AlertKind::Webhook => ("webhook", &["url", "signing_secret"], &[]),
        };
        for key in ["url_secret", "routing_key_secret", "url", "signing_secret"] {
            match (self.tree.has(&path.key(key)), needs.contains(&key)) {
                (true, false) if !takes.contains(&key) => {
                    self.error(&path.key(key), format!("kind `{name}` does not take `{key}`"), "");
                }
                (false, true) => self.error(path, format!("kind `{name}` needs `{key}`"), ""),
                _ => {}
            }
        }
        let to = match kind {
            raw::AlertKind::Slack => AlertTo::Slack { url_secret: raw.url_secret.clone()? },
            raw::AlertKind::Pagerduty => AlertTo::Pagerduty {
                routing_key_secret: raw.routing_key_secret.clone()?,
                url: url.unwrap_or_else(|| Some(PAGERDUTY.to_owned()))?,
            },
            raw::AlertKind::Alertmanager => AlertTo::Alertmanager { url: url?? },
            raw::AlertKind::Webhook => AlertTo::Webhook { url: url??, signing_secret: raw.signing_secret.clone()? },
        };
        let min_severity = match raw.min_severity {
            None => AlertSeverity::default(),
            Some(raw::AlertSeverity::Warning) => AlertSeverity::Warning,
            Some(raw::AlertSeverity::Error) => AlertSeverity::Error,
            Some(raw::AlertSeverity::Critical) => AlertSeverity::Critical,
        };
        Some(AlertSink { to, min_severity })
    }
}
