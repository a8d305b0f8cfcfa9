//! Rows of prices as people and programs read them. Rates are decimals in texts: exact.

use serde_json::{Value, json};

use crate::{
    cli::print::{self, Align},
    domain::{Meter, PriceRow, PriceState, Prices, Rates, day_text, time_text},
};

/// Which rows of a model are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    /// The one that counts at that time.
    Valid,
}

type Priced = [(String, Option<Prices>)];

/// One line per model: what counts at `at`.
pub(super) fn list(priced: &Priced, at: i64) -> String {
    let columns = [
        ("target", Align::Left),
        ("input", Align::Right),
        ("cached", Align::Right),
        ("write", Align::Right),
        ("write 1h", Align::Right),
        ("output", Align::Right),
        ("other", Align::Left),
        ("from", Align::Left),
        ("until", Align::Left),
        ("checked", Align::Left),
    ];
    let line = |(target, prices): &(String, Option<Prices>)| {
        let Some((row, state)) = prices.as_ref().and_then(|prices| prices.at(at)) else {
            let mut line = vec!["-".to_owned(); columns.len()];
            (line[0], line[6]) = (target.clone(), "no price".to_owned());
            return line;
        };
        let rate = |meter| row.rates.get(meter).map_or_else(|| "-".to_owned(), |rate| rate.to_string());
        vec![
            target.clone(),
            rate(Meter::Input),
            rate(Meter::CachedInput),
            rate(Meter::CacheWrite5m),
            rate(Meter::CacheWrite1h),
            rate(Meter::Output),
            others(row, state),
            day(row.from_ms),
            day(row.until_ms),
            day(row.checked_ms),
        ]
    };
    let lines: Vec<Vec<String>> = priced.iter().map(line).collect();
    print::table(&columns, &lines) + "US dollars per million tokens; `backstop prices show` says more\n"
}

/// Every row of each model, in full.
pub(super) fn rows(priced: &Priced, at: i64) -> String {
    let mut text = String::new();
    for (target, prices) in priced {
        let Some(prices) = prices else { continue };
        text.push_str(&format!("{target}\n"));
        let counts = prices.at(at).map(|(row, state)| (row.name.clone(), state));
        for row in prices.rows() {
            let mark = match &counts {
                Some((name, PriceState::Stale)) if *name == row.name => "  (ended, and counts: stale)",
                Some((name, _)) if *name == row.name => "  (valid)",
                _ => "",
            };
            let span = format!("from {} until {}", day(row.from_ms), day(row.until_ms));
            text.push_str(&format!("  {}  {span}{mark}\n", row.name));
            for (meter, rate) in row.rates.iter() {
                text.push_str(&format!("    {:<14} {rate} {}\n", meter.as_str(), per(meter)));
            }
            for tier in &row.tiers {
                text.push_str(&format!("    prompts of more than {} tokens:\n", tier.above));
                for (meter, rate) in tier.rates.iter() {
                    text.push_str(&format!("      {:<14} {rate} {}\n", meter.as_str(), per(meter)));
                }
            }
            for (name, factor) in [("batch", row.batch), ("priority", row.priority)] {
                if let Some(factor) = factor {
                    text.push_str(&format!("    {name:<14} × {factor}\n"));
                }
            }
            for hours in &row.hours {
                let (from, until) = (time_text(hours.from_min), time_text(hours.until_min));
                text.push_str(&format!("    {from}–{until} UTC × {}\n", hours.factor));
            }
            if !row.source.is_empty() {
                text.push_str(&format!("    source         {} (checked {})\n", row.source, day(row.checked_ms)));
            }
        }
    }
    text
}

pub(super) fn json(priced: &Priced, (at, which): (i64, Which)) -> anyhow::Result<String> {
    let mut all: Vec<Value> = Vec::new();
    for (target, prices) in priced {
        let counts = prices.as_ref().and_then(|prices| prices.at(at));
        if counts.is_none() && which == Which::Valid {
            all.push(json!({ "target": target, "state": PriceState::Missing.as_str() }));
        }
        for row in prices.iter().flat_map(|prices| prices.rows()) {
            let state = counts.filter(|(counts, _)| std::ptr::eq(*counts, row)).map(|(_, state)| state.as_str());
            if state.is_some() || which == Which::All {
                all.push(object(target, row, state));
            }
        }
    }
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

/// `state`: of the row that counts at the time that was asked for.
fn object(target: &str, row: &PriceRow, state: Option<&str>) -> Value {
    let hours = |hours: &crate::domain::Hours| {
        json!({
            "from": time_text(hours.from_min),
            "until": time_text(hours.until_min),
            "factor": hours.factor.to_string(),
        })
    };
    let tier = |tier: &crate::domain::Tier| json!({ "above_tokens": tier.above, "usd": rates(&tier.rates) });
    json!({
        "target": target,
        "row": &*row.name,
        "state": state,
        "from": row.from_ms.map(day_text),
        "until": row.until_ms.map(day_text),
        "usd": rates(&row.rates),
        "tiers": row.tiers.iter().map(tier).collect::<Vec<_>>(),
        "batch_factor": row.batch.map(|factor| factor.to_string()),
        "priority_factor": row.priority.map(|factor| factor.to_string()),
        "hours": row.hours.iter().map(hours).collect::<Vec<_>>(),
        "source": Some(&*row.source).filter(|source| !source.is_empty()),
        "checked": row.checked_ms.map(day_text),
    })
}

fn rates(rates: &Rates) -> Value {
    rates.iter().map(|(meter, rate)| (meter.as_str().to_owned(), Value::from(rate.to_string()))).collect()
}

fn per(meter: Meter) -> &'static str {
    match meter {
        Meter::Request => "USD per request",
        Meter::WebSearch | Meter::FileSearch => "USD per search",
        Meter::CodeSession => "USD per session",
        Meter::Machine => "USD per hour of this machine",
        _ => "USD per million tokens",
    }
}

fn others(row: &PriceRow, state: PriceState) -> String {
    let shown = [Meter::Input, Meter::CachedInput, Meter::CacheWrite5m, Meter::CacheWrite1h, Meter::Output];
    let mut others: Vec<String> = row
        .rates
        .iter()
        .filter(|(meter, rate)| !shown.contains(meter) && rate.nanos > 0)
        .map(|(meter, rate)| format!("{} {rate}", meter.as_str()))
        .collect();
    others.extend(row.tiers.iter().map(|tier| format!("more above {}", tier.above)));
    if !row.hours.is_empty() {
        others.push("by the hour".to_owned());
    }
    if state == PriceState::Stale {
        others.push("stale".to_owned());
    }
    if others.is_empty() { "-".to_owned() } else { others.join(", ") }
}

fn day(unix_ms: Option<i64>) -> String {
    unix_ms.map_or_else(|| "-".to_owned(), day_text)
}
