//! `backstop calls`: single calls out of the ledger, each with the timeline of its attempts.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{
    Context,
    installation::Installation,
    print::{self, Align},
    remote::{Remote, part},
};
use crate::{
    admin::view::{CallView, EndingView},
    domain::{Attempt, CallId, Ending, Outcome, PriceState, Role, RouteId, TenantId, UsageSource},
    ledger,
    store::CallFilter,
};

/// Calls: list, show.
#[derive(Debug, Args)]
pub struct CallsArgs {
    #[command(subcommand)]
    verb: CallsVerb,
}

#[derive(Debug, Subcommand)]
enum CallsVerb {
    /// The latest calls
    List(ListArgs),
    /// One call and the timeline of its attempts
    Show {
        /// Its id, as the answer's `x-request-id` had it
        id: String,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    #[arg(long)]
    tenant: Option<String>,
    #[arg(long)]
    route: Option<String>,
    #[arg(long)]
    ending: Option<EndingView>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: CallsArgs) -> anyhow::Result<ExitCode> {
    if let Some(remote) = Remote::find(context).await? {
        return run_remote(&remote, args).await;
    }
    let installation = Installation::find(context)?;
    let store = installation.store().await?;
    ledger::catch_up(&installation.state, &store).await?;
    match args.verb {
        CallsVerb::List(list) => {
            let filter = CallFilter {
                tenant: list.tenant.map(TenantId::new),
                route: list.route.map(RouteId::new),
                ending: list.ending.map(Ending::from),
                limit: list.limit,
            };
            let calls = store.list_calls(filter).await?;
            if list.json {
                print::json(&calls.into_iter().map(CallView::from).collect::<Vec<_>>())?;
            } else {
                print::text(&table(&calls))?;
            }
        }
        CallsVerb::Show { id, json } => {
            let call =
                CallId::parse(&id).with_context(|| format!("`{id}` is no call's id; one is req_ and 32 digits"))?;
            let call = store.find_call(call).await?.with_context(|| format!("there is no call {id} in the ledger"))?;
            if json { print::json(&CallView::from(call))? } else { print::text(&timeline(&call))? }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_remote(remote: &Remote, args: CallsArgs) -> anyhow::Result<ExitCode> {
    match args.verb {
        CallsVerb::List(list) => {
            let ending = list.ending.map(|ending| Ending::from(ending).as_str().to_owned());
            let limit = Some(list.limit.to_string());
            let query = [("tenant", list.tenant), ("route", list.route), ("ending", ending), ("limit", limit)];
            let calls: Vec<CallView> = remote.get("/calls", &query).await?;
            if list.json {
                print::json(&calls)?;
            } else {
                print::text(&table(&calls.into_iter().map(|call| call.outcome).collect::<Vec<_>>()))?;
            }
        }
        CallsVerb::Show { id, json } => {
            let call: CallView = remote.get(&format!("/calls/{}", part(&id)), &[]).await?;
            if json { print::json(&call)? } else { print::text(&timeline(&call.outcome))? }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(calls: &[Outcome]) -> String {
    let columns = [
        ("started", Align::Left),
        ("id", Align::Left),
        ("tenant", Align::Left),
        ("route", Align::Left),
        ("release", Align::Right),
        ("task", Align::Left),
        ("served by", Align::Left),
        ("ending", Align::Left),
        ("attempts", Align::Right),
        ("ms", Align::Right),
        ("USD", Align::Right),
    ];
    let cells = |call: &Outcome| {
        vec![
            print::moment(call.started_unix_ms),
            call.call.to_string(),
            call.tenant.to_string(),
            call.route.to_string(),
            release(call),
            call.task.as_str().to_owned(),
            call.served().map_or_else(|| "-".to_owned(), |attempt| attempt.target.to_string()),
            call.ending.as_str().to_owned(),
            call.attempts.len().to_string(),
            format!("{:.0}", call.total_ms),
            call.cost().to_string(),
        ]
    };
    print::table(&columns, &calls.iter().map(cells).collect::<Vec<_>>())
}

fn timeline(call: &Outcome) -> String {
    let feature = call.feature.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let drill =
        call.drill.as_ref().map(|drill| format!("  part of the drill {drill}: for it vendors were seen as down\n"));
    let head = format!(
        "{}\n  started {}  tenant {}  key {}  feature {feature}  route {}  release {}  task {}\n  {}{}  {} ({})  {:.1} ms in all, {} to first content, {:.2} ms of it ours  {} USD\n{}\n",
        call.call,
        print::moment(call.started_unix_ms),
        call.tenant,
        call.key,
        call.route,
        release(call),
        call.task.as_str(),
        call.dialect.as_str(),
        if call.streamed { ", streamed" } else { "" },
        ended(call),
        call.status,
        call.total_ms,
        milliseconds(call.ttft_ms),
        call.overhead_ms,
        call.cost(),
        drill.unwrap_or_default(),
    );
    let columns = [
        ("at ms", Align::Right),
        ("target", Align::Left),
        ("took", Align::Right),
        ("first content", Align::Right),
        ("tokens in", Align::Right),
        ("out", Align::Right),
        ("USD", Align::Right),
        ("what happened", Align::Left),
    ];
    let lines: Vec<Vec<String>> = call
        .attempts
        .iter()
        .enumerate()
        .map(|(place, attempt)| {
            vec![
                format!("{:.1}", attempt.started_ms),
                attempt.target.to_string(),
                milliseconds(attempt.duration_ms),
                milliseconds(attempt.ttft_ms),
                attempt.usage.input.to_string(),
                attempt.usage.output.to_string(),
                attempt.cost.map_or_else(|| "-".to_owned(), |cost| cost.to_string()),
                what_happened(attempt, if call.served_by == Some(place) { "served" } else { "answered" }),
            ]
        })
        .collect();
    head + &print::table(&columns, &lines)
}

fn release(call: &Outcome) -> String {
    call.release.map_or_else(|| "-".to_owned(), |release| release.to_string())
}

/// How it ended, and what is known of its answer.
fn ended(call: &Outcome) -> String {
    let finish = call.finish.map(|finish| format!(" by {}", finish.as_str())).unwrap_or_default();
    let json = call.json.map(|json| format!(", JSON {}", json.as_str())).unwrap_or_default();
    format!("{}{finish}{json}", call.ending.as_str())
}

/// `well` when there was no fault.
fn what_happened(attempt: &Attempt, well: &str) -> String {
    let role = if attempt.role == Role::Rung { String::new() } else { format!("{}: ", attempt.role.as_str()) };
    let doubts = doubts(attempt);
    let Some(fault) = attempt.fault else { return format!("{role}{well}{doubts}") };
    let skipped = if attempt.duration_ms.is_none() { "skipped: " } else { "" };
    let status = attempt.status.map_or_else(String::new, |status| format!(" ({status})"));
    let detail = attempt.detail.as_deref().map_or_else(String::new, |detail| format!(": {detail}"));
    format!("{role}{skipped}{fault}{status}{}{doubts}", detail.replace(['\n', '\r'], " "))
}

/// What its figures are not: reported, or at a price that is known.
fn doubts(attempt: &Attempt) -> String {
    let estimated = (attempt.usage_source == UsageSource::Estimated).then_some("tokens estimated");
    let price = match attempt.priced {
        PriceState::Valid => None,
        PriceState::Partial => Some("price partial"),
        PriceState::Stale => Some("price stale"),
        PriceState::Missing => Some("no price"),
    };
    let doubts: Vec<&str> = estimated.into_iter().chain(price).collect();
    if doubts.is_empty() { String::new() } else { format!(" ({})", doubts.join(", ")) }
}

fn milliseconds(time: Option<f64>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sample;

    #[test]
    fn a_timeline_tells_of_every_attempt_on_one_line_each() {
        let call = sample::failed_over();
        let printed = timeline(&call);
        let lines: Vec<&str> = printed.lines().collect();
        assert!(lines[0] == call.call.to_string() && printed.contains("feature summaries"), "{printed}");
        assert_eq!(lines.len(), 4 + 1 + 3, "{printed}");
        assert!(lines[5].contains("skipped: no_secret"), "{printed}");
        assert!(lines[6].contains("openai/gpt-4o-mini") && lines[6].contains("truncated (200)"), "{printed}");
        assert!(lines[7].ends_with("served (no price)"), "{printed}");
    }
}
