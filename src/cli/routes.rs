//! `backstop routes`: which target of a route would serve now and why each other one would not, and what counts as slow.
//!
//! Reads what the gateway last wrote of every target's health; asks no target and changes nothing.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{
    Context,
    drill::said_of,
    place::Place,
    print::{self, Align},
    remote::part,
};
use crate::{
    admin::{
        verb::routes::{self as verb, Question},
        view::{Explained, ExplainedView, LatencyView},
    },
    clock,
};

/// Routes: explain, latency.
#[derive(Debug, Args)]
pub struct RoutesArgs {
    #[command(subcommand)]
    verb: RoutesVerb,
}

#[derive(Debug, Subcommand)]
enum RoutesVerb {
    /// Which target would serve now, and why each other one would not
    Explain(ExplainArgs),
    /// Each target's latency baseline and when it counts as slow
    Latency {
        /// Only the targets of this route
        route: Option<String>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

/// What kind of question to plan for.
#[derive(Debug, Args)]
struct ExplainArgs {
    /// The route's name
    route: String,
    /// A question with tools
    #[arg(long)]
    tools: bool,
    /// A question that wants JSON
    #[arg(long)]
    json_schema: bool,
    /// A question with an image
    #[arg(long)]
    images: bool,
    /// A prompt of so many tokens
    #[arg(long, default_value_t = 0)]
    input_tokens: u64,
    /// An answer of at most so many tokens
    #[arg(long)]
    max_tokens: Option<u32>,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: RoutesArgs) -> anyhow::Result<ExitCode> {
    let place = Place::find(context).await?;
    match args.verb {
        RoutesVerb::Explain(args) => explain(&place, args).await?,
        RoutesVerb::Latency { route, json } => {
            let lines: Vec<LatencyView> = match &place {
                Place::Server(remote) => remote.get("/latencies", &[("route", route)]).await?,
                Place::Here(here) => verb::latency(&here.site, route.as_deref()).await?,
            };
            if json { print::json(&lines)? } else { print::text(&latency(&lines))? }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn explain(place: &Place, args: ExplainArgs) -> anyhow::Result<()> {
    let ExplainArgs { route, tools, json_schema, images, input_tokens, max_tokens, json } = args;
    let view: ExplainedView = match place {
        Place::Server(remote) => {
            let query = [
                ("tools", Some(tools.to_string())),
                ("json_schema", Some(json_schema.to_string())),
                ("images", Some(images.to_string())),
                ("input_tokens", Some(input_tokens.to_string())),
                ("max_tokens", max_tokens.map(|tokens| tokens.to_string())),
            ];
            remote.get(&format!("/routes/{}/explain", part(&route)), &query).await?
        }
        Place::Here(here) => {
            let question = Question { tools, json_schema, images, input_tokens, max_tokens };
            verb::explain(&here.site, &route, &question).await?
        }
    };
    view.cautions.iter().for_each(|caution| eprintln!("warning: {caution}"));
    if json { print::json(&view) } else { Ok(print::text(&told(&view))?) }
}

fn told(view: &ExplainedView) -> String {
    let source = match view.health_at_unix_ms {
        Some(at) => format!("health as of {:.1} s ago", (clock::unix_ms() - at).max(0) as f64 / 1e3),
        None => "no gateway runs on this state directory: breakers and limits are not known".to_owned(),
    };
    let columns = [
        ("order", Align::Right),
        ("target", Align::Left),
        ("counted by", Align::Left),
        ("now", Align::Left),
        ("why", Align::Left),
    ];
    let cells = |one: &Explained| {
        let fault = one.fault.map(|kind| format!("{kind}: ")).unwrap_or_default();
        let wait = one.retry_after_ms.map(|ms| format!(" (for {:.1} s)", ms as f64 / 1e3)).unwrap_or_default();
        let why = format!("{fault}{}{wait}", one.reason.as_deref().unwrap_or_default());
        vec![one.order.to_string(), one.target.to_string(), one.counted_by.clone(), one.decision.clone(), why]
    };
    let rows: Vec<Vec<String>> = view.targets.iter().map(cells).collect();
    let drill = view.drill.as_ref().map(|drill| format!("{}\n", said_of(drill))).unwrap_or_default();
    format!("route {}  {source}\n{drill}\n{}", view.route, print::table(&columns, &rows))
}

fn latency(lines: &[LatencyView]) -> String {
    if lines.is_empty() {
        return "no latencies are known yet: they are learnt from calls\n".to_owned();
    }
    let heads = ["target", "kind", "samples", "cut short", "observed p50", "observed p99", "p95", "p99", "slow after"];
    let columns: Vec<(&str, Align)> =
        heads.iter().enumerate().map(|(at, head)| (*head, if at < 2 { Align::Left } else { Align::Right })).collect();
    let ms = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"));
    let cells = |line: &LatencyView| {
        let deadline = || format!("deadline ({} of {} samples)", line.samples, line.min_samples);
        vec![
            line.target.to_string(),
            line.kind.clone(),
            line.samples.to_string(),
            line.cut_short.to_string(),
            ms(line.observed_p50_ms),
            ms(line.observed_p99_ms),
            ms(line.p95_ms),
            ms(line.p99_ms),
            line.slow_after_ms.map_or_else(deadline, |after| ms(Some(after))),
        ]
    };
    print::table(&columns, &lines.iter().map(cells).collect::<Vec<_>>())
}
