//! `backstop eval`: the Stage 2 gate by hand. Runs suites, shows them, and shows what was certified.

mod certify;
mod certs;
mod run_suite;
mod subject_for;
mod suites;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use super::{Context, installation::Installation};

/// The Stage 2 gate: suites, runs, certificates.
#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(subcommand)]
    verb: EvalVerb,
}

#[derive(Debug, Subcommand)]
enum EvalVerb {
    /// Ask a target every question of a suite; exit code 0 pass, 10 fail, 11 inconclusive
    Run(Box<run_suite::RunArgs>),
    /// Every suite, the user's own and the built-in ones
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// One suite: its gates and its questions
    Show { suite: String },
    /// Every certificate, and whether it holds for what is here now
    Certs {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Certify a stored run that passed, or add a signature to a certificate
    Certify(certify::CertifyArgs),
    /// Take a certificate back: its target leaves every route at once
    Revoke(certify::RevokeArgs),
    /// Verify one certificate's signatures and numbers, offline
    Verify {
        file: PathBuf,
        /// A public key, a `signing.pub`; once for each signer [default: this installation's own and the config's]
        #[arg(long, value_name = "FILE")]
        key: Vec<PathBuf>,
    },
}

pub async fn run(context: &Context, args: EvalArgs) -> anyhow::Result<ExitCode> {
    let installation = Installation::find(context)?;
    match args.verb {
        EvalVerb::Run(args) => run_suite::run(&installation, *args).await,
        EvalVerb::List { json: true } => suites::list_json(&installation),
        EvalVerb::List { json: false } => suites::list(&installation),
        EvalVerb::Show { suite } => suites::show(&installation, &suite),
        EvalVerb::Certs { json: true } => certs::list_json(installation).await,
        EvalVerb::Certs { json: false } => certs::list(installation).await,
        EvalVerb::Certify(args) => certify::certify(installation, args).await,
        EvalVerb::Revoke(args) => certify::revoke(&installation, &args).await,
        EvalVerb::Verify { file, key } => certs::verify(&installation, &file, &key),
    }
}
