//! Makes the steps of an evacuation by itself, in the running gateway, and halts where a rule says that it goes badly.
//!
//! A rule with the action `pause` or `rollback` looks at what is since the evacuation began beside what was before it. It halts the
//! steps, and takes nothing back: that is for people (`--back`), or the next command. A step needs no database; where rules are to
//! watch and the database is away, the next step waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use serde_json::json;

use crate::{
    clock,
    config::{Rule, RuleAction, Settings},
    domain::{Act, Action, Actor, RouteId, VendorId},
    release::{
        book::{Book, Deed, Leaving},
        rules::{self, Course, Finding, Look, RuleState, Span, Watched, Watcher, look},
        shelf::Shelf,
    },
    route::{Standings, plan},
    store::Store,
};

const ROUND: Duration = Duration::from_millis(500);
/// Between two looks of the rules.
const EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct StepperParts {
    pub shelf: Arc<Shelf>,
    pub store: Store,
    pub settings: Arc<ArcSwap<Settings>>,
    pub standings: Arc<ArcSwap<Standings>>,
    pub rules: Watcher,
}

/// One task owns it.
#[derive(Debug)]
pub struct Stepper {
    parts: StepperParts,
    courses: BTreeMap<(Place, String, RouteId), Course>,
    /// What rules had done of themselves when an evacuation was first seen.
    before: BTreeMap<Place, BTreeSet<Fired>>,
    looked: Option<Instant>,
    /// Evacuations of which the rules could be looked at the last time.
    watched: BTreeSet<Place>,
}

/// A vendor, and when its evacuation began.
type Place = (VendorId, i64);
/// Rule, route and version.
type Fired = (String, String, u64);

/// One evacuation, on all its routes.
struct Evacuation {
    place: Place,
    routes: BTreeMap<RouteId, (u8, Leaving)>,
}

impl Stepper {
    pub fn new(parts: StepperParts) -> Self {
        let (courses, before) = (BTreeMap::new(), BTreeMap::new());
        Self { parts, courses, before, looked: None, watched: BTreeSet::new() }
    }

    /// Goes on until aborted.
    pub async fn run(mut self) {
        loop {
            self.round().await;
            tokio::time::sleep(ROUND).await;
        }
    }

    async fn round(&mut self) {
        let Ok(known) = self.parts.shelf.read_now() else { return };
        let under_way = under_way(&known.book);
        self.courses.retain(|(place, ..), _| under_way.iter().any(|one| one.place == *place));
        self.before.retain(|place, _| under_way.iter().any(|one| one.place == *place));
        if under_way.is_empty() {
            return;
        }
        let looks = self.looked.is_none_or(|looked| looked.elapsed() >= EVERY);
        if looks {
            self.looked = Some(clock::now());
            self.watched.clear();
        }
        for evacuation in &under_way {
            if let Some(why) = self.objection(evacuation, looks).await {
                self.halt(evacuation, &why);
                continue;
            }
            self.go_on(evacuation);
        }
    }

    /// Why it goes no further: a rule, or nobody who would serve.
    async fn objection(&mut self, evacuation: &Evacuation, looks: bool) -> Option<String> {
        let settings = self.parts.settings.load_full();
        let standings = self.parts.standings.load();
        for name in evacuation.routes.keys() {
            let Some(route) = settings.routes.get(name) else { continue };
            let steps = plan(route, &standings, settings.enforcement).steps;
            let mut others = steps.iter().filter(|step| step.target.vendor != evacuation.place.0);
            if !others.any(|step| step.decision.is_attempted()) {
                return Some(format!("on route `{name}` nobody may serve instead any more"));
            }
        }
        if let Some(why) = self.fired(evacuation) {
            return Some(why);
        }
        if looks { self.look(&settings, evacuation).await } else { None }
    }

    /// A rule that has acted on one of its routes since it began, whatever that was about.
    fn fired(&mut self, evacuation: &Evacuation) -> Option<String> {
        let states = self.parts.rules.states();
        let acted = states.iter().filter(|state| {
            let ours = evacuation.routes.keys().any(|route| route.as_str() == state.route);
            let halts = [RuleAction::Pause, RuleAction::Rollback].iter().any(|action| action.as_str() == state.action);
            let undecided = state.outcome.as_deref().is_none_or(|outcome| outcome.starts_with("undecided"));
            ours && halts && !undecided
        });
        let acted: BTreeMap<Fired, &RuleState> =
            acted.map(|state| ((state.rule.clone(), state.route.clone(), state.version), state)).collect();
        let before = self.before.entry(evacuation.place.clone());
        let before = before.or_insert_with(|| acted.keys().cloned().collect());
        let (_, state) = acted.iter().find(|(fired, _)| !before.contains(*fired))?;
        Some(format!("rule {} on route `{}`: {}", state.rule, state.route, said(&state.findings)))
    }

    async fn look(&mut self, settings: &Settings, evacuation: &Evacuation) -> Option<String> {
        let now = clock::unix_ms();
        let span = Span { since_unix_ms: evacuation.place.1, until_unix_ms: now, of: Watched::Route };
        for (rule, route) in watching(settings, evacuation) {
            let (looked, findings) = match look(&self.parts.store, rule, route, span).await {
                Ok(looked) => looked,
                Err(error) => {
                    tracing::warn!(%error, rule = rule.name, %route, "a rule cannot be looked at: the next step away from the vendor waits");
                    return None;
                }
            };
            let place = (evacuation.place.clone(), rule.name.clone(), route.clone());
            let course = self.courses.entry(place).or_default();
            if course.take(rule, looked, now) == rules::Deed::Act {
                return Some(format!("rule {} on route `{route}`: {}", rule.name, said(&findings)));
            }
            if looked == Look::Breached {
                // Until that is decided, nothing moves.
                return None;
            }
        }
        self.watched.insert(evacuation.place.clone());
        None
    }

    fn go_on(&self, evacuation: &Evacuation) {
        let (settings, now) = (self.parts.settings.load(), clock::unix_ms());
        if watching(&settings, evacuation).next().is_some() && !self.watched.contains(&evacuation.place) {
            return;
        }
        let (vendor, _) = &evacuation.place;
        let due = evacuation.routes.iter().filter(|(_, (_, leaving))| now >= leaving.next_unix_ms());
        let due: Vec<(&RouteId, u8, u8)> =
            due.filter_map(|(route, (pct, leaving))| Some((route, *pct, leaving.next(*pct)?))).collect();
        let Some((_, from, to)) = due.first().copied() else { return };
        let deeds = due.iter().map(|(route, _, to)| {
            let deed = Deed::LeftFurther { vendor: vendor.clone(), pct: *to };
            ((*route).clone(), deed)
        });
        let routes: Vec<&RouteId> = due.iter().map(|(route, ..)| *route).collect();
        let act = Act::new(Actor::gateway(), Action::VendorEvacuate, ("vendor", vendor.to_string()))
            .before(json!({ "pct": from }))
            .after(json!({ "pct": to, "routes": routes }))
            .reason("the next step");
        match self.parts.shelf.keep_now(deeds.collect(), &act) {
            Ok(()) => tracing::warn!(%vendor, from, to, "the next step away from the vendor"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, %vendor, "the next step away from the vendor cannot be put down");
            }
        }
    }

    fn halt(&self, evacuation: &Evacuation, why: &str) {
        let (vendor, _) = &evacuation.place;
        tracing::error!(%vendor, why, "no further step away from the vendor is made");
        let halted =
            |route: &RouteId| (route.clone(), Deed::LeavingHalted { vendor: vendor.clone(), reason: why.to_owned() });
        let pcts: BTreeMap<&RouteId, u8> = evacuation.routes.iter().map(|(route, (pct, _))| (route, *pct)).collect();
        let act = Act::new(Actor::gateway(), Action::VendorHalt, ("vendor", vendor.to_string()))
            .after(json!({ "pct": pcts }))
            .reason(why);
        if let Err(error) = self.parts.shelf.keep_now(evacuation.routes.keys().map(halted).collect(), &act) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, %vendor, "that the steps are halted cannot be put down");
        }
    }
}

/// What has a step before it.
fn under_way(book: &Book) -> Vec<Evacuation> {
    let mut found: BTreeMap<Place, BTreeMap<RouteId, (u8, Leaving)>> = BTreeMap::new();
    for (route, line) in book.lines() {
        for (vendor, leaving) in &line.leaving {
            let pct = line.left.get(vendor).copied().unwrap_or(0);
            if leaving.next(pct).is_some() {
                let routes = found.entry((vendor.clone(), leaving.began_unix_ms)).or_default();
                routes.insert(route.clone(), (pct, leaving.clone()));
            }
        }
    }
    found.into_iter().map(|(place, routes)| Evacuation { place, routes }).collect()
}

/// The rules that can halt it, each with each of its routes.
fn watching<'a>(
    settings: &'a Settings,
    evacuation: &'a Evacuation,
) -> impl Iterator<Item = (&'a Rule, &'a RouteId)> + 'a {
    let halts = |rule: &&Rule| matches!(rule.action, RuleAction::Pause | RuleAction::Rollback);
    settings.rules.iter().filter(halts).flat_map(move |rule| {
        let of = move |route: &&RouteId| rule.routes.is_empty() || rule.routes.contains(*route);
        evacuation.routes.keys().filter(of).map(move |route| (rule, route))
    })
}

fn said(findings: &[Finding]) -> String {
    let breached = findings.iter().filter(|finding| finding.look == "breached").map(|finding| {
        let value = finding.value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        format!("{} (now {value} of {} samples)", finding.comparison, finding.samples)
    });
    breached.collect::<Vec<_>>().join("; ")
}
