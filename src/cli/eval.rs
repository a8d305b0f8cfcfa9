//! `backstop eval`: the Stage 2 gate by hand. Runs suites, shows them, tells of runs, and shows what was certified.

mod certify;
mod certs;
mod diff;
mod import;
mod located;
mod page;
mod plan;
mod referees;
mod run_suite;
mod runs;
mod schema;
mod scope;
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
    /// The JSON Schema of a suite's two files and of a scorer's lines, for editors
    Schema {
        /// Only the header's, only that of an item, or that of scorers [default: a suite's files]
        part: Option<schema::Part>,
    },
    /// Every run that was kept, newest first
    Runs {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// A run as one HTML page: gates with intervals, every miss with its transcript, a comparison
    Report(page::ReportArgs),
    /// Two runs of one suite: what each gate counts for both, and which items were won and lost
    Diff(diff::DiffArgs),
    /// How many items a gate needs to tell a good model from a bad one, and how likely a model is to pass
    Plan(plan::PlanArgs),
    /// Take over a suite of another tool: its questions and checks become a suite of ours, and what cannot be carried is named
    Import(import::ImportArgs),
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
        /// How many of these keys must have signed [default: 1]; without --key the config says
        #[arg(long, value_name = "N", requires = "key", value_parser = clap::value_parser!(u16).range(1..))]
        signatures: Option<u16>,
    },
}

pub async fn run(context: &Context, args: EvalArgs) -> anyhow::Result<ExitCode> {
    if let EvalVerb::Verify { file, key, signatures } = &args.verb
        && !key.is_empty()
    {
        return certs::verify_offline(file, key, signatures.map_or(1, usize::from));
    }
    let verb = match args.verb {
        EvalVerb::Certs { json } => return certs::list(context, json).await,
        EvalVerb::Revoke(args) => return certify::revoke(context, &args).await,
        verb => verb,
    };
    context.is_here("the gate works where suites, weights and reports are")?;
    let installation = Installation::find(context)?;
    match verb {
        EvalVerb::Run(args) => run_suite::run(&installation, *args).await,
        EvalVerb::List { json: true } => suites::list_json(&installation),
        EvalVerb::List { json: false } => suites::list(&installation),
        EvalVerb::Show { suite } => suites::show(&installation, &suite),
        EvalVerb::Schema { part } => schema::print(part),
        EvalVerb::Runs { json: true } => runs::list_json(&installation),
        EvalVerb::Runs { json: false } => runs::list(&installation),
        EvalVerb::Report(args) => page::run(&installation, &args),
        EvalVerb::Diff(args) => diff::run(&installation, &args),
        EvalVerb::Plan(args) => plan::run(&installation, &args),
        EvalVerb::Import(args) => import::run(&args),
        EvalVerb::Certify(args) => certify::certify(installation, args).await,
        EvalVerb::Verify { file, .. } => certs::verify(&installation, &file),
        EvalVerb::Certs { .. } | EvalVerb::Revoke(_) => Ok(ExitCode::SUCCESS),
    }
}
