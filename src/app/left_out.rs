//! Which targets strict enforcement leaves out of their routes now, or soon will, for the alerts: a certificate that lapses
//! pages someone, and one that ends soon warns before.

use std::collections::{BTreeMap, BTreeSet};

use backstop_eval::certificate::Warning;

use crate::{
    alert::LeftOut,
    config::{Enforcement, Settings},
    domain::{FaultKind, TargetId},
    route::Standings,
};

/// Under `warn`, which is for development, nothing is left out and nobody is paged.
pub(super) fn left_out(
    settings: &Settings,
    standings: &Standings,
    warnings: &BTreeMap<(TargetId, String), Warning>,
) -> BTreeSet<LeftOut> {
    let mut out = BTreeSet::new();
    if settings.enforcement == Enforcement::Warn {
        return out;
    }
    for route in settings.routes.values() {
        for (index, target) in route.targets.iter().enumerate() {
            let needs_certificate = index > 0 || target.id.is_local();
            let fault = if target.breach.is_some() {
                FaultKind::BreaksInvariant.as_str()
            } else if needs_certificate && standings.objection(&target.id, route).is_some() {
                FaultKind::Uncertified.as_str()
            } else if let Some(warning) = warnings.get(&(target.id.clone(), route.suite.clone())) {
                warning.name()
            } else {
                continue;
            };
            out.insert(LeftOut { route: route.id.clone(), target: target.id.clone(), fault });
        }
    }
    out
}
