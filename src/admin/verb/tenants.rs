//! A tenant's stored limits, changed one by one.

use crate::{
    admin::{
        refused::Refused,
        site::{Site, find_route},
        view::{self, TenantView},
    },
    config::{Limits, Tenant},
    domain::{FeatureId, TenantId, is_plain_name},
    vault::{KeyAdmin, Known},
};

/// What of a tenant's is limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// Its calls for a feature.
    Feature(String),
    /// What it may use of a route.
    Route(String),
}

/// Stores what `change` makes of the limits; the tenant, and what is in force of the part where the config limits it too. What others
/// change at the same time is kept.
pub async fn limit(
    site: &Site,
    name: &str,
    (part, change): (&Part, impl Fn(Limits) -> Limits),
) -> Result<(TenantView, Option<Limits>), Refused> {
    let admin = KeyAdmin::new(site.store()?.clone(), site.actor.clone());
    let configured: Vec<TenantId> = site.settings.tenants.keys().cloned().collect();
    loop {
        let tenant = admin.tenant(name, &configured).await?;
        let (policy, in_force) = changed(site, &tenant, (part, &change))?;
        if admin.limit_tenant(&tenant, policy).await? {
            return Ok((view::tenant(&admin.tenant(name, &configured).await?, &site.settings), in_force));
        }
    }
}

/// What is to be stored, and what is in force of the part where the config limits it too.
fn changed(
    site: &Site,
    tenant: &Known,
    (part, change): (&Part, &impl Fn(Limits) -> Limits),
) -> Result<(Tenant, Option<Limits>), Refused> {
    let mut policy = tenant.stored.as_ref().map(|row| row.policy.clone()).unwrap_or_default();
    let by_file = site.settings.tenants.get(&tenant.id).cloned().unwrap_or_default();
    let (stored, by_config) = match part {
        Part::Whole => (&mut policy.limits, by_file.limits),
        Part::Feature(feature) => {
            if !is_plain_name(feature) {
                return Err(Refused::invalid(format!(
                    "`{feature}` cannot name a feature; use 1 to 64 letters, digits, dots, underscores or dashes"
                )));
            }
            let feature = FeatureId::new(feature);
            let by_config = by_file.feature(&feature);
            (policy.features.entry(feature).or_default(), by_config)
        }
        Part::Route(route) => {
            let route = find_route(&site.settings, route)?.id.clone();
            let by_config = by_file.model(&route);
            (policy.models.entry(route).or_default(), by_config)
        }
    };
    *stored = change(*stored);
    if matches!(part, Part::Route(_)) && stored.has_budget() {
        return Err(Refused::invalid("budgets are of tenants, features and keys; give the model rates"));
    }
    let (stored, both) = (*stored, stored.and(&by_config));
    policy.features.retain(|_, limits| !limits.is_none());
    policy.models.retain(|_, limits| !limits.is_none());
    Ok((policy, (both != stored).then_some(both)))
}
