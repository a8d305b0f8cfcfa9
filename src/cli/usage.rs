//! `backstop usage`: calls, tokens and money by any set of dimensions; every call that was answered so far is in it.

mod focus;
mod rerate;
mod table;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::{Context, Usage, installation::Installation, print, remote::Remote, span::Span};
use crate::{
    admin::{
        verb::rerated,
        view::{RerateView, UsageView},
    },
    ledger,
    store::{Dimension, Only, UsageFilter, UsageRow},
};

/// What was used, by tenant, feature, model, vendor, route, key, day and more.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// Group by these, in this order [default: tenant,vendor,model]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DIMENSION,…")]
    by: Vec<Dimension>,
    #[command(flatten)]
    span: Span,
    /// Only this tenant's; several with commas, `-` for none, as with all that follow
    #[arg(long, value_delimiter = ',')]
    tenant: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    feature: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    model: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    vendor: Vec<String>,
    #[arg(long, value_delimiter = ',', value_name = "VENDOR/MODEL")]
    target: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    route: Vec<String>,
    /// A client key, by its public first characters
    #[arg(long, value_delimiter = ',')]
    key: Vec<String>,
    /// What the caller got as HTTP status
    #[arg(long, value_delimiter = ',')]
    status: Vec<String>,
    /// Any dimension's value, e.g. `use=unserved` or `fault=hedge_lost,truncated`; several must all hold
    #[arg(long, value_name = "DIMENSION=VALUE,…")]
    only: Vec<Only>,
    /// How it is written [default: table]
    #[arg(long, value_enum, conflicts_with_all = ["json", "csv"])]
    format: Option<Format>,
    /// For programs: one object per row, as `--format json`
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// For spreadsheets, as `--format csv`
    #[arg(long)]
    csv: bool,
    /// Beside the ledger, what the same usage costs by the prices as they are configured now; nothing is changed
    #[arg(long)]
    rerate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Csv,
    Json,
    /// FinOps FOCUS 1.2, as CSV: one row per day, tenant, feature, key, route, model and meter
    Focus,
}

pub async fn run(context: &Context, args: UsageArgs) -> anyhow::Result<ExitCode> {
    let format = args.format();
    if format == Format::Focus && (args.rerate || !args.by.is_empty()) {
        bail!("--format focus has rows of its own; leave out --by and --rerate");
    }
    if let Some(remote) = Remote::find(context).await? {
        return run_remote(&remote, &args).await;
    }
    let installation = Installation::find(context)?;
    let store = installation.store().await?;
    ledger::catch_up(&installation.state, &store).await?;
    let filter = args.filter();
    let settings = || installation.settings_or_embedded();
    if format == Format::Focus {
        let rows = focus::rows(&store, &filter, &settings()?).await?;
        if rows.unpriced > 0 {
            eprintln!(
                "warning: {} attempts have no known price and cost 0 here; `backstop prices check`",
                rows.unpriced
            );
        }
        print::text(&focus::csv(&rows))?;
        return Ok(ExitCode::SUCCESS);
    }
    let by = args.dimensions();
    let printed = if args.rerate {
        let rows = rerated::rows(&installation.site().await?, &filter, &by).await?;
        rerate::written(&rows, &by, format)?
    } else {
        table::written(&store.usage(&filter, &by).await?, &by, format)?
    };
    print::text(&printed)?;
    Ok(ExitCode::SUCCESS)
}

async fn run_remote(remote: &Remote, args: &UsageArgs) -> anyhow::Result<ExitCode> {
    let (format, by, filter) = (args.format(), args.dimensions(), args.filter());
    if format == Format::Focus {
        return Err(Usage(
            "--format focus is written where the ledger is; run it there, without --server and --context".to_owned(),
        )
        .into());
    }
    let names: Vec<&str> = by.iter().map(|dimension| dimension.as_str()).collect();
    let only: Vec<String> = filter.only.iter().map(ToString::to_string).collect();
    let query = [
        ("by", Some(names.join(","))),
        ("since_unix_ms", filter.since_unix_ms.map(|since| since.to_string())),
        ("until_unix_ms", filter.until_unix_ms.map(|until| until.to_string())),
        ("only", (!only.is_empty()).then(|| only.join(";"))),
    ];
    if args.rerate {
        let rows: Vec<RerateView> = remote.get("/usage/rerated", &query).await?;
        print::text(&rerate::written(&rows, &by, format)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let views: Vec<UsageView> = remote.get("/usage", &query).await?;
    let rows: Vec<UsageRow> = views.iter().map(|view| view.row(&by)).collect();
    print::text(&table::written(&rows, &by, format)?)?;
    Ok(ExitCode::SUCCESS)
}

impl UsageArgs {
    fn format(&self) -> Format {
        match self.format {
            Some(format) => format,
            None if self.json => Format::Json,
            None if self.csv => Format::Csv,
            None => Format::Table,
        }
    }

    fn dimensions(&self) -> Vec<Dimension> {
        if self.by.is_empty() { vec![Dimension::Tenant, Dimension::Vendor, Dimension::Model] } else { self.by.clone() }
    }

    fn filter(&self) -> UsageFilter {
        let (since_unix_ms, until_unix_ms) = self.span.bounds();
        let named = [
            (Dimension::Tenant, &self.tenant),
            (Dimension::Feature, &self.feature),
            (Dimension::Model, &self.model),
            (Dimension::Vendor, &self.vendor),
            (Dimension::Target, &self.target),
            (Dimension::Route, &self.route),
            (Dimension::Key, &self.key),
            (Dimension::Status, &self.status),
        ];
        let named = named.into_iter().filter(|(_, values)| !values.is_empty()).map(|(dimension, values)| Only {
            dimension,
            values: values.iter().map(|value| value_of(value)).collect(),
        });
        UsageFilter { since_unix_ms, until_unix_ms, only: named.chain(self.only.iter().cloned()).collect() }
    }
}

fn value_of(text: &str) -> Option<String> {
    (text != "-").then(|| text.to_owned())
}
