//! `backstop eval plan`: how many items a gate needs, and what a model must be to pass one that is there.

use std::process::ExitCode;

use anyhow::bail;
use backstop_eval::{
    plan::{FloorPlan, GatePlan, MOST_DRAWS, MOST_PAIRED_DRAWS, MarginPlan, RatePlan, ThresholdPlan, Wish},
    suite::{Gate, Suite, SuiteId},
};
use clap::{ArgGroup, Args};
use serde::Serialize;

use super::super::{
    installation::Installation,
    print::{self, Align},
};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["suite", "threshold", "margin"]).multiple(true)))]
pub(super) struct PlanArgs {
    /// A suite whose gates are planned with the items that they have
    #[arg(long, conflicts_with_all = ["threshold", "margin"])]
    suite: Option<String>,
    /// Only this gate of it
    #[arg(long, requires = "suite")]
    gate: Option<String>,
    /// τ of a gate that is still to be written
    #[arg(long, value_name = "SHARE")]
    threshold: Option<f64>,
    /// δ of a gate that is still to be written: how much worse than the incumbent a model may be
    #[arg(long, value_name = "SHARE")]
    margin: Option<f64>,
    /// The probability with which a good model shall pass
    #[arg(long, value_name = "SHARE", default_value_t = 0.8)]
    power: f64,
    /// The share of the questions that the model truly gets right; may be repeated [default: five above the threshold]
    #[arg(long, value_name = "SHARE")]
    rate: Vec<f64>,
    /// The share of the questions that only one of the two models gets right; may be repeated [default: 0.02, 0.05, 0.1, 0.2]
    #[arg(long, value_name = "SHARE")]
    discordant: Vec<f64>,
    /// How much better the new model truly is than the incumbent
    #[arg(long, value_name = "SHARE", requires = "margin", allow_negative_numbers = true, default_value_t = 0.0)]
    difference: f64,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What `eval plan --json` prints.
#[derive(Serialize)]
struct Printed {
    power: f64,
    suite: Option<SuiteId>,
    gates: Vec<GatePlan>,
    threshold: Option<ThresholdPlan>,
    margin: Option<MarginPlan>,
}

pub(super) fn run(installation: &Installation, args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let wish = Wish::new(args.power, args.rate.clone(), args.discordant.clone())?;
    let suite = match &args.suite {
        Some(name) => Some(Suite::find(name, &installation.state.suites())?),
        None => None,
    };
    let planned = Printed {
        power: wish.power(),
        gates: match &suite {
            Some(suite) => gates(suite, args.gate.as_deref())?.iter().map(|gate| wish.gate(suite, gate)).collect(),
            None => Vec::new(),
        },
        suite: suite.map(|suite| suite.id().clone()),
        threshold: args.threshold.map(|threshold| wish.threshold(threshold)).transpose()?,
        margin: args.margin.map(|margin| wish.margin(margin, args.difference)).transpose()?,
    };
    if args.json {
        print::json(&planned)?;
    } else {
        print::text(&described(&planned))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn gates<'a>(suite: &'a Suite, wanted: Option<&str>) -> anyhow::Result<Vec<&'a Gate>> {
    let gates: Vec<&Gate> = suite.gates.iter().filter(|gate| wanted.is_none_or(|wanted| gate.id == wanted)).collect();
    if gates.is_empty() {
        let known: Vec<&str> = suite.gates.iter().map(|gate| gate.id.as_str()).collect();
        bail!("{} has no gate `{}`; it has {}", suite.name(), wanted.unwrap_or_default(), known.join(", "));
    }
    Ok(gates)
}

fn described(planned: &Printed) -> String {
    let mut parts: Vec<String> = planned.gates.iter().map(|gate| of_gate(gate, planned.power)).collect();
    if let Some(ThresholdPlan { threshold, without_a_miss, rates }) = &planned.threshold {
        let mut said = format!(
            "to show {} with 95 % confidence: {without_a_miss} items if none is missed\n\n",
            percent(*threshold)
        );
        said.push_str(&of_rates(rates, planned.power));
        parts.push(said);
    }
    parts.extend(planned.margin.as_ref().map(|margin| of_margin(margin, planned.power)));
    parts.join("\n")
}

fn of_gate(gate: &GatePlan, power: f64) -> String {
    let counted = match gate.draws == gate.items {
        true => format!("{} items", gate.items),
        false => format!("{} clusters ({} items), a cluster is right when all its items are", gate.draws, gate.items),
    };
    let mut said = format!("gate {}: {counted}\n", gate.gate);
    if let Some(right) = gate.must_be_right {
        let share = percent(right as f64 / gate.draws.max(1) as f64);
        let why = match gate.zero_tolerance {
            true => "no item may miss".to_owned(),
            false => format!("that shows {} with 95 % confidence", percent(gate.threshold)),
        };
        said.push_str(&format!("  {right} of {} must be right ({share}): {why}\n", gate.draws));
    }
    said.push_str(&match gate.rate_for_power {
        Some(rate) => {
            format!("  to pass with {} a model must truly be right in {}\n", percent(power), fine_percent(rate))
        }
        None => format!("  no model passes with {}\n", percent(power)),
    });
    for FloorPlan { slice, floor, items, must_be_right } in &gate.floors {
        said.push_str(&format!(
            "  of the slice {slice} {must_be_right} of {items} must be right (floor {})\n",
            percent(*floor)
        ));
    }
    said.push('\n');
    said.push_str(&of_rates(&gate.rates, power));
    if let Some(margin) = &gate.margin {
        said.push('\n');
        said.push_str(&of_margin(margin, power));
    }
    said
}

fn of_rates(rates: &[RatePlan], power: f64) -> String {
    let wanted = format!("needed for {}", percent(power));
    let cells = |rate: &RatePlan| {
        let (draws, may_miss) = match &rate.needed {
            Some(needed) => (needed.draws.to_string(), needed.may_miss.to_string()),
            None => (format!("more than {MOST_DRAWS}"), String::new()),
        };
        let mut cells = vec![fine_percent(rate.rate)];
        cells.extend(rate.power.map(percent));
        cells.extend([draws, may_miss]);
        cells
    };
    let mut columns = vec![("truly right", Align::Right)];
    if rates.iter().any(|rate| rate.power.is_some()) {
        columns.push(("passes with", Align::Right));
    }
    columns.extend([(wanted.as_str(), Align::Right), ("may miss", Align::Right)]);
    print::table(&columns, &rates.iter().map(cells).collect::<Vec<_>>())
}

fn of_margin(margin: &MarginPlan, power: f64) -> String {
    let difference = margin.by_discordance.first().map_or(0.0, |row| row.difference);
    let mut said = format!(
        "beside an incumbent, margin {}, for a model that is truly {}:\n\n",
        percent(margin.margin),
        if difference == 0.0 { "as good".to_owned() } else { format!("{:+.1} % apart", difference * 100.0) }
    );
    let wanted = format!("needed for {}", percent(power));
    let mut columns = vec![("only one is right", Align::Right)];
    if margin.by_discordance.iter().any(|row| row.power.is_some()) {
        columns.push(("passes with", Align::Right));
    }
    columns.push((wanted.as_str(), Align::Right));
    let rows = margin.by_discordance.iter().map(|row| {
        let mut cells = vec![fine_percent(row.discordant)];
        cells.extend(row.power.map(percent));
        cells.push(row.needed.map_or(format!("more than {MOST_PAIRED_DRAWS}"), |needed| needed.to_string()));
        cells
    });
    said.push_str(&print::table(&columns, &rows.collect::<Vec<_>>()));
    said
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// True rates near 1 need the second digit.
fn fine_percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
