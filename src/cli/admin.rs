//! `backstop admin`: who may operate this gateway over its admin API.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;

use super::{
    Context,
    installation::Installation,
    keys::expiry,
    operator::operator,
    print::{self, Align},
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
    let installation = Installation::find(context)?;
    let store = installation.store().await?;
    let audit = installation.audit_on(store.clone()).await?;
    let admin = TokenAdmin::new(store, operator());
    match verb {
        TokenVerb::Issue { role, name, expires } => {
            let issued = admin.issue(NewToken { role, name, expires_unix_ms: expires }).await?;
            print::note(&format!("token {} of role {role}; it is not shown again:", issued.id));
            print::text(&format!("{}\n", issued.token.expose_secret()))?;
            installation.sign(&audit).await;
        }
        TokenVerb::List { json } => {
            let tokens = view::tokens(admin.list().await?, clock::unix_ms());
            if json { print::json(&tokens)? } else { print::text(&table(&tokens))? }
        }
        TokenVerb::Revoke { token } => {
            admin.revoke(token_id(&token)).await?;
            installation.sign(&audit).await;
        }
    }
    Ok(ExitCode::SUCCESS)
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
