//! Every vendor's volume in the window, what calls under way have set aside, and whether one more call fits. Pure: time is
//! an argument.
//!
//! A vendor's share is judged by what it has served, all it has set aside and the call itself, against what *everybody* has
//! served and *its own* that is set aside: others' calls under way may yet fail, and must not have made room. So whatever
//! becomes of the calls under way, no share passes the cap, as long as no call uses more than was set aside for it; see
//! docs/share-cap.md. Two ways go further: a call over the edge, when nobody else is left and the share is within the cap
//! without it (one such call at a time, by construction), and an override.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    guess::Guess,
    hours::{HOUR_MS, Hours, hour_of},
    rule::{Parties, Party, Rule},
};
use crate::{
    config::ShareUnit,
    domain::{VendorId, Volume},
};

/// What a call may be: at most, and usually.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Draw {
    pub bound: Volume,
    pub likely: Volume,
    /// Its price is not known: where shares are counted by cost, it cannot be counted.
    pub unpriced: bool,
}

/// What a call has set aside with a vendor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    amount: Volume,
    bound: Volume,
}

/// How far a call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Only where it fits.
    Within,
    /// Also where the share is within the cap without it: nobody else is left.
    Edge,
}

/// A vendor's standing with one more call.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    pub operator: Arc<str>,
    /// Of what is served, 0 to 1.
    pub share: f64,
    /// With all that is set aside and the call itself.
    pub with_call: f64,
    pub max: f64,
    pub soft: f64,
    pub unit: ShareUnit,
    pub window_hours: i64,
    /// Less than the least volume was served: shares are counted against that.
    pub warming_up: bool,
    /// When the oldest hour falls out of the window and that alone makes room; at most an hour.
    pub fits_in: Option<Duration>,
}

/// What the cap says of a target for one call.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// It is our own, or there is no cap.
    Free,
    /// It fits.
    Open,
    /// It fits, and the share is so near the cap that this call should rather go elsewhere.
    Steered(Figures),
    /// It does not fit now: calls under way may use up what is left. `load`: served and set aside.
    Held { figures: Figures, load: u64 },
    /// The share is used up.
    Capped(Figures),
    /// The share is used up, and an override lets calls through until then, where nobody else is left.
    Overridden(Figures, i64),
    /// It costs something, and nobody knows how much.
    Unpriced,
}

/// A vendor whose call is not taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Denied {
    /// Because of calls under way: soon it may fit.
    Held(Figures),
    Capped(Figures),
    Unpriced,
}

/// All volumes.
#[derive(Debug)]
pub struct Book {
    rule: Rule,
    parties: Parties,
    vendors: BTreeMap<VendorId, Entry>,
    /// Until when, in ms since 1970-01-01 UTC.
    overridden_until: Option<i64>,
    newest: i64,
}

#[derive(Debug)]
struct Entry {
    party: Party,
    /// Of this process.
    mine: Hours,
    /// Of all others and of those before it, as the database had it last.
    others: Hours,
    reserved: Volume,
    tokens: Guess,
    cost: Guess,
}

/// By operator: its part of the volume, 0 to 1, and what is set aside with it, in the unit; `None`: our own hardware.
pub type Parts = BTreeMap<Option<Arc<str>>, (f64, u64)>;

/// Of one operator, in the rule's unit.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    served: u64,
    reserved: u64,
    total: u64,
}

impl Book {
    pub fn new(rule: Rule, parties: Parties) -> Self {
        Self { rule, parties, vendors: BTreeMap::new(), overridden_until: None, newest: i64::MIN }
    }

    /// Another config. What has been served is kept.
    pub fn configure(&mut self, rule: Rule, parties: Parties) {
        for (vendor, entry) in &mut self.vendors {
            entry.party = parties.party(vendor);
        }
        (self.rule, self.parties) = (rule, parties);
    }

    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// Until when no cap refuses a call; `None`: it does.
    pub fn override_until(&mut self, until_unix_ms: Option<i64>) {
        self.overridden_until = until_unix_ms;
    }

    /// What others have served, instead of what was known of that; which is given back, so that nobody waits for its end.
    pub fn replace_others(&mut self, mut others: BTreeMap<VendorId, Hours>) -> Vec<Hours> {
        for vendor in others.keys() {
            self.entry(vendor);
        }
        let oldest = self.oldest();
        let exchange = |(vendor, entry): (&VendorId, &mut Entry)| {
            let mut hours = others.remove(vendor).unwrap_or_default();
            hours.forget_before(oldest);
            std::mem::replace(&mut entry.others, hours)
        };
        self.vendors.iter_mut().map(exchange).collect()
    }

    /// How a target of `vendor` stands for a call. `roll`: the call's own number, 0 to 1, by which it is one of those that
    /// move elsewhere or not.
    pub fn look(&mut self, vendor: &VendorId, draw: Draw, roll: f64, now_unix_ms: i64) -> Look {
        let Some((operator, amount)) = self.concerns(vendor, draw, now_unix_ms) else { return Look::Free };
        let (rule, sums) = (self.rule, self.sums(&operator));
        let figures = |book: &Self| book.figures(&operator, sums, amount, now_unix_ms);
        let overridden = self.overridden_until.filter(|until| now_unix_ms < *until);
        if self.lacks_price(draw) && overridden.is_none() {
            return Look::Unpriced;
        }
        if fits(rule, sums, amount) {
            let with_call = with_call(rule, sums, amount);
            let beyond = (with_call - rule.soft) / (rule.max - rule.soft).max(f64::EPSILON);
            return if beyond > 0.0 && roll < beyond { Look::Steered(figures(self)) } else { Look::Open };
        }
        if sums.total < rule.min_volume || rule.allows(sums.served, sums.total) {
            return Look::Held { figures: figures(self), load: sums.served.saturating_add(sums.reserved) };
        }
        match overridden {
            Some(until) => Look::Overridden(figures(self), until),
            None => Look::Capped(figures(self)),
        }
    }

    /// Sets a call's volume aside with `vendor`; or says why not, and changes nothing.
    pub fn take(&mut self, vendor: &VendorId, draw: Draw, reach: Reach, now_unix_ms: i64) -> Result<Taken, Denied> {
        let Some((operator, amount)) = self.concerns(vendor, draw, now_unix_ms) else {
            let taken = Taken { amount: self.amount(vendor, draw), bound: draw.bound };
            self.entry(vendor).reserved += taken.amount;
            return Ok(taken);
        };
        let (rule, sums) = (self.rule, self.sums(&operator));
        let overridden = self.overridden_until.is_some_and(|until| now_unix_ms < until);
        let is_within = |sums: Sums| rule.allows(sums.served + sums.reserved, sums.total + sums.reserved);
        // The edge: what is there without the call is within the cap. With it, it may not be, and then nobody else gets in.
        let edge = || reach == Reach::Edge && (sums.total < rule.min_volume || is_within(sums));
        if self.lacks_price(draw) && !overridden {
            return Err(Denied::Unpriced);
        }
        if !(overridden || fits(rule, sums, amount) || edge()) {
            let figures = self.figures(&operator, sums, amount, now_unix_ms);
            let soon = sums.total < rule.min_volume || rule.allows(sums.served, sums.total);
            return Err(if soon { Denied::Held(figures) } else { Denied::Capped(figures) });
        }
        let taken = Taken { amount: self.amount(vendor, draw), bound: draw.bound };
        self.entry(vendor).reserved += taken.amount;
        Ok(taken)
    }

    /// The call is over and was `used` there; it began at `at`.
    pub fn settle(&mut self, vendor: &VendorId, taken: Taken, used: Volume, at_unix_ms: i64) {
        let oldest = self.oldest();
        let entry = self.entry(vendor);
        entry.reserved = entry.reserved.less(taken.amount);
        entry.tokens.learn(used.tokens, taken.bound.tokens);
        entry.cost.learn(used.cost_micros, taken.bound.cost_micros);
        if hour_of(at_unix_ms) >= oldest {
            entry.mine.add(hour_of(at_unix_ms), used);
        }
    }

    /// The call was never made there.
    pub fn release(&mut self, vendor: &VendorId, taken: Taken) {
        let entry = self.entry(vendor);
        entry.reserved = entry.reserved.less(taken.amount);
    }

    /// Every party's part.
    pub fn parts(&mut self, now_unix_ms: i64) -> Parts {
        self.advance(now_unix_ms);
        let mut parts = Parts::new();
        let served = |entry: &Entry| self.rule.count(entry.mine.total()) + self.rule.count(entry.others.total());
        let total: u64 = self.vendors.values().map(served).sum();
        for entry in self.vendors.values() {
            let (share, reserved) = parts.entry(entry.party.name()).or_default();
            *share += served(entry) as f64 / total.max(1) as f64;
            *reserved += self.rule.count(entry.reserved);
        }
        parts
    }

    /// Every party's volume by the hour, in the window; what is set aside with it; `None`: our own hardware.
    pub fn volumes(&mut self, now_unix_ms: i64) -> BTreeMap<Option<Arc<str>>, (Hours, Volume)> {
        self.advance(now_unix_ms);
        let mut all: BTreeMap<Option<Arc<str>>, (Hours, Volume)> = BTreeMap::new();
        for entry in self.vendors.values() {
            let (hours, reserved) = all.entry(entry.party.name()).or_default();
            entry.mine.iter().chain(entry.others.iter()).for_each(|(hour, volume)| hours.add(hour, volume));
            *reserved += entry.reserved;
        }
        all
    }

    /// The first hour that counts.
    pub fn oldest(&self) -> i64 {
        self.newest.saturating_sub(self.rule.hours)
    }

    /// Old hours fall out of the window. A clock that was set back moves nothing.
    pub fn advance(&mut self, now_unix_ms: i64) {
        let now = hour_of(now_unix_ms);
        if now > self.newest {
            self.newest = now;
            let oldest = self.oldest();
            for entry in self.vendors.values_mut() {
                entry.mine.forget_before(oldest);
                entry.others.forget_before(oldest);
            }
        }
    }

    /// Whose share a call at `vendor` would be, and how much of it; `None`: nobody's.
    fn concerns(&mut self, vendor: &VendorId, draw: Draw, now_unix_ms: i64) -> Option<(Arc<str>, u64)> {
        self.advance(now_unix_ms);
        if !self.rule.binds() {
            return None;
        }
        let amount = self.amount(vendor, draw);
        let amount = self.rule.count(amount);
        match &self.entry(vendor).party {
            Party::Own => None,
            Party::Operator(operator) => Some((Arc::clone(operator), amount)),
        }
    }

    fn lacks_price(&self, draw: Draw) -> bool {
        draw.unpriced && self.rule.unit == ShareUnit::Cost
    }

    fn amount(&mut self, vendor: &VendorId, draw: Draw) -> Volume {
        let entry = self.entry(vendor);
        Volume {
            tokens: entry.tokens.of(draw.bound.tokens, draw.likely.tokens),
            requests: draw.bound.requests,
            cost_micros: entry.cost.of(draw.bound.cost_micros, draw.likely.cost_micros),
        }
    }

    fn entry(&mut self, vendor: &VendorId) -> &mut Entry {
        let Self { vendors, parties, .. } = self;
        vendors.entry(vendor.clone()).or_insert_with(|| Entry::new(parties.party(vendor)))
    }

    fn sums(&self, operator: &str) -> Sums {
        let mut sums = Sums::default();
        for entry in self.vendors.values() {
            let served = self.rule.count(entry.mine.total()) + self.rule.count(entry.others.total());
            sums.total += served;
            if matches!(&entry.party, Party::Operator(name) if **name == *operator) {
                sums.served += served;
                sums.reserved += self.rule.count(entry.reserved);
            }
        }
        sums
    }

    fn figures(&self, operator: &Arc<str>, sums: Sums, amount: u64, now_unix_ms: i64) -> Figures {
        let rule = self.rule;
        Figures {
            operator: Arc::clone(operator),
            share: sums.served as f64 / rule.base(sums.total).max(1.0),
            with_call: with_call(rule, sums, amount),
            max: rule.max,
            soft: rule.soft,
            unit: rule.unit,
            window_hours: rule.hours,
            warming_up: sums.total < rule.min_volume,
            fits_in: self.fits_in(operator, sums, now_unix_ms),
        }
    }

    /// The next hour takes the oldest one out of the window.
    fn fits_in(&self, operator: &str, sums: Sums, now_unix_ms: i64) -> Option<Duration> {
        let (mut served, mut total) = (sums.served, sums.total);
        let oldest = self.oldest();
        for entry in self.vendors.values() {
            let gone = entry.mine.between(oldest, oldest + 1);
            let also = entry.others.between(oldest, oldest + 1);
            let gone = self.rule.count(gone) + self.rule.count(also);
            total = total.saturating_sub(gone);
            if matches!(&entry.party, Party::Operator(name) if **name == *operator) {
                served = served.saturating_sub(gone);
            }
        }
        let fits = self.rule.allows(served.saturating_add(1), total.saturating_add(1));
        let wait = u64::try_from((self.newest + 1).saturating_mul(HOUR_MS) - now_unix_ms).ok()?;
        fits.then(|| Duration::from_millis(wait))
    }
}

impl Entry {
    fn new(party: Party) -> Self {
        Self {
            party,
            mine: Hours::default(),
            others: Hours::default(),
            reserved: Volume::ZERO,
            tokens: Guess::default(),
            cost: Guess::default(),
        }
    }
}

fn fits(rule: Rule, sums: Sums, amount: u64) -> bool {
    let more = sums.reserved.saturating_add(amount);
    rule.allows(sums.served.saturating_add(more), sums.total.saturating_add(more))
}

fn with_call(rule: Rule, sums: Sums, amount: u64) -> f64 {
    let more = sums.reserved.saturating_add(amount);
    sums.served.saturating_add(more) as f64 / rule.base(sums.total.saturating_add(more)).max(1.0)
}
