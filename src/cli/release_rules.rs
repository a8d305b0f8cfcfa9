//! `backstop release rules test`: what each rule would have done over the stored history. Changes nothing and asks no gateway.

use std::{process::ExitCode, time::Duration};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Context,
    installation::Installation,
    print::{self, Align},
};
use crate::{
    clock,
    config::{Rule, Settings},
    domain::RouteId,
    ledger,
    release::rules::{Course, Deed, Finding, Span, Watched, look},
    store::Store,
};

/// Looks of one dry run at the most: it is no longer than that, however long the history.
const MOST_LOOKS: i64 = 400;

/// Rules on a route's figures: test.
#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    #[command(subcommand)]
    verb: RulesVerb,
}

#[derive(Debug, Subcommand)]
enum RulesVerb {
    /// Run every rule over the stored history, as if each route had been promoted so long ago
    Test {
        /// When the promotion would have been; the baseline is the rule's window before
        #[arg(long, value_parser = humantime::parse_duration, default_value = "7d", value_name = "DURATION")]
        since: Duration,
        /// Only this rule
        #[arg(long)]
        rule: Option<String>,
        /// Only this route
        #[arg(long)]
        route: Option<String>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

/// What one rule would have done on one route.
#[derive(Debug, Serialize)]
struct Tested {
    rule: String,
    route: String,
    action: &'static str,
    /// `null`: it would have done nothing.
    acts_at_unix_ms: Option<i64>,
    looks: u64,
    /// At the moment when it acts, or at the end.
    findings: Vec<Finding>,
}

pub(super) async fn run(context: &Context, args: RulesArgs) -> anyhow::Result<ExitCode> {
    let RulesVerb::Test { since, rule, route, json } = args.verb;
    let installation = Installation::find(context)?;
    let (settings, store) = (installation.settings_or_embedded()?, installation.store().await?);
    ledger::catch_up(&installation.state, &store).await?;
    let tested = test_all(&settings, &store, since, (rule.as_deref(), route.as_deref())).await?;
    if json {
        print::json(&tested)?
    } else {
        print::text(&table(&tested))?
    }
    Ok(ExitCode::SUCCESS)
}

async fn test_all(
    settings: &Settings,
    store: &Store,
    since: Duration,
    only: (Option<&str>, Option<&str>),
) -> anyhow::Result<Vec<Tested>> {
    if settings.rules.is_empty() {
        bail!("the config has no `rules:`; docs/triggers.md shows how they are written");
    }
    let mut tested = Vec::new();
    for rule in settings.rules.iter().filter(|rule| only.0.is_none_or(|name| rule.name == name)) {
        let routes = settings.routes.keys().filter(|route| rule.routes.is_empty() || rule.routes.contains(route));
        for route in routes.filter(|route| only.1.is_none_or(|name| route.as_str() == name)) {
            tested.push(test(rule, route, store, since).await?);
        }
    }
    if tested.is_empty() {
        bail!("the config has no such rule on such a route");
    }
    Ok(tested)
}

async fn test(rule: &Rule, route: &RouteId, store: &Store, since: Duration) -> anyhow::Result<Tested> {
    let now = clock::unix_ms();
    let begin = now.saturating_sub(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let watched = i64::try_from(rule.watch.as_millis()).unwrap_or(i64::MAX);
    let end = now.min(begin.saturating_add(watched));
    let step = ((end - begin) / MOST_LOOKS).max(5000);
    let (mut course, mut looks, mut at, mut findings) = (Course::default(), 0, begin, Vec::new());
    let mut acts_at_unix_ms = None;
    while at < end && acts_at_unix_ms.is_none() {
        at = (at + step).min(end);
        let looked =
            look(store, rule, route, Span { since_unix_ms: begin, until_unix_ms: at, of: Watched::Route }).await?;
        findings = looked.1;
        looks += 1;
        if course.take(rule, looked.0, at) == Deed::Act {
            acts_at_unix_ms = Some(at);
        }
    }
    let action = rule.action.as_str();
    Ok(Tested { rule: rule.name.clone(), route: route.to_string(), action, acts_at_unix_ms, looks, findings })
}

fn table(tested: &[Tested]) -> String {
    let columns = [
        ("rule", Align::Left),
        ("route", Align::Left),
        ("comparison", Align::Left),
        ("samples", Align::Right),
        ("value", Align::Right),
        ("baseline", Align::Right),
        ("bound", Align::Right),
        ("evidence", Align::Right),
        ("it would", Align::Left),
    ];
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    let mut lines = Vec::new();
    for one in tested {
        let would = match one.acts_at_unix_ms {
            Some(at) => format!("{} at {}", one.action, print::moment(at)),
            None => "do nothing".to_owned(),
        };
        for (place, finding) in one.findings.iter().enumerate() {
            let first = |text: &str| if place == 0 { text.to_owned() } else { String::new() };
            lines.push(vec![
                first(&one.rule),
                first(&one.route),
                format!("{}: {}", finding.comparison, finding.look),
                finding.samples.to_string(),
                number(finding.value),
                number(finding.baseline),
                number(finding.bound),
                format!("{:.2}", finding.evidence),
                first(&would),
            ]);
        }
    }
    print::table(&columns, &lines)
}
