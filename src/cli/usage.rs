//! `backstop usage`: calls, tokens and money by any set of dimensions; every call that was answered so far is in it.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use super::{
    Context,
    installation::Installation,
    print::{self, Align},
    remote::Remote,
};
use crate::{
    admin::view::{self, UsageView},
    clock,
    domain::TenantId,
    ledger,
    store::{Dimension, UsageFilter, UsageRow, UsageTotals},
};

/// What was used, by tenant, feature, model, vendor, route, key or day.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// Group by these, in this order
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["tenant", "vendor", "model"], value_name = "DIMENSION,…")]
    by: Vec<Dimension>,
    /// Only calls that began in the last so much time, e.g. 24h or 7d
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    since: Option<Duration>,
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<String>,
    /// For programs: one object per row
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// For spreadsheets
    #[arg(long)]
    csv: bool,
}

/// The sums, by the names that JSON, CSV and the table use.
const SUMS: [&str; 10] = [
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
];

pub async fn run(context: &Context, args: UsageArgs) -> anyhow::Result<ExitCode> {
    if let Some(remote) = Remote::find(context).await? {
        let by: Vec<&str> = args.by.iter().map(|dimension| dimension.as_str()).collect();
        let since = args.since.map(|since| since_unix_ms(since).to_string());
        let query = [("by", Some(by.join(","))), ("since_unix_ms", since), ("tenant", args.tenant.clone())];
        let views: Vec<UsageView> = remote.get("/usage", &query).await?;
        return show(&views.iter().map(|view| view.row(&args.by)).collect::<Vec<_>>(), &args);
    }
    let installation = Installation::find(context)?;
    let store = installation.store().await?;
    ledger::catch_up(&installation.state, &store).await?;
    let filter = UsageFilter {
        since_unix_ms: args.since.map(since_unix_ms),
        until_unix_ms: None,
        tenant: args.tenant.as_ref().map(TenantId::new),
    };
    let rows = store.usage(&filter, &args.by).await?;
    show(&rows, &args)
}

fn since_unix_ms(since: Duration) -> i64 {
    clock::unix_ms() - i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn show(rows: &[UsageRow], args: &UsageArgs) -> anyhow::Result<ExitCode> {
    if args.json {
        print::json(&view::usage(rows, &args.by))?;
    } else if args.csv {
        let heads: Vec<&str> = args.by.iter().map(|dimension| dimension.as_str()).chain(SUMS).collect();
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| group(row, "").into_iter().chain(sums(&row.totals)).collect()).collect();
        print::text(&print::csv(&heads, &cells))?;
    } else {
        print::text(&table(rows, &args.by))?;
    }
    Ok(ExitCode::SUCCESS)
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
    let mut lines: Vec<Vec<String>> = rows.iter().map(|row| line(group(row, "-"), &row.totals)).collect();
    let total: UsageTotals = rows.iter().map(|row| row.totals).sum();
    let mut first = vec![String::new(); by.len()];
    first[0] = "total".to_owned();
    lines.push(line(first, &total));
    let mut table = print::table(&columns, &lines);
    if total.unpriced_attempts > 0 {
        table.push_str(&format!(
            "{} attempts used tokens at no known price and are not in USD; give prices under `models:` in the config\n",
            total.unpriced_attempts
        ));
    }
    table
}

fn group(row: &UsageRow, none: &str) -> Vec<String> {
    row.group.iter().map(|name| name.clone().unwrap_or_else(|| none.to_owned())).collect()
}

/// In the order of [`SUMS`].
fn sums(totals: &UsageTotals) -> [String; 10] {
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
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Money;

    #[test]
    fn the_table_ends_with_the_total_and_says_what_has_no_price() {
        let totals = UsageTotals { calls: 2, cost: Money::from_micros(1_500_000), ..UsageTotals::default() };
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
        let object = serde_json::to_value(&view::usage(&rows, &[Dimension::Feature])[0]).expect("is JSON");
        assert_eq!((&object["feature"], &object["cost_micros"]), (&"acme".into(), &1_500_000.into()));
    }
}
