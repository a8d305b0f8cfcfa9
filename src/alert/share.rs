//! An override of the share cap, as an incident: told when it begins, again every hour while it lasts, and when it ends. Pure.

use serde::{Deserialize, Serialize};

use super::{
    ladder::{Ladder, blank},
    message::{Alert, DedupKey, Event, State, moment},
};
use crate::{domain::RouteId, store::ShareOverride};

/// What an alert says of an override.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverrideNote {
    /// Its audit entries are under this: `backstop audit list --object share_cap:ID`.
    pub id: String,
    pub reason: String,
    pub begins_unix_ms: i64,
    pub ends_unix_ms: i64,
}

impl Ladder {
    /// What is to be told of the override that holds now, if one does.
    pub fn share_overridden(&mut self, holds: Option<&ShareOverride>, now_unix_ms: i64) -> Vec<Alert> {
        let event = Event::ShareOverridden;
        let key = holds.map(|holds| DedupKey::of(&[event.as_str(), &holds.id]));
        let mut told = self.end(|alert| alert.event == event && Some(&alert.dedup_key) != key.as_ref(), now_unix_ms);
        let (Some(holds), Some(key)) = (holds, key) else { return told };
        let known = self.open().any(|alert| alert.dedup_key == key);
        let note = OverrideNote {
            id: holds.id.clone(),
            reason: holds.reason.clone(),
            begins_unix_ms: holds.begins_unix_ms,
            ends_unix_ms: holds.ends_unix_ms,
        };
        // It is no route's matter, and a look is no call: it counts once.
        let alert = Alert {
            overridden: Some(note),
            count: u64::from(!known),
            ..blank(key, event, (RouteId::new("-"), "share_cap_overridden".to_owned()), now_unix_ms)
        };
        self.meet(alert, now_unix_ms, &mut told);
        told
    }
}

impl OverrideNote {
    pub(super) fn stands(&self, now_unix_ms: i64) -> bool {
        now_unix_ms < self.ends_unix_ms
    }

    pub(super) fn summary(&self, state: State) -> String {
        let Self { id, reason, begins_unix_ms, ends_unix_ms } = self;
        match state {
            State::Firing => format!(
                "the share cap refuses no call until {}: it was overridden at {} ({reason}); `backstop share override --end` \
                 ends it, the audit log has it as {id}",
                moment(*ends_unix_ms),
                moment(*begins_unix_ms)
            ),
            State::Resolved => "the share cap holds again: its override is over".to_owned(),
        }
    }
}
