//! The command line: one file per verb, each with its `Args` and its `run`.

pub mod admin;
pub mod alerts;
pub mod audit;
pub mod bench;
pub mod calls;
pub mod check;
pub mod drill;
pub mod eval;
pub mod import;
pub mod incidents;
mod installation;
pub mod keys;
mod limit_args;
pub mod limits;
pub mod login;
pub mod models;
mod operator;
mod place;
pub mod prices;
mod print;
pub mod release;
mod release_rules;
mod remote;
pub mod routes;
pub mod serve;
pub mod share;
mod span;
pub mod tenants;
pub mod usage;
pub mod vault;
pub mod vendor;

use std::{path::PathBuf, process::ExitCode};

use backstop_models::engine::EngineOptions;
use clap::{Args, Parser, Subcommand};

use crate::config::{self, StateDir, StateDirError};

/// A self-hosted AI gateway whose last fallback runs inside its own process.
#[derive(Debug, Parser)]
#[command(name = "backstop", version, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub context: Context,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Clone, Args)]
pub struct Context {
    /// The config file [default: backstop.yaml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where state is kept [default: $XDG_STATE_HOME/backstop or ~/.local/state/backstop]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Ask a running gateway's admin API instead of the state directory, e.g. http://127.0.0.1:8081
    #[arg(long, global = true, value_name = "URL", conflicts_with = "state_dir")]
    pub server: Option<String>,
    /// Which server, and where its token is [default: $XDG_CONFIG_HOME/backstop/context.toml, if there is one and neither --config nor
    /// --state-dir is given]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "state_dir")]
    pub context: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the gateway
    Serve(serve::ServeArgs),
    Check(check::CheckArgs),
    Import(import::ImportArgs),
    Vault(vault::VaultArgs),
    Tenants(tenants::TenantsArgs),
    Keys(keys::KeysArgs),
    Limits(limits::LimitsArgs),
    Models(models::ModelsArgs),
    Eval(eval::EvalArgs),
    Routes(routes::RoutesArgs),
    Release(release::ReleaseArgs),
    Vendor(vendor::VendorArgs),
    Drill(drill::DrillArgs),
    Incidents(incidents::IncidentsArgs),
    Calls(calls::CallsArgs),
    Usage(usage::UsageArgs),
    Prices(prices::PricesArgs),
    Share(share::ShareArgs),
    Alerts(alerts::AlertsArgs),
    Audit(audit::AuditArgs),
    Admin(admin::AdminArgs),
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    Bench(bench::BenchArgs),
}

impl Cli {
    /// On how many threads local models compute, as far as the config can say before anything is run.
    pub fn local_threads(&self) -> usize {
        // A pipe can be read once, and that is not here.
        let file = self.context.config_file().filter(|path| path.is_file());
        let loaded = file.and_then(|file| config::load_file(&file).ok());
        let threads = loaded.and_then(|loaded| loaded.settings.local.threads);
        EngineOptions { threads, ..EngineOptions::default() }.threads()
    }
}

impl Verb {
    /// Why it is not asked of a server; `None`: it can be, or says itself what of it cannot.
    fn stays_here(&self) -> Option<&'static str> {
        match self {
            Self::Serve(_) => Some("a gateway runs where it is started"),
            Self::Check(_) => Some("a config file is checked where it lies"),
            Self::Import(_) => Some("a file is read where it lies"),
            Self::Vault(_) => Some("secrets are set where they are kept, and do not travel"),
            Self::Models(_) => Some("weights are files of the machine that serves them"),
            Self::Bench(_) => Some("it measures the machine that it runs on"),
            _ => None,
        }
    }
}

impl Context {
    /// The state directory, made when missing.
    pub fn state(&self) -> Result<StateDir, StateDirError> {
        StateDir::open(self.state_dir.as_deref())
    }

    /// The config file: the one named, else `backstop.yaml` where it exists.
    pub fn config_file(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| Some(PathBuf::from("backstop.yaml")).filter(|path| path.exists()))
    }
}

/// A command line that asks for what cannot be: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Runs one verb to its exit code: 0 done, 1 error, 2 usage; `eval run` adds 10 fail and 11 inconclusive.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match run_verb(cli).await {
        Err(error) if error.is::<Usage>() => {
            eprintln!("error: {error}");
            Ok(ExitCode::from(2))
        }
        done => done,
    }
}

async fn run_verb(cli: Cli) -> anyhow::Result<ExitCode> {
    let context = &cli.context;
    if let Some(why) = cli.verb.stays_here() {
        context.is_here(why)?;
    }
    match cli.verb {
        Verb::Serve(args) => serve::run(context, args).await,
        Verb::Check(args) => check::run(context, args).await,
        Verb::Import(args) => import::run(context, args).await,
        Verb::Vault(args) => vault::run(context, args).await,
        Verb::Tenants(args) => tenants::run(context, args).await,
        Verb::Keys(args) => keys::run(context, args).await,
        Verb::Limits(args) => limits::run(context, args).await,
        Verb::Models(args) => models::run(context, args).await,
        Verb::Eval(args) => eval::run(context, args).await,
        Verb::Routes(args) => routes::run(context, args).await,
        Verb::Release(args) => release::run(context, args).await,
        Verb::Vendor(args) => vendor::run(context, args).await,
        Verb::Drill(args) => drill::run(context, args).await,
        Verb::Incidents(args) => incidents::run(context, args).await,
        Verb::Calls(args) => calls::run(context, args).await,
        Verb::Usage(args) => usage::run(context, args).await,
        Verb::Prices(args) => prices::run(context, args).await,
        Verb::Share(args) => share::run(context, args).await,
        Verb::Alerts(args) => alerts::run(context, args).await,
        Verb::Audit(args) => audit::run(context, args).await,
        Verb::Admin(args) => admin::run(context, args).await,
        Verb::Login(args) => login::run(context, args).await,
        Verb::Logout(args) => login::log_out(context, args).await,
        Verb::Bench(args) => bench::run(context, args).await,
    }
}
