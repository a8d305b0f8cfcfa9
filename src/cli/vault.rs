//! `backstop vault`: vendors' secrets, taken from standard input alone and shown by their last four characters.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secrecy::SecretString;

use super::{
    Context,
    installation::Installation,
    operator::operator,
    print::{self, Align},
};
use crate::{
    domain::{Act, Action},
    vault::{Listed, SecretName, Vault, read_secret},
};

/// Vendors' secrets: set, list, rotate, remove.
#[derive(Debug, Args)]
pub struct VaultArgs {
    #[command(subcommand)]
    verb: VaultVerb,
}

#[derive(Debug, Subcommand)]
enum VaultVerb {
    /// Seal the secret on standard input as NAME, which is the vendor's name unless the config says otherwise
    Set { name: String },
    /// Names, last four characters and age of all secrets
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// As `set`, for a secret that is there already; a running server uses it at once
    Rotate { name: String },
    /// Remove a secret
    Rm { name: String },
}

pub async fn run(context: &Context, args: VaultArgs) -> anyhow::Result<ExitCode> {
    let installation = Installation::find(context)?;
    match args.verb {
        VaultVerb::Set { name } => {
            let name = SecretName::parse(&name)?;
            let secret = secret_on_stdin()?;
            let audit = installation.audit().await?;
            let vault = installation.vault().await?;
            let listed =
                audit.around(act(Action::VaultSet, &name), async { anyhow::Ok(vault.set(&name, &secret)?) }).await?;
            installation.sign(&audit).await;
            print::note(&format!("sealed {name} (…{}), version {}", listed.last_four, listed.version));
            if !installation.secrets().is_empty() && !installation.secrets().contains(&name.to_string()) {
                eprintln!("note: nothing in the config looks for a secret named {name}");
            }
        }
        VaultVerb::Rotate { name } => {
            let name = SecretName::parse(&name)?;
            let secret = secret_on_stdin()?;
            let audit = installation.audit().await?;
            let vault = installation.vault().await?;
            let rotate = async { anyhow::Ok(vault.rotate(&name, &secret)?) };
            let listed = audit.around(act(Action::VaultRotate, &name), rotate).await?;
            installation.sign(&audit).await;
            print::note(&format!("rotated {name} (…{}), version {}", listed.last_four, listed.version));
        }
        VaultVerb::Rm { name } => {
            let name = SecretName::parse(&name)?;
            let audit = installation.audit().await?;
            let vault = installation.vault().await?;
            audit.around(act(Action::VaultRemove, &name), async { anyhow::Ok(vault.remove(&name)?) }).await?;
            installation.sign(&audit).await;
        }
        VaultVerb::List { json } => {
            let vault = installation.vault().await?;
            if json {
                print::json(&vault.list())?
            } else {
                print::text(&table(vault.list()))?
            }
            return Ok(tell_faults(&vault));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn act(action: Action, name: &SecretName) -> Act {
    Act::new(operator(), action, ("secret", name.to_string()))
}

fn table(secrets: Vec<Listed>) -> String {
    let columns = [("name", Align::Left), ("ends in", Align::Left), ("version", Align::Right), ("set at", Align::Left)];
    let cells = |secret: Listed| {
        vec![secret.name, secret.last_four, secret.version.to_string(), print::moment(secret.set_at_unix_ms)]
    };
    print::table(&columns, &secrets.into_iter().map(cells).collect::<Vec<_>>())
}

/// Exit code 1 when a secret cannot be opened.
fn tell_faults(vault: &Vault) -> ExitCode {
    let faults = vault.faults();
    for (_, why) in &faults {
        eprintln!("error: {why}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// From a pipe to its end; from a terminal one line, which it shows.
fn secret_on_stdin() -> anyhow::Result<SecretString> {
    let stdin = io::stdin();
    let secret = if stdin.is_terminal() {
        eprintln!(
            "the secret, then Enter (it will be seen as you type; a pipe is safer: `… | backstop vault set NAME`):"
        );
        let mut line = zeroize::Zeroizing::new(String::new());
        stdin.lock().read_line(&mut line)?;
        read_secret(line.as_bytes())
    } else {
        read_secret(stdin.lock())
    };
    secret.context("the secret was not taken")
}
