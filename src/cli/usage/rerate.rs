//! The same usage by the prices as they are configured now, beside what the ledger has. The ledger is never changed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Format,
    table::{group, named},
};
use crate::{
    cli::{
        print::{self, Align},
        spending,
    },
    config::Settings,
    domain::Money,
    store::{Dimension, Store, UsageFilter},
};

#[derive(Debug)]
pub(super) struct Rerated {
    group: Vec<Option<String>>,
    sums: Sums,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Sums {
    attempts: u64,
    /// As the ledger has it.
    cost_micros: i64,
    /// By today's prices.
    rerated_micros: i64,
    difference_micros: i64,
    /// Without a price today.
    unpriced_attempts: u64,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    group: Map<String, Value>,
    #[serde(flatten)]
    sums: &'a Sums,
}

pub(super) async fn rows(
    store: &Store,
    (filter, by): (&UsageFilter, &[Dimension]),
    settings: &Settings,
) -> anyhow::Result<Vec<Rerated>> {
    let mut groups: BTreeMap<Vec<Option<String>>, Sums> = BTreeMap::new();
    let mut today = spending::Today::new(settings);
    spending::each(store, filter, by, |row| {
        let sums = groups.entry(row.group.clone()).or_default();
        let quote = today.quote(&row);
        sums.attempts += 1;
        sums.cost_micros += row.cost.map_or(0, |cost| cost.micros);
        sums.rerated_micros += quote.as_ref().map_or(0, |quote| quote.cost.micros);
        sums.difference_micros = sums.rerated_micros - sums.cost_micros;
        sums.unpriced_attempts += u64::from(quote.is_none());
    })
    .await?;
    Ok(groups.into_iter().map(|(group, sums)| Rerated { group, sums }).collect())
}

pub(super) fn written(rows: &[Rerated], by: &[Dimension], format: Format) -> anyhow::Result<String> {
    if format == Format::Json {
        let objects: Vec<Row> = rows.iter().map(|row| Row { group: named(&row.group, by), sums: &row.sums }).collect();
        return Ok(serde_json::to_string_pretty(&objects)? + "\n");
    }
    let heads = ["attempts", "cost_usd", "rerated_usd", "difference_usd", "unpriced_attempts"];
    let names: Vec<&str> = by.iter().map(|dimension| dimension.as_str()).chain(heads).collect();
    if format == Format::Csv {
        let lines: Vec<Vec<String>> = rows.iter().map(|row| line(group(&row.group, ""), &row.sums)).collect();
        return Ok(print::csv(&names, &lines));
    }
    let aligned =
        |(place, name): (usize, &&'static str)| (*name, if place < by.len() { Align::Left } else { Align::Right });
    let columns: Vec<(&str, Align)> = names.iter().enumerate().map(aligned).collect();
    let mut lines: Vec<Vec<String>> = rows.iter().map(|row| line(group(&row.group, "-"), &row.sums)).collect();
    let mut total = Sums::default();
    for Rerated { sums, .. } in rows {
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

fn line(first: Vec<String>, sums: &Sums) -> Vec<String> {
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
