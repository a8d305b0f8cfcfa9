//! Looks at every rule and route in turns, and does what follows. One task owns it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use metrics::counter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    course::{Course, Deed},
    figures::{Finding, Span, Watched, look},
};
use crate::{
    audit::Audit,
    clock,
    config::{CanaryMode, Rule, RuleAction, Settings},
    domain::{Act, Action, Actor, RouteId},
    observe::metric,
    release::{At, Cause, Trigger, book::CameBy},
    store::Store,
};

/// Between two looks at everything.
const EVERY: Duration = Duration::from_secs(5);
/// Looking takes no more than one part in so many of the time, however many calls there are.
const OF_TIME: u32 = 20;

/// A rule on a route, as it was seen last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuleState {
    pub rule: String,
    pub route: String,
    pub version: u64,
    /// Whether that is tried on a part of the calls: then it is compared with the others of the same time.
    #[serde(default)]
    pub canary: bool,
    pub action: String,
    pub when: String,
    pub findings: Vec<Finding>,
    pub looked_at_unix_ms: i64,
    /// What it did, if it did anything at this version.
    pub outcome: Option<String>,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    is_canary: bool,
    version: u64,
    since_unix_ms: i64,
}

impl Subject {
    fn at(self) -> At {
        if self.is_canary { At::Canary(self.version) } else { At::Release }
    }

    fn watched(self) -> Watched {
        match (u32::try_from(self.version), self.is_canary) {
            (Ok(version), true) => Watched::Canary(version),
            (Ok(version), false) => Watched::Release(version),
            (Err(_), _) => Watched::Route,
        }
    }
}

/// Shared with those who show it.
#[derive(Debug, Clone)]
pub struct Watcher {
    store: Store,
    audit: Audit,
    trigger: Trigger,
    settings: Arc<ArcSwap<Settings>>,
    seen: Arc<Mutex<BTreeMap<SeenBy, RuleState>>>,
}

/// The rule, the route, and whether it is the canary's.
type SeenBy = (String, RouteId, bool);

impl Watcher {
    pub fn new(store: Store, audit: Audit, trigger: Trigger, settings: Arc<ArcSwap<Settings>>) -> Self {
        Self { store, audit, trigger, settings, seen: Arc::default() }
    }

    /// As every rule was seen last.
    pub fn states(&self) -> Vec<RuleState> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Goes on until aborted.
    pub async fn run(self) {
        let mut courses: BTreeMap<(String, RouteId, Subject), Course> = BTreeMap::new();
        loop {
            let begun = clock::now();
            let settings = self.settings.load_full();
            let mut kept = BTreeMap::new();
            for rule in &settings.rules {
                for route in
                    settings.routes.keys().filter(|route| rule.routes.is_empty() || rule.routes.contains(route))
                {
                    for subject in self.watched(rule, route) {
                        let place = (rule.name.clone(), route.clone(), subject);
                        let mut course = courses.remove(&place).unwrap_or_default();
                        self.look_once(rule, route, subject, &mut course).await;
                        kept.insert(place, course);
                    }
                }
            }
            courses = kept;
            tokio::time::sleep(EVERY.max(begun.elapsed() * OF_TIME)).await;
        }
    }

    /// What the rule watches on that route now: what serves since not so long ago, and what is tried.
    fn watched(&self, rule: &Rule, route: &RouteId) -> Vec<Subject> {
        let Some(in_force) = self.trigger.in_force(route) else { return Vec::new() };
        // What has come back is what was there before: nothing is new about it.
        let serving = (in_force.came_by != CameBy::Rollback).then_some(Subject {
            is_canary: false,
            version: in_force.version,
            since_unix_ms: in_force.since_unix_ms,
        });
        let canary = in_force.canary.filter(|canary| canary.mode == CanaryMode::Serve).map(|canary| Subject {
            is_canary: true,
            version: canary.version,
            since_unix_ms: canary.since_unix_ms,
        });
        let now = clock::unix_ms();
        let in_time = |subject: &Subject| {
            let age = now.saturating_sub(subject.since_unix_ms);
            u128::try_from(age).is_ok_and(|ms| ms <= rule.watch.as_millis())
        };
        serving.into_iter().chain(canary).filter(in_time).collect()
    }

    async fn look_once(&self, rule: &Rule, route: &RouteId, subject: Subject, course: &mut Course) {
        let now = clock::unix_ms();
        let span = Span { since_unix_ms: subject.since_unix_ms, until_unix_ms: now, of: subject.watched() };
        let (looked, findings) = match look(&self.store, rule, route, span).await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::warn!(%error, rule = rule.name, %route, "a rule cannot be looked at");
                return;
            }
        };
        let outcome = match course.take(rule, looked, now) {
            Deed::Nothing => None,
            Deed::SayUndecided => {
                let why = "it has too few samples, or no baseline, for a long time";
                tracing::error!(rule = rule.name, %route, "a rule cannot decide: {why}");
                Some(format!("undecided: {why}"))
            }
            Deed::Act => self.act_or_wait(rule, route, (subject, &findings), course).await,
        };
        let place = (rule.name.clone(), route.clone(), subject.is_canary);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.get(&place).filter(|before| before.version == subject.version);
        let outcome = outcome.or_else(|| before.and_then(|before| before.outcome.clone()));
        let state = RuleState {
            rule: rule.name.clone(),
            route: route.to_string(),
            version: subject.version,
            canary: subject.is_canary,
            action: rule.action.as_str().to_owned(),
            when: rule.when.to_string(),
            findings,
            looked_at_unix_ms: now,
            outcome,
        };
        seen.insert(place, state);
    }

    /// What stood against it was said, and is not said anew while it stands.
    async fn act_or_wait(
        &self,
        rule: &Rule,
        route: &RouteId,
        (subject, findings): (Subject, &[Finding]),
        course: &mut Course,
    ) -> Option<String> {
        if course.was_refused()
            && let Some(stay) = self.trigger.stays(route, subject.at())
        {
            if stay.may_pass() {
                course.again();
            }
            return None;
        }
        let (outcome, may_pass) = self.act(rule, route, (subject, findings)).await;
        if may_pass {
            course.again();
        }
        Some(outcome)
    }

    /// What came of it, and whether nothing did for a reason that may pass.
    async fn act(&self, rule: &Rule, route: &RouteId, (subject, findings): (Subject, &[Finding])) -> (String, bool) {
        let breached = findings.iter().filter(|finding| finding.look == "breached").map(|finding| {
            let value = finding.value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
            format!(
                "{} (now {value} of {} samples, evidence {:.0})",
                finding.comparison, finding.samples, finding.evidence
            )
        });
        let whose = if subject.is_canary { format!(", version {} on trial", subject.version) } else { String::new() };
        let reason = format!("rule {}{whose}: {}", rule.name, breached.collect::<Vec<_>>().join("; "));
        let (kind, name, actor) = ("rule", rule.name.clone(), Actor::gateway());
        let cause = Cause { kind, name, reason: reason.clone(), actor, at: subject.at() };
        match rule.action {
            RuleAction::Rollback => {
                let fired = self.trigger.fire(route, cause).await;
                (fired.to_string(), fired.may_pass())
            }
            RuleAction::Pause => (self.trigger.pause(route, cause).await, false),
            RuleAction::Alert => {
                counter!(metric::TRIGGERS, "route" => route.to_string(), "kind" => "rule", "result" => "told")
                    .increment(1);
                tracing::error!(rule = rule.name, %route, "{reason}");
                let act = Act::new(Actor::gateway(), Action::TriggerFire, ("route", route.as_str())).reason(reason);
                let act = act.after(json!({ "kind": "rule", "cause": rule.name, "result": "told" }));
                if let Err(error) = self.audit.record(&act).await {
                    tracing::error!(error = &error as &dyn std::error::Error, "a rule's alarm is not in the audit log");
                }
                ("told".to_owned(), false)
            }
        }
    }
}
