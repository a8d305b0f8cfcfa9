//! A login as it is kept: one file of mode 0600, replaced whole. Renewed when it ends soon, by one process at a time: an issuer may take
//! a refresh token once.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{super::remote::is_private, Granted};
use crate::{
    admin::{
        oidc::discovery::{Discovery, post_form},
        view::LoginView,
    },
    clock,
    config::create_private,
};

/// A token that ends sooner than this is renewed first.
const MARGIN_S: i64 = 30;
/// How long a token without an end of its own is used.
const UNSAID_S: i64 = 300;

/// What a login gave.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::cli) struct Login {
    issuer: String,
    client_id: String,
    /// `id` or `access`.
    shows: String,
    pub(in crate::cli) token: String,
    pub(super) until_unix_s: i64,
    refresh_token: Option<String>,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
}

impl Login {
    pub(super) fn of(view: &LoginView, found: &Discovery, granted: Granted) -> anyhow::Result<Self> {
        let mut login = Self {
            issuer: view.issuer.clone(),
            client_id: view.client_id.clone(),
            shows: view.token.clone(),
            token: String::new(),
            until_unix_s: 0,
            refresh_token: None,
            token_endpoint: found.token_endpoint.clone().unwrap_or_default(),
            revocation_endpoint: found.revocation_endpoint.clone(),
        };
        login.take(granted)?;
        Ok(login)
    }

    pub(in crate::cli) fn read(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            bail!("not logged in; run `backstop login`");
        }
        is_private(path)?;
        let text = fs::read(path).with_context(|| format!("cannot read the login in {}", path.display()))?;
        // What the parser quotes may be a token.
        let read = serde_json::from_slice(&text).ok();
        read.with_context(|| format!("the login in {} cannot be read; run `backstop login` again", path.display()))
    }

    pub(super) fn keep(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        write_private(path, &text).with_context(|| format!("cannot write the login to {}", path.display()))
    }

    pub(super) fn can_be_renewed(&self) -> bool {
        self.refresh_token.is_some()
    }

    /// The token of the login in `path`, renewed where it ends soon.
    pub(in crate::cli) async fn token(path: &Path, http: &Client) -> anyhow::Result<String> {
        let ends_soon = |login: &Self| login.until_unix_s - MARGIN_S <= clock::unix_ms() / 1000;
        let login = Self::read(path)?;
        if !ends_soon(&login) {
            return Ok(login.token);
        }
        let lock = path.with_extension("lock");
        let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(&lock)?;
        let _locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
        // Another process may have renewed it meanwhile.
        let mut login = Self::read(path)?;
        if !ends_soon(&login) {
            return Ok(login.token);
        }
        login.renew(http).await?;
        login.keep(path)?;
        Ok(login.token)
    }

    async fn renew(&mut self, http: &Client) -> anyhow::Result<()> {
        let Some(refresh) = self.refresh_token.clone() else {
            bail!("the login is over, and the identity provider gave nothing to renew it with; run `backstop login`");
        };
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str()), ("client_id", &self.client_id)];
        let (status, granted): (_, Granted) = post_form(http, &self.token_endpoint, &form).await?;
        if status != 200 || granted.error.is_some() {
            bail!("the login is over; run `backstop login` again");
        }
        self.take(granted)
    }

    fn take(&mut self, granted: Granted) -> anyhow::Result<()> {
        let (token, other) = match self.shows.as_str() {
            "access" => (granted.access_token, "access_token"),
            _ => (granted.id_token, "id_token"),
        };
        let Some(token) = token else { bail!("the identity provider's answer has no `{other}`") };
        let now = clock::unix_ms() / 1000;
        self.until_unix_s = end(&token).unwrap_or(now + granted.expires_in.unwrap_or(UNSAID_S));
        self.token = token;
        self.refresh_token = granted.refresh_token.or(self.refresh_token.take());
        Ok(())
    }

    /// Tells the issuer that what it gave is not used any more (RFC 7009).
    pub(super) async fn revoke(&self, http: &Client) -> anyhow::Result<()> {
        let (Some(endpoint), Some(refresh)) = (&self.revocation_endpoint, &self.refresh_token) else { return Ok(()) };
        let form =
            [("token", refresh.as_str()), ("token_type_hint", "refresh_token"), ("client_id", self.client_id.as_str())];
        let (status, _): (_, Value) = post_form(http, endpoint, &form).await?;
        if status != 200 {
            bail!("it answered {status}");
        }
        Ok(())
    }
}

/// Replaces `path` whole; nobody else may read it at any moment.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !dir.exists() {
        create_private(dir)?;
    }
    let new = path.with_extension("new");
    // One that a crash left is of us.
    let _ = fs::remove_file(&new);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(fs::rename(&new, path)?)
}

/// When a token says that it ends; it is the gateway that checks it.
fn end(token: &str) -> Option<i64> {
    let claims = BASE64URL.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get("exp")?.as_f64().map(|end| end as i64)
}
