//! `backstop release canary`: a release on a part of a route's calls, shown, changed and ended.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use serde_json::json;

use super::{Place, acts, part, releases, shown, vouched_for};
use crate::{
    admin::{
        verb::releases as verb,
        view::{CanaryEnded, ReleasesView},
    },
    cli::{
        Context,
        installation::Installation,
        operator::operator,
        print::{self, Align},
        remote::Remote,
    },
    config::{CanaryBy, CanaryMode, CanaryShare},
    domain::RouteId,
    release::{
        desk::{CanaryOrder, Desk, DeskError, Tried},
        shadows::ShadowView,
        shelf::Shelf,
    },
};

#[derive(Debug, Args)]
pub(super) struct CanaryArgs {
    pub(super) route: String,
    /// The release that is tried
    #[arg(required_unless_present_any = ["stop", "show"])]
    pub(super) number: Option<u32>,
    /// So many of a hundred calls; once more with another number to go up or down
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100), required_unless_present_any = ["stop", "show"])]
    pub(super) pct: Option<u8>,
    /// All calls of a client key on the same side, or each call by itself
    #[arg(long, value_enum, default_value = "key", conflicts_with_all = ["stop", "show"])]
    pub(super) by: CanaryBy,
    /// Only ask it beside what serves: its answers are compared and never returned
    #[arg(long, conflicts_with_all = ["stop", "show"])]
    pub(super) shadow: bool,
    /// End it: all calls go to what serves, at once; needs no database
    #[arg(long, conflicts_with_all = ["pct", "show", "approve_by"])]
    pub(super) stop: bool,
    /// What is tried, and how it does
    #[arg(long, conflicts_with_all = ["number", "pct", "approve_by", "reason"])]
    pub(super) show: bool,
    #[arg(long, required_unless_present = "show")]
    pub(super) reason: Option<String>,
    /// Somebody else who agreed
    #[arg(long, value_name = "NAME")]
    pub(super) approve_by: Vec<String>,
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(place: &Place, args: CanaryArgs) -> anyhow::Result<ExitCode> {
    let route = RouteId::new(&args.route);
    if args.show {
        show(place, &route, args.json).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let order = CanaryOrder {
        number: args.number.context("name the release")?,
        pct: args.pct.context("say --pct")?,
        by: args.by,
        mode: if args.shadow { CanaryMode::Shadow } else { CanaryMode::Serve },
        reason: args.reason.unwrap_or_default(),
        approved_by: args.approve_by,
    };
    let tried: anyhow::Result<Tried> = match place {
        Place::Server(remote) => {
            vouched_for(&order.approved_by)?;
            let body = json!({ "pct": order.pct, "by": order.by, "mode": order.mode, "reason": order.reason });
            remote.write(Method::POST, &format!("{}/{}/canary", releases(&route), order.number), &body).await
        }
        Place::Here(here) => verb::canary(&here.site, &route, order).await.map_err(Into::into),
    };
    let tried = match tried {
        Ok(tried) => tried,
        Err(error) => return acts::refused(error, args.json),
    };
    if let Place::Here(here) = place {
        here.sign().await?;
    }
    if args.json {
        print::json(&tried)?;
    } else {
        println!("{route}: {}; {} serves the rest", told(&tried.share), tried.serving);
        for caution in &tried.cautions {
            eprintln!("warning: only because enforcement is `warn`: {}", caution.why);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Like a rollback: whatever the config and the database are like; a server is asked only where one is named.
pub(super) async fn stop(context: &Context, args: CanaryArgs) -> anyhow::Result<ExitCode> {
    let route = RouteId::new(&args.route);
    let reason = args.reason.unwrap_or_default();
    if context.names_a_server() {
        let path = format!("/routes/{}/canary", part(route.as_str()));
        let body = json!({ "reason": reason, "release": args.number });
        let ended: CanaryEnded = Remote::named(context).await?.write(Method::DELETE, &path, &body).await?;
        said(&ended, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let installation = Installation::despite_config(context)?;
    let settings = Arc::new(installation.settings());
    // The copy first: nothing here waits for a database that is slow or away.
    let shelf = Shelf::open(&installation.state, None);
    let desk = Desk { shelf: &shelf, settings: Arc::clone(&settings), actor: operator() };
    let release = match desk.end_canary(&route, args.number, &reason).await {
        Err(DeskError::Refused(_)) => {
            let shelf = Shelf::open(&installation.state, installation.store().await.ok());
            let desk = Desk { shelf: &shelf, settings, actor: operator() };
            desk.end_canary(&route, args.number, &reason).await?
        }
        done => done?,
    };
    said(&CanaryEnded { route, release, pct: 0 }, args.json)?;
    acts::carry_over(&installation, "the end of the canary").await
}

fn said(ended: &CanaryEnded, json: bool) -> anyhow::Result<()> {
    if json {
        return print::json(ended);
    }
    println!("release {} is not tried on {} any more", ended.release, ended.route);
    Ok(())
}

async fn show(place: &Place, route: &RouteId, json: bool) -> anyhow::Result<()> {
    let ReleasesView { serving, canary, shadows, .. } = shown::of_route(place, route).await?;
    if json {
        let said = json!({ "route": route, "serving": serving, "canary": canary, "shadows": shadows });
        return print::json(&said);
    }
    match canary {
        Some(running) => println!(
            "{route}: {} since {}; {serving} serves the rest",
            told(&running.share),
            print::moment(running.since_unix_ms),
        ),
        None => println!("{route}: nothing is tried; {serving} serves"),
    }
    if shadows.is_empty() { Ok(()) } else { Ok(print::text(&table(&shadows))?) }
}

fn table(shadows: &[ShadowView]) -> String {
    let heads =
        ["release", "asked", "failed", "dropped", "compared", "finish", "JSON", "tools", "refused", "length", "time"];
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let refused = |view: &ShadowView| format!("{} of {}", number(view.refusal_rate), number(view.served_refusal_rate));
    let cells = |view: &ShadowView| {
        let counts = [u64::from(view.release), view.asked, view.failed, view.dropped, view.compared];
        let shares = [view.finish_equal, view.json_equal, view.tools_equal].map(number);
        let ratios = [view.length_ratio, view.latency_ratio].map(number);
        let counts = counts.into_iter().map(|count| count.to_string());
        counts.chain(shares).chain([refused(view)]).chain(ratios).collect()
    };
    print::table(&heads.map(|head| (head, Align::Right)), &shadows.iter().map(cells).collect::<Vec<Vec<String>>>())
}

/// `2 has 10 % of the calls, by key`
pub(super) fn told(share: &CanaryShare) -> String {
    let CanaryShare { release, pct, by, mode } = share;
    let does = match mode {
        CanaryMode::Serve => "answers",
        CanaryMode::Shadow => "is asked beside what serves for",
    };
    let by = match by {
        CanaryBy::Key => "client key",
        CanaryBy::Call => "call",
    };
    format!("release {release} {does} {pct} % of the calls, by {by}")
}
