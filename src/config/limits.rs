//! What one subject (a tenant, a key, a feature, a model, an address) may use; and what applies when several say so.
//!
//! Limits never take the place of each other: where the config and the command line both set one, the smaller one counts.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{FeatureId, Money, Period, RouteId};

/// The limits of one subject; what is `None` is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Calls that are answered at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
    /// The most that a caller may ask for as `max_tokens`, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_tokens: Option<u64>,
    /// The most that one call may cost at worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_call: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_per_day: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_per_week: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_per_month: Option<Money>,
    /// `None`: hard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_kind: Option<BudgetKind>,
}

/// What happens when a budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum BudgetKind {
    /// People are told, calls go on.
    Soft,
    /// Calls are refused before they could overspend it.
    Hard,
}

/// A tenant's limits, and those of its features and of the models that it asks for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tenant {
    pub limits: Limits,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<FeatureId, Limits>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<RouteId, Limits>,
}

/// What addresses may do, whoever calls from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doors {
    pub per_ip: Limits,
    /// Requests without a valid key.
    pub failed_auth_per_minute: u64,
    /// Connections that are open at once.
    pub connections_per_ip: u64,
    /// Addresses that are counted one by one; past it, those that come new are counted with others of their network.
    pub most_addresses: u64,
}

impl Limits {
    pub const NONE: Self = Self {
        requests_per_minute: None,
        requests_per_day: None,
        tokens_per_minute: None,
        tokens_per_day: None,
        concurrency: None,
        body_bytes: None,
        answer_tokens: None,
        cost_per_call: None,
        budget_per_day: None,
        budget_per_week: None,
        budget_per_month: None,
        budget_kind: None,
    };

    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// The smaller of both, limit by limit. Of two kinds of budget the hard one counts.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            requests_per_minute: least(self.requests_per_minute, other.requests_per_minute),
            requests_per_day: least(self.requests_per_day, other.requests_per_day),
            tokens_per_minute: least(self.tokens_per_minute, other.tokens_per_minute),
            tokens_per_day: least(self.tokens_per_day, other.tokens_per_day),
            concurrency: least(self.concurrency, other.concurrency),
            body_bytes: least(self.body_bytes, other.body_bytes),
            answer_tokens: least(self.answer_tokens, other.answer_tokens),
            cost_per_call: least(self.cost_per_call, other.cost_per_call),
            budget_per_day: least(self.budget_per_day, other.budget_per_day),
            budget_per_week: least(self.budget_per_week, other.budget_per_week),
            budget_per_month: least(self.budget_per_month, other.budget_per_month),
            budget_kind: self.kind_beside(other),
        }
    }

    pub fn budget(&self, period: Period) -> Option<Money> {
        match period {
            Period::Day => self.budget_per_day,
            Period::Week => self.budget_per_week,
            Period::Month => self.budget_per_month,
        }
    }

    pub fn has_budget(&self) -> bool {
        Period::ALL.into_iter().any(|period| self.budget(period).is_some())
    }

    /// By the config's names; what is not limited is not there.
    pub fn named(&self) -> Map<String, Value> {
        self.named_with_nulls().into_iter().filter(|(_, value)| !value.is_null()).collect()
    }

    /// By the config's names; `null`: no limit.
    pub fn named_with_nulls(&self) -> Map<String, Value> {
        let usd = |money: Option<Money>| json!(money.map(|money| money.to_string()));
        let fields = [
            ("rpm", json!(self.requests_per_minute)),
            ("rpd", json!(self.requests_per_day)),
            ("tpm", json!(self.tokens_per_minute)),
            ("tpd", json!(self.tokens_per_day)),
            ("concurrency", json!(self.concurrency)),
            ("max_body", json!(self.body_bytes)),
            ("max_tokens", json!(self.answer_tokens)),
            ("max_usd_per_call", usd(self.cost_per_call)),
            ("budget_usd_per_day", usd(self.budget_per_day)),
            ("budget_usd_per_week", usd(self.budget_per_week)),
            ("budget_usd_per_month", usd(self.budget_per_month)),
            ("budget_kind", json!(self.budget_kind)),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// With what `set` has in the place of what is here, and without the limits named in `lift`.
    #[must_use]
    pub fn changed(&self, set: &Self, lift: &[String]) -> Self {
        fn one<T>(name: &str, (before, set): (Option<T>, Option<T>), lift: &[String]) -> Option<T> {
            set.or(before.filter(|_| !lift.iter().any(|lifted| lifted == name)))
        }
        Self {
            requests_per_minute: one("rpm", (self.requests_per_minute, set.requests_per_minute), lift),
            requests_per_day: one("rpd", (self.requests_per_day, set.requests_per_day), lift),
            tokens_per_minute: one("tpm", (self.tokens_per_minute, set.tokens_per_minute), lift),
            tokens_per_day: one("tpd", (self.tokens_per_day, set.tokens_per_day), lift),
            concurrency: one("concurrency", (self.concurrency, set.concurrency), lift),
            body_bytes: one("max_body", (self.body_bytes, set.body_bytes), lift),
            answer_tokens: one("max_tokens", (self.answer_tokens, set.answer_tokens), lift),
            cost_per_call: one("max_usd_per_call", (self.cost_per_call, set.cost_per_call), lift),
            budget_per_day: one("budget_usd_per_day", (self.budget_per_day, set.budget_per_day), lift),
            budget_per_week: one("budget_usd_per_week", (self.budget_per_week, set.budget_per_week), lift),
            budget_per_month: one("budget_usd_per_month", (self.budget_per_month, set.budget_per_month), lift),
            budget_kind: one("budget_kind", (self.budget_kind, set.budget_kind), lift),
        }
    }

    /// As the admin API takes them: amounts as numbers of dollars.
    pub fn for_the_api(&self) -> Map<String, Value> {
        let as_number = |(name, value): (String, Value)| match value.as_str().and_then(|text| text.parse::<f64>().ok())
        {
            Some(number) => (name, json!(number)),
            None => (name, value),
        };
        self.named().into_iter().map(as_number).collect()
    }

    /// Whether a budget of it must never be overspent.
    pub fn has_hard_budget(&self) -> bool {
        self.has_budget() && self.budget_kind != Some(BudgetKind::Soft)
    }

    /// A side without a budget has no say in what kind the budget is.
    fn kind_beside(&self, other: &Self) -> Option<BudgetKind> {
        match (self.has_budget(), other.has_budget()) {
            (true, true) if self.has_hard_budget() || other.has_hard_budget() => Some(BudgetKind::Hard),
            (true, _) => self.budget_kind,
            (false, true) => other.budget_kind,
            (false, false) => self.budget_kind.max(other.budget_kind),
        }
    }
}

impl Tenant {
    pub fn feature(&self, feature: &FeatureId) -> Limits {
        self.features.get(feature).copied().unwrap_or(Limits::NONE)
    }

    pub fn model(&self, route: &RouteId) -> Limits {
        self.models.get(route).copied().unwrap_or(Limits::NONE)
    }
}

/// An address (a network of one) or a network, as people write them: `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.
pub fn parse_network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let network = text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))?;
    Some(canonical(network).trunc())
}

/// IPv4 written as IPv6 (`::ffff:10.0.0.0/104`) is IPv4, as the addresses of callers are.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else { return network };
    let four = six.addr().to_ipv4_mapped().zip(six.prefix_len().checked_sub(96));
    four.and_then(|(four, bits)| IpNet::new(four.into(), bits).ok()).unwrap_or(network)
}

fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_limits_the_smaller_one_counts() {
        let config = Limits { requests_per_minute: Some(600), concurrency: Some(8), ..Limits::NONE };
        let stored = Limits { requests_per_minute: Some(5), tokens_per_day: Some(1000), ..Limits::NONE };
        let both = config.and(&stored);
        assert_eq!((both.requests_per_minute, both.concurrency, both.tokens_per_day), (Some(5), Some(8), Some(1000)));
        assert_eq!(both, stored.and(&config));
    }

    #[test]
    fn an_ipv4_network_is_the_same_however_it_is_written() {
        let read = |text: &str| parse_network(text).expect("is a network").to_string();
        assert_eq!((read("::ffff:10.1.2.3/104"), read("::ffff:10.1.2.3")), ("10.0.0.0/8".into(), "10.1.2.3/32".into()));
        assert_eq!(
            (read("10.1.2.3/8"), read("fd00::1/8"), read("::/0")),
            ("10.0.0.0/8".into(), "fd00::/8".into(), "::/0".into())
        );
    }

    #[test]
    fn a_hard_budget_is_not_softened_by_another() {
        let hard = Limits { budget_per_day: Some(Money::from_micros(5)), ..Limits::NONE };
        let soft =
            Limits { budget_kind: Some(BudgetKind::Soft), budget_per_month: hard.budget_per_day, ..Limits::NONE };
        assert!(hard.and(&soft).has_hard_budget() && !soft.has_hard_budget());
        assert!(!soft.and(&Limits::NONE).has_hard_budget());
    }
}
