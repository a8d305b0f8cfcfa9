//! `backstop share override`: for some hours the share cap refuses no call. Two persons agree to it, and the audit log has it
//! before it takes effect.

use std::process::ExitCode;

use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::{
    admin::{
        verb::shares::{self as verb, MOST_CHARS, MOST_HOURS},
        view::OverrideView,
    },
    cli::{Usage, place::Place, print},
};

/// Let calls through where only vendors at their cap are left, for some hours
///
/// Two persons agree to it. On the state directory both are named with --approver; on a server each runs this with a token of their own.
#[derive(Debug, Args)]
pub(super) struct OverrideArgs {
    /// How long: 1 to 168 hours
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=MOST_HOURS), required_unless_present = "end")]
    hours: Option<i64>,
    /// Why; it stays readable in the audit log for ever
    #[arg(long, value_name = "TEXT", required_unless_present = "end")]
    reason: Option<String>,
    /// Who agrees to it: given twice, for two different persons; not on a server, where a person is a token
    #[arg(
        long = "approver",
        visible_alias = "approved-by",
        alias = "approvers",
        value_name = "NAME",
        value_delimiter = ','
    )]
    approvers: Vec<String>,
    /// End the override that holds now, before its time
    #[arg(long, conflicts_with_all = ["hours", "approvers"])]
    end: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(place: &Place, args: OverrideArgs) -> anyhow::Result<ExitCode> {
    let reason = args.reason.as_deref().unwrap_or_default().trim();
    if (reason.is_empty() && !args.end) || reason.chars().count() > MOST_CHARS {
        return Err(Usage(format!("--reason takes 1 to {MOST_CHARS} characters that say why")).into());
    }
    let wanted = (args.hours.unwrap_or(1), reason);
    let done: OverrideView = match place {
        Place::Server(remote) if args.end => {
            remote.write(Method::DELETE, "/share/override", &json!({ "reason": reason })).await?
        }
        Place::Server(remote) => {
            if !args.approvers.is_empty() {
                let why =
                    "on a server nobody vouches for another: whoever agrees runs this too, with a token of their own";
                return Err(Usage(why.to_owned()).into());
            }
            let body = json!({ "hours": wanted.0, "reason": reason });
            remote.write(Method::POST, "/share/override", &body).await?
        }
        Place::Here(here) => {
            let done = match args.end {
                true => verb::end(&here.site, reason).await?,
                false => {
                    let approvers = verb::two_persons(&args.approvers).map_err(Usage)?;
                    verb::begin(&here.site, wanted, approvers).await?
                }
            };
            here.sign().await?;
            done
        }
    };
    if args.json {
        print::json(&done)?;
    } else if args.end {
        print::text("the share cap holds again; a running gateway follows within 2 s\n")?;
    } else if done.in_force {
        let until = print::moment(done.what.ends_unix_ms);
        print::text(&format!("the share cap refuses no call until {until}; a running gateway follows within 2 s\n"))?;
    } else {
        let hours = wanted.0;
        print::text(&format!(
            "asked for: it takes a second person, who runs `backstop share override --hours {hours} --reason …` with a token of their own within an hour\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
