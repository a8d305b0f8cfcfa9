//! Sums as a table for people, as JSON and CSV for programs.

use super::Format;
use crate::{
    admin::view,
    cli::print::{self, Align},
    store::{Dimension, UsageRow, UsageTotals},
};

/// The sums, by the names that JSON and CSV use.
const SUMS: [&str; 22] = [
    "calls",
    "failed",
    "attempts",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
    "unpriced_attempts",
    "estimated_cost_usd",
    "unserved_cost_usd",
    "doubtful_attempts",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "machine_us",
    "web_searches",
    "file_searches",
    "code_sessions",
];

pub(super) fn written(rows: &[UsageRow], by: &[Dimension], format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Json => serde_json::to_string_pretty(&view::usage(rows, by))? + "\n",
        Format::Csv => {
            let heads: Vec<&str> = by.iter().map(|dimension| dimension.as_str()).chain(SUMS).collect();
            let cells: Vec<Vec<String>> =
                rows.iter().map(|row| group(&row.group, "").into_iter().chain(sums(&row.totals)).collect()).collect();
            print::csv(&heads, &cells)
        }
        Format::Table | Format::Focus => table(rows, by),
    })
}

pub(super) fn group(group: &[Option<String>], none: &str) -> Vec<String> {
    group.iter().map(|name| name.clone().unwrap_or_else(|| none.to_owned())).collect()
}

fn table(rows: &[UsageRow], by: &[Dimension]) -> String {
    let groups = by.iter().map(|dimension| (dimension.as_str(), Align::Left));
    // Wide enough already without what only programs ask for.
    let shown = [0, 1, 2, 3, 4, 5, 7, 8];
    let heads = ["calls", "failed", "attempts", "input", "output", "cached", "cache write", "reasoning", "USD"];
    let columns: Vec<(&str, Align)> = groups.chain(shown.map(|sum| (heads[sum], Align::Right))).collect();
    let line = |first: Vec<String>, totals: &UsageTotals| {
        let sums = sums(totals);
        first.into_iter().chain(shown.map(|sum| sums[sum].clone())).collect::<Vec<_>>()
    };
    let mut lines: Vec<Vec<String>> = rows.iter().map(|row| line(group(&row.group, "-"), &row.totals)).collect();
    let total: UsageTotals = rows.iter().map(|row| row.totals).sum();
    let mut first = vec![String::new(); by.len()];
    first[0] = "total".to_owned();
    lines.push(line(first, &total));
    print::table(&columns, &lines) + &remarks(&total)
}

/// What the sum of money does not say by itself.
fn remarks(total: &UsageTotals) -> String {
    let zero = crate::domain::Money::ZERO;
    let mut text = String::new();
    if total.unserved_cost > zero {
        text.push_str(&format!("{} USD of it was spent on attempts that did not serve\n", total.unserved_cost));
    }
    if total.estimated_cost > zero {
        text.push_str(&format!("{} USD of it is by estimated tokens\n", total.estimated_cost));
    }
    if total.unpriced_attempts > 0 {
        text.push_str(&format!(
            "{} attempts used tokens at no known price and are not in USD; give prices under `models:` in the config\n",
            total.unpriced_attempts
        ));
    }
    if total.doubtful_attempts > 0 {
        let count = total.doubtful_attempts;
        text.push_str(&format!("{count} attempts have a stale or partial price: `backstop prices check`\n"));
    }
    text
}

/// In the order of [`SUMS`].
fn sums(totals: &UsageTotals) -> [String; 22] {
    let number = |number: u64| number.to_string();
    [
        number(totals.calls),
        number(totals.failed),
        number(totals.attempts),
        number(totals.input_tokens),
        number(totals.output_tokens),
        number(totals.cached_tokens),
        number(totals.cache_write_tokens),
        number(totals.reasoning_tokens),
        totals.cost.to_string(),
        number(totals.unpriced_attempts),
        totals.estimated_cost.to_string(),
        totals.unserved_cost.to_string(),
        number(totals.doubtful_attempts),
        number(totals.cache_write_1h_tokens),
        number(totals.audio_input_tokens),
        number(totals.audio_output_tokens),
        number(totals.image_input_tokens),
        number(totals.image_output_tokens),
        number(totals.machine_us),
        number(totals.web_searches),
        number(totals.file_searches),
        number(totals.code_sessions),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Money;

    #[test]
    fn the_table_ends_with_the_total_and_says_what_has_no_price() {
        let totals = UsageTotals {
            calls: 2,
            cost: Money::from_micros(1_500_000),
            unserved_cost: Money::from_micros(7),
            ..UsageTotals::default()
        };
        let unpriced = UsageTotals { calls: 1, unpriced_attempts: 1, ..UsageTotals::default() };
        let rows = [
            UsageRow { group: vec![Some("acme".to_owned())], totals },
            UsageRow { group: vec![None], totals: unpriced },
        ];
        let printed = table(&rows, &[Dimension::Feature]);
        let lines: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][..2], ["feature", "calls"]);
        assert_eq!((lines[1][0], lines[2][0]), ("acme", "-"));
        assert_eq!((lines[3][0], lines[3][1], lines[3][lines[3].len() - 1]), ("total", "3", "1.500000"));
        assert!(printed.contains("1 attempts used tokens at no known price"), "{printed}");
        assert!(printed.contains("0.000007 USD of it was spent on attempts that did not serve"), "{printed}");
        let object = serde_json::to_value(&view::usage(&rows, &[Dimension::Feature])[0]).expect("is JSON");
        assert_eq!((&object["feature"], &object["cost_micros"]), (&"acme".into(), &1_500_000.into()));
    }
}
