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
use secrecy::SecretString;

use super::Context;
use crate::{
    config::{
        self, Settings,
        import::{self, Imported, SecretSource},
    },
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
    write(&imported.yaml, output.as_deref(), if force { Existing::Replace } else { Existing::Keep })?;
    for note in &imported.notes {
        eprintln!("note   {note}");
    }
    let written = imported.secrets.iter().any(|secret| matches!(secret.source, SecretSource::Written(_)));
    let vault = if written { Some(open_vault(context).await?) } else { None };
    secrets(&imported, &mut |name, value| {
        let vault = vault.as_ref().context("the vault was not opened")?;
        vault.set(&SecretName::parse(name)?, value)?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The vault of this state directory, which a config that is only being made cannot place elsewhere.
async fn open_vault(context: &Context) -> anyhow::Result<Vault> {
    let settings = match context.config_file().map(|file| config::load_file(&file)) {
        Some(Ok(loaded)) => loaded.settings,
        _ => Settings::default(),
    };
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    Ok(Vault::open(&context.state()?.vault(), &settings.vault, &http).await?)
}

/// Keeps what stood in the file in clear, and lists how to set the others.
fn secrets(imported: &Imported, keep: &mut dyn FnMut(&str, &SecretString) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for secret in &imported.secrets {
        let name = &secret.name;
        match &secret.source {
            SecretSource::Written(value) => {
                keep(name, value).with_context(|| format!("the key of `{name}` could not be put into the vault"))?;
                eprintln!("vault  the key of `{name}` is in the vault now; take it out of the other file");
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
