//! `backstop bench`: how fast the in-process tier is on this machine, beside another server if one is named.
//!
//! Asks the engine itself, without the gateway around it; another server is asked over HTTP with the same prompts, in turns
//! with ours, so that both see the same machine. Nothing here is kept: no ledger, no certificate.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, anyhow};
use backstop_models::{
    catalog::Catalog,
    engine::{Engine, EngineOptions},
    load::multiplied,
};
use clap::{Args, Subcommand, ValueEnum};

use super::{Context, installation::Installation};
use crate::release::{Gate, engine_options, machine as memory_and_cores};

mod figures;
mod load;
mod machine;
mod plot;

use figures::{Failure, OfLimits, Report, Row};
use load::{Load, PATIENCE, Server, Task};

/// Benchmarks of this machine.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    verb: BenchVerb,
}

#[derive(Debug, Subcommand)]
enum BenchVerb {
    /// The in-process model under load: time to first token, tokens per second, memory
    Local(LocalArgs),
}

#[derive(Debug, Args)]
struct LocalArgs {
    /// A model of the catalog, pulled before [default: the catalog's default model]
    #[arg(long)]
    model: Option<String>,
    /// How many clients ask at once: one row for each number
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8], value_parser = clap::value_parser!(u16).range(1..=256))]
    clients: Vec<u16>,
    /// Words of each prompt, which no two calls share
    #[arg(long, value_name = "WORDS", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    prompt: u32,
    /// Words of a system prompt that all calls share
    #[arg(long, value_name = "WORDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    shared: u32,
    /// Ask for each prompt's words again, as extraction does, instead of more words
    #[arg(long)]
    copy: bool,
    /// Ask the engine without guesses (`local.lookup_tokens`), too, in turns
    #[arg(long)]
    without_lookup: bool,
    /// The most tokens of each answer
    #[arg(long, value_name = "TOKENS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    output: u32,
    /// Calls of each client
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Threads to compute on [default: the config's `local.threads`, else half of the cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Another OpenAI-compatible server to ask the same, e.g. http://127.0.0.1:8080/v1
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// What the other server calls its model
    #[arg(long, value_name = "NAME", default_value = "default", requires = "against")]
    against_model: String,
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
    /// Where to write a plot (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table
    Pretty,
    /// For programs
    Json,
}

pub async fn run(context: &Context, args: BenchArgs) -> anyhow::Result<ExitCode> {
    let BenchVerb::Local(args) = args.verb;
    let report = measure(context, &args).await?;
    match args.format {
        Format::Pretty => println!("{}", report.table()),
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    if let Some(file) = &args.plot {
        std::fs::write(file, plot::svg(&report))
            .with_context(|| format!("the plot cannot be written to {}", file.display()))?;
    }
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(context: &Context, args: &LocalArgs) -> anyhow::Result<Report> {
    let installation = Installation::find(context)?;
    let settings = installation.settings();
    let model = match &args.model {
        Some(model) => model.clone(),
        None => Catalog::load(&installation.state.catalog())?.default_model().id.to_string(),
    };
    let mut options = engine_options(&settings.local, &memory_and_cores(&settings.local));
    options.threads = args.threads.map(usize::from).or(options.threads);
    options.running = options.running.max(args.clients.iter().copied().max().map_or(1, usize::from));
    // All that is asked is to be measured, however long it waits.
    (options.queue_tokens, options.max_wait) = (usize::MAX / 8, PATIENCE);
    let (threads, device) = (options.threads(), options.device);
    let gate = Arc::new(Gate::open(&installation.state)?);
    let id = model.clone();
    let plain = args.without_lookup.then(|| EngineOptions { lookup_tokens: 0, ..options.clone() });
    let loaded = tokio::task::spawn_blocking(move || {
        let found =
            gate.local(&id, options.device).map_err(|why| anyhow!("{why}; `backstop models pull {id}` fetches it"))?;
        let lengths = found.files.weight_files().map(|path| Ok(std::fs::metadata(path)?.len()));
        let bytes = lengths.sum::<std::io::Result<u64>>()?;
        let weights = multiplied(&found.files)?;
        let plain = plain.map(|plain| Engine::start(found.files.clone(), plain)).transpose()?;
        Ok::<_, anyhow::Error>((Engine::start(found.files, options)?, plain, (bytes, weights)))
    });
    let (engine, plain, (file_bytes, weights_per_token)) = loaded.await??;
    let mut servers = vec![Server::engine("backstop", engine)];
    servers.extend(plain.map(|plain| Server::engine("without guesses", plain)));
    if let Some(url) = &args.against {
        let server = Server::http(url, &args.against_model)?;
        server.probe().await.with_context(|| format!("{url} does not answer a chat completion"))?;
        servers.push(server);
    }
    let (rows, failures) = drive(args, servers).await;
    let peak_bytes = machine::peak_bytes();
    // After that: what it reads would be the peak otherwise.
    let limits = tokio::task::spawn_blocking(move || machine::limits(threads)).await?;
    let mut report = Report {
        model,
        device: device.to_string(),
        threads,
        prompt_words: args.prompt,
        shared_words: args.shared,
        output_tokens: args.output,
        file_bytes,
        weights_per_token,
        peak_bytes,
        limits,
        of_limits: None,
        rows,
        failures,
    };
    report.of_limits = OfLimits::of(&report);
    Ok(report)
}

/// Asks all servers in turns. One that fails is not asked on: what was measured until then, and the others, are worth having.
async fn drive(args: &LocalArgs, mut servers: Vec<Server>) -> (Vec<Row>, Vec<Failure>) {
    let bar = indicatif::ProgressBar::new((args.clients.len() * servers.len()) as u64);
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    let mut seed = 0;
    for clients in args.clients.iter().copied().map(usize::from) {
        for server in std::mem::take(&mut servers) {
            bar.set_message(format!("{} × {clients}", server.name()));
            let load = Load {
                clients,
                words: args.prompt as usize,
                shared_words: args.shared as usize,
                output_tokens: args.output,
                rounds: args.rounds as usize,
                seed,
                task: if args.copy { Task::Copy } else { Task::GoOn },
            };
            seed += 1;
            match load.drive(&server).await {
                Ok(samples) => {
                    rows.push(Row::of(server.name(), clients, &samples));
                    servers.push(server);
                }
                Err(error) => failures.push(Failure { server: server.name(), clients, why: format!("{error:#}") }),
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    (rows, failures)
}
