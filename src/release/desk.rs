//! The acts on releases, as the command line, the operators' API and the gateway's own triggers do them.
//!
//! Each is all or nothing, and one audit entry in the act's own transaction. A rollback waits for nothing: it is put down in the state
//! directory with its entry, and carried into the database afterwards.

mod again;
mod canary;
mod told;

use std::{collections::BTreeSet, sync::Arc};

pub use canary::{CanaryOrder, Tried};
pub use told::moment;

use again::Tries;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Gate,
    book::{Deed, Line, Origin},
    needs::{self, Need},
    shelf::{Known, Shelf, ShelfError},
};
use crate::{
    clock,
    config::{Enforcement, Settings},
    domain::{Act, Action, Actor, Approval, RouteId, TargetId, person},
    store::{AuditFilter, Store, StoreError},
};

/// Where acts are done. Cheap to make.
#[derive(Debug)]
pub struct Desk<'d> {
    pub shelf: &'d Shelf,
    /// As the config file has them.
    pub settings: Arc<Settings>,
    pub actor: Actor,
}

/// A promotion that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Promotion {
    pub number: u32,
    pub reason: String,
    /// Who agreed, by name, beside those whose approval is on record.
    pub approved_by: Vec<String>,
}

/// A release that serves now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    pub route: RouteId,
    pub from: u32,
    pub to: u32,
    pub targets: Vec<TargetId>,
    pub decided_unix_ms: i64,
    /// What strict enforcement would have refused.
    pub cautions: Vec<Need>,
}

#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error("there is no route `{route}`; those there are: {known}")]
    NoRoute { route: RouteId, known: String },
    #[error("route `{route}` has no release {number}; `backstop release history {route}` lists them")]
    NoRelease { route: RouteId, number: u32 },
    #[error("{0}")]
    Refused(String),
    #[error("release {number} of `{route}` may not serve:\n{}", listed(.needs))]
    Needs { route: RouteId, number: u32, needs: Vec<Need> },
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn listed(needs: &[Need]) -> String {
    needs.iter().map(|need| format!("  - {}", need.why)).collect::<Vec<_>>().join("\n")
}

impl Desk<'_> {
    /// Puts down a new release of `route`; its number.
    pub async fn propose(&self, route: &RouteId, targets: Vec<TargetId>, reason: &str) -> Result<u32, DeskError> {
        let mut tries = Tries::begin();
        loop {
            match self.propose_once(route, targets.clone(), reason).await {
                Err(error) if self.may_try_again(&mut tries, route, &error).await => {}
                done => return done,
            }
        }
    }

    async fn propose_once(&self, route: &RouteId, targets: Vec<TargetId>, reason: &str) -> Result<u32, DeskError> {
        let known = self.shelf.read().await?;
        let (mut deeds, line) = self.begun(&known, route)?;
        let distinct: BTreeSet<&TargetId> = targets.iter().collect();
        if targets.is_empty() || distinct.len() != targets.len() {
            return Err(DeskError::Refused("a release has at least one target, and each only once".to_owned()));
        }
        if let [unknown, ..] = self.settings.unknown_vendors(&targets).as_slice() {
            let why = format!("`{unknown}` is of a vendor that the config does not name; add it under `vendors:`");
            return Err(DeskError::Refused(why));
        }
        if let Some(same) = line.releases.values().find(|release| release.targets == targets) {
            let why = format!("release {} of `{route}` has these targets already", same.number);
            return Err(DeskError::Refused(why));
        }
        let number = line.next_number();
        let act = self.act(Action::ReleasePropose, route, reason);
        let act = act.after(json!({ "release": number, "targets": targets }));
        let (origin, reason) = (Origin::Proposal, Some(reason.to_owned()));
        deeds.push((route.clone(), Deed::Recorded { number, targets, origin, reason }));
        self.shelf.keep(&known, deeds, &act).await?;
        Ok(number)
    }

    /// One more person stands behind `number`.
    pub async fn approve(&self, route: &RouteId, number: u32, reason: &str) -> Result<(), DeskError> {
        let mut tries = Tries::begin();
        loop {
            match self.approve_once(route, number, reason).await {
                Err(error) if self.may_try_again(&mut tries, route, &error).await => {}
                done => return done,
            }
        }
    }

    async fn approve_once(&self, route: &RouteId, number: u32, reason: &str) -> Result<(), DeskError> {
        let known = self.shelf.read().await?;
        let (mut deeds, line) = self.begun(&known, route)?;
        let release = find(&line, route, number)?;
        let act = self.act(Action::ReleaseApprove, route, reason);
        let act = act.after(json!({ "release": number, "targets": release.targets }));
        deeds.push((route.clone(), Deed::Approved { number }));
        Ok(self.shelf.keep(&known, deeds, &act).await?)
    }

    /// Makes a release the one that serves, if nothing stands in its way; the one before is retained.
    pub async fn promote(
        &self,
        (gate, store): (&Arc<Gate>, &Store),
        route: &RouteId,
        promotion: Promotion,
    ) -> Result<Moved, DeskError> {
        let mut tries = Tries::begin();
        loop {
            match self.promote_once((gate, store), route, promotion.clone()).await {
                Err(error) if self.may_try_again(&mut tries, route, &error).await => {}
                done => return done,
            }
        }
    }

    async fn promote_once(
        &self,
        (gate, store): (&Arc<Gate>, &Store),
        route: &RouteId,
        promotion: Promotion,
    ) -> Result<Moved, DeskError> {
        let known = self.shelf.read().await?;
        let (deeds, line) = self.begun(&known, route)?;
        let number = promotion.number;
        find(&line, route, number)?;
        if line.primary == number {
            return Err(DeskError::Refused(format!("release {number} of `{route}` serves already")));
        }
        self.move_to((gate, store), (&known, deeds, &line), (route, Action::ReleasePromote), promotion).await
    }

    /// Takes the config file's order over as a new release that serves, under the conditions of a promotion.
    pub async fn import(
        &self,
        (gate, store): (&Arc<Gate>, &Store),
        route: &RouteId,
        mut promotion: Promotion,
    ) -> Result<Option<Moved>, DeskError> {
        let known = self.shelf.read().await?;
        let (mut deeds, mut line) = self.begun(&known, route)?;
        let targets = self.filed(route)?;
        if line.serving() == targets {
            return Ok(None);
        }
        let there = line.releases.values().find(|release| release.targets == targets).map(|release| release.number);
        promotion.number = there.unwrap_or_else(|| line.next_number());
        if there.is_none() {
            let deed = Deed::Recorded {
                number: promotion.number,
                targets,
                origin: Origin::Import,
                reason: Some(promotion.reason.clone()),
            };
            deeds.push((route.clone(), deed));
            line = self.with(&known, &deeds, route)?;
        }
        let moved = self.move_to((gate, store), (&known, deeds, &line), (route, Action::ReleaseImport), promotion);
        Ok(Some(moved.await?))
    }

    async fn move_to(
        &self,
        (gate, store): (&Arc<Gate>, &Store),
        (known, mut deeds, line): (&Known, Vec<(RouteId, Deed)>, &Line),
        (route, action): (&RouteId, Action),
        promotion: Promotion,
    ) -> Result<Moved, DeskError> {
        let Promotion { number, reason, approved_by } = promotion;
        let now = clock::unix_ms();
        let volumes = needs::volumes(store, &self.settings, now).await?;
        let mut persons = self.persons(store, line, (route, number)).await?;
        persons.extend(named_persons(&approved_by));
        let persons = (persons.len(), self.wanted(route));
        let missing = needs::missing(gate, &self.settings, (route, line, number), persons, &volumes).await;
        let waived = |need: &Need| self.settings.enforcement == Enforcement::Warn && need.need.is_waived_by_warn();
        if missing.iter().any(|need| !waived(need)) {
            return Err(DeskError::Needs { route: route.clone(), number, needs: missing });
        }
        let from = line.primary;
        let retain = i64::try_from(self.settings.release.retain.as_millis()).unwrap_or(i64::MAX);
        let retain_until_unix_ms = now.saturating_add(retain);
        let targets = line.release(number).map(|release| release.targets.clone()).unwrap_or_default();
        let mut act = self
            .act(action, route, &reason)
            .before(json!({ "release": from, "targets": line.serving() }))
            .after(json!({
                "release": number, "targets": targets, "retained": from, "retained_until_unix_ms": retain_until_unix_ms,
                "approved_in": line.release(number).map(|release| &release.approvals), "cautions": missing,
                "canary_ended": line.canary.map(|running| running.share.release),
            }));
        act.approvals = approved_by.into_iter().map(|name| Approval { by: named(name), at_unix_ms: now }).collect();
        let reason = Some(reason);
        deeds.push((route.clone(), Deed::Promoted { number, from, retain_until_unix_ms, reason }));
        self.shelf.keep(known, deeds, &act).await?;
        Ok(Moved { route: route.clone(), from, to: number, targets, decided_unix_ms: now, cautions: missing })
    }

    /// Swaps what serves and what is retained, at once and without the database. `from`: only if that serves now. `to`: another retained one
    /// than the last, or the one that was rolled back from.
    pub async fn roll_back(
        &self,
        route: &RouteId,
        (from, to): (Option<u32>, Option<u32>),
        reason: &str,
    ) -> Result<Moved, DeskError> {
        let line = match self.shelf.read_now()?.book.line(route) {
            Some(line) if line.retained().is_some() => line.clone(),
            // The copy may lag behind where it could not be written.
            _ => {
                let known = self.shelf.read().await?;
                known.book.line(route).cloned().ok_or_else(|| self.no_route(route))?
            }
        };
        if from.is_some_and(|from| from != line.primary) {
            let why = format!("route `{route}` serves release {} by now, not the one that is to end", line.primary);
            return Err(DeskError::Refused(why));
        }
        let to = match to {
            Some(to) if line.leases.iter().any(|lease| lease.number == to) => to,
            Some(to) => return Err(DeskError::Refused(format!("route `{route}` does not retain release {to}"))),
            None => self.usual(route, &line)?,
        };
        let targets = find(&line, route, to)?.targets.clone();
        let from = line.primary;
        let act = self
            .act(Action::ReleaseRollback, route, reason)
            .before(json!({ "release": from, "targets": line.serving() }))
            .after(json!({
                "release": to, "targets": targets, "canary_ended": line.canary.map(|running| running.share.release),
            }));
        let decided_unix_ms = clock::unix_ms();
        let deed = Deed::RolledBack { from, to, reason: Some(reason.to_owned()) };
        self.shelf.keep_now(vec![(route.clone(), deed)], &act)?;
        Ok(Moved { route: route.clone(), from, to, targets, decided_unix_ms, cautions: Vec::new() })
    }

    fn usual(&self, route: &RouteId, line: &Line) -> Result<u32, DeskError> {
        let Some(lease) = line.retained() else {
            let why = format!(
                "route `{route}` retains no earlier release; `backstop release history {route}` shows what it has"
            );
            return Err(DeskError::Refused(why));
        };
        if line.came_by == super::book::CameBy::Rollback {
            let why = format!(
                "route `{route}` was rolled back to release {} already; --to {} takes it forward again",
                line.primary, lease.number
            );
            return Err(DeskError::Refused(why));
        }
        Ok(lease.number)
    }

    /// Lets a retained release go, once its time is over.
    pub async fn retire(&self, route: &RouteId, number: u32, reason: &str) -> Result<(), DeskError> {
        let known = self.shelf.read().await?;
        let line = known.book.line(route).ok_or_else(|| self.no_route(route))?;
        let Some(lease) = line.leases.iter().find(|lease| lease.number == number) else {
            return Err(DeskError::Refused(format!("route `{route}` does not retain release {number}")));
        };
        if lease.until_unix_ms > clock::unix_ms() {
            let until = moment(lease.until_unix_ms);
            return Err(DeskError::Refused(format!("release {number} of `{route}` is retained until {until}")));
        }
        let act = self.act(Action::ReleaseRetire, route, reason).before(json!({ "release": number }));
        Ok(self.shelf.keep(&known, vec![(route.clone(), Deed::Retired { number })], &act).await?)
    }

    /// The route's line as it is, and what has to be put down first where the file was not recorded yet.
    pub fn begun(&self, known: &Known, route: &RouteId) -> Result<(Vec<(RouteId, Deed)>, Line), DeskError> {
        let targets = self.filed(route)?;
        let deeds: Vec<_> = following(known, route, targets).into_iter().map(|deed| (route.clone(), deed)).collect();
        let line = self.with(known, &deeds, route)?;
        Ok((deeds, line))
    }

    fn with(&self, known: &Known, deeds: &[(RouteId, Deed)], route: &RouteId) -> Result<Line, DeskError> {
        let mut book = known.book.clone();
        for (route, deed) in deeds {
            let (id, act) = (clock::entry_id(), serde_json::to_string(deed).map_err(ShelfError::from)?);
            let row = crate::store::ReleaseRow {
                id,
                at_unix_ms: clock::unix_ms(),
                route: route.clone(),
                entry: String::new(),
                act,
            };
            book.add(&row).map_err(ShelfError::from)?;
        }
        book.line(route).cloned().ok_or_else(|| self.no_route(route))
    }

    fn filed(&self, route: &RouteId) -> Result<Vec<TargetId>, DeskError> {
        let route = self.settings.routes.get(route).ok_or_else(|| self.no_route(route))?;
        Ok(route.targets.iter().map(|target| target.id.clone()).collect())
    }

    fn no_route(&self, route: &RouteId) -> DeskError {
        let known: Vec<&str> = self.settings.routes.keys().map(RouteId::as_str).collect();
        DeskError::NoRoute { route: route.clone(), known: known.join(", ") }
    }

    /// Who stands behind a release: whoever proposed and approved it, as far as the log knows their names, and whoever acts now.
    async fn persons(
        &self,
        store: &Store,
        line: &Line,
        (route, number): (&RouteId, u32),
    ) -> Result<BTreeSet<String>, DeskError> {
        let release = find(line, route, number)?;
        let object = Some(format!("route:{route}"));
        let filter =
            AuditFilter { action: Some("release".to_owned()), object, limit: 10_000, ..AuditFilter::default() };
        let entries = store.audit_find(filter).await?;
        let behind = entries.iter().filter(|entry| {
            release.approvals.contains(&entry.id) || release.origin == Origin::Proposal && release.entry == entry.id
        });
        let names = behind.flat_map(|entry| &entry.personal).filter(|one| one.field == "actor.name");
        let mut persons: BTreeSet<String> = names.map(|one| person(&one.value)).collect();
        let me = self.actor.personal.iter().find(|(field, _)| *field == "name");
        persons.insert(me.map_or_else(|| self.actor.kind.to_owned(), |(_, name)| person(name)));
        Ok(persons)
    }

    /// How many persons a promotion on `route` takes.
    fn wanted(&self, route: &RouteId) -> u32 {
        self.settings.routes.get(route).map_or(1, |route| self.settings.release.persons(route.criticality))
    }

    fn act(&self, action: Action, route: &RouteId, reason: &str) -> Act {
        Act::new(self.actor.clone(), action, ("route", route.to_string())).reason(reason)
    }
}

/// What puts the file's order down, where the route follows the file and the book has another one.
pub fn following(known: &Known, route: &RouteId, targets: Vec<TargetId>) -> Option<Deed> {
    let line = known.book.line(route);
    if line.is_some_and(|line| line.governed || line.serving() == targets) {
        return None;
    }
    let number = line.map_or(1, Line::next_number);
    Some(Deed::Recorded { number, targets, origin: Origin::Config, reason: None })
}

fn find<'l>(line: &'l Line, route: &RouteId, number: u32) -> Result<&'l super::book::Release, DeskError> {
    line.release(number).ok_or_else(|| DeskError::NoRelease { route: route.clone(), number })
}

/// Those who are vouched for, each once; a name that is none is nobody.
fn named_persons(names: &[String]) -> impl Iterator<Item = String> {
    names.iter().map(|name| person(name)).filter(|name| !name.is_empty())
}

fn named(name: String) -> Actor {
    Actor { kind: "person", authenticated_by: "named by whoever promoted".into(), personal: vec![("name", name)] }
}
