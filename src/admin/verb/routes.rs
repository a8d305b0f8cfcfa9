//! Which target of a route would serve now and why each other one would not, and what counts as slow. Reads what the gateway last wrote of
//! every target's health; asks no target and changes nothing.

use std::time::Duration;

use super::shares::from_ledger;
use crate::{
    admin::{
        refused::Refused,
        site::{Site, find_route},
        view::{DrillOn, Explained, ExplainedView, LatencyView},
    },
    clock,
    config::{LatencyPolicy, Route, Settings, Target},
    domain::{TargetId, Task, ToolUses},
    limit::{
        Shape, USUAL_DENSITY,
        share::{Draw, Look},
    },
    relay::health::{HealthView, read_views},
    route::{CallKind, Decision, Need, Quantile, Step, TargetHealth, object_to_shares, plan},
};

/// A view older than this is of a gateway that does not run, in ms.
const FRESH_MS: i64 = 10_000;

/// What kind of question to plan for.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub tools: bool,
    pub json_schema: bool,
    pub images: bool,
    pub input_tokens: u64,
    pub max_tokens: Option<u32>,
}

pub async fn explain(site: &Site, name: &str, question: &Question) -> Result<ExplainedView, Refused> {
    let (settings, view) = (site.in_force().await, seen(site)?);
    let route = find_route(&settings, name)?;
    let standings = site.standings(&settings).await?;
    let need = Need {
        task: Task::Answer,
        tools: question.tools,
        json_schema: question.json_schema,
        images: question.images,
        input_tokens: question.input_tokens,
        max_tokens: question.max_tokens,
        more_context_than: None,
    };
    let now = clock::unix_ms();
    let running = now.saturating_sub(view.at_unix_ms) < FRESH_MS;
    let mut health: Vec<TargetHealth> = route
        .targets
        .iter()
        .map(|target| view.targets.get(&target.id).filter(|_| running).map(|view| view.health(now)).unwrap_or_default())
        .collect();
    let mut cautions = Vec::new();
    let looks = shares(site, &settings, route, question).await.unwrap_or_else(|error| {
        cautions.push(format!("vendors' shares are not known: {error}"));
        Vec::new()
    });
    object_to_shares(&mut health, &looks);
    let plan = plan(route, &standings, settings.enforcement).narrowed(route, &need, &health);
    // Of vendors that are being left: as for the calls that leave them.
    let plan = plan.steered(route, 0.0).shared(&looks);
    let first = plan.steps.iter().position(|step| step.decision.is_attempted());
    let drill = match &site.store {
        Some(store) => store.drill_on().await.ok().flatten(),
        None => None,
    };
    Ok(ExplainedView {
        route: route.id.clone(),
        health_at_unix_ms: running.then_some(view.at_unix_ms),
        drill: drill.and_then(|row| DrillOn::of(&row, &route.id, now)),
        targets: plan.steps.iter().enumerate().map(|(order, step)| explained(order, step, (first, route))).collect(),
        cautions,
    })
}

/// Of one route's targets, or of all.
pub async fn latency(site: &Site, route: Option<&str>) -> Result<Vec<LatencyView>, Refused> {
    let (settings, view) = (site.in_force().await, seen(site)?);
    let route = route.map(|name| find_route(&settings, name)).transpose()?;
    let wanted = |id: &TargetId| route.is_none_or(|route| route.targets.iter().any(|target| target.id == *id));
    let mut lines = Vec::new();
    for (id, seen) in view.targets.iter().filter(|(id, _)| wanted(id)) {
        lines.extend(seen.baselines.iter().map(|(kind, _)| line(id, kind, &view, &settings.latency)));
    }
    Ok(lines)
}

fn seen(site: &Site) -> Result<HealthView, Refused> {
    let view = read_views(&site.state.health());
    view.map(Option::unwrap_or_default).map_err(|error| {
        Refused::internal(format!(
            "what the gateway wrote of its targets' health cannot be read; a running gateway writes it anew: {error}"
        ))
    })
}

/// How the vendors' shares stand for such a question, by the ledger; of those between the marks, as for the median call.
async fn shares(site: &Site, settings: &Settings, route: &Route, question: &Question) -> Result<Vec<Look>, Refused> {
    let (share, _) = from_ledger(settings, site.ledger().await?).await?;
    let shape = Shape {
        task: Task::Answer,
        body_bytes: usize::try_from(question.input_tokens.saturating_mul(4)).unwrap_or(usize::MAX / 4),
        density: USUAL_DENSITY,
        prompt_tokens: None,
        max_tokens: question.max_tokens,
        answers: 1,
        images: question.images.into(),
        image_bytes: 0,
        tools: question.tools,
        tool_uses: ToolUses::default(),
        free_tool_uses: 0,
        hidden_prompt: false,
    };
    let look = |target: &Target| {
        let draw = Draw::of(&shape, settings.prices.get(&target.id), clock::unix_ms());
        share.look(&target.id.vendor, draw, 0.5)
    };
    Ok(route.targets.iter().map(look).collect())
}

fn explained(order: usize, step: &Step, (first, route): (Option<usize>, &Route)) -> Explained {
    let stands = if first == Some(order) { "serves" } else { "stands by" };
    let (decision, fault, reason, wait) = match &step.decision {
        Decision::Attempt => (stands, None, None, None),
        Decision::AttemptDespite { reason } | Decision::LastResort { reason } => {
            (stands, None, Some(reason.to_string()), None)
        }
        Decision::Skip(fault) => ("passed over", Some(fault.kind), Some(fault.detail.clone()), fault.retry_after()),
    };
    Explained {
        order,
        index: step.index,
        target: step.target.clone(),
        decision: decision.to_owned(),
        fault,
        reason,
        retry_after_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        counted_by: route.targets[step.index].counted_by.to_string(),
    }
}

fn line(id: &TargetId, kind: CallKind, view: &HealthView, policy: &LatencyPolicy) -> LatencyView {
    let now = clock::unix_ms();
    let baselines = &view.targets[id].baselines;
    let threshold = baselines.threshold(kind, now, policy);
    let observed =
        baselines.iter().find(|(other, _)| *other == kind).map(|(_, baseline)| baseline.observed(now, policy));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let bound = |quantile: Option<Quantile>| quantile.and_then(|quantile| quantile.bound()).map(ms);
    LatencyView {
        target: id.clone(),
        kind: kind.label().to_owned(),
        samples: threshold.samples,
        cut_short: threshold.cut_short,
        min_samples: policy.min_samples,
        observed_p50_ms: bound(observed.map(|observed| observed.p50)),
        observed_p99_ms: bound(observed.map(|observed| observed.p99)),
        p95_ms: threshold.p95.map(ms),
        p99_ms: threshold.p99.map(ms),
        slow_after_ms: threshold.after.map(ms),
    }
}
