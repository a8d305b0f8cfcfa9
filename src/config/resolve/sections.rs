//! The small sections: storage, telemetry, vault, local tier, gate, limits.

use std::path::PathBuf;

use backstop_eval::certificate::PublicKey;

use super::{Resolver, tenants::Budgets};
use crate::config::{Fingerprints, LogFormat, Settings, VaultSource, path::Path, raw, words};

impl Resolver<'_, '_> {
    pub(super) fn sections(&mut self, file: &raw::File, settings: &mut Settings) {
        let at = |section: &str, key: &str| Path::root().key(section).key(key);
        if let Some(text) = file.admin.as_ref().and_then(|admin| admin.listen.as_ref()) {
            settings.admin_listen = self.socket(&at("admin", "listen"), text);
            if settings.admin_listen == Some(settings.listen) && settings.listen.port() != 0 {
                self.error(&at("admin", "listen"), "this is the callers' listener", "give the operators another port");
            }
        }
        settings.oidc = file.admin.as_ref().and_then(|admin| admin.oidc.as_ref()).and_then(|oidc| self.oidc(oidc));
        if let Some(url) = file.storage.as_ref().and_then(|storage| storage.url.as_ref()) {
            settings.sqlite_path = self.sqlite_path(&at("storage", "url"), url);
        }
        if let Some(url) = file.shared.as_ref().and_then(|shared| shared.url.as_ref())
            && !["redis://", "rediss://", "valkey://", "valkeys://"].iter().any(|scheme| url.starts_with(scheme))
        {
            self.error(&at("shared", "url"), format!("`{}` is not a redis:// URL", words::cut(url)), "");
        }
        if let Some(raw) = &file.telemetry {
            self.telemetry(raw, settings);
        }
        if let Some(transit) = file.vault.as_ref().and_then(|vault| vault.transit.as_ref()) {
            settings.vault = self.transit(transit).unwrap_or_default();
        }
        if let Some(local) = &file.local {
            self.local(local, settings);
        }
        if let Some(gate) = &file.gate {
            self.gate(gate, settings);
        }
        if let Some(eval) = &file.eval {
            self.eval(eval, settings);
        }
        if let Some(limits) = &file.limits {
            self.bounds(limits, settings);
        }
        if let Some(proxies) = &file.trusted_proxies {
            settings.trusted_proxies = self.networks(&Path::root().key("trusted_proxies"), proxies);
        }
        if let Some(drain) = file.drain.as_ref().and_then(|text| self.duration(&Path::root().key("drain"), text)) {
            settings.drain = drain;
        }
    }

    fn bounds(&mut self, raw: &raw::Limits, settings: &mut Settings) {
        let path = Path::root().key("limits");
        if let Some(bytes) = raw.max_body.as_ref().and_then(|text| self.size(&path.key("max_body"), text, 1 << 30)) {
            settings.max_body_bytes = bytes;
        }
        if let Some(per_ip) = &raw.per_ip {
            settings.doors.per_ip = self.limits(&path.key("per_ip"), per_ip.written(), Budgets::None);
        }
        for (key, given, setting) in [
            ("failed_auth_per_minute", raw.failed_auth_per_minute, &mut settings.doors.failed_auth_per_minute),
            ("connections_per_ip", raw.connections_per_ip, &mut settings.doors.connections_per_ip),
            ("most_addresses", raw.most_addresses, &mut settings.doors.most_addresses),
        ] {
            let Some(given) = given else { continue };
            if given == 0 {
                self.error(&path.key(key), "a limit of 0 refuses every call", "leave it out for the default");
            }
            *setting = given;
        }
    }

    fn sqlite_path(&mut self, path: &Path, url: &str) -> Option<PathBuf> {
        let help = "e.g. `sqlite:///var/lib/backstop/backstop.db`";
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            self.error(path, "this version stores in SQLite only", help);
            return None;
        }
        let file = url.strip_prefix("sqlite://").filter(|file| !file.is_empty() && !file.contains(['?', '\0']));
        if file.is_none() {
            self.error(path, format!("`{}` is not a sqlite:// URL", words::cut(url)), help);
        }
        file.map(PathBuf::from)
    }

    fn telemetry(&mut self, raw: &raw::Telemetry, settings: &mut Settings) {
        let path = Path::root().key("telemetry");
        if let Some(text) = &raw.otlp_endpoint {
            settings.telemetry.otlp_endpoint = self.url(&path.key("otlp_endpoint"), text);
        }
        settings.telemetry.log_format = match raw.log_format {
            Some(raw::LogFormat::Json) => LogFormat::Json,
            Some(raw::LogFormat::Pretty) => LogFormat::Pretty,
            Some(raw::LogFormat::Auto) | None => LogFormat::Auto,
        };
        if let Some(filter) = &raw.log_filter {
            if let Err(error) = tracing_subscriber::EnvFilter::try_new(filter) {
                let message = format!("`{}` is not a log filter: {error}", words::cut(filter));
                self.error(&path.key("log_filter"), message, "e.g. `info,backstop=debug`");
            }
            settings.telemetry.log_filter.clone_from(filter);
        }
    }

    fn transit(&mut self, raw: &raw::Transit) -> Option<VaultSource> {
        let path = Path::root().key("vault").key("transit");
        let address = raw.address.as_ref().and_then(|text| self.url(&path.key("address"), text));
        let mount = raw.mount.clone().unwrap_or_else(|| "transit".to_owned());
        self.name(&path.key("mount"), &mount);
        if let Some(key) = &raw.key {
            self.name(&path.key("key"), key);
        }
        let token_file = raw.token_file.as_ref().filter(|file| !file.is_empty());
        if raw.token_file.is_some() && token_file.is_none() {
            self.error(&path.key("token_file"), "there is no file named", "name the file that holds the token");
        }
        Some(VaultSource::Transit {
            address: address?,
            mount: mount.trim_matches('/').to_owned(),
            key: raw.key.clone()?,
            token_file: PathBuf::from(token_file?),
        })
    }

    fn gate(&mut self, raw: &raw::Gate, settings: &mut Settings) {
        let path = Path::root().key("gate");
        for (index, text) in raw.signers.iter().flatten().enumerate() {
            match PublicKey::from_hex(text) {
                Some(key) => settings.gate.trust.signers.push(key),
                None => self.error(
                    &path.key("signers").index(index),
                    "this is no public key: 64 hex digits are expected",
                    "copy the line of a `signing.pub`",
                ),
            }
        }
        // This installation's own key is one of them.
        let most = 1 + raw.signers.as_ref().map_or(0, Vec::len);
        if let Some(signatures) = raw.signatures {
            settings.gate.trust.signatures = signatures as usize;
            if !(1..=most).contains(&(signatures as usize)) {
                let what = format!("this is from 1 to {most}: this installation's key and those under `signers`");
                self.error(&path.key("signatures"), what, "");
            }
        }
        if let Some(grace) = raw.grace.as_ref().and_then(|text| self.duration(&path.key("grace"), text)) {
            settings.gate.trust.grace = time::Duration::try_from(grace).unwrap_or(time::Duration::ZERO);
        }
        let Some(sentinel) = &raw.sentinel else { return };
        let path = path.key("sentinel");
        if let Some(every) = sentinel.every.as_ref().and_then(|text| self.duration(&path.key("every"), text)) {
            if every.is_zero() {
                self.error(&path.key("every"), "this must be above 0", "`off: true` turns the probes off");
            }
            settings.gate.sentinel_every = Some(every);
        }
        if let Some(questions) = sentinel.questions {
            settings.gate.sentinel_questions = questions as usize;
            if !(1..=1000).contains(&questions) {
                self.error(&path.key("questions"), "this is from 1 to 1000", "");
            }
        }
        settings.gate.fingerprints = match sentinel.fingerprints {
            Some(raw::Fingerprints::Ignore) => Fingerprints::Ignore,
            Some(raw::Fingerprints::Bind) | None => Fingerprints::Bind,
        };
        if sentinel.off == Some(true) {
            settings.gate.sentinel_every = None;
        }
    }

    fn local(&mut self, raw: &raw::Local, settings: &mut Settings) {
        let path = Path::root().key("local");
        for (key, number, most) in [
            ("queue", raw.queue, 10_000),
            ("queue_tokens", raw.queue_tokens, 1 << 30),
            ("running", raw.running, 1024),
            ("threads", raw.threads, 1024),
            ("context_tokens", raw.context_tokens, 1 << 24),
        ] {
            if number.is_some_and(|number| number == 0 || number > most) {
                self.error(&path.key(key), format!("this is from 1 to {most}"), "");
            }
        }
        settings.local.queue = raw.queue.map_or(settings.local.queue, |queue| queue as usize);
        settings.local.queue_tokens = raw.queue_tokens.map_or(settings.local.queue_tokens, |tokens| tokens as usize);
        if let Some(wait) = raw.max_wait.as_ref().and_then(|text| self.duration(&path.key("max_wait"), text)) {
            settings.local.max_wait = wait;
        }
        settings.local.running = raw.running.map_or(settings.local.running, |running| running as usize);
        if let Some(bytes) = raw.cache.as_ref().and_then(|text| self.size(&path.key("cache"), text, 1 << 40)) {
            settings.local.cache_bytes = bytes;
        }
        if let Some(bytes) = raw.memory.as_ref().and_then(|text| self.size(&path.key("memory"), text, 1 << 50)) {
            settings.local.memory_bytes = Some(bytes as u64);
        }
        if let Some(tokens) = raw.lookup_tokens {
            if tokens > 15 {
                self.error(&path.key("lookup_tokens"), "this is from 0 to 15", "");
            }
            settings.local.lookup_tokens = tokens as usize;
        }
        if let Some(device) = raw.device.as_ref().and_then(|text| self.device(&path.key("device"), text)) {
            settings.local.device = device;
        }
        settings.local.threads = raw.threads.map(|threads| threads as usize);
        settings.local.context_tokens = raw.context_tokens;
        settings.local.usd_per_hour = raw.usd_per_hour.and_then(|usd| self.rate(&path.key("usd_per_hour"), usd));
    }
}
