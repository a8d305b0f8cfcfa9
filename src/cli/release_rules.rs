//! `backstop release rules`: those that there are, and what each would have done over the stored history. Changes nothing.

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};

use super::{
    Context,
    installation::Installation,
    print::{self, Align},
    remote::Remote,
};
use crate::{
    admin::verb::rules as verb,
    release::rules::{RuleState, Tested},
};

/// Rules on a route's figures: list, test.
#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    #[command(subcommand)]
    verb: RulesVerb,
}

#[derive(Debug, Subcommand)]
enum RulesVerb {
    /// Every rule on every route; a gateway that is asked (--server) says how each stands
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Run every rule over the stored history: as if each route had been promoted so long ago, and over each promotion since then
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

pub(super) async fn run(context: &Context, args: RulesArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::find(context).await?;
    match args.verb {
        RulesVerb::List { json } => {
            let states: Vec<RuleState> = match &remote {
                Some(remote) => remote.get("/rules", &[]).await?,
                None => verb::listed(&Installation::find(context)?.site().await?).await?,
            };
            if json { print::json(&states)? } else { print::text(&listed(&states))? }
        }
        RulesVerb::Test { since, rule, route, json } => {
            let tested = match &remote {
                Some(remote) => {
                    let query = [("since_ms", Some(since.as_millis().to_string())), ("rule", rule), ("route", route)];
                    remote.get("/rules/test", &query).await?
                }
                None => {
                    let site = Installation::find(context)?.site().await?;
                    verb::test(&site, since, (rule.as_deref(), route.as_deref())).await?
                }
            };
            if json { print::json(&tested)? } else { print::text(&table(&tested))? }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(states: &[RuleState]) -> String {
    let columns = ["rule", "route", "release", "it does", "when", "looked at", "outcome"];
    let cells = |state: &RuleState| {
        let looked = Some(state.looked_at_unix_ms).filter(|at| *at > 0).map(print::moment);
        vec![
            state.rule.clone(),
            state.route.clone(),
            format!("{}{}", state.version, if state.canary { " (canary)" } else { "" }),
            state.action.clone(),
            state.when.clone(),
            looked.unwrap_or_else(|| "-".to_owned()),
            state.outcome.clone().unwrap_or_default(),
        ]
    };
    print::table(&columns.map(|head| (head, Align::Left)), &states.iter().map(cells).collect::<Vec<_>>())
}

fn table(tested: &[Tested]) -> String {
    let columns = [
        ("rule", Align::Left),
        ("route", Align::Left),
        ("promoted", Align::Left),
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
                first(&match one.version {
                    Some(version) => format!("{version} at {}", print::moment(one.since_unix_ms)),
                    None => "supposed".to_owned(),
                }),
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
