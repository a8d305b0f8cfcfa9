//! The share cap as configured, and whether a config can keep it: what is provable, and what depends on where the traffic goes.
//!
//! Shares add up to 1, own hardware's too. Where there is none and as many vendors as there are cannot have all of it
//! together, no traffic at all keeps the cap: a breach. A single route of which that is true may be balanced by others: a note.

use std::{collections::BTreeSet, time::Duration};

use super::{Route, Settings, path::Path};

#[derive(Debug, Clone, PartialEq)]
pub struct ShareCap {
    /// 0 to 1; 1: no cap.
    pub max: f64,
    /// From here on calls move to other vendors in proportion; at most `max`.
    pub soft: f64,
    /// Counted in whole hours.
    pub window: Duration,
    pub unit: ShareUnit,
    /// Below this volume in the window the cap does not bite.
    pub min_volume: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShareUnit {
    #[default]
    Tokens,
    Requests,
    /// In micro-dollars.
    Cost,
}

impl ShareUnit {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Requests => "requests",
            Self::Cost => "cost",
        }
    }
}

/// Where the file does not name a cap and one vendor runs everything but the in-process model, there is none: the usual one would
/// refuse what nobody else could serve, or give a third of all calls to a model that is there for emergencies.
pub(super) fn lift_where_unsaid(settings: &mut Settings) {
    if lone_operator(settings).is_some() {
        settings.share_cap.max = 1.0;
    }
}

/// Says what makes the cap impossible to keep.
pub(super) fn check(settings: &Settings, say: &mut dyn FnMut(Path, (&str, &str))) {
    let (cap, path) = (&settings.share_cap, Path::root().key("share_cap"));
    if cap.max >= 1.0 {
        return;
    }
    let routes = || settings.routes.values();
    if let Some(operators) = overfull(settings, routes()) {
        let names: Vec<String> = operators.iter().map(|name| format!("`{name}`")).collect();
        let message = format!(
            "all volume goes to {}, and no vendor may have more than {:.1} % of it: this cannot be kept",
            names.join(" and "),
            cap.max * 100.0
        );
        say(
            path.key("max"),
            (&message, "add targets of another vendor (by who runs the models) or on your own hardware"),
        );
    }
    if cap.unit == ShareUnit::Cost {
        let unpriced = |target: &&crate::domain::TargetId| {
            !settings.is_own_hardware(target) && !settings.prices.contains_key(*target)
        };
        for target in settings.targets().into_iter().filter(unpriced) {
            let message = format!("`{target}` has no known price, so its share of the cost cannot be counted");
            say(path.key("unit"), (&message, "give its price under `models:`, or count tokens"));
        }
    }
}

/// Says what is worth knowing: that there is no cap, and which routes need others to keep it.
pub(super) fn note(settings: &Settings, say: &mut dyn FnMut(Path, (&str, &str))) {
    if settings.share_cap.max >= 1.0 {
        if let Some(only) = sole_operator(settings) {
            let message =
                format!("all volume goes to `{only}`: no share cap under 1 can be kept, and none is in force");
            say(Path::root().key("routes"), (&message, "add targets of another vendor"));
        } else if let Some(only) = lone_operator(settings) {
            let message = format!("no share cap is in force: beside the in-process model, all volume goes to `{only}`");
            say(Path::root().key("routes"), (&message, "add targets of another vendor, or write `share_cap:`"));
        }
        return;
    }
    if overfull(settings, settings.routes.values()).is_some() {
        return;
    }
    for route in settings.routes.values() {
        if overfull(settings, std::iter::once(route)).is_some() {
            let path = Path::root().key("routes").key(route.id.as_str()).key("targets");
            let message = "by itself this route cannot keep the share cap: where other routes do not balance it, its calls are \
                           refused";
            say(path, (message, "add a target of another vendor or on your own hardware"));
        }
    }
}

/// The only operator beside the in-process model, where there is no other own hardware.
fn lone_operator(settings: &Settings) -> Option<&str> {
    let targets = || settings.targets().into_iter().filter(|target| !target.is_local());
    let operators: BTreeSet<&str> = targets().map(|target| settings.operator(target)).collect();
    let lone = operators.first().copied().filter(|_| operators.len() == 1)?;
    (!targets().any(|target| settings.is_own_hardware(target))).then_some(lone)
}

/// The only operator of all targets, where there is no own hardware.
fn sole_operator(settings: &Settings) -> Option<&str> {
    let operators = operators(settings, settings.routes.values())?;
    operators.first().copied().filter(|_| operators.len() == 1)
}

/// The operators of these routes, when all of them together may not have all of the volume.
fn overfull<'a>(settings: &'a Settings, routes: impl Iterator<Item = &'a Route>) -> Option<BTreeSet<&'a str>> {
    let operators = operators(settings, routes)?;
    // 0.1 times ten is one, but not in binary.
    (!operators.is_empty() && operators.len() as f64 * settings.share_cap.max < 1.0 - 1e-9).then_some(operators)
}

/// `None`: some of it is our own hardware, which may have any share.
fn operators<'a>(settings: &'a Settings, routes: impl Iterator<Item = &'a Route>) -> Option<BTreeSet<&'a str>> {
    let mut operators = BTreeSet::new();
    for target in routes.flat_map(|route| &route.targets) {
        if settings.is_own_hardware(&target.id) {
            return None;
        }
        operators.insert(settings.operator(&target.id));
    }
    Some(operators)
}
