//! Attempts whose cost is not known, or not known well, and what today's prices make of them; what the ledger has stays as it is.

use std::collections::BTreeMap;

use super::spending::{self, Today};
use crate::{
    admin::{
        refused::Refused,
        site::Site,
        view::{Doubt, DoubtSums, DoubtView, DoubtsView},
    },
    domain::{Money, PriceState},
    store::{SpentRow, UsageFilter},
};

const DAY_MS: i64 = 24 * 3_600_000;
/// What the rounding of earlier versions (by kind of token) may have made of an amount, in micro-dollars.
const EARLIER_ROUNDING: i64 = 2;
/// The most that is listed attempt by attempt.
const MOST: usize = 100_000;

/// What is looked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Search {
    pub since_unix_ms: Option<i64>,
    pub until_unix_ms: Option<i64>,
    /// Nobody had looked at a built-in price for so many days before the call.
    pub max_age_days: u32,
    /// Each attempt, instead of one line a target.
    pub calls: bool,
}

pub async fn check(site: &Site, search: Search) -> Result<DoubtsView, Refused> {
    let store = site.ledger().await?;
    let Search { since_unix_ms, until_unix_ms, max_age_days, calls } = search;
    let filter = UsageFilter { since_unix_ms, until_unix_ms, only: Vec::new() };
    let mut today = Today::new(&site.settings);
    let mut found: BTreeMap<(String, Doubt, Option<String>, String), DoubtSums> = BTreeMap::new();
    spending::each(store, &filter, &[], |row| {
        let Some(doubt) = doubt(&row, &mut today, i64::from(max_age_days) * DAY_MS) else { return };
        let call = row.at.call.to_string();
        let each = if calls { format!("{call} {}", row.at.position) } else { String::new() };
        let key = (row.target.to_string(), doubt, row.price_row.as_deref().map(str::to_owned), each);
        if calls && found.len() >= MOST {
            return;
        }
        let quoted = today.quote(&row).map(|quote| quote.cost);
        add(found.entry(key).or_default(), &row, (call, quoted));
    })
    .await?;
    let view = |((target, state, price_row, _), sums)| DoubtView { target, state, price_row, sums };
    let mut found: Vec<DoubtView> = found.into_iter().map(view).collect();
    found.sort_by_key(|one| (one.state, std::cmp::Reverse(one.sums.attempts)));
    let without = site.settings.targets().into_iter().filter(|target| site.settings.prices_of(target).is_none());
    Ok(DoubtsView { found, without_price: without.map(ToString::to_string).collect() })
}

fn doubt(row: &SpentRow, today: &mut Today<'_>, max_age_ms: i64) -> Option<Doubt> {
    let Some(cost) = row.cost else { return Some(Doubt::Missing) };
    match row.priced {
        PriceState::Missing => return Some(Doubt::Missing),
        PriceState::Stale => return Some(Doubt::Stale),
        PriceState::Partial => return Some(Doubt::Partial),
        PriceState::Valid => {}
    }
    let began = row.at.started_unix_ms;
    let quote = today.quote(row)?;
    let slack = if row.price_row.is_none() { EARLIER_ROUNDING } else { 0 };
    if quote.cost.micros.abs_diff(cost.micros) > slack.unsigned_abs() {
        return Some(Doubt::Corrected);
    }
    let (counts, _) = today.prices(&row.target)?.at(began)?;
    counts.checked_ms.is_some_and(|checked| began.saturating_sub(checked) > max_age_ms).then_some(Doubt::Unchecked)
}

fn add(sums: &mut DoubtSums, row: &SpentRow, (call, today): (String, Option<Money>)) {
    if sums.attempts == 0 {
        sums.first_unix_ms = row.at.started_unix_ms;
    }
    sums.attempts += 1;
    sums.input_tokens += row.usage.input;
    sums.output_tokens += row.usage.output;
    sums.last_unix_ms = row.at.started_unix_ms;
    sums.call = call;
    sums.cost_micros += row.cost.map_or(0, |cost| cost.micros);
    sums.today_micros += today.map_or(0, |cost| cost.micros);
    sums.unpriced_today += u64::from(today.is_none());
}
