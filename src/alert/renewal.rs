//! Certificates of retained releases that should be renewed by now and are not, as incidents: one a route, target, suite and
//! obstacle, which ends when that is over, by whoever's doing. Pure.

use std::collections::BTreeSet;

use super::{
    incident::Needed,
    ladder::{Ladder, blank},
    message::{Alert, DedupKey, Event},
};
use crate::release::renewal::NotRenewed;

impl Ladder {
    /// What is to be told of those that are not renewed now, all of them.
    pub fn not_renewed(&mut self, all: &BTreeSet<NotRenewed>, now_unix_ms: i64) -> Vec<Alert> {
        let event = Event::CertificateNotRenewed;
        let key =
            |one: &NotRenewed| DedupKey::of(&[event.as_str(), one.route.as_str(), &one.target.to_string(), &one.suite]);
        let mut told = Vec::new();
        for one in all {
            let key = key(one);
            let known = self.open().any(|alert| alert.dedup_key == key);
            // A look is no call: it counts once.
            let alert = Alert {
                target: Some(one.target.clone()),
                count: u64::from(!known),
                ..blank(key, event, (one.route.clone(), one.why.clone()), now_unix_ms)
            };
            self.meet(alert, now_unix_ms, &mut told);
        }
        let open: BTreeSet<DedupKey> = all.iter().map(key).collect();
        let is_over = |alert: &Alert| alert.event == event && !open.contains(&alert.dedup_key);
        told.extend(self.good_signs(is_over, Needed(1), now_unix_ms));
        told
    }
}
