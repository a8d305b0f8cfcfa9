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
use crate::config::import::{self, Imported, SecretSource};

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
