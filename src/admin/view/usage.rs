//! What was used, by some dimensions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::{Dimension, UsageRow, UsageTotals};

/// One row: the dimensions by name, then the sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsageView {
    /// `null`: the call had none of that kind.
    #[serde(flatten)]
    pub group: Map<String, Value>,
    #[serde(flatten)]
    pub totals: UsageTotals,
    pub cost_usd: String,
}

impl UsageView {
    /// The row that it was made of.
    pub fn row(&self, by: &[Dimension]) -> UsageRow {
        let name = |dimension: &Dimension| self.group.get(dimension.as_str())?.as_str().map(str::to_owned);
        UsageRow { group: by.iter().map(name).collect(), totals: self.totals }
    }
}

pub fn usage(rows: &[UsageRow], by: &[Dimension]) -> Vec<UsageView> {
    let value = |value: &Option<String>| value.clone().map_or(Value::Null, Value::String);
    let view = |row: &UsageRow| {
        let group = by.iter().zip(&row.group).map(|(dimension, name)| (dimension.as_str().to_owned(), value(name)));
        UsageView { group: group.collect(), totals: row.totals, cost_usd: row.totals.cost.to_string() }
    };
    rows.iter().map(view).collect()
}
