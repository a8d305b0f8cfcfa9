//! Which targets strict enforcement leaves out of their routes now, for the alerts: a certificate that lapses pages someone.

use std::collections::BTreeSet;

use crate::{
    alert::LeftOut,
    config::{Enforcement, Settings},
    domain::FaultKind,
    route::Standings,
};

/// Under `warn`, which is for development, nothing is left out and nobody is paged.
pub(super) fn left_out(settings: &Settings, standings: &Standings) -> BTreeSet<LeftOut> {
    let mut out = BTreeSet::new();
    if settings.enforcement == Enforcement::Warn {
        return out;
    }
    for route in settings.routes.values() {
        for (index, target) in route.targets.iter().enumerate() {
            let needs_certificate = index > 0 || target.id.is_local();
            let kind = if target.breach.is_some() {
                FaultKind::BreaksInvariant
            } else if needs_certificate && standings.objection(&target.id, &route.suite).is_some() {
                FaultKind::Uncertified
            } else {
                continue;
            };
            out.insert(LeftOut { route: route.id.clone(), target: target.id.clone(), fault: kind.as_str() });
        }
    }
    out
}
