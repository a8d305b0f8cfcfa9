//! What each rule would have done over the stored history. Changes nothing and asks no gateway.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Course, Deed, Finding, Span, Watched, look};
use crate::{
    clock,
    config::{Rule, Settings},
    domain::RouteId,
    release::book::{Book, Served},
    store::{Store, StoreError},
};

/// Looks of one dry run at the most: it is no longer than that, however long the history.
const MOST_LOOKS: i64 = 400;

/// Between two looks, as a gateway looks.
const LOOK_MS: i64 = 5000;

/// What one rule would have done on one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tested {
    pub rule: String,
    pub route: String,
    /// A release that was promoted, watched as long as it served; `null`: as if the route had been promoted so long ago.
    #[serde(default)]
    pub version: Option<u32>,
    /// When the watch would have begun, or began.
    #[serde(default)]
    pub since_unix_ms: i64,
    pub action: String,
    /// `null`: it would have done nothing.
    pub acts_at_unix_ms: Option<i64>,
    pub looks: u64,
    /// At the moment when it acts, or at the end.
    pub findings: Vec<Finding>,
}

#[derive(Debug, thiserror::Error)]
pub enum TestError {
    #[error("the config has no `rules:`; docs/triggers.md shows how they are written")]
    NoRules,
    #[error("the config has no such rule on such a route")]
    NoneSuch,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// As if each route had been promoted so long ago; and of each promotion since then. `only`: a rule and a route by name.
pub async fn test_all(
    settings: &Settings,
    (store, book): (&Store, &Book),
    since: Duration,
    only: (Option<&str>, Option<&str>),
) -> Result<Vec<Tested>, TestError> {
    if settings.rules.is_empty() {
        return Err(TestError::NoRules);
    }
    let now = clock::unix_ms();
    let begin = now.saturating_sub(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let supposed = Trial { version: None, since_unix_ms: begin, until_unix_ms: now };
    let mut tested = Vec::new();
    for rule in settings.rules.iter().filter(|rule| only.0.is_none_or(|name| rule.name == name)) {
        let routes = settings.routes.keys().filter(|route| rule.routes.is_empty() || rule.routes.contains(route));
        for route in routes.filter(|route| only.1.is_none_or(|name| route.as_str() == name)) {
            let promoted = book.line(route).map(|line| line.promoted(now)).unwrap_or_default();
            let promoted = promoted.into_iter().filter(|served| served.since_unix_ms >= begin).map(Trial::from);
            for trial in std::iter::once(supposed).chain(promoted) {
                tested.push(test(rule, route, store, trial).await?);
            }
        }
    }
    if tested.is_empty() {
        return Err(TestError::NoneSuch);
    }
    Ok(tested)
}

/// What a rule is run over.
#[derive(Debug, Clone, Copy)]
struct Trial {
    version: Option<u32>,
    since_unix_ms: i64,
    until_unix_ms: i64,
}

impl From<Served> for Trial {
    fn from(served: Served) -> Self {
        let Served { release, since_unix_ms, until_unix_ms } = served;
        Self { version: Some(release), since_unix_ms, until_unix_ms }
    }
}

async fn test(rule: &Rule, route: &RouteId, store: &Store, trial: Trial) -> Result<Tested, StoreError> {
    let Trial { version, since_unix_ms: begin, until_unix_ms } = trial;
    let watched = i64::try_from(rule.watch.as_millis()).unwrap_or(i64::MAX);
    let end = until_unix_ms.min(begin.saturating_add(watched));
    let step = ((end - begin) / MOST_LOOKS).max(LOOK_MS);
    // A gateway's looks fall otherwise: what two of them found, two of these find a moment later. By then it serves no more calls.
    let last = if version.is_some() { end.saturating_add(2 * LOOK_MS) } else { end };
    let (mut course, mut looks, mut at, mut findings) = (Course::default(), 0, begin, Vec::new());
    let mut acts_at_unix_ms = None;
    let of = version.map_or(Watched::Route, Watched::Release);
    while at < last && acts_at_unix_ms.is_none() {
        at = (at + step).min(last);
        let looked = look(store, rule, route, Span { since_unix_ms: begin, until_unix_ms: at, of }).await?;
        findings = looked.1;
        looks += 1;
        if course.take(rule, looked.0, at) == Deed::Act {
            acts_at_unix_ms = Some(at.min(end));
        }
    }
    let (rule, action) = (rule.name.clone(), rule.action.as_str().to_owned());
    let route = route.to_string();
    Ok(Tested { rule, route, version, since_unix_ms: begin, action, acts_at_unix_ms, looks, findings })
}
