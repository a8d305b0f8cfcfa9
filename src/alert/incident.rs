//! One thing that is wrong with one route, from its first sight to its end: fired once, repeated at intervals, resolved when
//! things have been well long enough.
//!
//! An incident that comes back soon after its end must be well for twice as long the next time, up to a bound: a route that
//! flaps pages rarely, and one that has an outage is told at once.

use serde::{Deserialize, Serialize};

use super::message::{Alert, State};

/// How long an open incident is silent after it has fired, in ms.
pub(super) const REPEAT_MS: i64 = 3600 * 1000;
/// How long things must be well before the first resolve, in ms.
const QUIET_MS: i64 = 10 * 1000;
/// How often that doubles: about 21 minutes.
const MOST_FLAPS: u32 = 7;
/// How long after its end an incident counts as the same one that comes back, in ms.
const MEMORY_MS: i64 = 3600 * 1000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// As it was last told, with what has been seen since.
    pub alert: Alert,
    /// When it fired last, in ms since 1970-01-01 UTC.
    fired_unix_ms: i64,
    /// When things were last not well, in ms since 1970-01-01 UTC.
    unwell_unix_ms: i64,
    /// How many good signs in a row there have been.
    good: u32,
    /// How often it has come back.
    flaps: u32,
}

/// How many good signs in a row end an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed(pub u32);

impl Incident {
    /// Fires: the alert is to be sent.
    pub fn open(alert: Alert, now_unix_ms: i64) -> Self {
        Self { alert, fired_unix_ms: now_unix_ms, unwell_unix_ms: now_unix_ms, good: 0, flaps: 0 }
    }

    pub fn is_open(&self) -> bool {
        self.alert.state == State::Firing
    }

    /// It is seen again, as `seen` tells. The alert to send, when it came back or was silent for long enough.
    pub fn again(&mut self, seen: Alert, now_unix_ms: i64) -> Option<Alert> {
        if self.is_open() {
            let (first, count) = (self.alert.first_seen_unix_ms, self.alert.count.saturating_add(seen.count));
            self.alert = Alert { first_seen_unix_ms: first, count, ..seen };
        } else {
            let came_back = now_unix_ms.saturating_sub(self.unwell_unix_ms) < MEMORY_MS;
            self.flaps = if came_back { (self.flaps + 1).min(MOST_FLAPS) } else { 0 };
            self.alert = seen;
            self.fired_unix_ms = i64::MIN;
        }
        self.unwell(now_unix_ms);
        if now_unix_ms.saturating_sub(self.fired_unix_ms) < REPEAT_MS {
            return None;
        }
        self.fired_unix_ms = now_unix_ms;
        Some(self.alert.clone())
    }

    /// Things are not well, though this is not what is seen.
    pub fn unwell(&mut self, now_unix_ms: i64) {
        self.good = 0;
        self.unwell_unix_ms = now_unix_ms;
    }

    /// A good sign. The resolve to send, when it was the last one needed.
    pub fn good_sign(&mut self, needed: Needed, now_unix_ms: i64) -> Option<Alert> {
        self.good = self.good.saturating_add(1);
        let quiet = QUIET_MS << self.flaps;
        let well_for = now_unix_ms.saturating_sub(self.unwell_unix_ms);
        if self.is_open() && self.good >= needed.0 && well_for >= quiet { Some(self.close(now_unix_ms)) } else { None }
    }

    /// Ends it, whatever was seen.
    pub fn close(&mut self, now_unix_ms: i64) -> Alert {
        self.alert.state = State::Resolved;
        self.alert.resolved_unix_ms = Some(now_unix_ms);
        self.alert.clone()
    }

    /// Whether nothing of it needs to be known any more.
    pub fn is_forgotten(&self, now_unix_ms: i64) -> bool {
        !self.is_open() && now_unix_ms.saturating_sub(self.unwell_unix_ms) >= MEMORY_MS
    }
}
