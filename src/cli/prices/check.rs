//! `backstop prices check`: attempts whose cost is not known, or not known well. Says what today's prices make of them; what
//! the ledger has stays as it is.

use std::process::ExitCode;

use super::CheckArgs;
use crate::{
    admin::{
        verb::doubts::{self as verb, Search},
        view::{Doubt, DoubtView, DoubtsView},
    },
    cli::{
        place::Place,
        print::{self, Align},
    },
    domain::Money,
};

pub(super) async fn run(place: &Place, args: CheckArgs) -> anyhow::Result<ExitCode> {
    let (since_unix_ms, until_unix_ms) = args.span.bounds();
    let view: DoubtsView = match place {
        Place::Server(remote) => {
            let query = [
                ("since_unix_ms", since_unix_ms.map(|at| at.to_string())),
                ("until_unix_ms", until_unix_ms.map(|at| at.to_string())),
                ("max_age_days", Some(args.max_age.to_string())),
                ("calls", Some(args.calls.to_string())),
            ];
            remote.get("/prices/check", &query).await?
        }
        Place::Here(here) => {
            let search = Search { since_unix_ms, until_unix_ms, max_age_days: args.max_age, calls: args.calls };
            verb::check(&here.site, search).await?
        }
    };
    if args.json {
        print::json(&view.found)?;
    } else {
        print::text(&table(&view))?;
    }
    Ok(if view.found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(DoubtsView { found, without_price }: &DoubtsView) -> String {
    let ahead = match without_price.as_slice() {
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
    let line = |one: &DoubtView| {
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
