//! One target's health, and the right to ask it once.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand::Rng as _;
use reqwest::header::HeaderMap;

use crate::{
    clock,
    config::{BreakerPolicy, LatencyPolicy, Place, Settings},
    domain::{Fault, FaultKind, Source, TargetId},
    limit::{Density, share::Hold},
    route::{
        Baselines, Breaker, BreakerStanding, CallKind, Estimate, OutagePolicy, OutageTicket, Outages, Quota,
        RateHeaders, RetryBudget, Sample, Scope, TargetHealth, Threshold, Ticket, Verdict, rate_headers_concern,
        read_rate_headers,
    },
    vendor::{Listener, NOT_READY},
};

/// How long a computed threshold is used before it is computed again.
const THRESHOLD_FRESH: Duration = Duration::from_secs(1);

/// One target.
#[derive(Debug)]
pub struct Cell {
    id: TargetId,
    place: Place,
    /// The vendor's address: at another one, what was seen of the target says nothing.
    address: Option<String>,
    host: Arc<Hosted>,
    breaker_policy: BreakerPolicy,
    latency_policy: LatencyPolicy,
    density: Density,
    state: Mutex<State>,
}

/// What all targets of one vendor share.
#[derive(Debug)]
pub(super) struct Hosted {
    policy: BreakerPolicy,
    outages: Mutex<Outages>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    quota: Quota,
    retries: RetryBudget,
    baselines: Baselines,
    thresholds: [Option<(Instant, Threshold)>; CallKind::ALL.len()],
    last_success: Option<Instant>,
}

/// What a target's cell says of it now, for people.
#[derive(Debug)]
pub(super) struct Standings {
    pub(super) breaker: BreakerStanding,
    pub(super) outage: Option<Scope>,
    /// How long its vendor's limit holds.
    pub(super) limited: Option<Duration>,
    pub(super) answers_at_times: bool,
}

/// The right to ask a target once. Told how it ended, or dropped.
#[derive(Debug)]
pub struct Asked {
    cell: Arc<Cell>,
    kind: CallKind,
    tickets: Option<(Ticket, OutageTicket)>,
    /// What is set aside of its vendor's share.
    hold: Option<Hold>,
}

impl Hosted {
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        // An outage cools down as a target does; its evidence is its own.
        let usual = OutagePolicy::default();
        let breaker = BreakerPolicy {
            failure_rate: usual.breaker.failure_rate,
            consecutive: usual.breaker.consecutive,
            ..policy
        };
        Self { policy, outages: Mutex::new(Outages::new(OutagePolicy { breaker, ..usual })) }
    }

    pub(super) fn policy(&self) -> BreakerPolicy {
        self.policy
    }

    fn outages(&self) -> MutexGuard<'_, Outages> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cell {
    pub(super) fn new(
        id: TargetId,
        place: Place,
        host: Arc<Hosted>,
        settings: &Settings,
        baselines: Baselines,
    ) -> Self {
        let state = State {
            breaker: Breaker::new(settings.breaker),
            quota: Quota::default(),
            retries: RetryBudget::default(),
            baselines,
            thresholds: [None; CallKind::ALL.len()],
            last_success: None,
        };
        let (breaker_policy, latency_policy) = (settings.breaker, settings.latency);
        let address = address(settings, &id);
        let density = Density::default();
        Self { id, place, address, host, breaker_policy, latency_policy, density, state: Mutex::new(state) }
    }

    pub(super) fn fits(&self, place: &Place, host: &Arc<Hosted>, settings: &Settings) -> bool {
        self.place == *place
            && self.address == address(settings, &self.id)
            && Arc::ptr_eq(&self.host, host)
            && self.breaker_policy == settings.breaker
            && self.latency_policy == settings.latency
    }

    pub fn id(&self) -> &TargetId {
        &self.id
    }

    /// What it makes of bodies.
    pub fn density(&self) -> &Density {
        &self.density
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A copy of what is known of the target's latencies.
    pub fn baselines(&self) -> Baselines {
        self.state().baselines.clone()
    }

    /// Whether a call with this roll of the dice (0 to 1) and so many tokens would be let through now.
    pub fn health(&self, roll: f64, estimate: Estimate) -> TargetHealth {
        let now = clock::now();
        let outage = self.host.outages().standing(&self.place, now);
        let state = self.state();
        let answers_at_times = self.answers_at_times(&state, now);
        let objection = match outage.objection(roll) {
            Some(scope) => {
                let standing = if scope == Scope::Vendor { outage.vendor } else { outage.region };
                Some(self.outage_fault(scope, wait_of(standing, now)))
            }
            None if !state.breaker.standing(now).admits(roll) => {
                Some(breaker_fault(wait_of(state.breaker.standing(now), now)))
            }
            None => state.quota.objection(now, estimate).map(|wait| {
                Fault::new(FaultKind::LimitReached, format!("its own limit is reached ({})", wait.why))
                    .with_retry_after(Some(wait.for_))
            }),
        };
        TargetHealth { objection, answers_at_times }
    }

    /// The right to ask it now. `roll` is the one that the plan was made with.
    ///
    /// # Errors
    /// Why it is left alone: its breaker, or its region's or vendor's, has opened since the plan was made.
    pub fn admit(self: &Arc<Self>, kind: CallKind, roll: f64, estimate: Estimate) -> Result<Asked, Fault> {
        let now = clock::now();
        let outage = self
            .host
            .outages()
            .admit(&self.id, &self.place, now, roll)
            .map_err(|refused| self.outage_fault(refused.scope, Some(refused.retry_after)))?;
        let mut state = self.state();
        match state.breaker.admit(now, roll) {
            Ok(ticket) => {
                state.quota.spend(now, estimate);
                Ok(Asked { cell: Arc::clone(self), kind, tickets: Some((ticket, outage)), hold: None })
            }
            Err(refused) => {
                drop(state);
                self.host.outages().record(now, outage, Verdict::Neutral, 0.0);
                Err(breaker_fault(Some(refused.retry_after)))
            }
        }
    }

    /// As [`Self::admit`], past every breaker: nobody else is left.
    pub fn admit_anyway(self: &Arc<Self>, kind: CallKind) -> Asked {
        Asked { cell: Arc::clone(self), kind, tickets: None, hold: None }
    }

    /// A first attempt is made: a tenth of a retry is earned.
    pub fn earn_retry(&self) {
        self.state().retries.deposit();
    }

    /// Takes a retry out of the target's budget, if there is one.
    pub fn take_retry(&self) -> bool {
        self.state().retries.withdraw()
    }

    /// When the target counts as slow, by its own past; the P95 for a race.
    pub fn threshold(&self, kind: CallKind) -> Threshold {
        let now = clock::now();
        let mut state = self.state();
        let State { baselines, thresholds, .. } = &mut *state;
        let cached = &mut thresholds[kind.index()];
        if let Some((at, threshold)) = cached
            && now.saturating_duration_since(*at) < THRESHOLD_FRESH
        {
            return *threshold;
        }
        let threshold = baselines.threshold(kind, clock::unix_ms(), &self.latency_policy);
        *cached = Some((now, threshold));
        threshold
    }

    pub(super) fn standings(&self) -> Standings {
        let now = clock::now();
        let outage = self.host.outages().standing(&self.place, now).objection(0.0);
        let state = self.state();
        Standings {
            breaker: state.breaker.standing(now),
            outage,
            limited: state.quota.objection(now, Estimate { input: 1, output: 1 }).map(|wait| wait.for_),
            answers_at_times: self.answers_at_times(&state, now),
        }
    }

    fn answers_at_times(&self, state: &State, now: Instant) -> bool {
        state.last_success.is_some_and(|last| now.saturating_duration_since(last) < self.breaker_policy.window)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outage_fault(&self, scope: Scope, wait: Option<Duration>) -> Fault {
        let (kind, what) = match scope {
            Scope::Vendor => {
                (FaultKind::VendorOpen, format!("the regions of `{}` fail together", self.place.hosting.operator))
            }
            Scope::Region => {
                let region = self.place.region.as_deref().unwrap_or("its only one");
                (FaultKind::RegionOpen, format!("several targets of the region `{region}` fail together"))
            }
        };
        Fault::new(kind, what).with_retry_after(wait)
    }
}

impl Listener for Cell {
    /// What the vendor's headers say of its limits.
    fn hear(&self, headers: &HeaderMap) {
        // Few of an answer's headers are of limits, and the names to look for are many.
        let of_limits =
            headers.iter().map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| rate_headers_concern(name));
        let of_limits: Vec<(&str, &str)> =
            of_limits.filter_map(|(name, value)| Some((name, value.to_str().ok()?))).collect();
        let said = |wanted: &str| of_limits.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let read = match of_limits.iter().all(|(name, _)| *name == "date") {
            true => RateHeaders::default(),
            false => read_rate_headers(said, clock::unix_ms()),
        };
        self.state().quota.observe(clock::now(), &read);
    }
}

impl Asked {
    /// The attempt's volume is set aside until it is over.
    #[must_use]
    pub fn holding(mut self, hold: Option<Hold>) -> Self {
        self.hold = hold;
        self
    }

    /// What is set aside, for whoever knows what was used.
    pub fn take_hold(&mut self) -> Option<Hold> {
        self.hold.take()
    }

    pub fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// How it ended. `first_content`: when a stream's came; `took`: the whole attempt.
    pub fn ended(mut self, fault: Option<&Fault>, first_content: Option<Duration>, took: Duration) {
        let verdict = verdict(fault);
        let now = clock::now();
        let mut state = self.cell.state();
        if verdict == Verdict::Success {
            state.last_success = Some(now);
        }
        if let Some(fault) = fault
            && matches!(fault.kind, FaultKind::RateLimited | FaultKind::QuotaExhausted)
        {
            state.quota.limited(now, fault.retry_after());
        }
        if let Some((took, sample)) = sample(self.kind, fault, first_content, took) {
            state.baselines.record(self.kind, clock::unix_ms(), (took, sample), &self.cell.latency_policy);
        }
        drop(state);
        self.hand_back(verdict, fault.is_some_and(|fault| fault.kind.is_outage()));
    }

    fn hand_back(&mut self, verdict: Verdict, is_outage: bool) {
        let Some((ticket, outage)) = self.tickets.take() else { return };
        let (now, jitter) = (clock::now(), rand::rng().random());
        self.cell.state().breaker.record(now, ticket, verdict, jitter);
        let of_place = match verdict {
            // A wrong key or a broken answer is the target's own affair.
            Verdict::Failure if !is_outage => Verdict::Neutral,
            other => other,
        };
        self.cell.host.outages().record(now, outage, of_place, jitter);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.hand_back(Verdict::Neutral, false);
    }
}

fn address(settings: &Settings, id: &TargetId) -> Option<String> {
    settings.vendor(id).map(|vendor| vendor.base_url.clone())
}

/// What an ending says of the target. A caller's own fault is an answer like any other; a limit is no illness, nor is a local
/// model that is still being loaded: nothing was asked of it.
fn verdict(fault: Option<&Fault>) -> Verdict {
    let Some(fault) = fault else { return Verdict::Success };
    match fault.kind {
        FaultKind::BadRequest | FaultKind::ContextLength | FaultKind::ContentPolicy => Verdict::Success,
        FaultKind::RateLimited | FaultKind::QuotaExhausted => Verdict::Neutral,
        FaultKind::Engine if fault.code.as_deref() == Some(NOT_READY) => Verdict::Neutral,
        FaultKind::Engine => Verdict::Failure,
        kind if kind.source() == Source::Vendor => Verdict::Failure,
        _ => Verdict::Neutral,
    }
}

/// What an ending says of the target's speed: the time it took, or that it took longer than it was given.
fn sample(
    kind: CallKind,
    fault: Option<&Fault>,
    first_content: Option<Duration>,
    took: Duration,
) -> Option<(Duration, Sample)> {
    let streamed = kind == CallKind::FirstContent;
    if streamed && let Some(first) = first_content {
        return Some((first, Sample::Complete));
    }
    match fault.map(|fault| fault.kind) {
        None => Some((took, Sample::Complete)),
        Some(
            FaultKind::FirstTokenTimeout
            | FaultKind::AttemptTimeout
            | FaultKind::Latency
            | FaultKind::TotalTimeout
            | FaultKind::HedgeLost
            | FaultKind::ClientGone,
        ) => Some((took, Sample::CutShort)),
        Some(_) => None,
    }
}

pub(super) fn breaker_fault(wait: Option<Duration>) -> Fault {
    Fault::new(FaultKind::BreakerOpen, "it has failed too often of late and is left alone for a while")
        .with_retry_after(wait)
}

fn wait_of(standing: BreakerStanding, now: Instant) -> Option<Duration> {
    match standing {
        BreakerStanding::Open { until } => Some(until.saturating_duration_since(now)),
        BreakerStanding::Closed | BreakerStanding::Recovering { .. } | BreakerStanding::HalfOpen { .. } => None,
    }
}

#[cfg(test)]
mod tests;
