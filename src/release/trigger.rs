//! Whether an incident or a rule takes a route back, and that it does so once: [`judge`] is pure, [`Trigger`] asks and acts.
//!
//! Never back twice, never to a target that may not serve or does not answer now, and never away from a version that has just come
//! back. What was decided, and why, is in the audit log.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use arc_swap::ArcSwap;
use metrics::counter;
use serde_json::json;

use super::book::CameBy;
use super::reversal::{InForce, NotReversed, OnTrial, Order, Retained, Reversal};
use crate::{
    audit::Audit,
    clock,
    config::{CanaryMode, Enforcement, Settings},
    domain::{Act, Action, Actor, RouteId},
    observe::metric,
    relay::{Relay, health::HealthView},
    route::Standings,
};

/// How long what is wrong is taken to be a canary's doing, once that is ended.
const AFTERMATH_MS: i64 = 60_000;

/// What asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// `incident` or `rule`.
    pub kind: &'static str,
    /// What it is called where it comes from.
    pub name: String,
    /// For people, and kept for ever: names no person.
    pub reason: String,
    pub actor: Actor,
    pub at: At,
}

/// What is found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Something on the route: what changed last is the first to go.
    Route,
    /// What serves, whatever is tried beside it.
    Release,
    /// The canary of this version.
    Canary(u64),
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fired {
    /// The canary goes no further; what serves, serves on.
    CanaryEnded {
        version: u64,
    },
    RolledBack {
        from_version: u64,
        to_version: u64,
    },
    Stayed(Stay),
}

/// Why a route stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stay {
    #[error("there is no such route")]
    NoRoute,
    #[error("it retains no earlier version")]
    NothingRetained,
    #[error("it was rolled back already: version {version} is what it went back to")]
    AlreadyBack { version: u64 },
    #[error("a rollback of version {version} is under way, or was tried for another trigger")]
    UnderWay { version: u64 },
    #[error("its retained version {version} would be worse: {why}")]
    Worse { version: u64, why: String },
    #[error("version {version} is not tried any more")]
    NotTried { version: u64 },
    #[error("its canary was ended less than a minute ago: that may have been the cause")]
    CanaryJustEnded,
    #[error("the rollback failed: {0}")]
    Failed(String),
}

impl Stay {
    /// Whether it may be otherwise in a while, and the same version serve.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Worse { .. } | Self::UnderWay { .. } | Self::CanaryJustEnded | Self::Failed(_) => true,
            Self::NoRoute | Self::NothingRetained | Self::AlreadyBack { .. } | Self::NotTried { .. } => false,
        }
    }
}

/// Whether to go back, and where to. `objection`: why the retained version's primary may not, or cannot, serve now.
pub fn judge(
    in_force: Option<&InForce>,
    objection: impl FnOnce(&Retained) -> Option<String>,
) -> Result<Retained, Stay> {
    let in_force = in_force.ok_or(Stay::NoRoute)?;
    if in_force.came_by == CameBy::Rollback {
        return Err(Stay::AlreadyBack { version: in_force.version });
    }
    let retained = in_force.retained.as_ref().ok_or(Stay::NothingRetained)?;
    match objection(retained) {
        Some(why) => Err(Stay::Worse { version: retained.version, why }),
        None => Ok(retained.clone()),
    }
}

/// What is to end instead of what serves: a canary that answers calls is the newest change. `Ok(None)`: what serves is meant.
fn newest(in_force: Option<&InForce>, at: At, now_unix_ms: i64) -> Result<Option<OnTrial>, Stay> {
    let canary = in_force.and_then(|in_force| in_force.canary);
    match at {
        At::Release => Ok(None),
        At::Canary(version) => match canary.filter(|canary| canary.version == version) {
            Some(canary) => Ok(Some(canary)),
            None => Err(Stay::NotTried { version }),
        },
        At::Route => {
            if let Some(canary) = canary.filter(|canary| canary.mode == CanaryMode::Serve) {
                return Ok(Some(canary));
            }
            // Two alarms of one cause come at the same moment: the second one must not take what serves.
            let ended = in_force.and_then(|in_force| in_force.canary_ended_unix_ms);
            match ended.is_some_and(|ended| now_unix_ms.saturating_sub(ended) < AFTERMATH_MS) {
                true => Err(Stay::CanaryJustEnded),
                false => Ok(None),
            }
        }
    }
}

fn order(route: &RouteId, from_version: u64, cause: &Cause) -> Order {
    Order { route: route.clone(), from_version, reason: cause.reason.clone(), actor: cause.actor.clone() }
}

/// Acts on triggers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trigger {
    parts: Arc<TriggerParts>,
    /// Versions that are being taken back.
    under_way: Arc<Mutex<BTreeSet<(RouteId, u64)>>>,
}

#[derive(Debug)]
pub struct TriggerParts {
    pub reversal: Arc<dyn Reversal>,
    pub audit: Audit,
    pub settings: Arc<ArcSwap<Settings>>,
    pub standings: Arc<ArcSwap<Standings>>,
    /// What is known of targets' health. Not kept alive: a gateway that stops waits for its last holder.
    pub relay: Weak<Relay>,
}

impl Trigger {
    pub fn new(parts: TriggerParts) -> Self {
        Self { parts: Arc::new(parts), under_way: Arc::default() }
    }

    pub fn in_force(&self, route: &RouteId) -> Option<InForce> {
        self.parts.reversal.in_force(route)
    }

    /// Takes the route back if that makes it better. Needs no database.
    pub async fn fire(&self, route: &RouteId, cause: Cause) -> Fired {
        let fired = self.decide_and_act(route, &cause).await;
        let result = fired.as_str();
        counter!(metric::TRIGGERS, "route" => route.to_string(), "kind" => cause.kind, "result" => result).increment(1);
        let said = fired.to_string();
        match &fired {
            Fired::RolledBack { .. } | Fired::CanaryEnded { .. } => {
                tracing::warn!(%route, cause = cause.name, "a trigger fired: {said}")
            }
            Fired::Stayed(_) => {
                tracing::error!(%route, cause = cause.name, "a trigger fired and nothing was done: {said}")
            }
        }
        let act = Act::new(cause.actor, Action::TriggerFire, ("route", route.as_str())).reason(cause.reason);
        let act = act.after(json!({ "kind": cause.kind, "cause": cause.name, "result": result, "said": said }));
        if let Err(error) = self.parts.audit.record(&act).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a trigger is not in the audit log");
        }
        fired
    }

    /// What stands against it now, if it would be asked; nothing is done and nothing is written down.
    pub fn stays(&self, route: &RouteId, at: At) -> Option<Stay> {
        let in_force = self.in_force(route);
        match newest(in_force.as_ref(), at, clock::unix_ms()) {
            Err(stay) => Some(stay),
            Ok(Some(_)) => None,
            Ok(None) => judge(in_force.as_ref(), |retained| self.objection(route, retained)).err(),
        }
    }

    /// What is being rolled out goes no further; what became of that, for people.
    pub async fn pause(&self, route: &RouteId, cause: Cause) -> String {
        let canary = self.in_force(route).and_then(|in_force| in_force.canary);
        let paused = match canary {
            None => Err(NotReversed::Failed(format!("nothing is tried on route `{route}`"))),
            Some(canary) => self.parts.reversal.end_canary(order(route, canary.version, &cause)).await,
        };
        let result = if paused.is_ok() { "paused" } else { "stayed" };
        counter!(metric::TRIGGERS, "route" => route.to_string(), "kind" => cause.kind, "result" => result).increment(1);
        let said = paused.map_or_else(
            |error| format!("not paused: {error}"),
            |()| format!("paused: {}", Fired::CanaryEnded { version: canary.map_or(0, |canary| canary.version) }),
        );
        tracing::error!(%route, cause = cause.name, "a trigger fired: {said}");
        let act = Act::new(cause.actor, Action::TriggerFire, ("route", route.as_str())).reason(cause.reason);
        let act = act.after(json!({ "kind": cause.kind, "cause": cause.name, "result": result, "said": said }));
        if let Err(error) = self.parts.audit.record(&act).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a trigger is not in the audit log");
        }
        said
    }

    async fn decide_and_act(&self, route: &RouteId, cause: &Cause) -> Fired {
        let in_force = self.in_force(route);
        match newest(in_force.as_ref(), cause.at, clock::unix_ms()) {
            Err(stay) => return Fired::Stayed(stay),
            Ok(Some(canary)) => return self.end_canary(route, canary.version, cause).await,
            Ok(None) => {}
        }
        if let Err(stay) = judge(in_force.as_ref(), |retained| self.objection(route, retained)) {
            return Fired::Stayed(stay);
        }
        let Some(InForce { version, .. }) = in_force else { return Fired::Stayed(Stay::NoRoute) };
        let place = (route.clone(), version);
        if !self.lock().insert(place.clone()) {
            return Fired::Stayed(Stay::UnderWay { version });
        }
        let done = self.parts.reversal.roll_back(order(route, version, cause)).await;
        self.lock().remove(&place);
        match done {
            Ok(reversed) => Fired::RolledBack { from_version: reversed.from_version, to_version: reversed.to_version },
            Err(NotReversed::NothingRetained(_)) => Fired::Stayed(Stay::NothingRetained),
            Err(NotReversed::Failed(why)) => Fired::Stayed(Stay::Failed(why)),
        }
    }

    async fn end_canary(&self, route: &RouteId, version: u64, cause: &Cause) -> Fired {
        match self.parts.reversal.end_canary(order(route, version, cause)).await {
            Ok(()) => Fired::CanaryEnded { version },
            Err(error) => Fired::Stayed(Stay::Failed(error.to_string())),
        }
    }

    /// Why the retained version's primary may not, or cannot, serve now.
    fn objection(&self, route: &RouteId, retained: &Retained) -> Option<String> {
        let settings = self.parts.settings.load();
        let route = settings.routes.get(route)?;
        let target = &retained.primary;
        if !target.is_local() && settings.vendor(target).is_none() {
            return Some(format!("the vendor of `{target}` is not in the config any more"));
        }
        let objection = self.parts.standings.load().objection(target, route);
        if let Some(why) = objection.filter(|_| settings.enforcement == Enforcement::Strict) {
            // A route's own first target needs no certificate while it is that.
            let is_primary = route.targets.first().is_some_and(|first| first.id == *target && !target.is_local());
            if !is_primary {
                return Some(format!("`{target}` may not serve: {why}"));
            }
        }
        let seen = HealthView::of(&self.parts.relay.upgrade()?.health);
        let fault = seen.targets.get(target)?.health(clock::unix_ms()).objection?;
        Some(format!("`{target}` does not answer now: {}", fault.detail))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<(RouteId, u64)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fired {
    /// Whether nothing was done for a reason that may pass: whoever asks again may be heard.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::CanaryEnded { .. } | Self::RolledBack { .. } => false,
            Self::Stayed(stay) => stay.may_pass(),
        }
    }

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CanaryEnded { .. } => "canary_ended",
            Self::RolledBack { .. } => "rolled_back",
            Self::Stayed(_) => "stayed",
        }
    }
}

impl std::fmt::Display for Fired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CanaryEnded { version } => write!(f, "version {version} is not tried any more"),
            Self::RolledBack { from_version, to_version } => {
                write!(f, "rolled back from version {from_version} to version {to_version}")
            }
            Self::Stayed(why) => write!(f, "not rolled back: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TargetId;

    fn target(text: &str) -> TargetId {
        TargetId::parse(text).expect("is a target")
    }

    fn in_force(came_by: CameBy, retained: Option<u64>) -> InForce {
        let retained = retained.map(|version| Retained { version, primary: target("old/model") });
        InForce {
            version: 7,
            since_unix_ms: 0,
            came_by,
            primary: target("new/model"),
            retained,
            canary: None,
            canary_ended_unix_ms: None,
        }
    }

    #[test]
    fn what_changed_last_goes_first() {
        let on_trial = |mode| OnTrial { version: 8, since_unix_ms: 0, mode };
        let with = |canary, canary_ended_unix_ms| InForce {
            canary,
            canary_ended_unix_ms,
            ..in_force(CameBy::Promotion, Some(6))
        };
        let (serves, shadows) = (on_trial(CanaryMode::Serve), on_trial(CanaryMode::Shadow));
        let ends = |in_force: &InForce, at, now| newest(Some(in_force), at, now);
        assert_eq!(ends(&with(Some(serves), None), At::Route, 0), Ok(Some(serves)));
        assert_eq!(ends(&with(Some(serves), None), At::Release, 0), Ok(None));
        // Nobody gets a shadow's answers: it has done no harm.
        assert_eq!(ends(&with(Some(shadows), None), At::Route, 0), Ok(None));
        assert_eq!(ends(&with(Some(shadows), None), At::Canary(8), 0), Ok(Some(shadows)));
        assert_eq!(ends(&with(None, Some(5)), At::Canary(8), 6), Err(Stay::NotTried { version: 8 }));
        assert_eq!(ends(&with(None, Some(5)), At::Route, 6), Err(Stay::CanaryJustEnded));
        assert_eq!(ends(&with(None, Some(5)), At::Route, 5 + AFTERMATH_MS), Ok(None));
    }

    #[test]
    fn a_promoted_version_goes_back_and_nothing_else_does() {
        let well = |_: &Retained| None;
        let back = judge(Some(&in_force(CameBy::Promotion, Some(6))), well);
        assert_eq!(back.map(|retained| retained.version), Ok(6));
        assert_eq!(judge(Some(&in_force(CameBy::Promotion, None)), well), Err(Stay::NothingRetained));
        assert_eq!(judge(None, well), Err(Stay::NoRoute));
        let twice = judge(Some(&in_force(CameBy::Rollback, Some(7))), well);
        assert_eq!(twice, Err(Stay::AlreadyBack { version: 7 }));
        let worse = judge(Some(&in_force(CameBy::Promotion, Some(6))), |_| Some("it is out".to_owned()));
        assert_eq!(worse, Err(Stay::Worse { version: 6, why: "it is out".to_owned() }));
    }
}
