//! `tenants:`, and limits wherever they stand.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::Resolver;
use crate::{
    config::{BudgetKind, Limits, Tenant, limits::parse_network, path::Path, raw, words},
    domain::{FeatureId, RouteId, TenantId, is_plain_name},
};

/// The largest body that any limit may allow, in bytes.
const MOST_BODY: usize = 1 << 30;

/// What may be limited of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Budgets {
    Allowed,
    /// What is not a payer has rates, and no budgets.
    None,
}

impl Resolver<'_, '_> {
    pub(super) fn tenants(&mut self, file: &raw::File) -> BTreeMap<TenantId, Tenant> {
        let mut tenants = BTreeMap::new();
        for (name, raw) in file.tenants.iter().flatten() {
            let path = Path::root().key("tenants").key(name.as_str());
            self.name(&path, name);
            let limits = self.limits(&path, raw.written(), Budgets::Allowed);
            let mut tenant = Tenant { limits, ..Tenant::default() };
            for (feature, raw) in raw.features.iter().flatten() {
                let path = path.key("features").key(feature.as_str());
                if !is_plain_name(feature) {
                    self.error(&path, "a feature has 1 to 64 letters, digits, dots, underscores or dashes", "");
                }
                let limits = self.limits(&path, raw.written(), Budgets::Allowed);
                tenant.features.insert(FeatureId::new(feature), limits);
            }
            for (model, raw) in raw.models.iter().flatten() {
                let path = path.key("models").key(model.as_str());
                let routes = || file.routes.iter().flatten().map(|(name, _)| name.as_str());
                if file.routes.is_some() && !routes().any(|route| route == model) {
                    let known: Vec<&str> = routes().collect();
                    let message = format!("there is no route `{}`", words::cut(model));
                    self.error(&path, message, words::meant_or_known(model, known));
                }
                let limits = self.limits(&path, raw.written(), Budgets::None);
                tenant.models.insert(RouteId::new(model), limits);
            }
            tenants.insert(TenantId::new(name), tenant);
        }
        tenants
    }

    pub(super) fn limits(&mut self, path: &Path, raw: raw::Written<'_>, budgets: Budgets) -> Limits {
        for (key, count) in raw.counts {
            if count == Some(0) {
                self.error(&path.key(key), "a limit of 0 refuses every call", "leave it out for no limit");
            }
        }
        let [rpm, rpd, tpm, tpd, concurrency, max_tokens] = raw.counts.map(|(_, count)| count);
        let [per_call, day, week, month] = raw.amounts.map(|(key, usd)| self.amount(&path.key(key), usd?));
        let limits = Limits {
            requests_per_minute: rpm,
            requests_per_day: rpd,
            tokens_per_minute: tpm,
            tokens_per_day: tpd,
            concurrency,
            body_bytes: raw
                .max_body
                .and_then(|text| self.size(&path.key("max_body"), text, MOST_BODY))
                .map(|b| b as u64),
            answer_tokens: max_tokens,
            cost_per_call: per_call,
            budget_per_day: day,
            budget_per_week: week,
            budget_per_month: month,
            budget_kind: raw.budget_kind.map(|kind| match kind {
                raw::BudgetKind::Hard => BudgetKind::Hard,
                raw::BudgetKind::Soft => BudgetKind::Soft,
            }),
        };
        if budgets == Budgets::None && (limits.has_budget() || limits.budget_kind.is_some()) {
            self.error(
                path,
                "budgets are of tenants, features and keys",
                "give this one rates, and the tenant a budget",
            );
        }
        limits
    }

    /// Addresses and networks: `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.
    pub(super) fn networks(&mut self, path: &Path, raw: &[String]) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (index, text) in raw.iter().enumerate() {
            match parse_network(text) {
                Some(network) => networks.push(network),
                None => {
                    let message = format!("`{}` is neither an IP address nor a network", words::cut(text));
                    self.error(&path.index(index), message, "e.g. `10.0.0.7`, `10.0.0.0/8` or `fd00::/8`");
                }
            }
        }
        networks
    }
}
