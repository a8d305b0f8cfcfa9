//! `backstop routes`: which target of a route would serve now and why each other one would not, and what counts as slow.
//!
//! Reads what the gateway last wrote of every target's health; asks no target and changes nothing.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Context,
    drill::{described, drill_on, said_of},
    installation::Installation,
    print::{self, Align},
    share::from_ledger,
};
use crate::{
    clock,
    config::{LatencyPolicy, Route, Settings, Target},
    domain::{FaultKind, TargetId, Task, ToolUses},
    ledger,
    limit::{
        Shape, USUAL_DENSITY,
        share::{Draw, Look},
    },
    relay::health::{HealthView, read_views},
    release::Gate,
    route::{CallKind, Decision, Need, Quantile, Step, TargetHealth, object_to_shares, plan},
};

/// A view older than this is of a gateway that does not run, in ms.
const FRESH_MS: i64 = 10_000;
/// How long to wait for files that do not answer.
const PATIENCE: Duration = Duration::from_secs(30);

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
    let installation = Installation::find(context)?;
    let filed = installation.settings_or_embedded()?;
    // What a release has put in force, not what the file says.
    let shelf = crate::release::shelf::Shelf::open(&installation.state, installation.store().await.ok());
    let settings = shelf.read().await.map(|known| known.book.applied(&filed)).unwrap_or(filed);
    let view = read_views(&installation.state.health())
        .context("what the gateway wrote of its targets' health cannot be read; a running gateway writes it anew")?;
    match args.verb {
        RoutesVerb::Explain(args) => explain(&installation, &settings, view.unwrap_or_default(), &args).await?,
        RoutesVerb::Latency { route, json } => {
            let route = route.map(|name| find(&settings, &name)).transpose()?;
            latency(&settings, &view.unwrap_or_default(), route, json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find<'a>(settings: &'a Settings, name: &str) -> anyhow::Result<&'a Route> {
    match settings.routes.get(name) {
        Some(route) => Ok(route),
        None => {
            let known: Vec<&str> = settings.routes.keys().map(|id| id.as_str()).collect();
            bail!("there is no route `{name}`; routes: {}", known.join(", "))
        }
    }
}

/// One target's place in the plan, for programs.
#[derive(Debug, Serialize)]
struct Explained<'a> {
    /// In the order in which they are tried.
    order: usize,
    index: usize,
    target: &'a TargetId,
    /// `serves`, `stands by`, `passed over`.
    decision: &'static str,
    fault: Option<FaultKind>,
    reason: Option<&'a str>,
    retry_after_ms: Option<u128>,
}

async fn explain(
    installation: &Installation,
    settings: &Settings,
    view: HealthView,
    args: &ExplainArgs,
) -> anyhow::Result<()> {
    let route = find(settings, &args.route)?;
    let gate = Gate::open(&installation.state)?;
    let standings = {
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || gate.examine(&settings, PATIENCE).standings).await?
    };
    let need = Need {
        task: Task::Answer,
        tools: args.tools,
        json_schema: args.json_schema,
        images: args.images,
        input_tokens: args.input_tokens,
        max_tokens: args.max_tokens,
        more_context_than: None,
    };
    let (now, running) = (clock::unix_ms(), is_running(&view));
    let mut health: Vec<TargetHealth> = route
        .targets
        .iter()
        .map(|target| view.targets.get(&target.id).filter(|_| running).map(|view| view.health(now)).unwrap_or_default())
        .collect();
    let looks = shares(installation, settings, route, args).await;
    object_to_shares(&mut health, &looks);
    let plan = plan(route, &standings, settings.enforcement).narrowed(route, &need, &health);
    // Of vendors that are being left: as for the calls that leave them.
    let plan = plan.steered(route, 0.0).shared(&looks);
    let first = plan.steps.iter().position(|step| step.decision.is_attempted());
    let explained: Vec<Explained<'_>> =
        plan.steps.iter().enumerate().map(|(order, step)| explained(order, step, first)).collect();
    let drill = drill_on(installation, &route.id).await;
    if args.json {
        let seen = running.then_some(view.at_unix_ms);
        let (route, said) = (&route.id, drill.map(|drill| described(&drill)));
        let all = serde_json::json!({"route": route, "health_at_unix_ms": seen, "drill": said, "targets": explained});
        return print::json(&all);
    }
    let source = if running {
        format!("health as of {:.1} s ago", (now - view.at_unix_ms).max(0) as f64 / 1e3)
    } else {
        "no gateway runs on this state directory: breakers and limits are not known".to_owned()
    };
    let columns = [("order", Align::Right), ("target", Align::Left), ("now", Align::Left), ("why", Align::Left)];
    let rows: Vec<Vec<String>> = explained
        .iter()
        .map(|line| {
            let fault = line.fault.map(|kind| format!("{kind}: ")).unwrap_or_default();
            let wait = line.retry_after_ms.map(|ms| format!(" (for {:.1} s)", ms as f64 / 1e3)).unwrap_or_default();
            let why = format!("{fault}{}{wait}", line.reason.unwrap_or_default());
            vec![line.order.to_string(), line.target.to_string(), line.decision.to_owned(), why]
        })
        .collect();
    let drill = drill.map(|drill| format!("{}\n", said_of(&drill))).unwrap_or_default();
    print::text(&format!("route {}  {source}\n{drill}\n{}", route.id, print::table(&columns, &rows)))?;
    Ok(())
}

/// How the vendors' shares stand for such a question, by the ledger; of those between the marks, as for the median call. Without
/// a database nothing is known.
async fn shares(installation: &Installation, settings: &Settings, route: &Route, args: &ExplainArgs) -> Vec<Look> {
    let read = async {
        let store = installation.store().await?;
        ledger::catch_up(&installation.state, &store).await?;
        from_ledger(settings, &store).await
    };
    let share = match read.await {
        Ok((share, _)) => share,
        Err(error) => {
            eprintln!("warning: vendors' shares are not known: {error:#}");
            return Vec::new();
        }
    };
    let shape = Shape {
        task: Task::Answer,
        body_bytes: usize::try_from(args.input_tokens.saturating_mul(4)).unwrap_or(usize::MAX / 4),
        density: USUAL_DENSITY,
        prompt_tokens: None,
        max_tokens: args.max_tokens,
        answers: 1,
        images: args.images,
        tools: args.tools,
        tool_uses: ToolUses::default(),
        hidden_prompt: false,
    };
    let look = |target: &Target| {
        let draw = Draw::of(&shape, settings.prices.get(&target.id), clock::unix_ms());
        share.look(&target.id.vendor, draw, 0.5)
    };
    route.targets.iter().map(look).collect()
}

fn explained(order: usize, step: &Step, first: Option<usize>) -> Explained<'_> {
    let stands = if first == Some(order) { "serves" } else { "stands by" };
    let (decision, fault, reason, wait) = match &step.decision {
        Decision::Attempt => (stands, None, None, None),
        Decision::AttemptDespite { reason } | Decision::LastResort { reason } => (stands, None, Some(&**reason), None),
        Decision::Skip(fault) => ("passed over", Some(fault.kind), Some(fault.detail.as_str()), fault.retry_after()),
    };
    let retry_after_ms = wait.map(|wait| wait.as_millis());
    Explained { order, index: step.index, target: &step.target, decision, fault, reason, retry_after_ms }
}

fn is_running(view: &HealthView) -> bool {
    clock::unix_ms().saturating_sub(view.at_unix_ms) < FRESH_MS
}

/// One baseline, for programs. Times in ms.
#[derive(Debug, Serialize)]
struct Line {
    target: TargetId,
    kind: &'static str,
    samples: u64,
    cut_short: u64,
    /// What the samples say by themselves.
    observed_p50_ms: Option<f64>,
    observed_p99_ms: Option<f64>,
    /// What rules: the same, within the drift that a day allows.
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// Slower than this is a fault; `None`: the route's deadline rules.
    slow_after_ms: Option<f64>,
}

fn latency(settings: &Settings, view: &HealthView, route: Option<&Route>, json: bool) -> anyhow::Result<()> {
    let policy = &settings.latency;
    let wanted = |id: &TargetId| route.is_none_or(|route| route.targets.iter().any(|target| target.id == *id));
    let mut lines: Vec<Line> = Vec::new();
    for (id, seen) in view.targets.iter().filter(|(id, _)| wanted(id)) {
        lines.extend(seen.baselines.iter().map(|(kind, _)| line(id, kind, view, policy)));
    }
    if json {
        return print::json(&lines);
    }
    if lines.is_empty() {
        print::text("no latencies are known yet: they are learnt from calls\n")?;
        return Ok(());
    }
    let heads = ["target", "kind", "samples", "cut short", "observed p50", "observed p99", "p95", "p99", "slow after"];
    let columns: Vec<(&str, Align)> =
        heads.iter().enumerate().map(|(at, head)| (*head, if at < 2 { Align::Left } else { Align::Right })).collect();
    let ms = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"));
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let slow = line.slow_after_ms.map_or_else(
                || format!("deadline ({} of {} samples)", line.samples, policy.min_samples),
                |after| ms(Some(after)),
            );
            vec![
                line.target.to_string(),
                line.kind.to_owned(),
                line.samples.to_string(),
                line.cut_short.to_string(),
                ms(line.observed_p50_ms),
                ms(line.observed_p99_ms),
                ms(line.p95_ms),
                ms(line.p99_ms),
                slow,
            ]
        })
        .collect();
    print::text(&print::table(&columns, &rows))?;
    Ok(())
}

fn line(id: &TargetId, kind: CallKind, view: &HealthView, policy: &LatencyPolicy) -> Line {
    let now = clock::unix_ms();
    let baselines = &view.targets[id].baselines;
    let threshold = baselines.threshold(kind, now, policy);
    let observed =
        baselines.iter().find(|(other, _)| *other == kind).map(|(_, baseline)| baseline.observed(now, policy));
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let bound = |quantile: Option<Quantile>| quantile.and_then(|quantile| quantile.bound()).map(ms);
    Line {
        target: id.clone(),
        kind: kind.label(),
        samples: threshold.samples,
        cut_short: threshold.cut_short,
        observed_p50_ms: bound(observed.map(|observed| observed.p50)),
        observed_p99_ms: bound(observed.map(|observed| observed.p99)),
        p95_ms: threshold.p95.map(ms),
        p99_ms: threshold.p99.map(ms),
        slow_after_ms: threshold.after.map(ms),
    }
}
