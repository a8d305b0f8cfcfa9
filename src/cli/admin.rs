//! `backstop admin`: who may operate this gateway over its admin API.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{
    Context,
    keys::expiry,
    place::{Here, Place},
    print::{self, Align},
    remote::{Remote, part},
};
use crate::{
    admin::{
        NewToken, TokenAdmin, token_id,
        view::{self, TokenView},
    },
    clock,
    domain::OperatorRole,
};

/// Operators: their tokens.
///
/// docs/admin-api.md says what each role may. A gateway that runs knows a new token, and one that was revoked, at once.
#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    verb: AdminVerb,
}

#[derive(Debug, Subcommand)]
enum AdminVerb {
    #[command(subcommand)]
    Token(TokenVerb),
}

/// Operators' tokens: issue, list, revoke.
#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Print a new token on standard output; it cannot be shown again
    Issue {
        #[arg(long, value_enum)]
        role: OperatorRole,
        /// Whose it is, or what it is for
        #[arg(long)]
        name: Option<String>,
        /// When it expires: after so long, or at so much UTC; e.g. 30d, 2027-01-31
        #[arg(long, value_parser = expiry, default_value = "90d", value_name = "WHEN")]
        expires: i64,
    },
    /// All tokens by their id (the token's first characters)
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// End a token; a running gateway refuses it at once
    Revoke {
        #[arg(value_name = "TOKEN_ID")]
        token: String,
    },
}

pub async fn run(context: &Context, args: AdminArgs) -> anyhow::Result<ExitCode> {
    let AdminVerb::Token(verb) = args.verb;
    match Place::find(context).await? {
        Place::Server(remote) => run_remote(&remote, verb).await?,
        Place::Here(here) => run_here(&here, verb).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_here(here: &Here, verb: TokenVerb) -> anyhow::Result<()> {
    let audit = here.audit().await?;
    let admin = TokenAdmin::new(here.site.store()?.clone(), here.site.actor.clone());
    match verb {
        TokenVerb::Issue { role, name, expires } => {
            let issued = admin.issue(NewToken { role, name, expires_unix_ms: expires }).await?;
            show((&issued.id, role), issued.token.expose_secret())?;
            here.installation.sign(&audit).await;
        }
        TokenVerb::List { json } => listed(&view::tokens(admin.list().await?, clock::unix_ms()), json)?,
        TokenVerb::Revoke { token } => {
            admin.revoke(token_id(&token)).await?;
            here.installation.sign(&audit).await;
        }
    }
    Ok(())
}

async fn run_remote(remote: &Remote, verb: TokenVerb) -> anyhow::Result<()> {
    match verb {
        TokenVerb::Issue { role, name, expires } => {
            let body = json!({ "role": role, "name": name, "expires_unix_ms": expires });
            let issued: Value = remote.write(Method::POST, "/tokens", &body).await?;
            let token = issued["token"].as_str();
            let token = token
                .context("the answer with the token was lost, and it is shown once: revoke it and issue another")?;
            show((issued["id"].as_str().unwrap_or_default(), role), token)
        }
        TokenVerb::List { json } => listed(&remote.get::<Vec<TokenView>>("/tokens", &[]).await?, json),
        TokenVerb::Revoke { token } => {
            let path = format!("/tokens/{}", part(token_id(&token)));
            remote.act(Method::DELETE, &path, &json!({})).await
        }
    }
}

fn show((id, role): (&str, OperatorRole), token: &str) -> anyhow::Result<()> {
    print::note(&format!("token {id} of role {role}; it is not shown again:"));
    Ok(print::text(&format!("{token}\n"))?)
}

fn listed(tokens: &[TokenView], json: bool) -> anyhow::Result<()> {
    if json { print::json(&tokens) } else { Ok(print::text(&table(tokens))?) }
}

fn table(tokens: &[TokenView]) -> String {
    let columns = ["token", "role", "name", "state", "created", "expires"].map(|head| (head, Align::Left));
    let cells = |token: &TokenView| {
        vec![
            token.id.clone(),
            token.role.to_string(),
            token.name.clone().unwrap_or_else(|| "-".to_owned()),
            token.state.clone(),
            print::moment(token.created_unix_ms),
            print::moment(token.expires_unix_ms),
        ]
    };
    print::table(&columns, &tokens.iter().map(cells).collect::<Vec<_>>())
}
