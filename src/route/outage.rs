//! Failures that come together: when several targets of a region fail, the region is out, and when several regions of a
//! vendor are, the vendor is. Calls then go elsewhere at once, instead of failing at each target in turn.
//!
//! - A region opens only when at least two of its targets fail; one target alone is what its own breaker is for.
//! - A vendor opens only when a region of it opens while another is already open, and at least half of those with traffic are.
//! - Cooldown, probes and the return in steps are `Breaker`'s. What was asked before a region opened is no evidence after.
//! - Pure: time and randomness are arguments. Holds one entry per place and target it was ever asked about; `retain` drops
//!   those that a new config no longer has.

mod region;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use region::Region;

use super::{Breaker, BreakerStanding, Ticket, Verdict};
use crate::{
    config::{BreakerPolicy, Hosting, Place},
    domain::TargetId,
};

/// When failures count as an outage.
#[derive(Debug, Clone, PartialEq)]
pub struct OutagePolicy {
    /// Window, cooldowns and recovery, for regions and vendors alike. Its rates decide during a recovery only.
    pub breaker: BreakerPolicy,
    /// So many targets of a region must fail together.
    pub targets: usize,
    /// A target fails when it has failed so often within the window.
    pub failures_each: u32,
    /// The share of the region's calls, 0 to 1, that must have failed.
    pub failure_rate: f64,
    /// So many regions of a vendor must be out, and at least half of those with traffic.
    pub regions: usize,
}

/// What stands between a call and a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutageStanding {
    pub vendor: BreakerStanding,
    pub region: BreakerStanding,
}

/// What of a place is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Region,
    Vendor,
}

/// Not now, because of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutageRefused {
    pub scope: Scope,
    pub retry_after: Duration,
}

/// The right to ask a target of a place once; must be handed back with `record`, as a breaker's ticket must.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "hand it back with `record`; a lost probe keeps the place half open"]
pub struct OutageTicket {
    target: TargetId,
    place: Place,
    vendor: Ticket,
    region: Ticket,
}

/// All regions and vendors there are.
#[derive(Debug, Clone)]
pub struct Outages {
    policy: OutagePolicy,
    regions: HashMap<Place, Region>,
    vendors: HashMap<Hosting, Breaker>,
}

impl Default for OutagePolicy {
    fn default() -> Self {
        Self {
            // A run of failures may be one target's own, so only the rate decides.
            breaker: BreakerPolicy { failure_rate: 0.50, consecutive: u32::MAX, ..BreakerPolicy::default() },
            targets: 2,
            failures_each: 3,
            failure_rate: 0.50,
            regions: 2,
        }
    }
}

impl OutageStanding {
    /// What is in the way of a call with this roll of the dice (0 to 1); the vendor comes first.
    pub fn objection(self, roll: f64) -> Option<Scope> {
        if !self.vendor.admits(roll) {
            Some(Scope::Vendor)
        } else if !self.region.admits(roll) {
            Some(Scope::Region)
        } else {
            None
        }
    }
}

impl OutageTicket {
    /// Whether this call decides if the region or the vendor is well again.
    pub fn is_probe(&self) -> bool {
        self.vendor.is_probe() || self.region.is_probe()
    }
}

impl Outages {
    pub fn new(policy: OutagePolicy) -> Self {
        Self { policy, regions: HashMap::new(), vendors: HashMap::new() }
    }

    pub fn standing(&self, place: &Place, now: Instant) -> OutageStanding {
        OutageStanding {
            vendor: self.vendors.get(&place.hosting).map_or(BreakerStanding::Closed, |vendor| vendor.standing(now)),
            region: self.regions.get(place).map_or(BreakerStanding::Closed, |region| region.breaker.standing(now)),
        }
    }

    /// Lets a call to `target` through, or says what is out and when to come back. `roll`: uniform in 0..1; vendor and
    /// region judge by the same one, so that the smaller share of two recoveries rules, not their product.
    pub fn admit(
        &mut self,
        target: &TargetId,
        place: &Place,
        now: Instant,
        roll: f64,
    ) -> Result<OutageTicket, OutageRefused> {
        let policy = &self.policy;
        let vendor = self.vendors.entry(place.hosting.clone()).or_insert_with(|| Breaker::new(policy.breaker));
        let region = self.regions.entry(place.clone()).or_insert_with(|| Region::new(policy));
        let for_vendor = vendor
            .admit(now, roll)
            .map_err(|refused| OutageRefused { scope: Scope::Vendor, retry_after: refused.retry_after })?;
        match region.breaker.admit(now, roll) {
            Ok(for_region) => Ok(OutageTicket {
                target: target.clone(),
                place: place.clone(),
                vendor: for_vendor,
                region: for_region,
            }),
            Err(refused) => {
                // It may have been the vendor's probe.
                vendor.record(now, for_vendor, Verdict::Neutral, 0.0);
                Err(OutageRefused { scope: Scope::Region, retry_after: refused.retry_after })
            }
        }
    }

    /// Takes a ticket back. `Failure` is a fault that an outage makes (no connection, 5xx, overloaded, a stall);
    /// `Success` is an answer of any other kind; a limit of ours or a caller who hung up is `Neutral`.
    /// `jitter`: uniform in 0..1.
    pub fn record(&mut self, now: Instant, ticket: OutageTicket, verdict: Verdict, jitter: f64) {
        let OutageTicket { target, place, vendor: for_vendor, region: for_region } = ticket;
        let Some(vendor) = self.vendors.get_mut(&place.hosting) else { return };
        let verdict_on_vendor = after_an_outage(vendor, now, verdict);
        vendor.record(now, for_vendor, verdict_on_vendor, jitter);

        let Some(region) = self.regions.get_mut(&place) else { return };
        let went_out = region.record(now, (&target, for_region), verdict, &self.policy, jitter);
        if went_out && self.most_regions_are_out(&place.hosting, now) {
            let vendor = self.vendors.get_mut(&place.hosting);
            vendor.into_iter().for_each(|vendor| vendor.trip(now, jitter));
        }
    }

    /// Forgets the places for which `keep` is false; tickets that are still out for them come to nothing.
    pub fn retain(&mut self, keep: impl Fn(&Place) -> bool) {
        self.regions.retain(|place, _| keep(place));
        let regions = &self.regions;
        self.vendors.retain(|hosting, _| regions.keys().any(|place| place.hosting == *hosting));
    }

    fn most_regions_are_out(&self, hosting: &Hosting, now: Instant) -> bool {
        let of_vendor = || self.regions.iter().filter(|(place, _)| place.hosting == *hosting).map(|(_, region)| region);
        let out = of_vendor().filter(|region| region.is_out(now)).count();
        let in_use = of_vendor().filter(|region| region.is_out(now) || region.had_traffic(now)).count();
        out >= self.policy.regions && out * 2 >= in_use
    }
}

/// A breaker that others trip judges by itself only whether an outage is over.
fn after_an_outage(breaker: &Breaker, now: Instant, verdict: Verdict) -> Verdict {
    match breaker.standing(now) {
        BreakerStanding::Closed => Verdict::Neutral,
        BreakerStanding::Recovering { .. } | BreakerStanding::Open { .. } | BreakerStanding::HalfOpen { .. } => verdict,
    }
}

#[cfg(test)]
mod tests;
