//! Tenants, their limits, and what they have used of them.

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::{
    Admin,
    asked::Asked,
    endpoint::{Endpoint, Nothing},
    refused::Refused,
    verb::tenants::{self as verb, Part},
    view::{self, TenantView},
};
use crate::{
    config::{BudgetKind, Limits, Tenant},
    domain::{KeyId, Money, Right, TenantId},
    limit::{Counted, LimitView, subjects_of_tenant},
    vault::{KeyAdmin, Known},
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let change = "Set and lift single limits that are stored for a tenant, or for a feature or a route of it";
    let limits = "Replace the limits that are stored for a tenant; the config's hold besides, the smaller one counts";
    vec![
        Endpoint::read("/tenants", Right::Read, "All tenants, those of the config too", list),
        Endpoint::write((Method::POST, "/tenants"), Right::TenantChange, "Make a tenant", add).makes(),
        Endpoint::write((Method::PUT, "/tenants/{tenant}/limits"), Right::TenantChange, limits, set_limits),
        Endpoint::write((Method::PATCH, "/tenants/{tenant}/limits"), Right::TenantChange, change, change_limits),
        Endpoint::read("/tenants/{tenant}/limits", Right::Read, "A tenant's limits: used, left, and when anew", used),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    name: String,
    #[serde(default)]
    limits: NewLimits,
}

/// What is left out is not limited.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewLimits {
    rpm: Option<u64>,
    rpd: Option<u64>,
    tpm: Option<u64>,
    tpd: Option<u64>,
    concurrency: Option<u64>,
    /// In bytes.
    max_body: Option<u64>,
    max_tokens: Option<u64>,
    max_usd_per_call: Option<f64>,
    budget_usd_per_day: Option<f64>,
    budget_usd_per_week: Option<f64>,
    budget_usd_per_month: Option<f64>,
    /// `hard` or `soft`.
    #[schemars(with = "Option<String>")]
    budget_kind: Option<BudgetKind>,
}

/// What is neither set nor lifted stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LimitChange {
    /// Of the tenant's calls for this feature.
    feature: Option<String>,
    /// Of what the tenant may use of this route; rates, not budgets.
    model: Option<String>,
    set: NewLimits,
    /// By their names: `rpm`, `budget_usd_per_month`.
    lift: Vec<String>,
}

/// A tenant whose limits were changed.
#[derive(Debug, Serialize, JsonSchema)]
struct Limited {
    #[serde(flatten)]
    tenant: TenantView,
    /// Where the config limits it too: what is in force.
    both: Option<Map<String, Value>>,
}

impl NewLimits {
    pub(super) fn checked(&self) -> Result<Limits, Refused> {
        let counts = [self.rpm, self.rpd, self.tpm, self.tpd, self.concurrency, self.max_body, self.max_tokens];
        if counts.into_iter().flatten().any(|count| count == 0 || count > 1 << 53) {
            return Err(Refused::invalid("a limit is a whole number above 0; leave it out for no limit"));
        }
        let refused =
            || Refused::invalid("an amount is in dollars, from 0 to 1e9, and 0.000001 at least where it is not 0");
        let money = |usd: Option<f64>| usd.map(|usd| Money::limit_from_usd(usd).ok_or_else(refused)).transpose();
        Ok(Limits {
            requests_per_minute: self.rpm,
            requests_per_day: self.rpd,
            tokens_per_minute: self.tpm,
            tokens_per_day: self.tpd,
            concurrency: self.concurrency,
            body_bytes: self.max_body,
            answer_tokens: self.max_tokens,
            cost_per_call: money(self.max_usd_per_call)?,
            budget_per_day: money(self.budget_usd_per_day)?,
            budget_per_week: money(self.budget_usd_per_week)?,
            budget_per_month: money(self.budget_usd_per_month)?,
            budget_kind: self.budget_kind,
        })
    }
}

fn configured(admin: &Admin) -> Vec<TenantId> {
    admin.settings().tenants.keys().cloned().collect()
}

/// The tenants' and keys' side of the vault, for whoever asks.
pub(super) fn key_admin(asked: &Asked) -> KeyAdmin {
    KeyAdmin::new(asked.admin.store.clone(), asked.actor())
}

pub(super) async fn known(asked: &Asked, name: &str) -> Result<Known, Refused> {
    Ok(key_admin(asked).tenant(name, &configured(&asked.admin)).await?)
}

async fn list(asked: Asked, _: Nothing) -> Result<Vec<TenantView>, Refused> {
    let settings = asked.admin.settings();
    let tenants = key_admin(&asked).tenants(&configured(&asked.admin)).await?;
    Ok(tenants.iter().map(|tenant| view::tenant(tenant, &settings)).collect())
}

async fn add(asked: Asked, new: NewTenant) -> Result<TenantView, Refused> {
    let policy = Tenant { limits: new.limits.checked()?, ..Tenant::default() };
    key_admin(&asked).add_tenant(&new.name, policy, &configured(&asked.admin)).await?;
    shown(&asked, &new.name).await
}

async fn set_limits(asked: Asked, limits: NewLimits) -> Result<TenantView, Refused> {
    let name = asked.param("tenant").to_owned();
    let limits = limits.checked()?;
    loop {
        let tenant = known(&asked, &name).await?;
        let stored = tenant.stored.as_ref().map(|row| row.policy.clone()).unwrap_or_default();
        if key_admin(&asked).limit_tenant(&tenant, Tenant { limits, ..stored }).await? {
            return shown(&asked, &name).await;
        }
    }
}

async fn change_limits(asked: Asked, change: LimitChange) -> Result<Limited, Refused> {
    let part = match (change.feature, change.model) {
        (Some(_), Some(_)) => return Err(Refused::invalid("say `feature` or `model`")),
        (Some(feature), None) => Part::Feature(feature),
        (None, Some(route)) => Part::Route(route),
        (None, None) => Part::Whole,
    };
    let (set, lift) = (change.set.checked()?, change.lift);
    if let Some(unknown) = lift.iter().find(|name| !Limits::NONE.named_with_nulls().contains_key(*name)) {
        return Err(Refused::invalid(format!("`lift`: there is no limit `{unknown}`")));
    }
    if set.is_none() && set.budget_kind.is_none() && lift.is_empty() {
        return Err(Refused::invalid("nothing is set and nothing is lifted"));
    }
    let name = asked.param("tenant").to_owned();
    let changed = verb::limit(&asked.site(), &name, (&part, |before| before.changed(&set, &lift))).await?;
    Ok(Limited { tenant: changed.0, both: changed.1.map(|both| both.named()) })
}

async fn shown(asked: &Asked, name: &str) -> Result<TenantView, Refused> {
    Ok(view::tenant(&known(asked, name).await?, &asked.admin.settings()))
}

async fn used(asked: Asked, _: Nothing) -> Result<Vec<LimitView>, Refused> {
    let tenant = known(&asked, asked.param("tenant")).await?;
    let all = key_admin(&asked).keys().await?.into_iter();
    let keys: Vec<(KeyId, Limits)> = all
        .filter(|key| key.tenant == tenant.id && key.revoked_unix_ms.is_none())
        .map(|key| (key.key_id, key.may.limits))
        .collect();
    let stored = tenant.stored.as_ref().map(|row| &row.policy);
    let limited = subjects_of_tenant(&asked.admin.settings(), &tenant.id, stored, &keys);
    Ok(Counted::of(&asked.admin.api.relay.limiter).view(&limited))
}
