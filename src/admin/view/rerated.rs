//! What was used, by the prices as they are configured now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::Dimension;

/// One row: the dimensions by name, then the sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "SumsFirst")]
pub struct RerateView {
    /// `null`: the call had none of that kind.
    #[serde(flatten)]
    pub group: Map<String, Value>,
    #[serde(flatten)]
    pub sums: RerateSums,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RerateSums {
    pub attempts: u64,
    /// As the ledger has it.
    pub cost_micros: i64,
    /// By today's prices.
    pub rerated_micros: i64,
    pub difference_micros: i64,
    /// Without a price today.
    pub unpriced_attempts: u64,
}

/// The same as it is read: a map takes all members that are left, so it comes after the sums.
#[derive(Deserialize, JsonSchema)]
struct SumsFirst {
    #[serde(flatten)]
    sums: RerateSums,
    #[serde(flatten)]
    group: Map<String, Value>,
}

impl From<SumsFirst> for RerateView {
    fn from(SumsFirst { sums, group }: SumsFirst) -> Self {
        Self { group, sums }
    }
}

impl RerateView {
    /// The dimensions' values in order.
    pub fn named(&self, by: &[Dimension]) -> Vec<Option<String>> {
        by.iter().map(|dimension| self.group.get(dimension.as_str())?.as_str().map(str::to_owned)).collect()
    }
}
