//! The same verbs on a gateway that runs elsewhere, over its admin API: named by `--server`, or by a context file that also says where
//! the token is. A token is in a file that only its owner may read, never in the command line or an environment variable.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Context, Usage,
    login::{Login, login_path},
};
use crate::{admin::Refused, vendor::Clients};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(150);
/// The largest answer that is read, in bytes.
const MOST: usize = 256 << 20;

/// A gateway's admin API, and the token that opens it.
pub(super) struct Remote {
    /// Without a slash at its end.
    base: String,
    token: SecretString,
    http: reqwest::Client,
}

/// `context.toml`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ContextFile {
    /// The admin API, e.g. `http://127.0.0.1:8081`.
    pub(super) server: Option<String>,
    /// What `backstop login` got; relative to this one.
    pub(super) login_file: Option<PathBuf>,
    /// A file with the token; relative to this one.
    token_file: Option<PathBuf>,
    /// The token itself.
    token: Option<SecretText>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct SecretText(String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(a secret)")
    }
}

/// What a server said instead of doing it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Refusal {
    message: String,
    detail: Option<Value>,
}

/// What programs are told of why it was not done, by a server or here.
pub(super) fn detail(error: &anyhow::Error) -> Option<&Value> {
    let by_server = error.downcast_ref::<Refusal>().and_then(|refusal| refusal.detail.as_ref());
    by_server.or_else(|| error.downcast_ref::<Refused>()?.detail())
}

impl Context {
    /// Whether a server was asked for in so many words.
    pub(super) fn names_a_server(&self) -> bool {
        self.server.is_some() || self.context.is_some()
    }

    /// Refuses a server where the verb works on this machine alone.
    pub(super) fn is_here(&self, why: &str) -> Result<(), Usage> {
        if !self.names_a_server() {
            return Ok(());
        }
        Err(Usage(format!(
            "{why}: this verb works on the state directory alone; run it on the gateway's machine, without --server and --context"
        )))
    }

    /// The context file that the command line names, or the usual one; with what is in it, where it is there.
    pub(super) fn context_file(&self) -> anyhow::Result<(PathBuf, ContextFile)> {
        let path = self.context.clone().or_else(usual_file);
        let path = path.context("there is no home directory; name a context file with --context")?;
        let file = if path.exists() { read(&path)? } else { ContextFile::default() };
        Ok((path, file))
    }
}

impl Remote {
    /// The server that the command line names, or the usual context file; `None`: the state directory is meant. A usual server that
    /// cannot be reached is no reason not to work on the state directory.
    pub(super) async fn find(context: &Context) -> anyhow::Result<Option<Self>> {
        let explicit = context.names_a_server();
        if !explicit && (context.state_dir.is_some() || context.config.is_some()) {
            return Ok(None);
        }
        let path = context.context.clone().or_else(usual_file);
        let file = match &path {
            Some(path) if path.exists() || context.context.is_some() => read(path)?,
            _ => ContextFile::default(),
        };
        let Some(server) = context.server.clone().or_else(|| file.server.clone()) else {
            if explicit {
                bail!("the context file names no `server`; write one, or give --server");
            }
            return Ok(None);
        };
        let (base, http) = (checked(&server)?, http()?);
        let token = token(&file, path.as_deref(), &http).await?;
        let remote = Self { base, token, http };
        if explicit {
            return Ok(Some(remote));
        }
        match remote.request(Method::GET, "/me").send().await {
            Ok(_) => Ok(Some(remote)),
            Err(error) if error.is_connect() => {
                eprintln!("note: {server} cannot be reached; working on the state directory");
                Ok(None)
            }
            Err(error) => Err(error).context("the server does not answer"),
        }
    }

    /// The server that the command line names.
    pub(super) async fn named(context: &Context) -> anyhow::Result<Self> {
        Self::find(context).await?.context("no server is named; say --server")
    }

    /// Where nobody has a token yet.
    pub(super) fn unknown(server: &str, http: reqwest::Client) -> anyhow::Result<Self> {
        Self::with_token(server, http, String::new())
    }

    pub(super) fn with_token(server: &str, http: reqwest::Client, token: String) -> anyhow::Result<Self> {
        Ok(Self { base: checked(server)?, token: SecretString::from(token), http })
    }

    /// Reads `path`, below `/admin/v1`, with these parameters; those without a value are left out.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
    ) -> anyhow::Result<T> {
        let mut url = Url::parse(&format!("{}{path}", self.base))?;
        for (name, value) in query {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let request = self.authorized(self.http.get(url));
        answer(request.send().await.with_context(|| self.silent())?).await
    }

    /// Does something, once: where the answer is lost, it is asked again with the same Idempotency-Key.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<T> {
        let key = Uuid::now_v7().to_string();
        let send = || {
            let request = self.request(method.clone(), path).header("idempotency-key", &key);
            request.header("content-type", "application/json").body(body.to_string()).send()
        };
        let response = match send().await {
            Ok(response) => response,
            Err(_) => send().await.with_context(|| self.silent())?,
        };
        answer(response).await
    }

    /// As [`Self::write`], where nothing of the answer is shown.
    pub(super) async fn act(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<()> {
        self.write::<Value>(method, path, body).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.authorized(self.http.request(method, format!("{}{path}", self.base)))
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let request = request.timeout(ANSWER);
        match self.token.expose_secret() {
            "" => request,
            token => request.bearer_auth(token),
        }
    }

    fn silent(&self) -> String {
        format!("{} does not answer; is its gateway running, and is that its `admin.listen`?", self.base)
    }
}

/// Follows no redirects.
pub(super) fn http() -> anyhow::Result<reqwest::Client> {
    // The default provider can be installed once; if it stands already, it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Clients::default().with_connect_deadline(CONNECT)?.http().clone())
}

/// A part of a path, whatever is in it.
pub(super) fn part(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

async fn answer<T: DeserializeOwned>(mut response: reqwest::Response) -> anyhow::Result<T> {
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the server's answer broke off")? {
        if bytes.len() + chunk.len() > MOST {
            bail!("the server's answer is larger than 256 MiB; ask for less with --limit");
        }
        bytes.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return serde_json::from_slice(&bytes).context("the server's answer cannot be read; is it a newer backstop?");
    }
    let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match said.pointer("/error/message").and_then(Value::as_str) {
        Some(message) => {
            let detail = said.pointer("/error/detail").cloned();
            Err(Refusal { message: message.to_owned(), detail }.into())
        }
        None => bail!("the server answered {}; is that a gateway's `admin.listen`?", status.as_u16()),
    }
}

/// `http://…` reaches this machine alone: a token is not sent unencrypted over a network.
fn checked(server: &str) -> anyhow::Result<String> {
    let url = Url::parse(server).with_context(|| format!("`{server}` is not a URL; e.g. http://127.0.0.1:8081"))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        "http" => bail!("the token would travel unencrypted to {host}; use https, or a tunnel to this machine"),
        _ => bail!("`{server}` is neither http nor https"),
    }
    let base = server.trim_end_matches('/').trim_end_matches("/admin/v1");
    Ok(format!("{base}/admin/v1"))
}

async fn token(file: &ContextFile, path: Option<&Path>, http: &reqwest::Client) -> anyhow::Result<SecretString> {
    let text = match (&file.token_file, &file.token) {
        _ if file.login_file.is_some() => Login::token(&login_path(path.unwrap_or(Path::new("")), file), http).await?,
        (Some(token_file), _) => {
            let path = path.and_then(Path::parent).unwrap_or(Path::new(".")).join(token_file);
            read_private(&path)?
        }
        (None, Some(token)) => {
            if let Some(path) = path {
                is_private(path)?;
            }
            token.0.clone()
        }
        (None, None) => {
            let usual = usual_file().map_or_else(|| "a context file".to_owned(), |path| path.display().to_string());
            bail!(
                "no token for the server: run `backstop login`, or name a file that holds it as `token_file` in {usual}, or in one given with --context"
            )
        }
    };
    Ok(SecretString::from(text.trim().to_owned()))
}

fn read(path: &Path) -> anyhow::Result<ContextFile> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the context file {}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        // What the parser quotes may be a token.
        anyhow::anyhow!("the context file {} cannot be read: {}", path.display(), error.message())
    })
}

fn read_private(path: &Path) -> anyhow::Result<String> {
    is_private(path)?;
    fs::read_to_string(path).with_context(|| format!("cannot read the token in {}", path.display()))
}

pub(super) fn is_private(path: &Path) -> anyhow::Result<()> {
    let data = fs::metadata(path).with_context(|| format!("there is no token in {}", path.display()))?;
    let mode = data.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!("{} holds a token and can be read by others (mode {mode:o}); run `chmod 600` on it", path.display());
    }
    Ok(())
}

/// `$XDG_CONFIG_HOME/backstop/context.toml`, or in `~/.config`.
fn usual_file() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(base.join("backstop/context.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_travels_encrypted_or_not_at_all() {
        let base = |server: &str| checked(server).ok();
        assert_eq!(base("http://127.0.0.1:8081/").as_deref(), Some("http://127.0.0.1:8081/admin/v1"));
        assert_eq!(base("http://[::1]:8081/admin/v1").as_deref(), Some("http://[::1]:8081/admin/v1"));
        assert_eq!(base("https://gw.internal").as_deref(), Some("https://gw.internal/admin/v1"));
        for refused in ["http://10.0.0.7:8081", "http://localhost.evil.example", "ftp://x", "gw:8081", ""] {
            assert_eq!(base(refused), None, "{refused}");
        }
    }

    #[test]
    fn nothing_leaves_its_part_of_a_path() {
        assert_eq!(part("sk-bs-a_B"), "sk-bs-a_B");
        assert_eq!(part("../x?y#z é"), "..%2Fx%3Fy%23z%20%C3%A9");
    }
}
