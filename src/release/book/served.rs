//! From when until when what was promoted served, as the acts say.

use super::{Deed, Line};

/// A promotion's time: until the next move of what serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    pub release: u32,
    pub since_unix_ms: i64,
    pub until_unix_ms: i64,
}

impl Line {
    /// Every promotion, the oldest first; one that serves still, until `now`.
    pub fn promoted(&self, now_unix_ms: i64) -> Vec<Served> {
        let (mut all, mut serving) = (Vec::new(), None::<Served>);
        for done in &self.history {
            let (from, to, is_promotion) = match &done.deed {
                Deed::Promoted { number, from, .. } => (*from, *number, true),
                Deed::RolledBack { from, to, .. } => (*from, *to, false),
                _ => continue,
            };
            // One that met another state changed nothing.
            if serving.is_some_and(|served| served.release != from) {
                continue;
            }
            all.extend(serving.take().map(|served| Served { until_unix_ms: done.at_unix_ms, ..served }));
            let begun = Served { release: to, since_unix_ms: done.at_unix_ms, until_unix_ms: now_unix_ms };
            serving = is_promotion.then_some(begun);
        }
        all.extend(serving);
        all
    }
}
