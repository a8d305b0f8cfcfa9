//! The invariants of a config that strict mode keeps: what breaks one is a breach, and `check` fails on it.
//!
//! Certificates and secrets are not known here; whoever has them adds their breaches (`serve`, `check`).

use super::{Criticality, Route, Settings, path::Path, share_cap};
use crate::domain::TargetId;

/// Says every breach, with its place in the file.
pub(super) fn check(settings: &Settings, say: &mut dyn FnMut(Path, (&str, &str))) {
    for route in settings.routes.values() {
        let path = Path::root().key("routes").key(route.id.as_str()).key("targets");
        has_fallback(settings, route, &path, say);
        fallback_is_elsewhere(settings, route, &path, say);
        ends_at_home(settings, route, &path, say);
    }
    share_cap::check(settings, say);
}

fn has_fallback(settings: &Settings, route: &Route, path: &Path, say: &mut dyn FnMut(Path, (&str, &str))) {
    // A route that is all at home has no vendor that could go away.
    if let [only] = route.targets.as_slice()
        && !settings.is_own_hardware(&only.id)
    {
        let message = format!("this route has no fallback: when `{}` is gone, so is its answer", only.id.vendor);
        say(path.clone(), (&message, "add a target of another vendor, or `local/…`"));
    }
}

fn fallback_is_elsewhere(settings: &Settings, route: &Route, path: &Path, say: &mut dyn FnMut(Path, (&str, &str))) {
    let Some(at) = misplaced(settings, route) else { return };
    let (first, operator) = (&route.targets[at].id, settings.operator(&route.targets[0].id));
    let message = format!("the first fallback, `{first}`, is run by `{operator}` like the primary");
    say(path.index(at), (&message, "put a target of another vendor before it"));
}

/// The target that stands where another vendor should: of the primary's operator and region, or of its operator with no
/// other vendor after it. Other regions of the primary's vendor may come before the first fallback.
fn misplaced(settings: &Settings, route: &Route) -> Option<usize> {
    let primary = &route.targets.first()?.id;
    if settings.is_own_hardware(primary) {
        return None;
    }
    let same_operator = |id: &TargetId| settings.operator(id) == settings.operator(primary);
    let region = |id: &TargetId| settings.vendors.get(&id.vendor).and_then(|vendor| vendor.region.as_deref());
    let rest = || route.targets.iter().enumerate().skip(1);
    rest()
        .take_while(|(_, target)| same_operator(&target.id))
        .find(|(_, target)| region(&target.id) == region(primary))
        .or_else(|| rest().next().filter(|_| rest().all(|(_, target)| same_operator(&target.id))))
        .map(|(at, _)| at)
}

/// Notes on each target that strict enforcement leaves out why it does.
pub(super) fn mark(settings: &mut Settings) {
    let misplaced: Vec<_> =
        settings.routes.values().filter_map(|route| Some((route.id.clone(), misplaced(settings, route)?))).collect();
    for (route, at) in misplaced {
        let Some(route) = settings.routes.get_mut(&route) else { continue };
        let primary = route.targets[0].id.clone();
        route.targets[at].breach = Some(format!("it is run by the same operator as the primary, `{primary}`"));
    }
}

fn ends_at_home(settings: &Settings, route: &Route, path: &Path, say: &mut dyn FnMut(Path, (&str, &str))) {
    let last: Option<&TargetId> = route.targets.last().map(|target| &target.id);
    if let Some(last) = last
        && route.criticality == Criticality::Critical
        && !settings.is_own_hardware(last)
    {
        let message = format!("a critical route ends in our own hardware, not in `{last}`");
        say(path.index(route.targets.len() - 1), (&message, "add a `local/…` or self-hosted target at its end"));
    }
}
