//! `backstop release`: the order of a route's targets as numbered releases: proposed, promoted, rolled back.
//!
//! Works on the state directory, whether a server runs or not; a running one follows at once.

mod canary;
mod remote;
mod shown;

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, installation::Installation, operator::operator, print, release_rules};
use crate::{
    config::Settings,
    domain::{RouteId, TargetId},
    release::{
        Gate,
        desk::{Desk, DeskError, Moved, Promotion, described},
        paper, post,
        shelf::Shelf,
    },
};

/// Releases: propose, approve, canary, promote, rollback, import, retire, history, diff, status
///
/// A route's order of targets is a release: numbered, never changed. The config file gives the first, and until somebody acts on the
/// route here, every change of the file is the next one. From then on a changed file asks for `release import`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    #[command(subcommand)]
    verb: ReleaseVerb,
}

#[derive(Debug, Subcommand)]
enum ReleaseVerb {
    Rules(release_rules::RulesArgs),
    /// Put down a new order of targets; nothing changes until it is promoted
    Propose {
        route: String,
        /// The targets in order, as `vendor/model,vendor/model,local/model`
        #[arg(long, value_delimiter = ',', required = true)]
        targets: Vec<String>,
        #[arg(long)]
        reason: String,
        #[arg(long)]
        json: bool,
    },
    /// Stand behind a release, as one more person
    Approve {
        route: String,
        number: u32,
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Make a release the one that serves; the one before stays as a fallback for `release.retain`
    ///
    /// Refused, with every reason at once, unless all its targets are certified for the route's suite, its first fallback is of another
    /// vendor, a critical route ends in our own hardware, the share cap can be kept, and enough persons stand behind it.
    Promote {
        route: String,
        number: u32,
        #[arg(long)]
        reason: String,
        /// Somebody else who agreed
        #[arg(long, value_name = "NAME")]
        approve_by: Vec<String>,
        #[arg(long)]
        json: bool,
    },
    /// Try a release on a part of the calls, by client key or by call, or beside what serves
    ///
    /// Needs what a promotion needs (a shadow one person fewer); less of the calls needs nothing, and --stop not even the database. A
    /// promotion, an import or a rollback of the route ends it.
    Canary(canary::CanaryArgs),
    /// Go back to the retained release, at once; needs no database and asks no vendor
    Rollback {
        route: String,
        #[arg(long)]
        reason: String,
        /// A certain retained release instead of the latest
        #[arg(long, value_name = "NUMBER")]
        to: Option<u32>,
        /// Only if this release serves now
        #[arg(long, value_name = "NUMBER")]
        from: Option<u32>,
        #[arg(long)]
        json: bool,
    },
    /// Take the config file's order over as a release that serves
    Import {
        #[arg(required_unless_present = "all")]
        route: Option<String>,
        /// Every route whose file has another order
        #[arg(long, conflicts_with = "route")]
        all: bool,
        #[arg(long, default_value = "the config file's order is taken over")]
        reason: String,
        #[arg(long, value_name = "NAME")]
        approve_by: Vec<String>,
        #[arg(long)]
        json: bool,
    },
    /// Let a retained release go, once its time is over
    Retire {
        route: String,
        number: u32,
        #[arg(long)]
        reason: String,
    },
    /// Everything that was done to a route's releases
    History {
        route: String,
        #[arg(long)]
        json: bool,
    },
    /// What changes from one release to another
    Diff {
        route: String,
        old: u32,
        new: u32,
        #[arg(long)]
        json: bool,
    },
    /// The release notes of a promotion: what it changed, computed from the evaluations of both
    Notes {
        route: String,
        number: u32,
        #[arg(long)]
        json: bool,
    },
    /// The model card of a target, from its certificate, evaluation and prices
    Card {
        /// As `vendor/model`
        model: String,
        /// The suite of the certificate, where it is not that of the first route with the model
        #[arg(long)]
        suite: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Cards and notes that some place has not acknowledged yet
    Pending {
        #[arg(long)]
        json: bool,
    },
    /// What serves, what is retained, and where the config file differs
    Status {
        route: Option<String>,
        #[arg(long)]
        json: bool,
    },
}

/// What the verbs work with.
struct Bench {
    installation: Installation,
    shelf: Shelf,
    settings: Arc<Settings>,
}

impl Bench {
    async fn open(context: &Context) -> anyhow::Result<Self> {
        let installation = Installation::find(context)?;
        let store = match installation.store().await {
            Ok(store) => Some(store),
            Err(error) => {
                eprintln!("warning: {error:#}; the last good copy of the releases counts");
                None
            }
        };
        let shelf = Shelf::open(&installation.state, store);
        let settings = Arc::new(installation.settings_or_embedded()?);
        Ok(Self { installation, shelf, settings })
    }

    fn desk(&self) -> Desk<'_> {
        Desk { shelf: &self.shelf, settings: Arc::clone(&self.settings), actor: operator() }
    }

    async fn sign(&self) -> anyhow::Result<()> {
        let audit = self.installation.audit().await?;
        self.installation.sign(&audit).await;
        Ok(())
    }
}

pub async fn run(context: &Context, args: ReleaseArgs) -> anyhow::Result<ExitCode> {
    if let Some(remote) = remote::find(context, &args.verb).await? {
        return remote::run(&remote, args.verb).await;
    }
    match args.verb {
        ReleaseVerb::Rollback { route, reason, to, from, json } => {
            roll_back(context, &RouteId::new(route), (from, to), (&reason, json)).await
        }
        ReleaseVerb::Canary(canary) if canary.stop => canary::stop(context, canary).await,
        verb => with_bench(context, verb).await,
    }
}

async fn with_bench(context: &Context, verb: ReleaseVerb) -> anyhow::Result<ExitCode> {
    let bench = Bench::open(context).await?;
    let desk = bench.desk();
    match verb {
        ReleaseVerb::Rules(rules) => return release_rules::run(context, rules).await,
        ReleaseVerb::Propose { route, targets, reason, json } => {
            let (route, targets) = (RouteId::new(route), parsed(&targets)?);
            let number = desk.propose(&route, targets.clone(), &reason).await?;
            bench.sign().await?;
            if json {
                print::json(&json!({ "route": route, "release": number, "targets": targets }))?;
            } else {
                println!(
                    "release {number} of {route}; `backstop release promote {route} {number} --reason …` makes it serve"
                );
            }
        }
        ReleaseVerb::Canary(args) => return canary::run(&bench, args).await,
        ReleaseVerb::Approve { route, number, reason } => {
            desk.approve(&RouteId::new(route), number, &reason).await?;
            bench.sign().await?;
        }
        ReleaseVerb::Promote { route, number, reason, approve_by, json } => {
            let gate = Arc::new(Gate::open(&bench.installation.state)?);
            let store = bench.installation.store().await?;
            let promotion = Promotion { number, reason, approved_by: approve_by };
            let done = desk.promote((&gate, &store), &RouteId::new(route), promotion).await;
            return end(&bench, done.map(Some), json).await;
        }
        ReleaseVerb::Import { route, all, reason, approve_by, json } => {
            let routes: Vec<RouteId> = match (route, all) {
                (Some(route), _) => vec![RouteId::new(route)],
                (None, _) => bench.settings.routes.keys().cloned().collect(),
            };
            let gate = Arc::new(Gate::open(&bench.installation.state)?);
            let store = bench.installation.store().await?;
            let mut code = ExitCode::SUCCESS;
            for route in routes {
                let promotion = Promotion { number: 0, reason: reason.clone(), approved_by: approve_by.clone() };
                let done = desk.import((&gate, &store), &route, promotion).await;
                if done.is_err() {
                    code = ExitCode::FAILURE;
                }
                end(&bench, done, json).await?;
            }
            return Ok(code);
        }
        ReleaseVerb::Retire { route, number, reason } => {
            desk.retire(&RouteId::new(route), number, &reason).await?;
            bench.sign().await?;
        }
        ReleaseVerb::History { route, json } => shown::history(&bench, &RouteId::new(route), json).await?,
        ReleaseVerb::Diff { route, old, new, json } => {
            shown::diff(&bench, &RouteId::new(route), (old, new), json).await?;
        }
        ReleaseVerb::Notes { route, number, json } => {
            shown::notes(&bench, &RouteId::new(route), number, json).await?;
        }
        ReleaseVerb::Card { model, suite, json } => shown::card(&bench, &parsed(&[model])?[0], suite, json)?,
        ReleaseVerb::Pending { json } => shown::pending(&bench, json)?,
        ReleaseVerb::Status { route, json } => shown::status(&bench, route.map(RouteId::new), json).await?,
        ReleaseVerb::Rollback { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn roll_back(
    context: &Context,
    route: &RouteId,
    which: (Option<u32>, Option<u32>),
    (reason, json): (&str, bool),
) -> anyhow::Result<ExitCode> {
    // A config that cannot be used stands in no rollback's way.
    let installation = Installation::despite_config(context)?;
    let settings = Arc::new(installation.settings());
    // The copy first: nothing here waits for a database that is slow or away.
    let shelf = Shelf::open(&installation.state, None);
    let desk = Desk { shelf: &shelf, settings: Arc::clone(&settings), actor: operator() };
    let moved = match desk.roll_back(route, which, reason).await {
        Err(DeskError::NoRoute { .. }) => {
            let shelf = Shelf::open(&installation.state, installation.store().await.ok());
            let desk = Desk { shelf: &shelf, settings, actor: operator() };
            desk.roll_back(route, which, reason).await?
        }
        done => done?,
    };
    said(&moved, json)?;
    carry_over(&installation, "the rollback").await
}

/// It stands already. A running server carries it over as well.
async fn carry_over(installation: &Installation, what: &str) -> anyhow::Result<ExitCode> {
    let Ok(store) = installation.store().await else { return Ok(ExitCode::SUCCESS) };
    let shelf = Shelf::open(&installation.state, Some(store));
    match shelf.reconcile().await {
        Ok(_) => {
            let audit = installation.audit().await?;
            installation.sign(&audit).await;
        }
        Err(error) => eprintln!("warning: {what} waits in the state directory for the database: {error:#}"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn end(bench: &Bench, done: Result<Option<Moved>, DeskError>, json: bool) -> anyhow::Result<ExitCode> {
    match done {
        Ok(Some(moved)) => {
            said(&moved, json)?;
            tell(bench, &moved).await?;
            bench.sign().await?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(None) => Ok(ExitCode::SUCCESS),
        Err(error @ DeskError::Needs { .. }) => refused(&error, json),
        Err(error) => Err(error.into()),
    }
}

fn refused(error: &DeskError, json: bool) -> anyhow::Result<ExitCode> {
    if let (DeskError::Needs { route, number, needs }, true) = (error, json) {
        print::json(&json!({ "route": route, "release": number, "refused": needs }))?;
    }
    eprintln!("error: {error}");
    Ok(ExitCode::FAILURE)
}

fn said(moved: &Moved, json: bool) -> anyhow::Result<()> {
    if json {
        return print::json(moved);
    }
    let targets: Vec<String> = moved.targets.iter().map(ToString::to_string).collect();
    println!("{} serves release {} in the place of {}: {}", moved.route, moved.to, moved.from, targets.join(", "));
    for caution in &moved.cautions {
        eprintln!("warning: only because enforcement is `warn`: {}", caution.why);
    }
    Ok(())
}

/// Writes notes and card; the running server, or the next one, brings them to where they go.
async fn tell(bench: &Bench, moved: &Moved) -> anyhow::Result<()> {
    let line = line(bench, &moved.route).await?;
    let gate = Gate::open(&bench.installation.state)?;
    let (state, settings) = (&bench.installation.state, &bench.settings);
    let papers = paper::of_promotion(settings, (state, &gate), (&moved.route, &line), (moved.from, moved.to));
    if let Err(error) = post::keep(state, &papers, &settings.release.publish) {
        eprintln!("warning: notes and card are not written: {error}; `backstop release notes` makes them anew");
    }
    Ok(())
}

fn parsed(targets: &[String]) -> anyhow::Result<Vec<TargetId>> {
    let parse = |text: &String| {
        TargetId::parse(text.trim()).with_context(|| format!("`{text}` is no target; write vendor/model"))
    };
    targets.iter().map(parse).collect()
}

/// One route's line for the verbs that show it.
async fn line(bench: &Bench, route: &RouteId) -> anyhow::Result<crate::release::book::Line> {
    let known = bench.shelf.read().await?;
    match (bench.desk().begun(&known, route), known.book.line(route)) {
        (Ok((_, line)), _) => Ok(line),
        // The file names it no more; what it had is known.
        (Err(_), Some(line)) => Ok(line.clone()),
        (Err(error), None) => bail!("{error}"),
    }
}

fn filed(bench: &Bench, route: &RouteId) -> Option<Vec<TargetId>> {
    bench.settings.orders().get(route).cloned()
}

fn described_line(bench: &Bench, route: &RouteId, line: &crate::release::book::Line) -> serde_json::Value {
    let mut said = described(line, route, filed(bench, route).as_deref());
    let own = |target: &TargetId| bench.settings.is_own_hardware(target);
    let effective = if line.governed { line.order(&own) } else { filed(bench, route).unwrap_or_default() };
    said["order"] = json!(effective);
    said["waiting_for_database"] = json!(bench.shelf.waiting());
    said
}
