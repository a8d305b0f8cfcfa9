//! What was used, by tenant, feature, model and vendor: the ledger's sums, narrowed to what is asked for.

use axum::response::Response;
use serde_json::{Value, json};

use super::{page::NoPage, visit::Visit};
use crate::{
    admin::{door, refused::Refused, resource, view},
    clock,
    domain::Right,
    store::{Dimension, Only, UsageFilter, UsageRow, UsageTotals},
};

/// What is offered, and what is shown unless something is chosen.
const OFFERED: [Dimension; 7] = [
    Dimension::Tenant,
    Dimension::Feature,
    Dimension::Model,
    Dimension::Vendor,
    Dimension::Route,
    Dimension::Day,
    Dimension::Ending,
];
const USUAL: [Dimension; 3] = [Dimension::Tenant, Dimension::Vendor, Dimension::Model];
const DAY_MS: i64 = 24 * 3600 * 1000;
const USUAL_DAYS: i64 = 30;
/// Rows on a page; the sum is over all of them.
const MOST_SHOWN: usize = 500;

pub(super) async fn page(visit: Visit) -> Result<Response, NoPage> {
    door::may(&visit.operator, Right::Read)?;
    let chosen: Vec<Dimension> =
        OFFERED.into_iter().filter(|one| visit.all_asked("by").any(|by| by == one.as_str())).collect();
    let by = if chosen.is_empty() { USUAL.to_vec() } else { chosen };
    let days: i64 = visit.asked("days").map_or(Some(USUAL_DAYS), |days| days.parse().ok()).unwrap_or(USUAL_DAYS);
    let days = days.clamp(1, 3650);
    let only = |dimension: &Dimension| {
        let value = visit.asked(dimension.as_str())?;
        // As on the command line, `-` stands for none.
        let value = (value != "-").then(|| value.to_owned());
        Some(Only { dimension: *dimension, values: vec![value] })
    };
    let filter = UsageFilter {
        since_unix_ms: Some(clock::unix_ms() - days * DAY_MS),
        until_unix_ms: None,
        only: OFFERED.iter().filter_map(only).collect(),
    };
    let mut rows = resource::usage(&visit.console.admin, &filter, &by).await?;
    rows.sort_by_key(|row| (std::cmp::Reverse(row.totals.cost), std::cmp::Reverse(row.totals.calls)));
    let sum: UsageTotals = rows.iter().map(|row| row.totals).sum();
    let all = rows.len();
    rows.truncate(MOST_SHOWN);
    let offered = OFFERED.map(|one| {
        let value = visit.asked(one.as_str()).unwrap_or_default();
        json!({ "name": one.as_str(), "is_chosen": by.contains(&one), "value": value })
    });
    let sum = view::usage(&[UsageRow { group: Vec::new(), totals: sum }], &[]);
    let values = json!({
        "by": by.iter().map(|one| one.as_str()).collect::<Vec<_>>(),
        "rows": shown(&rows, &by)?,
        "sum": sum.first(),
        "not_shown": all - rows.len(),
        "offered": offered,
        "days": days,
    });
    Ok(visit.page("usage.html", values))
}

fn shown(rows: &[UsageRow], by: &[Dimension]) -> Result<Value, Refused> {
    serde_json::to_value(view::usage(rows, by)).map_err(|error| Refused::internal(error.to_string()))
}
