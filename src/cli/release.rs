//! `backstop release`: the order of a route's targets as numbered releases: proposed, promoted, rolled back.
//!
//! Works on the state directory, whether a server runs or not, and a running one follows at once; or on a gateway that is named. What
//! must wait for nothing (a rollback, the end of a canary) asks a server only where one is named.

mod acts;
mod canary;
mod shown;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{Context, Usage, place::Place, release_rules, remote::part};
use crate::domain::{RouteId, TargetId};

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

pub async fn run(context: &Context, args: ReleaseArgs) -> anyhow::Result<ExitCode> {
    let verb = match args.verb {
        ReleaseVerb::Rules(rules) => return release_rules::run(context, rules).await,
        ReleaseVerb::Rollback { route, reason, to, from, json } => {
            let order = acts::Back { route: RouteId::new(route), from, to, reason };
            return acts::roll_back(context, order, json).await;
        }
        ReleaseVerb::Canary(canary) if canary.stop => return canary::stop(context, canary).await,
        verb => verb,
    };
    let place = Place::find(context).await?;
    match verb {
        ReleaseVerb::Propose { route, targets, reason, json } => {
            acts::propose(&place, &RouteId::new(route), (parsed(&targets)?, &reason), json).await?;
        }
        ReleaseVerb::Canary(args) => return canary::run(&place, args).await,
        ReleaseVerb::Approve { route, number, reason } => {
            let reason = if reason.is_empty() { "approved" } else { &reason };
            acts::approve(&place, &RouteId::new(route), number, reason).await?;
        }
        ReleaseVerb::Promote { route, number, reason, approve_by, json } => {
            let order = acts::Order { number, reason, approve_by };
            return acts::promote(&place, &RouteId::new(route), order, json).await;
        }
        ReleaseVerb::Import { route, reason, approve_by, json, .. } => {
            let order = acts::Order { number: 0, reason, approve_by };
            return acts::import(&place, route.map(RouteId::new), order, json).await;
        }
        ReleaseVerb::Retire { route, number, reason } => {
            acts::retire(&place, &RouteId::new(route), number, &reason).await?;
        }
        ReleaseVerb::History { route, json } => shown::history(&place, &RouteId::new(route), json).await?,
        ReleaseVerb::Diff { route, old, new, json } => {
            shown::diff(&place, &RouteId::new(route), (old, new), json).await?;
        }
        ReleaseVerb::Notes { route, number, json } => {
            shown::notes(&place, &RouteId::new(route), number, json).await?;
        }
        ReleaseVerb::Card { model, suite, json } => shown::card(&place, &parsed(&[model])?[0], suite, json).await?,
        ReleaseVerb::Pending { json } => shown::pending(&place, json).await?,
        ReleaseVerb::Status { route, json } => shown::status(&place, route.map(RouteId::new), json).await?,
        ReleaseVerb::Rules(_) | ReleaseVerb::Rollback { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn parsed(targets: &[String]) -> anyhow::Result<Vec<TargetId>> {
    let parse = |text: &String| {
        TargetId::parse(text.trim()).with_context(|| format!("`{text}` is no target; write vendor/model"))
    };
    targets.iter().map(parse).collect()
}

/// Where a route's releases are, below `/admin/v1`.
fn releases(route: &RouteId) -> String {
    format!("/routes/{}/releases", part(route.as_str()))
}

/// Over a network a person is a token.
fn vouched_for(names: &[String]) -> Result<(), Usage> {
    if names.is_empty() {
        return Ok(());
    }
    let why = "on a server nobody vouches for another: whoever agrees runs `release approve` with a token of their own";
    Err(Usage(why.to_owned()))
}
