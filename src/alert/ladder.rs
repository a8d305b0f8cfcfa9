//! Finished calls in, alerts out: which rung of its route's ladder each call ended on, and what is told of it. Pure.
//!
//! One incident per route, event and kind of fault. It is mended by calls that end on a better rung: an outage is over
//! when anyone answers, a fallback is over when the primary does. What callers did wrong, and what they hung up on, says
//! nothing either way. Incidents are bounded by the config: routes, their targets and the kinds of faults.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    incident::{Incident, Needed},
    message::{Alert, DedupKey, Event, State, Tried},
};
use crate::{
    config::{AlertSeverity, Settings},
    domain::{Attempt, Ending, FaultKind, Outcome, RouteId, Source, TargetId, Task},
};

/// Answers in a row, on a better rung, that end an incident of a route.
const ANSWERS: Needed = Needed(3);
/// One good sign is proof: the target took our secret, or has its certificate again.
const PROOF: Needed = Needed(1);

/// A target that strict enforcement leaves out of its route now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    pub route: RouteId,
    pub target: TargetId,
    /// `uncertified` or `breaks_invariant`; or that its certificate ends, see `Warning::name`.
    pub fault: &'static str,
}

/// All incidents that are open or were of late.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ladder {
    incidents: BTreeMap<DedupKey, Incident>,
}

/// Where a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    /// The answer is whole; so many other targets were at fault first. 0 is the primary, or as good as that.
    Answered(usize),
    Interrupted,
    Nobody,
}

impl Ladder {
    pub fn restored(incidents: Vec<Incident>) -> Self {
        let by_key = incidents.into_iter().map(|incident| (incident.alert.dedup_key.clone(), incident));
        Self { incidents: by_key.collect() }
    }

    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values()
    }

    /// What is open, as it would be told now.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.incidents.values().filter(|incident| incident.is_open()).map(|incident| &incident.alert)
    }

    pub fn open_of(&self, severity: AlertSeverity) -> usize {
        self.open().filter(|alert| alert.severity == severity).count()
    }

    /// What is to be told of one call. `route_total_ms`: how long the route itself gives a call.
    pub fn see(&mut self, outcome: &Outcome, route_total_ms: f64, now_unix_ms: i64) -> Vec<Alert> {
        if matches!(outcome.ending, Ending::Open | Ending::Cancelled) {
            return Vec::new();
        }
        let mut told = Vec::new();
        self.see_refusals(outcome, now_unix_ms, &mut told);
        // Who was seen as down in a drill was not.
        if outcome.drill.is_some() {
            return told;
        }
        let blamed = blamed(outcome);
        let Some(rung) = rung(outcome, route_total_ms) else { return told };
        for incident in self.incidents.values_mut().filter(|incident| incident.alert.route == outcome.route) {
            let Some(mended) = mends(rung, incident.alert.event) else { continue };
            if mended {
                told.extend(incident.good_sign(ANSWERS, now_unix_ms));
            } else if blamed.is_some() {
                incident.unwell(now_unix_ms);
            }
        }
        let (Some(event), Some(blamed)) = (event(rung), blamed) else { return told };
        let alert = self.alert(event, outcome, blamed, now_unix_ms);
        if event != Event::FallbackServed || !is_told_by_itself(&alert.fault) {
            self.meet(alert, now_unix_ms, &mut told);
        }
        told
    }

    /// What is to be told of the targets that are left out now, all of them.
    pub fn left_out(&mut self, left_out: &BTreeSet<LeftOut>, now_unix_ms: i64) -> Vec<Alert> {
        let mut told = Vec::new();
        let mut met = BTreeSet::new();
        for LeftOut { route, target, fault } in left_out {
            let event = if is_left_out(fault) { Event::TargetLeftOut } else { Event::CertificateEnds };
            let mut key = vec![event.as_str(), route.as_str()];
            let name = target.to_string();
            key.push(&name);
            if event == Event::CertificateEnds {
                // Each of its days is told anew.
                key.push(fault);
            }
            let dedup_key = DedupKey::of(&key);
            met.insert(dedup_key.clone());
            let known = self.incidents.get(&dedup_key).is_some_and(Incident::is_open);
            let alert = Alert {
                target: Some(target.clone()),
                // A round is no call: it counts once.
                count: u64::from(!known),
                ..blank(dedup_key, event, (route.clone(), (*fault).to_owned()), now_unix_ms)
            };
            self.meet(alert, now_unix_ms, &mut told);
        }
        for (key, incident) in &mut self.incidents {
            if matches!(incident.alert.event, Event::TargetLeftOut | Event::CertificateEnds) && !met.contains(key) {
                told.extend(incident.good_sign(PROOF, now_unix_ms));
            }
        }
        told
    }

    /// Ends what the config no longer has, and forgets what ended long ago.
    pub fn tidy(&mut self, settings: &Settings, now_unix_ms: i64) -> Vec<Alert> {
        let mut told = Vec::new();
        for incident in self.incidents.values_mut().filter(|incident| incident.is_open()) {
            let alert = &incident.alert;
            let about_target = matches!(
                alert.event,
                Event::TargetRefusedUs | Event::TargetLeftOut | Event::CertificateEnds | Event::CertificateNotRenewed
            );
            let of_route = || {
                settings.routes.get(&alert.route).is_some_and(|route| {
                    !about_target || route.targets.iter().any(|target| alert.target.as_ref() == Some(&target.id))
                })
            };
            let stands = match (&alert.budget, &alert.overridden) {
                (Some(budget), _) => budget.stands(now_unix_ms),
                (None, Some(overridden)) => overridden.stands(now_unix_ms),
                (None, None) => of_route(),
            };
            if !stands {
                told.push(incident.close(now_unix_ms));
            }
        }
        self.incidents.retain(|_, incident| !incident.is_forgotten(now_unix_ms));
        told
    }

    /// Our secret or a model's name is wrong, at whichever target; and every target that answered takes them.
    fn see_refusals(&mut self, outcome: &Outcome, now_unix_ms: i64, told: &mut Vec<Alert>) {
        for attempt in &outcome.attempts {
            match attempt.fault {
                Some(kind) if is_refusal(kind) => {
                    let target = attempt.target.to_string();
                    let (event, fault) = (Event::TargetRefusedUs, kind.as_str());
                    let key = DedupKey::of(&[event.as_str(), outcome.route.as_str(), fault, &target]);
                    let alert = Alert {
                        target: Some(attempt.target.clone()),
                        served_by: outcome.served().map(|served| served.target.clone()),
                        call: Some(outcome.call),
                        ..blank(key, event, (outcome.route.clone(), fault.to_owned()), now_unix_ms)
                    };
                    self.meet(alert, now_unix_ms, told);
                }
                None if !attempt.was_skipped() => {
                    for incident in self.incidents.values_mut() {
                        let alert = &incident.alert;
                        if alert.event == Event::TargetRefusedUs
                            && alert.route == outcome.route
                            && alert.target.as_ref() == Some(&attempt.target)
                        {
                            told.extend(incident.good_sign(PROOF, now_unix_ms));
                        }
                    }
                }
                Some(_) | None => {}
            }
        }
    }

    /// Ends those open ones that `which` picks.
    pub(super) fn end(&mut self, which: impl Fn(&Alert) -> bool, now_unix_ms: i64) -> Vec<Alert> {
        let ended = self.incidents.values_mut().filter(|incident| incident.is_open() && which(&incident.alert));
        ended.map(|incident| incident.close(now_unix_ms)).collect()
    }

    /// A good sign for those open ones that `which` picks; those that end by it.
    pub(super) fn good_signs(
        &mut self,
        which: impl Fn(&Alert) -> bool,
        needed: Needed,
        now_unix_ms: i64,
    ) -> Vec<Alert> {
        let mended = self.incidents.values_mut().filter(|incident| incident.is_open() && which(&incident.alert));
        mended.filter_map(|incident| incident.good_sign(needed, now_unix_ms)).collect()
    }

    pub(super) fn meet(&mut self, alert: Alert, now_unix_ms: i64, told: &mut Vec<Alert>) {
        match self.incidents.get_mut(&alert.dedup_key) {
            Some(incident) => told.extend(incident.again(alert, now_unix_ms)),
            None => {
                self.incidents.insert(alert.dedup_key.clone(), Incident::open(alert.clone(), now_unix_ms));
                told.push(alert);
            }
        }
    }

    fn alert(&self, event: Event, outcome: &Outcome, blamed: &Attempt, now_unix_ms: i64) -> Alert {
        let fault = self.fault(outcome, blamed);
        let key = match event {
            // One outage is one page, however many ways its targets find to fail.
            Event::NobodyAnswered => DedupKey::of(&[event.as_str(), outcome.route.as_str()]),
            _ => DedupKey::of(&[event.as_str(), outcome.route.as_str(), &fault]),
        };
        let tried = outcome.attempts.iter().filter_map(|attempt| {
            let fault = attempt.fault.filter(|fault| is_to_blame(outcome, *fault))?;
            Some(Tried { target: attempt.target.clone(), fault: fault.as_str().to_owned() })
        });
        Alert {
            target: Some(blamed.target.clone()),
            served_by: outcome
                .served()
                .map(|served| served.target.clone())
                .filter(|_| event != Event::AnswerInterrupted),
            tried: tried.collect(),
            call: Some(outcome.call),
            ..blank(key, event, (outcome.route.clone(), fault), now_unix_ms)
        }
    }

    /// What the target is blamed for. A target that was only passed over is blamed for what is known of it, so that a
    /// breaker which opens in an outage is no second incident.
    fn fault(&self, outcome: &Outcome, blamed: &Attempt) -> String {
        let kind = blamed.fault.map_or("", FaultKind::as_str);
        if !blamed.was_skipped() || is_told_by_itself(kind) {
            return kind.to_owned();
        }
        let of_target = |alert: &&Alert| {
            alert.route == outcome.route && alert.target.as_ref() == Some(&blamed.target) && !alert.fault.is_empty()
        };
        let known = self.open().filter(of_target).max_by_key(|alert| alert.last_seen_unix_ms);
        known.map_or_else(|| kind.to_owned(), |alert| alert.fault.clone())
    }
}

/// `about`: the route and the fault.
pub(super) fn blank(dedup_key: DedupKey, event: Event, about: (RouteId, String), now_unix_ms: i64) -> Alert {
    Alert {
        dedup_key,
        event,
        severity: event.severity(),
        state: State::Firing,
        route: about.0,
        fault: about.1,
        target: None,
        served_by: None,
        tried: Vec::new(),
        call: None,
        first_seen_unix_ms: now_unix_ms,
        last_seen_unix_ms: now_unix_ms,
        resolved_unix_ms: None,
        count: 1,
        budget: None,
        overridden: None,
    }
}

/// `None`: the call says nothing of the route, as one that only counted tokens does not.
fn rung(outcome: &Outcome, route_total_ms: f64) -> Option<Rung> {
    if outcome.task == Task::CountTokens {
        return None;
    }
    match outcome.ending {
        Ending::Open | Ending::Cancelled => None,
        Ending::Answered => Some(Rung::Answered(match outcome.served() {
            // At least 1: that another target was faster does not prove that the primary is well.
            Some(served) if served.target_index > 0 => faulty(outcome).len().max(1),
            _ => 0,
        })),
        Ending::Interrupted | Ending::Failed if is_callers(outcome, route_total_ms) => None,
        Ending::Interrupted => Some(Rung::Interrupted),
        Ending::Failed => Some(Rung::Nobody),
    }
}

/// Whether it was the caller who made the call fail: by what was asked, or by a time limit shorter than the route's own.
fn is_callers(outcome: &Outcome, route_total_ms: f64) -> bool {
    let asked_wrongly = outcome.ending == Ending::Failed
        && (400..500).contains(&outcome.status)
        && !matches!(outcome.status, 408 | 429);
    // A call that the route itself ends has taken all of that time, give or take a timer.
    let in_a_hurry = outcome.status == 504 || last_fault(outcome) == Some(FaultKind::TotalTimeout);
    asked_wrongly || (in_a_hurry && outcome.total_ms < 0.95 * route_total_ms)
}

fn last_fault(outcome: &Outcome) -> Option<FaultKind> {
    outcome.attempts.last().and_then(|attempt| attempt.fault)
}

/// The places of the targets that did not do their part, the one that served apart.
fn faulty(outcome: &Outcome) -> BTreeSet<usize> {
    let served = outcome.served().map(|served| served.target_index);
    let faulty = outcome.attempts.iter().filter(|attempt| attempt.fault.is_some_and(is_ours_or_theirs));
    faulty.map(|attempt| attempt.target_index).filter(|index| Some(*index) != served).collect()
}

/// The attempt that the call's rung is due to: the first target at fault, by what came of asking it, if it was asked.
fn blamed(outcome: &Outcome) -> Option<&Attempt> {
    let at_fault = |attempt: &&Attempt| attempt.fault.is_some_and(|kind| is_to_blame(outcome, kind));
    if outcome.ending == Ending::Interrupted {
        return outcome.served().filter(at_fault).or_else(|| outcome.attempts.iter().rev().find(at_fault));
    }
    let share = || outcome.attempts.iter().find(at_fault).map(|attempt| attempt.target_index);
    let first = faulty(outcome).first().copied().or_else(share)?;
    let of_first = || outcome.attempts.iter().filter(|attempt| attempt.target_index == first).filter(at_fault);
    of_first().rev().find(|attempt| !attempt.was_skipped()).or_else(|| of_first().next_back())
}

fn event(rung: Rung) -> Option<Event> {
    match rung {
        Rung::Answered(0) => None,
        Rung::Answered(1) => Some(Event::FallbackServed),
        Rung::Answered(_) => Some(Event::LaterFallbackServed),
        Rung::Interrupted => Some(Event::AnswerInterrupted),
        Rung::Nobody => Some(Event::NobodyAnswered),
    }
}

/// Whether a call that ended on `rung` is a good sign for `event`; `None`: the ladder says nothing of such events.
fn mends(rung: Rung, event: Event) -> Option<bool> {
    match event {
        Event::FallbackServed => Some(rung == Rung::Answered(0)),
        Event::LaterFallbackServed => Some(rung <= Rung::Answered(1)),
        Event::AnswerInterrupted | Event::NobodyAnswered => Some(matches!(rung, Rung::Answered(_))),
        Event::TargetRefusedUs
        | Event::TargetLeftOut
        | Event::CertificateEnds
        | Event::CertificateNotRenewed
        | Event::BudgetReached
        | Event::ShareOverridden
        | Event::DrillOverdue
        | Event::RuleFired
        | Event::Test => None,
    }
}

/// Whether the target does not serve; else it serves, and someone must see to it.
fn is_left_out(fault: &str) -> bool {
    [FaultKind::Uncertified, FaultKind::BreaksInvariant].iter().any(|kind| kind.as_str() == fault)
}

fn is_refusal(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::VendorAuth | FaultKind::VendorNotFound | FaultKind::NoSecret)
}

/// Faults that have an event of their own: a fallback that served because of them is not a second alert.
fn is_told_by_itself(fault: &str) -> bool {
    const TOLD: [FaultKind; 5] = [
        FaultKind::VendorAuth,
        FaultKind::VendorNotFound,
        FaultKind::NoSecret,
        FaultKind::Uncertified,
        FaultKind::BreaksInvariant,
    ];
    TOLD.iter().any(|kind| kind.as_str() == fault)
}

/// Not the caller's doing, and not that another target was merely faster.
fn is_ours_or_theirs(kind: FaultKind) -> bool {
    kind.source() != Source::Caller && !matches!(kind, FaultKind::HedgeLost | FaultKind::VendorShare)
}

/// As above; and where nobody answered, also that the shares of those who might are used up. Where somebody did, that a share
/// moved the call is how it should be.
fn is_to_blame(outcome: &Outcome, kind: FaultKind) -> bool {
    is_ours_or_theirs(kind) || kind == FaultKind::VendorShare && outcome.ending == Ending::Failed
}
