//! What each rule would have done over the stored history. Changes nothing and asks no gateway.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Course, Deed, Finding, Span, Watched, look};
use crate::{
    clock,
    config::{Rule, Settings},
    domain::RouteId,
    store::{Store, StoreError},
};

/// Looks of one dry run at the most: it is no longer than that, however long the history.
const MOST_LOOKS: i64 = 400;

/// What one rule would have done on one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tested {
    pub rule: String,
    pub route: String,
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

/// As if each route had been promoted so long ago. `only`: a rule and a route by name.
pub async fn test_all(
    settings: &Settings,
    store: &Store,
    since: Duration,
    only: (Option<&str>, Option<&str>),
) -> Result<Vec<Tested>, TestError> {
    if settings.rules.is_empty() {
        return Err(TestError::NoRules);
    }
    let mut tested = Vec::new();
    for rule in settings.rules.iter().filter(|rule| only.0.is_none_or(|name| rule.name == name)) {
        let routes = settings.routes.keys().filter(|route| rule.routes.is_empty() || rule.routes.contains(route));
        for route in routes.filter(|route| only.1.is_none_or(|name| route.as_str() == name)) {
            tested.push(test(rule, route, store, since).await?);
        }
    }
    if tested.is_empty() {
        return Err(TestError::NoneSuch);
    }
    Ok(tested)
}

async fn test(rule: &Rule, route: &RouteId, store: &Store, since: Duration) -> Result<Tested, StoreError> {
    let now = clock::unix_ms();
    let begin = now.saturating_sub(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let watched = i64::try_from(rule.watch.as_millis()).unwrap_or(i64::MAX);
    let end = now.min(begin.saturating_add(watched));
    let step = ((end - begin) / MOST_LOOKS).max(5000);
    let (mut course, mut looks, mut at, mut findings) = (Course::default(), 0, begin, Vec::new());
    let mut acts_at_unix_ms = None;
    while at < end && acts_at_unix_ms.is_none() {
        at = (at + step).min(end);
        let looked =
            look(store, rule, route, Span { since_unix_ms: begin, until_unix_ms: at, of: Watched::Route }).await?;
        findings = looked.1;
        looks += 1;
        if course.take(rule, looked.0, at) == Deed::Act {
            acts_at_unix_ms = Some(at);
        }
    }
    let action = rule.action.as_str().to_owned();
    Ok(Tested { rule: rule.name.clone(), route: route.to_string(), action, acts_at_unix_ms, looks, findings })
}
