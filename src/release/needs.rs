//! What stands in a promotion's way: all of it at once, from what is on record. Nothing here asks a vendor.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Gate, book::Line};
use crate::{
    config::{Orders, Settings, ShareUnit},
    domain::RouteId,
    store::{Dimension, Store, StoreError, UsageFilter, UsageTotals},
};

/// One reason against a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Need {
    pub need: NeedKind,
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NeedKind {
    Certificate,
    /// Another vendor as first fallback, own hardware at the end, a known vendor.
    Order,
    ShareCap,
    Approvals,
}

impl NeedKind {
    /// Under `enforcement: warn`, for development, what strict enforcement would refuse is only said.
    pub fn is_waived_by_warn(self) -> bool {
        self != Self::Approvals
    }
}

/// What `number` lacks to serve `route`. `persons`: how many stand behind it, and how many it takes.
pub async fn missing(
    gate: &Arc<Gate>,
    settings: &Arc<Settings>,
    (route, line, number): (&RouteId, &Line, u32),
    (persons, wanted): (usize, u32),
    volumes: &BTreeMap<RouteId, u64>,
) -> Vec<Need> {
    let Some(release) = line.release(number) else { return Vec::new() };
    let orders: Orders = [(route.clone(), release.targets.clone())].into();
    let candidate = Arc::new(settings.with_orders(&orders));
    let mut needs = Vec::new();
    for unknown in candidate.unknown_vendors(&release.targets) {
        let why = format!("`{unknown}` is of a vendor that the config does not name; add it under `vendors:`");
        needs.push(Need { need: NeedKind::Order, why });
    }
    needs.extend(candidate.breaches(route).into_iter().map(|why| Need { need: NeedKind::Order, why }));
    if needs.is_empty() {
        needs.extend(uncertified(gate, &candidate, route).await);
    }
    needs.extend(share(&candidate, volumes));
    if persons < wanted as usize {
        let why = format!(
            "{persons} of the {wanted} persons that it takes stand behind it: `backstop release approve {route} {number}` by another one, or --approve-by"
        );
        needs.push(Need { need: NeedKind::Approvals, why });
    }
    needs
}

async fn uncertified(gate: &Arc<Gate>, candidate: &Arc<Settings>, route: &RouteId) -> Vec<Need> {
    let (gate, candidate, route) = (Arc::clone(gate), Arc::clone(candidate), route.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let route = candidate.routes.get(&route)?;
        let objection = |target| Some((target, gate.objection(&candidate, target, route)?));
        let found = route.targets.iter().filter_map(objection);
        Some(
            found
                .map(|(target, why)| match why.contains(&target.id.to_string()) {
                    true => why,
                    false => format!("{} has no certificate for `{}`: {why}", target.id, route.suite),
                })
                .collect::<Vec<_>>(),
        )
    });
    let found = looked.await.ok().flatten().unwrap_or_else(|| vec!["the gate could not look".to_owned()]);
    found.into_iter().map(|why| Need { need: NeedKind::Certificate, why }).collect()
}

/// Volume that only one vendor could serve must fit under the cap, however the rest is steered.
fn share(candidate: &Settings, volumes: &BTreeMap<RouteId, u64>) -> Vec<Need> {
    let cap = &candidate.share_cap;
    let total: u64 = volumes.values().sum();
    if cap.max >= 1.0 || total < cap.min_volume.max(1) {
        return Vec::new();
    }
    let mut captive: BTreeMap<&str, u64> = BTreeMap::new();
    for (id, volume) in volumes {
        let Some(route) = candidate.routes.get(id) else { continue };
        let mut operators = route.targets.iter().map(|target| match candidate.is_own_hardware(&target.id) {
            true => None,
            false => Some(candidate.operator(&target.id)),
        });
        if let Some(Some(first)) = operators.next()
            && operators.all(|other| other == Some(first))
        {
            *captive.entry(first).or_default() += volume;
        }
    }
    let beyond = captive.into_iter().filter(|(_, volume)| *volume as f64 > cap.max * total as f64);
    beyond
        .map(|(vendor, volume)| {
            let part = 100.0 * volume as f64 / total as f64;
            let why = format!(
                "{part:.0} % of the last {} days' volume could be served by `{vendor}` alone, more than its cap of {:.0} %: add targets of others",
                cap.window.as_secs() / 86400,
                cap.max * 100.0
            );
            Need { need: NeedKind::ShareCap, why }
        })
        .collect()
}

/// What each route used in the share cap's window, in its unit.
pub async fn volumes(
    store: &Store,
    settings: &Settings,
    now_unix_ms: i64,
) -> Result<BTreeMap<RouteId, u64>, StoreError> {
    let window = i64::try_from(settings.share_cap.window.as_millis()).unwrap_or(i64::MAX);
    let filter = UsageFilter { since_unix_ms: Some(now_unix_ms.saturating_sub(window)), ..UsageFilter::default() };
    let rows = store.usage(&filter, &[Dimension::Route]).await?;
    Ok(rows
        .iter()
        .filter_map(|row| Some((RouteId::new(row.group.first()?.clone()?), volume(settings, &row.totals))))
        .collect())
}

/// In the share cap's unit.
pub(super) fn volume(settings: &Settings, totals: &UsageTotals) -> u64 {
    match settings.share_cap.unit {
        ShareUnit::Tokens => totals.input_tokens + totals.output_tokens,
        ShareUnit::Requests => totals.calls,
        ShareUnit::Cost => totals.cost.micros.unsigned_abs(),
    }
}
