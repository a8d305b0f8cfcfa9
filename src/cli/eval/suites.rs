//! `backstop eval list` and `show`: what suites there are and what they ask.

use std::process::ExitCode;

use backstop_eval::suite::{Gate, Item, Suite};
use serde::Serialize;

use super::super::{
    installation::Installation,
    print::{self, Align},
};

/// One suite, as `eval list --json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    version: String,
    digest: String,
    items: usize,
    gates: Vec<String>,
    purpose: String,
    /// Why it cannot be run.
    fault: Option<String>,
}

pub(super) fn list_json(installation: &Installation) -> anyhow::Result<ExitCode> {
    print::json(&rows(installation)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(installation: &Installation) -> anyhow::Result<ExitCode> {
    let columns = [("suite", Align::Left), ("version", Align::Left), ("items", Align::Right), ("gates", Align::Left)];
    let cells = |row: &Row| {
        let last = row.fault.as_ref().map_or_else(|| row.gates.join(", "), |fault| format!("CANNOT BE RUN: {fault}"));
        vec![row.name.clone(), row.version.clone(), row.items.to_string(), last]
    };
    print::text(&print::table(&columns, &rows(installation)?.iter().map(cells).collect::<Vec<_>>()))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(installation: &Installation, name: &str) -> anyhow::Result<ExitCode> {
    let suite = Suite::find(name, &installation.state.suites())?;
    let mut said = format!("{} {}\n{}\ndigest {}\n", suite.name(), suite.id().version, suite.purpose, suite.digest());
    if !suite.use_cases.is_empty() {
        said.push_str(&format!("use cases: {}\n", suite.use_cases.join(", ")));
    }
    let tiers: Vec<&str> = suite.tiers.iter().map(|tier| tier.name()).collect();
    said.push_str(&format!("tiers: {}\n", tiers.join(", ")));
    said.push_str(&format!("{} items decide, {} are for practice\n", suite.items.len(), suite.items_aside()));
    if let Some(warning) = suite.warning_of_copies() {
        said.push_str(&format!("warning: {warning}\n"));
    }
    suite.gates.iter().for_each(|gate| said.push_str(&described(&suite, gate)));
    said.push('\n');
    let columns = [("item", Align::Left), ("slices", Align::Left), ("asks", Align::Right), ("question", Align::Left)];
    said.push_str(&print::table(&columns, &suite.items.iter().map(item).collect::<Vec<_>>()));
    print::text(&said)?;
    Ok(ExitCode::SUCCESS)
}

fn described(suite: &Suite, gate: &Gate) -> String {
    let (items, draws) = (suite.items_of(&gate.id), suite.draws_of(&gate.id));
    let counted = if items == draws { String::new() } else { format!(" in {draws} clusters, each counted once") };
    let mut said = format!(
        "\ngate {}: {}\n  {items} items{counted}; the 95 % lower bound of the share that passes must reach {:.1} %\n",
        gate.id,
        gate.about,
        gate.threshold * 100.0
    );
    if gate.zero_tolerance {
        said.push_str("  no item may miss\n");
    }
    if let Some(margin) = gate.margin {
        said.push_str(&format!(
            "  beside an incumbent, the 95 % lower bound of the difference must lie above {:.1} %\n",
            -margin * 100.0
        ));
    }
    if !gate.floors.is_empty() {
        let floors: Vec<String> =
            gate.floors.iter().map(|(slice, floor)| format!("{slice} {:.0} %", floor * 100.0)).collect();
        said.push_str(&format!("  by slice at least: {}\n", floors.join(", ")));
    }
    said
}

fn item(item: &Item) -> Vec<String> {
    let question = item.messages.last().map(|message| message.joined_text()).unwrap_or_default();
    vec![item.id.clone(), item.slices.join(", "), item.asks.to_string(), question.replace('\n', " ")]
}

fn rows(installation: &Installation) -> anyhow::Result<Vec<Row>> {
    let dir = installation.state.suites();
    let row = |name: String| match Suite::find(&name, &dir) {
        Ok(suite) => Row {
            name,
            version: suite.id().version.clone(),
            digest: suite.digest().to_owned(),
            items: suite.items.len(),
            gates: suite.gates.iter().map(|gate| gate.id.clone()).collect(),
            purpose: suite.purpose.clone(),
            fault: None,
        },
        Err(fault) => Row {
            name,
            version: String::new(),
            digest: String::new(),
            items: 0,
            gates: Vec::new(),
            purpose: String::new(),
            fault: Some(fault.to_string()),
        },
    };
    Ok(Suite::names(&dir)?.into_iter().map(row).collect())
}
