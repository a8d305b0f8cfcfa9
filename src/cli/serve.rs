//! `backstop serve`: the gateway itself. Without a config it brings its own model, certificate, tenant and key.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use backstop_eval::{report::Verdict, run};
use backstop_models::{catalog::Catalog, fetch};
use clap::Args;
use secrecy::ExposeSecret as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Context;
use crate::{
    api::Stage,
    app::{App, Serving, prepare_default_model, recording, reload},
    config::{self, Finding, Settings},
    observe::{logs, metric},
};

/// How long the start waits for local models; one that takes longer joins when it is there.
const LOADS: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Listen here instead of at the config's `listen`; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
}

/// Runs until a signal ends it.
pub async fn run(context: &Context, args: ServeArgs) -> anyhow::Result<ExitCode> {
    // The default provider can be installed once; if it stands already, it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let state = context.state()?;
    let origin = context.config_file();
    let default_model = Catalog::load(&state.catalog())?.default_model().id.to_string();
    let (settings, findings) = settings(context)?;
    // Only what serves by default is fetched and certified unasked.
    let embedded = settings.routes.is_empty();
    let settings = settings.or_embedded_routes(&default_model);
    for finding in &findings {
        eprintln!("{finding}");
    }
    logs::install(&settings.telemetry)?;
    let metrics = metric::install().context("metrics cannot be set up")?;
    let mut stop = Stop::new()?;
    // From here on: who sends it as soon as we listen must not end us.
    let hangup = signal(SignalKind::hangup())?;
    let (listen, drain) = (args.listen.unwrap_or(settings.listen), settings.drain);
    let app = App::open(state, settings, metrics).await?;
    recording::load(&app, origin.as_deref()).await;
    let serving = Serving::start(&app, listen).await.with_context(|| {
        format!("cannot listen on {listen}; is another gateway running there? choose another address with --listen or `listen:`")
    })?;
    let prepared = tokio::select! {
        prepared = prepare(&app, embedded) => prepared,
        () = stop.asked() => {
            eprintln!("stopped before the gateway was ready; what was fetched is kept");
            serving.drain(app, drain).await;
            return Ok(ExitCode::SUCCESS);
        }
    };
    if let Err(error) = prepared {
        serving.drain(app, drain).await;
        return Err(error);
    }
    app.readiness.enter(Stage::Serving);
    // A config that names tenants says who may call: nobody is let in besides.
    let key = match app.settings.load().tenants.is_empty() {
        true => app.keys.first_tenant().await?,
        false => None,
    };
    announce((serving.address, serving.operators), key.as_ref().map(|issued| issued.key.expose_secret()), &app)?;
    let keeping = reload::keep(&app, origin, reload::Began { findings, default_model, hangup });
    stop.asked().await;
    tracing::info!(?drain, "stopping: in-flight answers may finish");
    eprintln!("stopping: in-flight answers may take up to {drain:?}; a second signal stops at once");
    drop(keeping);
    tokio::select! {
        () = serving.drain(app, drain) => {}
        () = stop.asked() => tracing::warn!("stopped at once; what was in flight is cut"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The config file's settings and what is to be said of them; without a file, those with nothing in them.
fn settings(context: &Context) -> anyhow::Result<(Settings, Vec<Finding>)> {
    let Some(path) = context.config_file() else {
        return Ok((Settings::default(), Vec::new()));
    };
    match config::load_file(&path) {
        Ok(loaded) => Ok((loaded.settings, loaded.findings)),
        Err(findings) => {
            for finding in findings {
                eprintln!("{finding}");
            }
            bail!("the config {} cannot be used; mend it, then see `backstop check`", path.display())
        }
    }
}

/// Certificates and local models; without a config also the default model itself.
async fn prepare(app: &App, embedded: bool) -> anyhow::Result<()> {
    let settings = app.settings.load_full();
    if !embedded {
        app.keeper.round(&settings).await;
        // Vendors and the other models need not wait for one that does not come.
        app.keeper.settle(LOADS).await;
        return Ok(());
    }
    let Some(target) = settings.routes.values().flat_map(|route| &route.targets).find(|target| target.id.is_local())
    else {
        return Ok(());
    };
    let model = target.id.model.to_string();
    let fetching: Arc<dyn fetch::Progress> = Arc::new(fetch::Terminal::default());
    let verdict = prepare_default_model(app, &model, fetching, &run::Bar::new()).await?;
    if verdict != Verdict::Pass {
        bail!(
            "the local model `{model}` did not pass its suite ({verdict}); it does not serve. `backstop eval run` shows why"
        );
    }
    Ok(())
}

/// What a newcomer needs, on standard output: where, with which key, and a line to try.
fn announce((address, operators): (SocketAddr, Option<SocketAddr>), key: Option<&str>, app: &App) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    writeln!(out, "base URL: http://{address}/v1 (OpenAI SDKs), http://{address} (Anthropic SDKs)")?;
    if let Some(operators) = operators {
        writeln!(out, "admin API: http://{operators}/admin/v1 (`backstop admin token issue` opens it)")?;
    }
    if let Some(key) = key {
        let settings = app.settings.load();
        let model = settings.routes.keys().next().map_or("default", |route| route.as_str());
        writeln!(out, "key: {key}")?;
        writeln!(out, "the key is shown this once; `backstop keys issue --tenant default` makes another. Try it:")?;
        writeln!(
            out,
            "curl http://{address}/v1/chat/completions -H 'authorization: Bearer {key}' -H 'content-type: application/json' \
             -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"What is the capital of Japan?\"}}]}}'"
        )?;
    }
    out.flush()
}

/// SIGINT and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
