//! `tenants:` and everything else that may be limited, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::SizeText;

/// One struct with every limit, and what it has besides: a flattened one would lose its place in the schema.
macro_rules! limited {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub(in crate::config) struct $name {
            /// Requests per minute, over any 60 seconds.
            pub(in crate::config) rpm: Option<u64>,
            /// Requests per day, over any 24 hours.
            pub(in crate::config) rpd: Option<u64>,
            /// Tokens per minute, over any 60 seconds: estimated at admission, then what the vendor says.
            pub(in crate::config) tpm: Option<u64>,
            /// Tokens per day, over any 24 hours.
            pub(in crate::config) tpd: Option<u64>,
            /// Calls that are answered at once.
            pub(in crate::config) concurrency: Option<u64>,
            /// The largest request body.
            pub(in crate::config) max_body: Option<SizeText>,
            /// The most that a caller may ask for as `max_tokens`; one that asks for nothing gets this.
            pub(in crate::config) max_tokens: Option<u64>,
            /// The most that one call may cost at worst, in US dollars.
            pub(in crate::config) max_usd_per_call: Option<f64>,
            /// The most that may be spent in a day (UTC), in US dollars.
            pub(in crate::config) budget_usd_per_day: Option<f64>,
            /// The most that may be spent in a week (UTC, from Monday), in US dollars.
            pub(in crate::config) budget_usd_per_week: Option<f64>,
            /// The most that may be spent in a calendar month (UTC), in US dollars.
            pub(in crate::config) budget_usd_per_month: Option<f64>,
            /// What happens when a budget is used up [default: hard].
            pub(in crate::config) budget_kind: Option<BudgetKind>,
            $($(#[$field_doc])* pub(in crate::config) $field: $kind,)*
        }

        impl $name {
            pub(in crate::config) fn written(&self) -> Written<'_> {
                Written {
                    counts: [
                        ("rpm", self.rpm),
                        ("rpd", self.rpd),
                        ("tpm", self.tpm),
                        ("tpd", self.tpd),
                        ("concurrency", self.concurrency),
                        ("max_tokens", self.max_tokens),
                    ],
                    amounts: [
                        ("max_usd_per_call", self.max_usd_per_call),
                        ("budget_usd_per_day", self.budget_usd_per_day),
                        ("budget_usd_per_week", self.budget_usd_per_week),
                        ("budget_usd_per_month", self.budget_usd_per_month),
                    ],
                    max_body: self.max_body.as_ref(),
                    budget_kind: self.budget_kind,
                }
            }
        }
    };
}

limited! {
    /// Limits; what is left out is not limited.
    Limited {}
}

limited! {
    /// Who pays. What is left out is not limited.
    Tenant {
        /// Limits of what a call is for (`x-backstop-feature`), by name.
        features: Option<BTreeMap<String, Limited>>,
        /// Limits of what is asked for as `model`, by route.
        models: Option<BTreeMap<String, Limited>>,
    }
}

/// Every limit of one section, in the order of the file's keys.
pub(in crate::config) struct Written<'a> {
    pub(in crate::config) counts: [(&'static str, Option<u64>); 6],
    pub(in crate::config) amounts: [(&'static str, Option<f64>); 4],
    pub(in crate::config) max_body: Option<&'a SizeText>,
    pub(in crate::config) budget_kind: Option<BudgetKind>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum BudgetKind {
    /// Calls that could overspend it are refused.
    Hard,
    /// It only alerts.
    Soft,
}
