//! Keeps the log: carries the journal into the database, signs what was added, and publishes each checkpoint off the host.
//!
//! A place that cannot be reached is tried again every round, with the newest checkpoint: one covers all that came before it. What each
//! place has is kept, so that a restart publishes nothing twice. Nothing that an answer says is logged but its status.

mod s3;

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use metrics::{counter, gauge};
use reqwest::Client;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::json;

use super::{
    Audit, Checkpoint, KeyError, LogKey, WitnessKey,
    checkpoint::CheckpointError,
    pending::write,
    witness::{self, NoCosignature},
};
use crate::{
    clock,
    config::{AuditSettings, AuditSink, Settings},
    domain::{Act, Action, Actor},
    observe::metric,
    store::Record,
    vault::{
        Vault,
        s3::{Object, S3Error},
        webhook,
    },
};

/// How often the journal is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long a place may take.
const TIMEOUT: Duration = Duration::from_secs(10);
const PUBLISHED: &str = "published";
/// Failures in a row at one place between two warnings.
const WARN_EVERY: u32 = 10;

/// Owns the log's upkeep in a running gateway.
pub struct Publisher {
    audit: Audit,
    vault: Vault,
    /// Follows no redirects.
    client: Client,
    key: Option<LogKey>,
    /// The size that each place has, by what the place is.
    published: BTreeMap<String, u64>,
    /// The size that each witness has cosigned, by its key.
    cosigned: BTreeMap<String, u64>,
    failures: BTreeMap<String, u32>,
    /// Why the log could not be signed the last time, so that it is said once.
    unsigned: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the vault has no secret `{0}`; set it with `backstop vault set {0}`")]
    NoSecret(String),
    #[error("it answered {0}")]
    Status(u16),
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it did not answer within 10 s")]
    Timeout,
    #[error("the directory cannot be written: {0}")]
    Directory(#[from] io::Error),
    #[error(transparent)]
    S3(#[from] S3Error),
    #[error("another checkpoint of the same size is there: the log was forked, or another log writes there too")]
    Forked,
}

/// The log cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum Unsigned {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl Publisher {
    pub fn new(audit: Audit, vault: Vault, client: Client) -> Self {
        let kept = fs::read(audit.dir().join(PUBLISHED)).ok();
        // A file that is gone or unreadable costs one publication more.
        let published = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self {
            audit,
            vault,
            client,
            key: None,
            published,
            cosigned: BTreeMap::new(),
            failures: BTreeMap::new(),
            unsigned: None,
        }
    }

    /// Goes on until dropped.
    pub async fn run(mut self, settings: Arc<ArcSwap<Settings>>) {
        let audit = self.audit.clone();
        // A place that is slow to answer must not hold the journal up.
        tokio::join!(carry_over(&audit), self.sign_and_publish(&settings));
    }

    async fn sign_and_publish(&mut self, settings: &ArcSwap<Settings>) {
        let mut tick = ticking();
        let mut last: Option<Instant> = None;
        loop {
            tick.tick().await;
            let audit = settings.load().audit.clone();
            if last.is_none_or(|last| last.elapsed() >= audit.every) {
                last = Some(clock::now());
                self.round(&audit).await;
            }
        }
    }

    /// Signs, and publishes what is not published yet.
    async fn round(&mut self, settings: &AuditSettings) {
        let signed = self.sign().await;
        gauge!(metric::AUDIT_UNSIGNED).set(if signed.is_ok() { 0.0 } else { 1.0 });
        let checkpoint = match signed {
            Ok(checkpoint) => {
                if self.unsigned.take().is_some() {
                    tracing::info!("the audit log is signed again");
                }
                checkpoint
            }
            Err(error) => {
                let why = format!("{error:?}");
                if self.unsigned.as_ref() != Some(&why) {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the audit log is not signed; `backstop audit verify` says what is wrong");
                }
                self.unsigned = Some(why);
                return;
            }
        };
        gauge!(metric::AUDIT_ENTRIES).set(checkpoint.size as f64);
        let checkpoint = self.witnessed(settings, checkpoint).await;
        for (index, sink) in settings.publish.iter().enumerate() {
            let label = format!("{index}:{}", sink.kind());
            let place = place(sink);
            let has = self.published.get(&place).copied().unwrap_or(0);
            if has < checkpoint.size || !self.published.contains_key(&place) {
                match self.publish(sink, &checkpoint).await {
                    Ok(()) => self.took(&label, place.clone(), checkpoint.size),
                    Err(error) => self.failed(&label, &place, &error, checkpoint.size - has),
                }
            }
            let has = self.published.get(&place).copied().unwrap_or(0);
            gauge!(metric::AUDIT_UNPUBLISHED, "sink" => label).set(checkpoint.size.saturating_sub(has) as f64);
        }
    }

    /// With the cosignatures of those who could be asked. Nobody is waited for: what was not cosigned is published all the same.
    async fn witnessed(&mut self, settings: &AuditSettings, checkpoint: Checkpoint) -> Checkpoint {
        let mut by = Vec::new();
        for witness in &settings.witnesses {
            let Some(key) = WitnessKey::parse(&witness.key) else { continue };
            let known = self.cosigned.get(&witness.key).copied().unwrap_or(0);
            if checkpoint.is_cosigned_by(&key) {
                self.cosigned.insert(witness.key.clone(), checkpoint.size);
            } else if checkpoint.size > 0 {
                let place = format!("witness {}", witness.url);
                match witness::ask(&self.audit, &self.client, witness, (&checkpoint, known)).await {
                    Ok(line) => {
                        by.push(line);
                        self.cosigned.insert(witness.key.clone(), checkpoint.size);
                        self.failures.remove(&place);
                    }
                    Err(error) => self.not_cosigned(&place, key.name(), &error),
                }
            }
            let has = self.cosigned.get(&witness.key).copied().unwrap_or(0);
            let behind = checkpoint.size.saturating_sub(has) as f64;
            gauge!(metric::AUDIT_UNCOSIGNED, "witness" => key.name().to_owned()).set(behind);
        }
        if by.is_empty() {
            return checkpoint;
        }
        match self.audit.cosigned(&checkpoint, &by).await {
            Ok(cosigned) => cosigned,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cosignatures of the audit log are not kept; witnesses are asked again");
                checkpoint
            }
        }
    }

    fn not_cosigned(&mut self, place: &str, witness: &str, error: &NoCosignature) {
        let failures = self.failures.entry(place.to_owned()).or_default();
        if failures.is_multiple_of(WARN_EVERY) {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, witness, "a witness does not cosign the audit log");
        }
        *failures += 1;
    }

    async fn sign(&mut self) -> Result<Checkpoint, Unsigned> {
        let key = match self.key.take() {
            Some(key) => key,
            None => open_key(&self.audit, &self.vault).await?,
        };
        let signed = self.audit.checkpoint(&key).await;
        self.key = Some(key);
        Ok(signed?)
    }

    async fn publish(&self, sink: &AuditSink, checkpoint: &Checkpoint) -> Result<(), Failure> {
        let request = match sink {
            AuditSink::File { dir } => return to_file(dir, checkpoint),
            AuditSink::S3 { url, secret, region } => {
                let url = format!("{url}/{}", file_name(checkpoint));
                let secret = self.secret(secret)?;
                return s3::put(&self.client, Object { url: &url, region, secret: &secret }, checkpoint).await;
            }
            AuditSink::Put { url, secret } => {
                let url = format!("{url}/{}", file_name(checkpoint));
                let request = self.client.put(url).header("content-type", "text/plain; charset=utf-8");
                let request = request.body(checkpoint.note.clone());
                match secret {
                    Some(name) => request.bearer_auth(self.secret(name)?.expose_secret()),
                    None => request,
                }
            }
            AuditSink::Webhook { url, secret } => {
                let body = webhook_body(checkpoint);
                let id = format!("{}-{}", checkpoint.origin, checkpoint.size);
                let signed = webhook::sign(&self.secret(secret)?, &id, clock::unix_ms(), &body);
                let request = self.client.post(url).header("content-type", "application/json").body(body);
                request
                    .header("webhook-id", signed.id)
                    .header("webhook-timestamp", signed.timestamp)
                    .header("webhook-signature", signed.signature)
            }
        };
        let response = request.timeout(TIMEOUT).send().await.map_err(|error| match error.is_timeout() {
            true => Failure::Timeout,
            false => Failure::Unreachable,
        })?;
        // The body is left unread: nothing in it is for us.
        match response.status().as_u16() {
            200..300 => Ok(()),
            status => Err(Failure::Status(status)),
        }
    }

    fn secret(&self, name: &str) -> Result<SecretString, Failure> {
        self.vault.get(name).ok_or_else(|| Failure::NoSecret(name.to_owned()))
    }

    fn took(&mut self, label: &str, place: String, size: u64) {
        counter!(metric::AUDIT_PUBLICATIONS, "sink" => label.to_owned(), "result" => "ok").increment(1);
        if self.failures.remove(&place).is_some() {
            tracing::info!(sink = label, size, "audit checkpoints are published there again");
        }
        self.published.insert(place, size);
        let kept = serde_json::to_vec(&self.published).map_err(io::Error::from);
        if let Err(error) = kept.and_then(|bytes| write(&self.audit.dir().join(PUBLISHED), &bytes)) {
            tracing::warn!(%error, "which checkpoints were published is not written down; the next start publishes again");
        }
    }

    fn failed(&mut self, label: &str, place: &str, error: &Failure, behind: u64) {
        counter!(metric::AUDIT_PUBLICATIONS, "sink" => label.to_owned(), "result" => "failed").increment(1);
        let failures = self.failures.entry(place.to_owned()).or_default();
        if failures.is_multiple_of(WARN_EVERY) {
            let error = error as &dyn std::error::Error;
            tracing::warn!(
                error,
                sink = label,
                behind,
                "audit checkpoints are not published there; until then these entries could be rewritten unseen"
            );
        }
        *failures += 1;
    }
}

async fn carry_over(audit: &Audit) {
    let mut tick = ticking();
    loop {
        tick.tick().await;
        match audit.reconcile().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "audit entries were carried from the local journal into the database"),
            Err(error) => tracing::debug!(%error, "the database takes no audit entries yet"),
        }
        gauge!(metric::AUDIT_WAITING).set(audit.waiting() as f64);
    }
}

fn ticking() -> tokio::time::Interval {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick
}

/// Signs the log as it stands, outside of a running gateway's rounds.
pub async fn sign(audit: &Audit, vault: &Vault) -> Result<(LogKey, Checkpoint), Unsigned> {
    let key = open_key(audit, vault).await?;
    let checkpoint = audit.checkpoint(&key).await?;
    Ok((key, checkpoint))
}

/// The log's key; that it was made is the log's own first entry, as a rule.
async fn open_key(audit: &Audit, vault: &Vault) -> Result<LogKey, KeyError> {
    let (dir, vault) = (audit.dir().to_owned(), vault.clone());
    let opened = tokio::task::spawn_blocking(move || LogKey::open(&vault, &dir)).await;
    let key =
        opened.map_err(|error| KeyError::Io { path: audit.dir().to_owned(), source: io::Error::other(error) })??;
    if key.is_unused() {
        let origin = key.public().origin();
        let made = Act::new(Actor::gateway(), Action::AuditKey, ("audit_key", origin));
        let made = made.after(json!({ "public_key": key.public().to_string() }));
        // By the key's own id: whoever made it may have died before this, or after.
        if let Err(error) = audit.keep(&Record::with_id(&made, format!("key-{origin}"))).await {
            tracing::error!(error = &error as &dyn std::error::Error, "that the log's key was made is not in the log");
        }
    }
    Ok(key)
}

/// What a place is known by from one round to the next; a hash would hide what a person may want to read.
fn place(sink: &AuditSink) -> String {
    match sink {
        AuditSink::File { dir } => format!("file {}", dir.display()),
        AuditSink::Put { url, .. } => format!("put {url}"),
        AuditSink::S3 { url, .. } => format!("s3 {url}"),
        AuditSink::Webhook { url, .. } => format!("webhook {url}"),
    }
}

/// `ORIGIN-SIZE.checkpoint`: of its own for each, so that none is ever written over.
fn file_name(checkpoint: &Checkpoint) -> String {
    format!("{}-{:012}.checkpoint", checkpoint.origin, checkpoint.size)
}

/// The directory must be there: a mount that is gone is no place to write to.
fn to_file(dir: &Path, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let path = dir.join(file_name(checkpoint));
    if let Ok(note) = fs::read_to_string(&path) {
        return match same_tree(&note, checkpoint) {
            true => Ok(()),
            false => Err(Failure::Forked),
        };
    }
    // Public, unlike what the state directory has: whoever verifies may read it.
    let new = path.with_extension("new");
    fs::write(&new, &checkpoint.note)?;
    fs::File::open(&new)?.sync_all()?;
    Ok(fs::rename(&new, &path)?)
}

fn same_tree(note: &str, checkpoint: &Checkpoint) -> bool {
    let head = |note: &str| note.lines().take(3).map(str::to_owned).collect::<Vec<_>>();
    head(note) == head(&checkpoint.note)
}

fn webhook_body(checkpoint: &Checkpoint) -> Vec<u8> {
    #[derive(Serialize)]
    struct Data<'a> {
        origin: &'a str,
        size: u64,
        root: String,
        note: &'a str,
    }
    let data = Data {
        origin: &checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root_text(),
        note: &checkpoint.note,
    };
    json!({ "type": "backstop.audit.checkpoint", "data": data }).to_string().into_bytes()
}
