//! Which calls are part of a drill: for them some vendors are seen as down. Nobody else notices, and no target is asked less for it.
//!
//! A call of the gateway's own brings its drill along; of callers' calls a part is drawn. What such a call comes to is kept apart from
//! everything that tells how vendors really are.

use std::{collections::BTreeSet, sync::Arc};

use arc_swap::ArcSwapOption;

use crate::{
    clock,
    domain::{RouteId, VendorId},
};

/// A drill that is under way.
#[derive(Debug, PartialEq, Eq)]
pub struct OnDrill {
    pub id: Arc<str>,
    pub routes: BTreeSet<RouteId>,
    /// Who is seen as down.
    pub down: BTreeSet<VendorId>,
    /// So many of a hundred calls of callers; 0: only the gateway's own.
    pub live_pct: u8,
    /// Whatever else happens, it is over then.
    pub ends_unix_ms: i64,
}

/// The drill that is on, for all calls; read without a lock.
#[derive(Debug, Default)]
pub struct Drills {
    on: ArcSwapOption<OnDrill>,
}

impl Drills {
    pub fn put(&self, drill: Option<Arc<OnDrill>>) {
        self.on.store(drill);
    }

    /// The one that is on at this moment.
    pub fn on(&self) -> Option<Arc<OnDrill>> {
        self.on.load_full().filter(|drill| drill.is_on())
    }

    /// The one that a caller's call on `route` is part of. `draw`: from 0 to 1, the call's own.
    pub(super) fn of_caller(&self, route: &RouteId, draw: impl FnOnce() -> f64) -> Option<Arc<OnDrill>> {
        let on = self.on.load();
        let drill = on.as_ref()?;
        let drawn = drill.routes.contains(route) && draw() * 100.0 < f64::from(drill.live_pct);
        (drawn && drill.is_on()).then(|| Arc::clone(drill))
    }
}

impl OnDrill {
    fn is_on(&self) -> bool {
        clock::unix_ms() < self.ends_unix_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drill(live_pct: u8, ends_unix_ms: i64) -> Arc<OnDrill> {
        let (routes, down) = ([RouteId::new("chat")].into(), [VendorId::new("near")].into());
        Arc::new(OnDrill { id: "d".into(), routes, down, live_pct, ends_unix_ms })
    }

    proptest! {
        #[test]
        fn of_callers_calls_only_the_drawn_ones_of_its_routes_are_in_it(pct in 0_u8..=100, draw in 0.0_f64..1.0) {
            let drills = Drills::default();
            drills.put(Some(drill(pct, i64::MAX)));
            prop_assert_eq!(drills.of_caller(&RouteId::new("chat"), || draw).is_some(), draw * 100.0 < f64::from(pct));
            prop_assert!(drills.of_caller(&RouteId::new("other"), || draw).is_none());
        }
    }

    #[test]
    fn one_that_is_past_its_end_is_over_whoever_should_have_ended_it() {
        let drills = Drills::default();
        drills.put(Some(drill(100, clock::unix_ms())));
        assert_eq!((drills.on(), drills.of_caller(&RouteId::new("chat"), || 0.0)), (None, None));
    }
}
