//! The invariants of a config that strict mode keeps: what breaks one is a breach, and `check` fails on it.
//!
//! Certificates and secrets are not known here; whoever has them adds their breaches (`serve`, `check`).

use super::{Criticality, Route, Settings, path::Path};
use crate::domain::TargetId;

/// Says every breach, with its place in the file, and marks the targets that strict enforcement leaves out for it.
pub(super) fn check(settings: &mut Settings, say: &mut dyn FnMut(Path, (&str, &str))) {
    mark_twins(settings);
    for route in settings.routes.values() {
        let path = Path::root().key("routes").key(route.id.as_str()).key("targets");
        has_fallback(settings, route, &path, say);
        for (index, target) in route.targets.iter().enumerate() {
            if let Some(breach) = &target.breach {
                say(path.index(index), (breach, "put a target of another vendor second"));
            }
        }
        ends_at_home(settings, route, &path, say);
    }
}

/// A fallback that is run by whom the primary is run by, standing before any of another vendor, is no fallback.
fn mark_twins(settings: &mut Settings) {
    let mut routes = std::mem::take(&mut settings.routes);
    for route in routes.values_mut() {
        let [primary, fallbacks @ ..] = route.targets.as_mut_slice() else { continue };
        if settings.is_own_hardware(&primary.id) {
            continue;
        }
        let operator = settings.operator(&primary.id);
        for fallback in fallbacks.iter_mut().take_while(|target| settings.operator(&target.id) == operator) {
            fallback.breach = Some(format!("`{operator}` runs this fallback and the primary too"));
        }
    }
    settings.routes = routes;
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
