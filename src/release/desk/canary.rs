//! Trying a release on a part of a route's calls, and the end of that.
//!
//! To begin, and to take more calls, it needs what a promotion needs. Its end waits for nothing, like a rollback: it needs no database.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Desk, DeskError, again::Tries, find, named, named_persons};
use crate::{
    clock,
    config::{CanaryBy, CanaryMode, CanaryShare, Enforcement},
    domain::{Action, Approval, RouteId, TargetId},
    release::{
        Gate,
        book::{Deed, Line},
        needs::{self, Need},
    },
    store::Store,
};

/// A canary that is asked for.
#[derive(Debug, Clone, Default)]
pub struct CanaryOrder {
    pub number: u32,
    pub pct: u8,
    pub by: CanaryBy,
    pub mode: CanaryMode,
    pub reason: String,
    /// Who agreed, by name, beside those whose approval is on record.
    pub approved_by: Vec<String>,
}

/// A canary that runs now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tried {
    pub route: RouteId,
    #[serde(flatten)]
    pub share: CanaryShare,
    pub serving: u32,
    pub targets: Vec<TargetId>,
    pub decided_unix_ms: i64,
    /// What strict enforcement would have refused.
    pub cautions: Vec<Need>,
}

impl Desk<'_> {
    /// Gives a release a share of the route's calls, or another share than it has.
    pub async fn canary(
        &self,
        (gate, store): (&Arc<Gate>, &Store),
        route: &RouteId,
        order: CanaryOrder,
    ) -> Result<Tried, DeskError> {
        let mut tries = Tries::begin();
        loop {
            match self.canary_once((gate, store), route, order.clone()).await {
                Err(error) if self.may_try_again(&mut tries, route, &error).await => {}
                done => return done,
            }
        }
    }

    async fn canary_once(
        &self,
        (gate, store): (&Arc<Gate>, &Store),
        route: &RouteId,
        order: CanaryOrder,
    ) -> Result<Tried, DeskError> {
        let CanaryOrder { number, pct, by, mode, reason, approved_by } = order;
        let known = self.shelf.read().await?;
        let (mut deeds, line) = self.begun(&known, route)?;
        let targets = find(&line, route, number)?.targets.clone();
        let share = CanaryShare { release: number, pct, by, mode };
        may_be_tried(route, &line, share)?;
        let mut missing = Vec::new();
        if !is_less(&line, share) {
            let mut persons = self.persons(store, &line, (route, number)).await?;
            persons.extend(named_persons(&approved_by));
            // Nobody gets a shadow's answer: one person fewer.
            let wanted = match mode {
                CanaryMode::Serve => self.wanted(route),
                CanaryMode::Shadow => self.wanted(route).saturating_sub(1).max(1),
            };
            let volumes = needs::volumes(store, &self.settings, clock::unix_ms()).await?;
            let persons = (persons.len(), wanted);
            missing = needs::missing(gate, &self.settings, (route, &line, number), persons, &volumes).await;
        }
        let waived = |need: &Need| self.settings.enforcement == Enforcement::Warn && need.need.is_waived_by_warn();
        if missing.iter().any(|need| !waived(need)) {
            return Err(DeskError::Needs { route: route.clone(), number, needs: missing });
        }
        let now = clock::unix_ms();
        let mut act = self
            .act(Action::ReleaseCanary, route, &reason)
            .before(json!({ "serving": line.primary, "canary": line.canary.map(|running| running.share) }))
            .after(json!({ "canary": share, "targets": targets, "cautions": missing }));
        act.approvals = approved_by.into_iter().map(|name| Approval { by: named(name), at_unix_ms: now }).collect();
        deeds.push((route.clone(), Deed::Canary { share, reason: Some(reason) }));
        self.shelf.keep(&known, deeds, &act).await?;
        let route = route.clone();
        Ok(Tried { route, share, serving: line.primary, targets, decided_unix_ms: now, cautions: missing })
    }

    /// Ends the route's canary, at once and without the database; the release that it was. `number`: only if it is that one.
    pub async fn end_canary(&self, route: &RouteId, number: Option<u32>, reason: &str) -> Result<u32, DeskError> {
        let of = |line: Option<&Line>| line.and_then(|line| line.canary).map(|running| running.share);
        let running = match of(self.shelf.read_now()?.book.line(route)) {
            Some(share) => Some(share),
            // The copy may lag behind where it could not be written.
            None => of(self.shelf.read().await?.book.line(route)),
        };
        let Some(share) = running.filter(|share| number.is_none_or(|number| number == share.release)) else {
            let what = number.map_or_else(|| "no release".to_owned(), |number| format!("release {number} is not what"));
            return Err(DeskError::Refused(format!("{what} is tried on route `{route}` now")));
        };
        let act = self.act(Action::ReleaseCanaryEnd, route, reason).before(json!({ "canary": share }));
        let deed = Deed::CanaryEnded { release: share.release, reason: Some(reason.to_owned()) };
        self.shelf.keep_now(vec![(route.clone(), deed)], &act)?;
        Ok(share.release)
    }
}

/// Whether it only takes calls away from a canary that runs: that needs nothing.
fn is_less(line: &Line, share: CanaryShare) -> bool {
    line.canary.is_some_and(|running| {
        let before = running.share;
        CanaryShare { pct: share.pct, ..before } == share && share.pct < before.pct
    })
}

fn may_be_tried(route: &RouteId, line: &Line, share: CanaryShare) -> Result<(), DeskError> {
    let CanaryShare { release, pct, mode, .. } = share;
    let why = match (mode, line.canary.map(|running| running.share)) {
        _ if release == line.primary => format!("release {release} of `{route}` serves already"),
        (CanaryMode::Serve, _) if !(1..=99).contains(&pct) => format!(
            "a canary has 1 to 99 of a hundred calls; with all of them it serves: `backstop release promote {route} {release}`"
        ),
        (CanaryMode::Shadow, _) if !(1..=100).contains(&pct) => "a shadow has 1 to 100 of a hundred calls".to_owned(),
        (_, Some(running)) if running.release != release => format!(
            "release {} is tried on route `{route}` already; first end that: `backstop release canary {route} --stop`",
            running.release
        ),
        (_, Some(running)) if running == share => format!("release {release} has that share of `{route}` already"),
        _ => return Ok(()),
    };
    Err(DeskError::Refused(why))
}
