//! `backstop share override`: for some hours the share cap refuses no call. Two persons agree to it, and the audit log has it
//! before it takes effect.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::{
    cli::{installation::Installation, operator::operator, print},
    clock,
    domain::{Act, Action, Approval},
    store::{Record, ShareOverride, Store},
};

const HOUR_MS: i64 = 3_600_000;
/// Longer than a week is no exception but another cap.
const MOST_HOURS: i64 = 168;
const MOST_CHARS: usize = 500;

/// Let calls through where only vendors at their cap are left, for some hours
#[derive(Debug, Args)]
pub(super) struct OverrideArgs {
    /// How long: 1 to 168 hours
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=MOST_HOURS), required_unless_present = "end")]
    hours: Option<i64>,
    /// Why; it stays readable in the audit log for ever
    #[arg(long, value_name = "TEXT", required_unless_present = "end")]
    reason: Option<String>,
    /// Who agrees to it: given twice, for two different persons
    #[arg(
        long = "approver",
        visible_alias = "approved-by",
        alias = "approvers",
        value_name = "NAME",
        value_delimiter = ',',
        required_unless_present = "end"
    )]
    approvers: Vec<String>,
    /// End the override that holds now, before its time
    #[arg(long, conflicts_with_all = ["hours", "approvers"])]
    end: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(installation: &Installation, args: OverrideArgs) -> anyhow::Result<ExitCode> {
    let reason = args.reason.as_deref().unwrap_or_default().trim();
    if (reason.is_empty() && !args.end) || reason.chars().count() > MOST_CHARS {
        eprintln!("error: --reason takes 1 to {MOST_CHARS} characters that say why");
        return Ok(ExitCode::from(2));
    }
    let store = installation.store().await?;
    let audit = installation.audit_on(store.clone()).await?;
    let done = if args.end {
        end(&store, reason).await?
    } else {
        let approvers = match two_persons(&args.approvers) {
            Ok(approvers) => approvers,
            Err(why) => {
                eprintln!("error: {why}");
                return Ok(ExitCode::from(2));
            }
        };
        begin(&store, args.hours.unwrap_or(1), reason, approvers).await?
    };
    installation.sign(&audit).await;
    if args.json {
        print::json(&done)?;
    } else if args.end {
        print::text("the share cap holds again; a running gateway follows within 2 s\n")?;
    } else {
        let until = print::moment(done.ends_unix_ms);
        print::text(&format!("the share cap refuses no call until {until}; a running gateway follows within 2 s\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn begin(store: &Store, hours: i64, reason: &str, approvers: [String; 2]) -> anyhow::Result<ShareOverride> {
    let now = clock::unix_ms();
    let new = ShareOverride {
        id: clock::entry_id(),
        begins_unix_ms: now,
        ends_unix_ms: now + hours * HOUR_MS,
        reason: reason.to_owned(),
    };
    let act = Act::new(operator(), Action::ShareOverride, ("share_cap", new.id.as_str()))
        .after(json!({ "hours": hours, "begins_unix_ms": now, "ends_unix_ms": new.ends_unix_ms }))
        .reason(reason)
        .approved(approvers.iter().map(|name| Approval::named(name, now)).collect());
    if !store.begin_share_override(new.clone(), Record::of(&act)).await? {
        bail!("the share cap is overridden already; end that first with `backstop share override --end --reason …`");
    }
    Ok(new)
}

async fn end(store: &Store, reason: &str) -> anyhow::Result<ShareOverride> {
    let now = clock::unix_ms();
    let Some(holds) = store.share_override(now).await? else { bail!("the share cap is not overridden now") };
    let act = Act::new(operator(), Action::ShareOverrideEnd, ("share_cap", holds.id.as_str()))
        .before(json!({ "ends_unix_ms": holds.ends_unix_ms }))
        .after(json!({ "ends_unix_ms": now }));
    let act = if reason.is_empty() { act } else { act.reason(reason) };
    if !store.end_share_override(holds.id.clone(), now, Record::of(&act)).await? {
        bail!("the share cap is not overridden now");
    }
    Ok(ShareOverride { ends_unix_ms: now, ..holds })
}

/// Two names that are not one person's in another spelling.
fn two_persons(names: &[String]) -> Result<[String; 2], String> {
    let names: Vec<String> = names.iter().map(|name| name.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    if names.iter().any(|name| name.is_empty() || name.chars().count() > MOST_CHARS) {
        return Err("--approver takes a person's name".to_owned());
    }
    match <[String; 2]>::try_from(names) {
        Ok([one, other]) if one.to_lowercase() == other.to_lowercase() => {
            Err(format!("an override takes two persons, and `{one}` is one; name another with --approver"))
        }
        Ok(both) => Ok(both),
        Err(names) => Err(format!("an override takes two approvers, not {}; name each with --approver", names.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_is_not_two() {
        let two = |names: &[&str]| two_persons(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert!(two(&["alice", "bob"]).is_ok());
        for names in [&["alice"][..], &["alice", "Alice "], &["alice", ""], &["a", "b", "c"]] {
            assert!(two(names).is_err(), "{names:?}");
        }
    }
}
