//! Critical routes that nobody has drilled for too long, as incidents: one a route, which ends with its next drill. Pure.

use std::collections::BTreeSet;

use super::{
    incident::Needed,
    ladder::{Ladder, blank},
    message::{Alert, DedupKey, Event},
};
use crate::domain::RouteId;

impl Ladder {
    /// What is to be told of the routes that are overdue now, all of them.
    pub fn drills_overdue(&mut self, overdue: &BTreeSet<RouteId>, now_unix_ms: i64) -> Vec<Alert> {
        let event = Event::DrillOverdue;
        let mut told = Vec::new();
        for route in overdue {
            let key = DedupKey::of(&[event.as_str(), route.as_str()]);
            let known = self.open().any(|alert| alert.dedup_key == key);
            // A look is no call: it counts once.
            let alert = Alert {
                count: u64::from(!known),
                ..blank(key, event, (route.clone(), event.as_str().to_owned()), now_unix_ms)
            };
            self.meet(alert, now_unix_ms, &mut told);
        }
        let is_over = |alert: &Alert| alert.event == event && !overdue.contains(&alert.route);
        told.extend(self.good_signs(is_over, Needed(1), now_unix_ms));
        told
    }
}
