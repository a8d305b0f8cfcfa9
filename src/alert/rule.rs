//! Rules that have fired, as incidents: one a rule, route and version, which ends when the rule looks at that no more. Pure.

use std::collections::BTreeSet;

use super::{
    incident::Needed,
    ladder::{Ladder, blank},
    message::{Alert, DedupKey, Event},
};
use crate::domain::RouteId;

/// A rule that found what it watches for, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleFired {
    pub rule: String,
    pub route: RouteId,
    pub version: u64,
    pub outcome: String,
}

impl Ladder {
    /// What is to be told of the rules that have fired by now, all of them.
    pub fn rules_fired(&mut self, fired: &BTreeSet<RuleFired>, now_unix_ms: i64) -> Vec<Alert> {
        let event = Event::RuleFired;
        let key =
            |one: &RuleFired| DedupKey::of(&[event.as_str(), one.route.as_str(), &one.rule, &one.version.to_string()]);
        let mut told = Vec::new();
        for one in fired {
            let key = key(one);
            let known = self.open().any(|alert| alert.dedup_key == key);
            let fault = format!("rule {} on version {}: {}", one.rule, one.version, one.outcome);
            // A look is no call: it counts once.
            let alert =
                Alert { count: u64::from(!known), ..blank(key, event, (one.route.clone(), fault), now_unix_ms) };
            self.meet(alert, now_unix_ms, &mut told);
        }
        let open: BTreeSet<DedupKey> = fired.iter().map(key).collect();
        let is_over = |alert: &Alert| alert.event == event && !open.contains(&alert.dedup_key);
        told.extend(self.good_signs(is_over, Needed(1), now_unix_ms));
        told
    }
}
