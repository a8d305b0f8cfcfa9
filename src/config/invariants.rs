//! The invariants of a config that strict mode keeps: what breaks one is a breach, and `check` fails on it.
//!
//! Certificates and secrets are not known here; whoever has them adds their breaches (`serve`, `check`).

use super::{Criticality, Route, Settings, path::Path};
use crate::domain::TargetId;

/// Says every breach, with its place in the file.
pub(super) fn check(settings: &Settings, say: &mut dyn FnMut(Path, (&str, &str))) {
    for route in settings.routes.values() {
        let path = Path::root().key("routes").key(route.id.as_str()).key("targets");
        has_fallback(settings, route, &path, say);
        fallback_is_elsewhere(settings, route, &path, say);
        ends_at_home(settings, route, &path, say);
    }
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
    let [primary, first, ..] = route.targets.as_slice() else { return };
    let operator = settings.operator(&primary.id);
    if operator == settings.operator(&first.id) && !settings.is_own_hardware(&primary.id) {
        let message = format!("the first fallback, `{}`, is run by `{operator}` like the primary", first.id);
        say(path.index(1), (&message, "put a target of another vendor second"));
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
