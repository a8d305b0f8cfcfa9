//! `backstop prices check`: attempts whose cost is not known, or not known well. Says what today's prices make of them; what
//! the ledger has stays as it is.

use std::{collections::BTreeMap, process::ExitCode};

use serde::Serialize;

use super::CheckArgs;
use crate::{
    cli::{
        installation::Installation,
        print::{self, Align},
        spending::{self, Today},
    },
    config::Settings,
    domain::{Money, PriceState},
    ledger,
    store::{SpentRow, UsageFilter},
};

const DAY_MS: i64 = 24 * 3_600_000;
/// What the rounding of earlier versions (by kind of token) may have made of an amount, in micro-dollars.
const EARLIER_ROUNDING: i64 = 2;
/// The most that `--calls` lists.
const MOST: usize = 100_000;

/// Why an attempt is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Doubt {
    /// There was no row: its cost is not known, and in no sum.
    Missing,
    /// The row's validity had ended.
    Stale,
    /// A kind of token was used that the row has no rate for.
    Partial,
    /// Nobody had looked at the built-in price for too long.
    Unchecked,
    /// The price has been changed since.
    Corrected,
}

impl Doubt {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Partial => "partial",
            Self::Unchecked => "unchecked",
            Self::Corrected => "corrected",
        }
    }
}

#[derive(Debug, Serialize)]
struct Found {
    target: String,
    state: Doubt,
    price_row: Option<String>,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Debug, Default, Serialize)]
struct Sums {
    attempts: u64,
    input_tokens: u64,
    output_tokens: u64,
    first_unix_ms: i64,
    last_unix_ms: i64,
    /// The latest of the calls.
    call: String,
    /// As the ledger has it.
    cost_micros: i64,
    /// By today's prices, of those that have one.
    today_micros: i64,
    /// Those that have no price today either.
    unpriced_today: u64,
}

pub(super) async fn run(installation: &Installation, settings: &Settings, args: CheckArgs) -> anyhow::Result<ExitCode> {
    let store = installation.store().await?;
    ledger::catch_up(&installation.state, &store).await?;
    let (since_unix_ms, until_unix_ms) = args.span.bounds();
    let filter = UsageFilter { since_unix_ms, until_unix_ms, only: Vec::new() };
    let mut today = Today::new(settings);
    let mut found: BTreeMap<(String, Doubt, Option<String>, String), Sums> = BTreeMap::new();
    spending::each(&store, &filter, &[], |row| {
        let Some(doubt) = doubt(&row, &mut today, i64::from(args.max_age) * DAY_MS) else { return };
        let call = row.at.call.to_string();
        let each = if args.calls { format!("{call} {}", row.at.position) } else { String::new() };
        let key = (row.target.to_string(), doubt, row.price_row.as_deref().map(str::to_owned), each);
        if args.calls && found.len() >= MOST {
            return;
        }
        found.entry(key).or_default().add(&row, call, today.quote(&row).map(|quote| quote.cost));
    })
    .await?;
    let mut found: Vec<Found> = found
        .into_iter()
        .map(|((target, state, price_row, _), sums)| Found { target, state, price_row, sums })
        .collect();
    found.sort_by_key(|one| (one.state, std::cmp::Reverse(one.sums.attempts)));
    if args.json {
        print::json(&found)?;
    } else {
        print::text(&table(&found, settings))?;
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn doubt(row: &SpentRow, today: &mut Today<'_>, max_age_ms: i64) -> Option<Doubt> {
    let Some(cost) = row.cost else { return Some(Doubt::Missing) };
    match row.priced {
        PriceState::Missing => return Some(Doubt::Missing),
        PriceState::Stale => return Some(Doubt::Stale),
        PriceState::Partial => return Some(Doubt::Partial),
        PriceState::Valid => {}
    }
    let began = row.at.started_unix_ms;
    let quote = today.quote(row)?;
    let slack = if row.price_row.is_none() { EARLIER_ROUNDING } else { 0 };
    if quote.cost.micros.abs_diff(cost.micros) > slack.unsigned_abs() {
        return Some(Doubt::Corrected);
    }
    let (counts, _) = today.prices(&row.target)?.at(began)?;
    counts.checked_ms.is_some_and(|checked| began.saturating_sub(checked) > max_age_ms).then_some(Doubt::Unchecked)
}

impl Sums {
    fn add(&mut self, row: &SpentRow, call: String, today: Option<Money>) {
        if self.attempts == 0 {
            self.first_unix_ms = row.at.started_unix_ms;
        }
        self.attempts += 1;
        self.input_tokens += row.usage.input;
        self.output_tokens += row.usage.output;
        self.last_unix_ms = row.at.started_unix_ms;
        self.call = call;
        self.cost_micros += row.cost.map_or(0, |cost| cost.micros);
        self.today_micros += today.map_or(0, |cost| cost.micros);
        self.unpriced_today += u64::from(today.is_none());
    }
}

fn table(found: &[Found], settings: &Settings) -> String {
    let without: Vec<String> = settings
        .targets()
        .into_iter()
        .filter(|target| settings.prices_of(target).is_none())
        .map(ToString::to_string)
        .collect();
    let ahead = match without.as_slice() {
        [] => String::new(),
        targets => format!("without a price in the config: {}\n", targets.join(", ")),
    };
    if found.is_empty() {
        return format!("every call was priced by a row that was valid and is unchanged\n{ahead}");
    }
    let columns = [
        ("target", Align::Left),
        ("price", Align::Left),
        ("row", Align::Left),
        ("attempts", Align::Right),
        ("input", Align::Right),
        ("output", Align::Right),
        ("first", Align::Left),
        ("last", Align::Left),
        ("latest call", Align::Left),
        ("USD in the ledger", Align::Right),
        ("USD by today's prices", Align::Right),
    ];
    let line = |one: &Found| {
        let sums = &one.sums;
        let today = match sums.unpriced_today {
            none if none == sums.attempts => "-".to_owned(),
            _ => Money::from_micros(sums.today_micros).to_string(),
        };
        vec![
            one.target.clone(),
            one.state.as_str().to_owned(),
            one.price_row.clone().unwrap_or_else(|| "-".to_owned()),
            sums.attempts.to_string(),
            sums.input_tokens.to_string(),
            sums.output_tokens.to_string(),
            print::moment(sums.first_unix_ms),
            print::moment(sums.last_unix_ms),
            sums.call.clone(),
            if one.state == Doubt::Missing { "-".to_owned() } else { Money::from_micros(sums.cost_micros).to_string() },
            today,
        ]
    };
    let lines: Vec<Vec<String>> = found.iter().map(line).collect();
    let help = "give or correct prices under `models:` in the config; `backstop usage --rerate` compares, the ledger stays as it is\n";
    format!("{}{ahead}{help}", print::table(&columns, &lines))
}
