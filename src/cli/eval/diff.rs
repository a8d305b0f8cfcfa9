//! `backstop eval diff`: what changed from one run of a suite to another, item by item.

use std::process::ExitCode;

use backstop_eval::report::{Comparison, GateComparison, GateCount, ItemDifference, Runs, Side};
use clap::Args;
use serde::Serialize;

use super::{
    super::{installation::Installation, print},
    runs::{examined, moment, shortened},
};

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The run that is compared with: a digest of `eval runs` or its beginning, a report's file, or a target, whose newest run counts
    old: String,
    /// The run that is asked about, named likewise
    new: String,
    /// A target's newest run of this suite
    #[arg(long)]
    suite: Option<String>,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What `eval diff --json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    /// What is wrong with one of the reports.
    warnings: &'a [String],
    #[serde(flatten)]
    comparison: &'a Comparison,
}

pub(super) fn run(installation: &Installation, args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let runs = Runs::in_dir(&installation.state.eval());
    let find = |name: &str| match &args.suite {
        Some(suite) => runs.last(name, suite).or_else(|no_target| runs.find(name).map_err(|_| no_target)),
        None => runs.find(name),
    };
    let new = find(&args.new)?;
    let old = match args.suite {
        Some(_) => find(&args.old)?,
        None => runs.find_beside(&args.old, &new.report)?,
    };
    let (suite, mut warnings) = examined(installation, &new);
    warnings.extend(examined(installation, &old).1);

    let comparison =
        Comparison::between((&old.report, old.digest.as_str()), (&new.report, new.digest.as_str()), suite.as_ref())?;
    if args.json {
        print::json(&Printed { warnings: &warnings, comparison: &comparison })?;
    } else {
        warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        print::text(&described(&comparison))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn described(comparison: &Comparison) -> String {
    let Comparison { suite, split, old, new, .. } = comparison;
    let mut said = format!("{} {}, split {}\n", suite.name, suite.version, split.name());
    said.push_str(&format!("old: {}\nnew: {}\n", side(old), side(new)));
    comparison.gates.iter().for_each(|gate| said.push_str(&of_gate(gate)));
    said.push_str(&format!(
        "\n{} other items are answered differently and judged alike, {} are answered the same\n",
        comparison.changed.len(),
        comparison.same
    ));
    said
}

fn side(side: &Side) -> String {
    let mut said = side.target.clone();
    if let Some(run) = &side.run {
        said.push_str(&format!(", {}, {}", run.verdict, moment(run.finished_at)));
        if run.attempt > 1 {
            said.push_str(&format!(", attempt {}", run.attempt));
        }
        if run.errors > 0 {
            said.push_str(&format!(", {} errors", run.errors));
        }
        if let Some(latency) = run.median_latency_ms {
            said.push_str(&format!(", median {latency} ms"));
        }
    }
    format!("{said} ({})", shortened(&side.digest))
}

fn of_gate(gate: &GateComparison) -> String {
    let paired = &gate.paired;
    let mut said = format!(
        "\ngate {}: old {}, new {}\n  difference {:+.1} %, at least {:+.1} % with 95 % confidence",
        gate.id,
        count(&gate.old),
        count(&gate.new),
        paired.estimate * 100.0,
        paired.bound * 100.0
    );
    if let Some(margin) = paired.margin {
        let holds = if paired.bound > -margin { "no worse than the margin" } else { "may be worse than the margin" };
        said.push_str(&format!(": {holds} of {:.1} %", margin * 100.0));
    }
    said.push_str(&format!(
        "\n  both {}, only new {}, only old {}, neither {}\n",
        paired.both, paired.only_new, paired.only_old, paired.neither
    ));
    gate.won.iter().for_each(|item| said.push_str(&difference("won ", item)));
    gate.lost.iter().for_each(|item| said.push_str(&difference("lost", item)));
    said
}

fn count(count: &GateCount) -> String {
    match count.n == count.items {
        true => format!("{} of {}", count.k, count.n),
        false => format!("{} of {} clusters ({} of {} items)", count.k, count.n, count.items_passed, count.items),
    }
}

fn difference(what: &str, item: &ItemDifference) -> String {
    let why = if item.why.is_empty() { String::new() } else { format!(": {}", item.why.join("; ")) };
    format!("  {what} {} [{}]{why}\n", item.id, item.severity.name())
}
