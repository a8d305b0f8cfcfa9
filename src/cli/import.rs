//! `backstop import`: turns another gateway's config into ours. Keys that stand in it go into the vault, never into the
//! file; what is only named there is listed with the command that sets it.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Context, installation::Installation};
use crate::{
    config::import::{self, Imported, SecretSource},
    vault::{SecretName, Vault},
};

/// Turn another gateway's config into ours.
#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    pub from: From,
}

#[derive(Debug, Subcommand)]
pub enum From {
    /// A LiteLLM proxy config
    Litellm {
        /// LiteLLM's config.yaml
        file: PathBuf,
        /// Write here instead of on standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Write over a file that is there already
        #[arg(long, requires = "output")]
        force: bool,
    },
}

/// Exit code 0 when something could be carried; what could not is listed on standard error.
pub async fn run(context: &Context, args: ImportArgs) -> anyhow::Result<ExitCode> {
    let From::Litellm { file, output, force } = args.from;
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let imported = match import::litellm(&text, &file) {
        Ok(imported) => imported,
        Err(findings) => {
            for finding in &findings {
                eprintln!("{:6} {finding}", finding.severity.as_str());
            }
            bail!("{} cannot be imported", file.display());
        }
    };
    // The vault is opened first: a config whose keys are nowhere is of no use.
    let written = imported.secrets.iter().any(|secret| matches!(secret.source, SecretSource::Written(_)));
    let vault = if written { Some(Installation::find(context)?.vault().await?) } else { None };
    write(&imported.yaml, output.as_deref(), if force { Existing::Replace } else { Existing::Keep })?;
    for note in &imported.notes {
        eprintln!("note   {note}");
    }
    secrets(&imported, &mut |name, value| seal(vault.as_ref(), name, value))?;
    Ok(ExitCode::SUCCESS)
}

/// What became of a key that stood in the other file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sealed {
    Now,
    /// The vault has another secret under this name, and keeps it.
    Not,
}

fn seal(vault: Option<&Vault>, name: &str, value: &SecretString) -> anyhow::Result<Sealed> {
    let vault = vault.context("the vault is not open")?;
    if vault.get(name).is_some_and(|known| known.expose_secret() != value.expose_secret()) {
        return Ok(Sealed::Not);
    }
    vault.set(&SecretName::parse(name)?, value)?;
    Ok(Sealed::Now)
}

/// Keeps what stood in the file in clear, and lists how to set the others.
fn secrets(
    imported: &Imported,
    keep: &mut dyn FnMut(&str, &SecretString) -> anyhow::Result<Sealed>,
) -> anyhow::Result<()> {
    for secret in &imported.secrets {
        let name = &secret.name;
        match &secret.source {
            SecretSource::Written(value) => {
                let sealed = keep(name, value).with_context(|| format!("the key of `{name}` is not in the vault"))?;
                match sealed {
                    Sealed::Now => eprintln!("vault  the key of `{name}` is sealed; take it out of the other file"),
                    Sealed::Not => eprintln!(
                        "vault  to do: another secret `{name}` is there already and was kept; `backstop vault rotate {name}` replaces it"
                    ),
                }
            }
            SecretSource::Environment(variable) => {
                eprintln!("vault  to do: printf %s \"${variable}\" | backstop vault set {name}");
            }
            SecretSource::Elsewhere(place) => {
                eprintln!("vault  to do: backstop vault set {name}   (LiteLLM takes it from {place})");
            }
        }
    }
    Ok(())
}

/// What happens to a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Keep,
    Replace,
}

fn write(yaml: &str, output: Option<&Path>, existing: Existing) -> anyhow::Result<()> {
    let Some(path) = output else {
        return Ok(io::stdout().lock().write_all(yaml.as_bytes())?);
    };
    let mut options = OpenOptions::new();
    match existing {
        Existing::Keep => options.write(true).create_new(true),
        Existing::Replace => options.write(true).create(true).truncate(true),
    };
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} is there already; --force writes over it", path.display())
        }
        opened => opened.and_then(|mut file| file.write_all(yaml.as_bytes())),
    }
    .with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("wrote  {}", path.display());
    Ok(())
}
