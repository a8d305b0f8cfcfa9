//! Rules on routes' figures: those that there are, and what each would have done.

use std::time::Duration;

use crate::{
    admin::{refused::Refused, site::Site},
    release::{
        desk::DeskError,
        rules::{RuleState, TestError, Tested, test_all},
    },
};

/// As the config has them: how they stand is known to the gateway that looks at them.
pub async fn listed(site: &Site) -> Result<Vec<RuleState>, Refused> {
    let mut states = Vec::new();
    for rule in &site.settings.rules {
        for route in site.settings.routes.keys().filter(|id| rule.routes.is_empty() || rule.routes.contains(id)) {
            states.push(RuleState {
                rule: rule.name.clone(),
                route: route.to_string(),
                version: site.line(route).await?.primary.into(),
                canary: false,
                action: rule.action.as_str().to_owned(),
                when: rule.when.to_string(),
                findings: Vec::new(),
                looked_at_unix_ms: 0,
                outcome: None,
            });
        }
    }
    Ok(states)
}

/// Over the ledger, as if each route had been promoted so long ago, and of each promotion since then.
pub async fn test(site: &Site, since: Duration, only: (Option<&str>, Option<&str>)) -> Result<Vec<Tested>, Refused> {
    let store = site.ledger().await?;
    let known = site.shelf.read().await.map_err(DeskError::from)?;
    test_all(&site.settings, (store, &known.book), since, only).await.map_err(|error| match error {
        TestError::NoRules | TestError::NoneSuch => Refused::not_found(error.to_string()),
        TestError::Store(error) => error.into(),
    })
}
