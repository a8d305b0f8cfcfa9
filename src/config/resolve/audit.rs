//! `audit:`.

use std::{path::PathBuf, time::Duration};

use super::Resolver;
use crate::config::{AuditSettings, AuditSink, Witness, path::Path, raw, witness_key};

impl Resolver<'_, '_> {
    pub(super) fn audit(&mut self, raw: Option<&raw::Audit>) -> AuditSettings {
        let mut audit = AuditSettings::default();
        let Some(raw) = raw else { return audit };
        let path = Path::root().key("audit");
        if let Some(every) = raw.every.as_ref().and_then(|text| self.duration(&path.key("every"), text)) {
            if every < Duration::from_secs(1) {
                self.error(&path.key("every"), "checkpoints are at least 1s apart", "");
            }
            audit.every = every;
        }
        let witnesses = raw.witnesses.iter().flatten().enumerate();
        audit.witnesses =
            witnesses.filter_map(|(index, raw)| self.witness(&path.key("witnesses").index(index), raw)).collect();
        let publish = raw.publish.iter().flatten().enumerate();
        audit.publish =
            publish.filter_map(|(index, raw)| self.publish(&path.key("publish").index(index), raw)).collect();
        audit
    }

    fn witness(&mut self, path: &Path, raw: &raw::Witness) -> Option<Witness> {
        let url = raw.url.as_ref().and_then(|url| self.url(&path.key("url"), url));
        let key = raw.key.as_ref()?;
        if witness_key(key).is_none() {
            let help = "copy what the witness publishes: `NAME+HASH+KEY`, of the type Ed25519 cosignature";
            self.error(&path.key("key"), "this is no witness's public key", help);
        }
        Some(Witness { url: url?, key: key.clone() })
    }

    /// A place to publish to.
    pub(super) fn publish(&mut self, path: &Path, raw: &raw::Publish) -> Option<AuditSink> {
        if let Some(name) = &raw.secret {
            self.secret_name(&path.key("secret"), name);
        }
        let kind = raw.kind?;
        let url = raw.url.as_ref().and_then(|url| self.url(&path.key("url"), url));
        let (name, needs, takes): (_, &[&str], &[&str]) = match kind {
            raw::PublishKind::File => ("file", &["dir"], &[]),
            raw::PublishKind::Put => ("put", &["url"], &["secret"]),
            raw::PublishKind::S3 => ("s3", &["url", "secret", "region"], &[]),
            raw::PublishKind::Webhook => ("webhook", &["url", "secret"], &[]),
        };
        if let Some(region) = &raw.region {
            self.name(&path.key("region"), region);
        }
        for key in ["dir", "url", "secret", "region"] {
            match (self.tree.has(&path.key(key)), needs.contains(&key)) {
                (true, false) if !takes.contains(&key) => {
                    self.error(&path.key(key), format!("kind `{name}` does not take `{key}`"), "");
                }
                (false, true) => self.error(path, format!("kind `{name}` needs `{key}`"), ""),
                _ => {}
            }
        }
        Some(match kind {
            raw::PublishKind::File => {
                let dir = PathBuf::from(raw.dir.as_ref()?);
                if !dir.is_absolute() {
                    self.error(&path.key("dir"), "the directory's path is not absolute", "e.g. `/mnt/elsewhere/audit`");
                }
                AuditSink::File { dir }
            }
            raw::PublishKind::Put => AuditSink::Put { url: url?, secret: raw.secret.clone() },
            raw::PublishKind::S3 => {
                AuditSink::S3 { url: url?, secret: raw.secret.clone()?, region: raw.region.clone()? }
            }
            raw::PublishKind::Webhook => AuditSink::Webhook { url: url?, secret: raw.secret.clone()? },
        })
    }
}
