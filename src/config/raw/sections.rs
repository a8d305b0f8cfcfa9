//! The small sections as they are written: storage, telemetry, vault, local tier, limits.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DeviceText, DurationText, Limited, SizeText, UrlText};

/// Where what must last is kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Storage {
    /// `sqlite:///absolute/path` [default: `backstop.db` in the state directory].
    #[schemars(required, example = "sqlite:///var/lib/backstop/backstop.db")]
    pub(in crate::config) url: Option<String>,
}

/// State that several replicas share.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Shared {
    /// `redis://host:6379`: Valkey or Redis.
    #[schemars(required, example = "redis://valkey.internal:6379")]
    pub(in crate::config) url: Option<String>,
}

/// Logs and traces.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Telemetry {
    /// Where traces go, as OTLP over HTTP, e.g. `http://127.0.0.1:4318` [default: nowhere].
    pub(in crate::config) otlp_endpoint: Option<UrlText>,
    /// [default: auto]
    pub(in crate::config) log_format: Option<LogFormat>,
    /// What is logged, e.g. `info,backstop=debug` [default: info].
    pub(in crate::config) log_filter: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    Json,
    Pretty,
}

/// Where the key that seals vendor secrets is [default: a 0600 file in the state directory].
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Vault {
    /// HashiCorp Vault's transit engine wraps it.
    pub(in crate::config) transit: Option<Transit>,
}

/// A key of HashiCorp Vault's transit engine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Transit {
    /// E.g. `https://vault.internal:8200`.
    #[schemars(required)]
    pub(in crate::config) address: Option<UrlText>,
    /// Where the engine is mounted [default: transit].
    pub(in crate::config) mount: Option<String>,
    /// The key's name.
    #[schemars(required)]
    pub(in crate::config) key: Option<String>,
    /// A file that holds the token; read at each use, so that a renewed token needs no restart.
    #[schemars(required)]
    pub(in crate::config) token_file: Option<String>,
}

/// The model inside this process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Local {
    /// Calls that may wait for the engine, besides those that it answers; half of them may be batch calls, four fifths
    /// standard ones [default: 64].
    pub(in crate::config) queue: Option<u32>,
    /// Tokens that the prompts of those may have together, estimated by their bytes; in the same parts [default: 32768].
    pub(in crate::config) queue_tokens: Option<u32>,
    /// A call whose first token would come later than this is refused at once [default: 60s].
    pub(in crate::config) max_wait: Option<DurationText>,
    /// Calls that are answered at once [default: 16].
    pub(in crate::config) running: Option<u32>,
    /// Memory of all local models together: weights, caches and what they work with, but for what a GPU has in its own [default:
    /// three quarters of the machine's, or of its control group's limit]. Models of critical routes get theirs first.
    pub(in crate::config) memory: Option<SizeText>,
    /// What computes: `auto` (a GPU where there is one and this program was built for it, else the CPU), `cpu`, `cuda`, or the
    /// GPU of a number, `cuda:1` [default: auto].
    pub(in crate::config) device: Option<DeviceText>,
    /// Tokens that an answer guesses ahead at most, from where its prompt or its own text said the like before, on the CPU. That
    /// makes copying faster and changes no answer; 0 turns it off [default: 15].
    pub(in crate::config) lookup_tokens: Option<u32>,
    /// Threads that compute on the CPU, for all local models together [default: half of the cores].
    pub(in crate::config) threads: Option<u32>,
    /// Memory of each model for keys and values, which calls that begin alike share [default: 512MiB]. Less where
    /// `memory` is short, but as much as one call of the whole context needs.
    pub(in crate::config) cache: Option<SizeText>,
    /// The longest prompt plus answer, in tokens [default: the model's own].
    pub(in crate::config) context_tokens: Option<u32>,
    /// What an hour of this machine costs, in US dollars [default: 0]. Calls that are answered at once share it equally.
    pub(in crate::config) usd_per_hour: Option<f64>,
}

/// What certificates must have, and how vendors' models are watched.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Gate {
    /// Public keys that may sign certificates besides this installation's own: the 64 hex digits of a `signing.pub`.
    pub(in crate::config) signers: Option<Vec<String>>,
    /// How many of these must have signed a certificate [default: 1]; 2 for four eyes.
    pub(in crate::config) signatures: Option<u32>,
    /// How long a certificate goes on after its end, with warnings [default: 0s]. A changed byte ends it at once.
    pub(in crate::config) grace: Option<DurationText>,
    /// Probes of certified models of vendors, whose bytes nobody sees.
    pub(in crate::config) sentinel: Option<Sentinel>,
}

/// Questions that a vendor's model passed when it was certified, asked again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Sentinel {
    /// How often each certified target is asked [default: 24h]; `off: true` for never.
    pub(in crate::config) every: Option<DurationText>,
    /// How many questions [default: 10].
    pub(in crate::config) questions: Option<u32>,
    /// Nobody is asked.
    pub(in crate::config) off: Option<bool>,
    /// What it means when an answer has a `system_fingerprint` that none had when the model was certified [default: bind].
    pub(in crate::config) fingerprints: Option<Fingerprints>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Fingerprints {
    /// It is not what passed: the certificate is suspended.
    Bind,
    /// Nothing: this vendor changes it without changing the model.
    Ignore,
}

/// Bounds on what callers may send.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Limits {
    /// The largest request body [default: 32MiB].
    pub(in crate::config) max_body: Option<SizeText>,
    /// What one address may use, whoever calls from there: an IPv4 address, or the /64 network of an IPv6 one.
    pub(in crate::config) per_ip: Option<Limited>,
    /// Requests without a valid key that one address may send in a minute; past it, it is refused before its key is even
    /// looked at [default: 60].
    pub(in crate::config) failed_auth_per_minute: Option<u64>,
    /// Connections that one address may hold open [default: 1024].
    pub(in crate::config) connections_per_ip: Option<u64>,
    /// Addresses that are counted one by one, for all of this [default: 32768]. Past it, those that come new are counted together
    /// with others of their network, and callers with a key are not refused for it.
    pub(in crate::config) most_addresses: Option<u64>,
}
