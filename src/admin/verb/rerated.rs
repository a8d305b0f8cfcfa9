//! The same usage by the prices as they are configured now, beside what the ledger has. The ledger is never changed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::spending;
use crate::{
    admin::{
        refused::Refused,
        site::Site,
        view::{RerateSums, RerateView},
    },
    store::{Dimension, UsageFilter},
};

pub async fn rows(site: &Site, filter: &UsageFilter, by: &[Dimension]) -> Result<Vec<RerateView>, Refused> {
    let store = site.ledger().await?;
    let mut groups: BTreeMap<Vec<Option<String>>, RerateSums> = BTreeMap::new();
    let mut today = spending::Today::new(&site.settings);
    spending::each(store, filter, by, |row| {
        let sums = groups.entry(row.group.clone()).or_default();
        let quote = today.quote(&row);
        sums.attempts += 1;
        sums.cost_micros += row.cost.map_or(0, |cost| cost.micros);
        sums.rerated_micros += quote.as_ref().map_or(0, |quote| quote.cost.micros);
        sums.difference_micros = sums.rerated_micros - sums.cost_micros;
        sums.unpriced_attempts += u64::from(quote.is_none());
    })
    .await?;
    let value = |name: Option<String>| name.map_or(Value::Null, Value::String);
    let view = |(group, sums): (Vec<Option<String>>, RerateSums)| {
        let named = by.iter().zip(group).map(|(dimension, name)| (dimension.as_str().to_owned(), value(name)));
        RerateView { group: named.collect(), sums }
    };
    Ok(groups.into_iter().map(view).collect())
}
