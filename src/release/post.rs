//! Papers on their way to customers: kept in the state directory, and pending for each place until it has acknowledged them.
//!
//! `releases/papers/NAME.md` and `.json` are what was told; `NAME.todo` lists the places that lack it. A place that does not answer is
//! tried again for ever, with a growing pause: a customer portal that is away for a week gets its notes afterwards, once each.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::paper::Paper;
use crate::{
    clock,
    config::{AuditSink, StateDir, create_private},
    vault::{
        Vault,
        s3::{Object, Over},
        webhook,
    },
};

const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_PAUSE_MS: i64 = 300_000;

/// What waits for one paper.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Todo {
    pub name: String,
    pub kind: String,
    pub since_unix_ms: i64,
    /// Indices into `release.publish`.
    pub places: Vec<usize>,
    pub failures: u32,
    pub not_before_unix_ms: i64,
    pub last_error: Option<String>,
}

/// Keeps `papers`, each once, pending for every place of `publish`. Whoever promotes and the gateway may both try.
pub fn keep(state: &StateDir, papers: &[Paper], publish: &[AuditSink]) -> io::Result<()> {
    let dir = state.releases().join("papers");
    create_private(&dir)?;
    let lock = fs::File::options().write(true).create(true).truncate(false).mode(0o600).open(dir.join("lock"))?;
    // Until it is dropped: what was delivered meanwhile must not be pending anew.
    lock.lock()?;
    for paper in papers {
        let markdown = dir.join(format!("{}.md", paper.name));
        if markdown.exists() {
            continue;
        }
        let todo = Todo {
            name: paper.name.clone(),
            kind: paper.kind.to_owned(),
            since_unix_ms: clock::unix_ms(),
            places: (0..publish.len()).collect(),
            failures: 0,
            not_before_unix_ms: 0,
            last_error: None,
        };
        write(&dir.join(format!("{}.json", paper.name)), &serde_json::to_vec_pretty(&paper.json)?)?;
        if !todo.places.is_empty() {
            write(&dir.join(format!("{}.todo", paper.name)), &serde_json::to_vec(&todo)?)?;
        }
        // Last: a paper is there once all of it is.
        write(&markdown, paper.markdown.as_bytes())?;
    }
    Ok(())
}

/// A paper that was kept: its Markdown and its JSON.
pub fn kept(state: &StateDir, name: &str) -> Option<(String, String)> {
    let dir = state.releases().join("papers");
    let read = |end: &str| fs::read_to_string(dir.join(format!("{name}.{end}"))).ok();
    Some((read("md")?, read("json")?))
}

/// What some place lacks yet.
pub fn pending(state: &StateDir) -> Vec<Todo> {
    let Ok(entries) = fs::read_dir(state.releases().join("papers")) else { return Vec::new() };
    let todos =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "todo"));
    let mut todos: Vec<Todo> = todos.filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok()).collect();
    todos.sort_by(|a, b| (a.since_unix_ms, &a.name).cmp(&(b.since_unix_ms, &b.name)));
    todos
}

/// Brings what is due to the places that lack it.
pub async fn deliver(state: &StateDir, publish: &[AuditSink], (client, vault): (&reqwest::Client, &Vault)) {
    let now = clock::unix_ms();
    for mut todo in pending(state).into_iter().filter(|todo| todo.not_before_unix_ms <= now) {
        let Some((markdown, json)) = kept(state, &todo.name) else { continue };
        let mut left = Vec::new();
        for place in todo.places.clone() {
            // A place that the config no longer names is owed nothing.
            let Some(sink) = publish.get(place) else { continue };
            if let Err(why) = bring(sink, &todo, (&markdown, &json), (client, vault)).await {
                tracing::warn!(paper = todo.name, place, kind = sink.kind(), %why, "a release's paper was not delivered; it is tried again");
                todo.last_error = Some(why);
                left.push(place);
            }
        }
        let path = state.releases().join("papers").join(format!("{}.todo", todo.name));
        let done = if left.is_empty() {
            fs::remove_file(&path)
        } else {
            todo.places = left;
            let pause = 1000_i64.saturating_mul(1_i64 << todo.failures.min(12));
            todo.not_before_unix_ms = now.saturating_add(pause.min(LONGEST_PAUSE_MS));
            todo.failures = todo.failures.saturating_add(1);
            serde_json::to_vec(&todo).map_err(io::Error::other).and_then(|json| write(&path, &json))
        };
        if let Err(error) = done {
            tracing::warn!(%error, "what waits to be delivered cannot be noted; a place may get it twice, under the same id");
        }
    }
}

async fn bring(
    sink: &AuditSink,
    todo: &Todo,
    (markdown, json): (&str, &str),
    (client, vault): (&reqwest::Client, &Vault),
) -> Result<(), String> {
    let secret = |name: &str| vault.get(name).ok_or_else(|| format!("the vault has no secret `{name}`"));
    let answered = |answer: Result<reqwest::Response, reqwest::Error>| match answer {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(format!("it answered {}", response.status().as_u16())),
        Err(error) if error.is_timeout() => Err("it did not answer within 10 s".to_owned()),
        Err(_) => Err("it cannot be reached".to_owned()),
    };
    match sink {
        AuditSink::File { dir } => {
            let put = |end: &str, text: &str| write(&dir.join(format!("{}.{end}", todo.name)), text.as_bytes());
            put("json", json).and_then(|()| put("md", markdown)).map_err(|error| error.to_string())
        }
        AuditSink::Put { url, secret: name } => {
            for (end, text, kind) in [("md", markdown, "text/markdown"), ("json", json, "application/json")] {
                let mut request = client.put(format!("{url}/{}.{end}", todo.name)).timeout(TIMEOUT);
                if let Some(name) = name {
                    request = request.bearer_auth(secret(name)?.expose_secret());
                }
                answered(request.header("content-type", kind).body(text.to_owned()).send().await)?;
            }
            Ok(())
        }
        AuditSink::S3 { url, secret: name, region } => {
            for (end, text, kind) in [("md", markdown, "text/markdown"), ("json", json, "application/json")] {
                let (url, secret) = (format!("{url}/{}.{end}", todo.name), secret(name)?);
                let object = Object { url: &url, region, secret: &secret };
                let put = object.put(client, (kind, text.as_bytes()), Over::Always).await;
                let response = put.map_err(|error| error.to_string())?;
                if !response.status().is_success() {
                    return Err(format!("it answered {}", response.status().as_u16()));
                }
            }
            Ok(())
        }
        AuditSink::Webhook { url, secret: name } => {
            let data: serde_json::Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
            let body = json!({
                "type": format!("backstop.{}", todo.kind), "timestamp": crate::release::desk::moment(todo.since_unix_ms),
                "data": { "name": todo.name, "markdown": markdown, "json": data },
            })
            .to_string()
            .into_bytes();
            let signed = webhook::sign(&secret(name)?, &format!("msg_{}", todo.name), clock::unix_ms(), &body);
            let request = client
                .post(url)
                .timeout(TIMEOUT)
                .header("content-type", "application/json")
                .header("webhook-id", signed.id)
                .header("webhook-timestamp", signed.timestamp)
                .header("webhook-signature", signed.signature);
            answered(request.body(body).send().await)
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new: PathBuf = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::File::create(&new)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}
