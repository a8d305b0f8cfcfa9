//! The same usage by the prices as they are configured now, beside what the ledger has.

use super::{Format, table::group};
use crate::{
    admin::view::{RerateSums, RerateView},
    cli::print::{self, Align},
    domain::Money,
    store::Dimension,
};

pub(super) fn written(rows: &[RerateView], by: &[Dimension], format: Format) -> anyhow::Result<String> {
    if format == Format::Json {
        return Ok(serde_json::to_string_pretty(rows)? + "\n");
    }
    let heads = ["attempts", "cost_usd", "rerated_usd", "difference_usd", "unpriced_attempts"];
    let names: Vec<&str> = by.iter().map(|dimension| dimension.as_str()).chain(heads).collect();
    if format == Format::Csv {
        let lines: Vec<Vec<String>> = rows.iter().map(|row| line(group(&row.named(by), ""), &row.sums)).collect();
        return Ok(print::csv(&names, &lines));
    }
    let aligned =
        |(place, name): (usize, &&'static str)| (*name, if place < by.len() { Align::Left } else { Align::Right });
    let columns: Vec<(&str, Align)> = names.iter().enumerate().map(aligned).collect();
    let mut lines: Vec<Vec<String>> = rows.iter().map(|row| line(group(&row.named(by), "-"), &row.sums)).collect();
    let mut total = RerateSums::default();
    for RerateView { sums, .. } in rows {
        total.attempts += sums.attempts;
        total.cost_micros += sums.cost_micros;
        total.rerated_micros += sums.rerated_micros;
        total.difference_micros += sums.difference_micros;
        total.unpriced_attempts += sums.unpriced_attempts;
    }
    let mut first = vec![String::new(); by.len()];
    first[0] = "total".to_owned();
    lines.push(line(first, &total));
    Ok(print::table(&columns, &lines))
}

fn line(first: Vec<String>, sums: &RerateSums) -> Vec<String> {
    let money = |micros| Money::from_micros(micros).to_string();
    let figures = [
        sums.attempts.to_string(),
        money(sums.cost_micros),
        money(sums.rerated_micros),
        money(sums.difference_micros),
        sums.unpriced_attempts.to_string(),
    ];
    first.into_iter().chain(figures).collect()
}
