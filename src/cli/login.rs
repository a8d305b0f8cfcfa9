//! `backstop login` and `backstop logout`: a token of the company's identity provider, by the device authorization grant (RFC 8628), for a
//! machine that need not have a browser. What it gets is in one file beside the context file, mode 0600.

mod kept;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;

pub(super) use kept::Login;

use super::{
    Context, print,
    remote::{ContextFile, Remote, http},
};
use crate::{
    admin::{
        oidc::discovery::{Discovery, DiscoveryError, post_form},
        view::LoginView,
    },
    clock,
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 8628, section 3.5.
const USUAL_INTERVAL_S: u64 = 5;
/// However long the issuer says that a code holds.
const LONGEST: Duration = Duration::from_secs(1800);
/// The file that a login is kept in, beside the context file.
const FILE: &str = "login.json";

/// Log in at a gateway with the company's identity provider.
///
/// Shows an address and a code: open the one in any browser, and enter the other. The gateway (--server, or the context file's) says which
/// identity provider it believes; docs/admin-api.md.
#[derive(Debug, Args)]
pub struct LoginArgs {}

/// Forget the login, here and at the identity provider.
#[derive(Debug, Args)]
pub struct LogoutArgs {}

/// RFC 8628, section 3.2.
#[derive(Deserialize)]
struct Device {
    device_code: Option<String>,
    user_code: Option<String>,
    verification_uri: Option<String>,
    verification_uri_complete: Option<String>,
    expires_in: Option<u64>,
    interval: Option<u64>,
    error: Option<String>,
}

/// RFC 6749, sections 5.1 and 5.2.
#[derive(Deserialize)]
pub(super) struct Granted {
    pub(super) access_token: Option<String>,
    pub(super) id_token: Option<String>,
    pub(super) refresh_token: Option<String>,
    pub(super) expires_in: Option<i64>,
    pub(super) error: Option<String>,
}

pub async fn run(context: &Context, _: LoginArgs) -> anyhow::Result<ExitCode> {
    let (path, file) = context.context_file()?;
    let server = context.server.clone().or_else(|| file.server.clone());
    let Some(server) = server else {
        bail!("which gateway? give its admin API, e.g. --server https://gw.internal:8081")
    };
    if file.server.as_ref().is_some_and(|known| known.trim_end_matches('/') != server.trim_end_matches('/')) {
        bail!("{} is about another server; give --context with a file for this one", path.display());
    }
    let http = http()?;
    let view: LoginView = Remote::unknown(&server, http.clone())?.get("/login", &[]).await?;
    let found = Discovery::ask(&http, &view.issuer).await?;
    let login = ask(&http, &view, &found).await?;
    let remote = Remote::with_token(&server, http, login.token.clone())?;
    let me: Value =
        remote.get("/me", &[]).await.context("logged in at the identity provider, but not at the gateway")?;
    login.keep(&login_path(&path, &file))?;
    note_in(&path, &file, &server)?;
    let role = me.get("role").and_then(Value::as_str).unwrap_or("unknown");
    let lasts = if login.can_be_renewed() { "; it is renewed by itself" } else { "" };
    print::text(&format!(
        "logged in at {server}, role {role}, until {}{lasts}\n",
        print::moment(login.until_unix_s * 1000)
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub async fn log_out(context: &Context, _: LogoutArgs) -> anyhow::Result<ExitCode> {
    let (path, file) = context.context_file()?;
    let kept = login_path(&path, &file);
    if !kept.exists() {
        print::text("not logged in\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let revoked = match Login::read(&kept) {
        Ok(login) => login.revoke(&http()?).await,
        Err(error) => Err(error),
    };
    std::fs::remove_file(&kept).with_context(|| format!("cannot remove {}", kept.display()))?;
    print::text("logged out\n")?;
    if let Err(error) = revoked {
        eprintln!("warning: the identity provider was not told: {error:#}; what it gave ends by itself");
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a context file says that its login is, or the usual place.
pub(super) fn login_path(context: &Path, file: &ContextFile) -> PathBuf {
    let name = file.login_file.clone().unwrap_or_else(|| PathBuf::from(FILE));
    context.parent().unwrap_or(Path::new(".")).join(name)
}

/// Shows a code, and waits until somebody has entered it.
async fn ask(http: &Client, view: &LoginView, found: &Discovery) -> anyhow::Result<Login> {
    let (Some(device_endpoint), Some(token_endpoint)) = (&found.device_authorization_endpoint, &found.token_endpoint)
    else {
        bail!(
            "{} offers no device authorization grant; let it offer one to the client `{}`",
            view.issuer,
            view.client_id
        );
    };
    let scopes = view.scopes.join(" ");
    let form = [("client_id", view.client_id.as_str()), ("scope", &scopes)];
    let (_, device): (_, Device) = post_form(http, device_endpoint, &form).await?;
    let (Some(device_code), Some(user_code), Some(address)) =
        (&device.device_code, &device.user_code, &device.verification_uri)
    else {
        let why = shown(device.error.as_deref().unwrap_or("an answer without a code"));
        bail!("the identity provider gives the client `{}` no code: {why}", view.client_id);
    };
    eprintln!("open  {}\nenter {}", shown(address), shown(user_code));
    if let Some(whole) = &device.verification_uri_complete {
        eprintln!("or    {}", shown(whole));
    }
    let until = clock::now() + Duration::from_secs(device.expires_in.unwrap_or(600)).min(LONGEST);
    let mut wait = Duration::from_secs(device.interval.unwrap_or(USUAL_INTERVAL_S).clamp(1, 60));
    let form = [("grant_type", GRANT), ("device_code", device_code), ("client_id", &view.client_id)];
    while clock::now() + wait < until {
        tokio::time::sleep(wait).await;
        let answer: Result<(u16, Granted), _> = post_form(http, token_endpoint, &form).await;
        match answer {
            Ok((200, granted)) if granted.error.is_none() => return Login::of(view, found, granted),
            Ok((_, granted)) => match granted.error.as_deref() {
                Some("authorization_pending") => {}
                Some("slow_down") => wait += Duration::from_secs(5),
                Some("access_denied") => bail!("the login was refused in the browser"),
                Some("expired_token") => break,
                other => bail!("the identity provider gives no token: {}", shown(other.unwrap_or("no reason said"))),
            },
            // RFC 8628, section 3.5: back off.
            Err(DiscoveryError::Unreachable(_)) => wait = (wait * 2).min(Duration::from_secs(60)),
            Err(error) => return Err(error.into()),
        }
    }
    bail!("nobody entered the code in time; run `backstop login` again")
}

/// The context file names the server, and where the login is.
fn note_in(path: &Path, file: &ContextFile, server: &str) -> anyhow::Result<()> {
    let mut lines = String::new();
    if file.server.is_none() {
        lines.push_str(&format!("server = {}\n", toml::Value::String(server.to_owned())));
    }
    if file.login_file.is_none() {
        lines.push_str(&format!("login_file = \"{FILE}\"\n"));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let before = if path.exists() { std::fs::read_to_string(path)? } else { String::new() };
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    kept::write_private(path, format!("{before}{gap}{lines}").as_bytes())
        .with_context(|| format!("cannot write the context file {}", path.display()))
}

/// What another machine said, on one line and without what a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(300).collect()
}
