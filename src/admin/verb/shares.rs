//! Shares of vendors, and the override of their cap: for some hours the cap refuses no call. Two persons agree to it, and the audit log has it
//! before it takes effect.

use serde_json::{Value, json};

use crate::{
    admin::{
        refused::Refused,
        site::Site,
        view::{OverrideView, SharesView},
    },
    clock,
    config::Settings,
    domain::{self, Act, Action, Actor, Approval},
    limit::Share,
    store::{AuditFilter, AuditRow, Record, ShareOverride, Store},
};

const HOUR_MS: i64 = 3_600_000;
/// Longer than a week is no exception but another cap.
pub const MOST_HOURS: i64 = 168;
pub const MOST_CHARS: usize = 500;
/// How long somebody who asked for an override waits for a second person.
const ASKED_FOR_MS: i64 = HOUR_MS;

pub async fn shown(site: &Site) -> Result<SharesView, Refused> {
    let (share, overridden) = from_ledger(&site.settings, site.ledger().await?).await?;
    Ok(SharesView { view: share.view(), overridden })
}

/// The shares as the database has them, and the override that holds.
pub async fn from_ledger(settings: &Settings, store: &Store) -> Result<(Share, Option<ShareOverride>), Refused> {
    let share = Share::new(settings);
    let overridden = store.share_override(clock::unix_ms()).await?;
    let rows = store.shares_since(share.since_unix_ms(), None).await?;
    share.follow(rows, overridden.as_ref().map(|overridden| overridden.ends_unix_ms));
    Ok((share, overridden))
}

/// With both persons named by whoever acts.
pub async fn begin(site: &Site, (hours, reason): (i64, &str), approvers: [String; 2]) -> Result<OverrideView, Refused> {
    let now = clock::unix_ms();
    let approvals = approvers.iter().map(|name| Approval::named(name, now)).collect();
    begin_as(site, (hours, reason), approvals).await
}

/// One person more who wants it: the first one's wish is put on record, and the second one's puts it in force. Whoever has a name counts
/// by it, so that two tokens of one person are one.
pub async fn ask(site: &Site, (hours, reason): (i64, &str)) -> Result<OverrideView, Refused> {
    let now = clock::unix_ms();
    let filter = AuditFilter {
        action: Some("share".to_owned()),
        since_unix_ms: Some(now - ASKED_FOR_MS),
        limit: 1000,
        ..AuditFilter::default()
    };
    // The newest first; what was asked before an override is used up by it.
    let asked = site.store()?.audit_find(filter).await?;
    let open = asked.iter().take_while(|row| row.action == Action::ShareOverrideAsk.as_str());
    let me = person(&site.actor);
    let first = open.filter(|row| hours_of(row) == Some(hours)).find(|row| asker(row).is_some_and(|who| who != me));
    let Some(first) = first else {
        let ends_unix_ms = now + hours * HOUR_MS;
        let act = Act::new(site.actor.clone(), Action::ShareOverrideAsk, ("share_cap", "override"));
        let act = act.after(json!({ "hours": hours })).reason(reason);
        site.store()?.audit_append(vec![Record::of(&act)]).await?;
        let (id, reason) = ("asked for".to_owned(), reason.to_owned());
        let wanted = ShareOverride { id, begins_unix_ms: now, ends_unix_ms, reason };
        return Ok(OverrideView { what: wanted, in_force: false });
    };
    let one =
        Actor { kind: "person", authenticated_by: format!("asked for in {}", first.id).into(), personal: Vec::new() };
    let one = Actor { personal: asker(first).map(|name| ("name", name)).into_iter().collect(), ..one };
    let approvals =
        vec![Approval { by: one, at_unix_ms: first.at_unix_ms }, Approval { by: site.actor.clone(), at_unix_ms: now }];
    begin_as(site, (hours, reason), approvals).await
}

/// Ends the override that holds.
pub async fn end(site: &Site, reason: &str) -> Result<OverrideView, Refused> {
    let (store, now) = (site.store()?, clock::unix_ms());
    let none = || Refused::conflict("not_done", "the share cap is not overridden now");
    let holds = store.share_override(now).await?.ok_or_else(none)?;
    let act = Act::new(site.actor.clone(), Action::ShareOverrideEnd, ("share_cap", holds.id.as_str()))
        .before(json!({ "ends_unix_ms": holds.ends_unix_ms }))
        .after(json!({ "ends_unix_ms": now }));
    let act = if reason.is_empty() { act } else { act.reason(reason) };
    if !store.end_share_override(holds.id.clone(), now, Record::of(&act)).await? {
        return Err(none());
    }
    Ok(OverrideView { what: ShareOverride { ends_unix_ms: now, ..holds }, in_force: false })
}

/// Two names that are not one person's in another spelling.
pub fn two_persons(names: &[String]) -> Result<[String; 2], String> {
    let names: Vec<String> = names.iter().map(|name| name.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    if names.iter().any(|name| name.is_empty() || name.chars().count() > MOST_CHARS) {
        return Err("--approver takes a person's name".to_owned());
    }
    match <[String; 2]>::try_from(names) {
        Ok([one, other]) if domain::person(&one) == domain::person(&other) => {
            Err(format!("an override takes two persons, and `{one}` is one; name another with --approver"))
        }
        Ok(both) => Ok(both),
        Err(names) => Err(format!("an override takes two approvers, not {}; name each with --approver", names.len())),
    }
}

async fn begin_as(
    site: &Site,
    (hours, reason): (i64, &str),
    approvals: Vec<Approval>,
) -> Result<OverrideView, Refused> {
    let now = clock::unix_ms();
    let new = ShareOverride {
        id: clock::entry_id(),
        begins_unix_ms: now,
        ends_unix_ms: now + hours * HOUR_MS,
        reason: reason.to_owned(),
    };
    let act = Act::new(site.actor.clone(), Action::ShareOverride, ("share_cap", new.id.as_str()))
        .after(json!({ "hours": hours, "begins_unix_ms": now, "ends_unix_ms": new.ends_unix_ms }))
        .reason(reason)
        .approved(approvals);
    if !site.store()?.begin_share_override(new.clone(), Record::of(&act)).await? {
        let why = "the share cap is overridden already; end that first with `backstop share override --end --reason …`";
        return Err(Refused::conflict("not_done", why));
    }
    Ok(OverrideView { what: new, in_force: true })
}

/// By what a person counts: a name; whoever has none is one with all others that have none.
fn person(actor: &Actor) -> String {
    let name = actor.personal.iter().find(|(field, _)| *field == "name");
    name.map_or_else(|| actor.kind.to_owned(), |(_, name)| domain::person(name))
}

fn asker(row: &AuditRow) -> Option<String> {
    let name = row.personal.iter().find(|one| one.field == "actor.name");
    let kind = || entry(row)?.pointer("/actor/kind")?.as_str().map(str::to_owned);
    name.map(|one| domain::person(&one.value)).or_else(kind)
}

fn hours_of(row: &AuditRow) -> Option<i64> {
    entry(row)?.pointer("/after/hours")?.as_i64()
}

fn entry(row: &AuditRow) -> Option<Value> {
    serde_json::from_slice(&row.bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_is_not_two() {
        let two = |names: &[&str]| two_persons(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert!(two(&["alice", "bob"]).is_ok());
        for names in
            [&["alice"][..], &["alice", "Alice "], &["alice", "ali\u{200b}ce"], &["alice", ""], &["a", "b", "c"]]
        {
            assert!(two(names).is_err(), "{names:?}");
        }
    }
}
