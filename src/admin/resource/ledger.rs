//! Calls and usage, out of the ledger: every call that was answered so far.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::{
    Admin,
    asked::Asked,
    endpoint::{Endpoint, Nothing},
    refused::Refused,
    view::{self, CallView, EndingView, UsageView},
};
use crate::{
    domain::{CallId, Ending, Right, RouteId, TenantId},
    ledger,
    store::{CallFilter, Dimension, Only, UsageFilter, UsageRow},
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::read("/calls", Right::Read, "The latest calls, the newest first", calls),
        Endpoint::read("/calls/{id}", Right::Read, "One call and its attempts, by the answer's `x-request-id`", call),
        Endpoint::read("/usage", Right::Read, "Calls, tokens and money, by any dimensions", usage),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CallQuery {
    tenant: Option<String>,
    route: Option<String>,
    ending: Option<EndingView>,
    /// At most so many, up to 1000 [default: 50].
    limit: Option<u32>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct UsageQuery {
    /// Dimensions with commas between: tenant, feature, model, vendor, route, key, day, finish, json and others [default: tenant,vendor,model].
    by: Option<String>,
    /// Only calls that began since then.
    since_unix_ms: Option<i64>,
    /// Only calls that began before.
    until_unix_ms: Option<i64>,
    tenant: Option<String>,
    /// Any dimension's values, with commas between and semicolons between dimensions: `use=unserved;route=chat`.
    only: Option<String>,
}

/// Rows that only the journal has are carried over first.
async fn up_to_date(admin: &Admin) -> Result<(), Refused> {
    let caught = ledger::catch_up(&admin.state, &admin.store).await;
    caught.map(drop).map_err(|error| Refused::unavailable(error.to_string()))
}

async fn calls(asked: Asked, query: CallQuery) -> Result<Vec<CallView>, Refused> {
    up_to_date(&asked.admin).await?;
    let filter = CallFilter {
        tenant: query.tenant.map(TenantId::new),
        route: query.route.map(RouteId::new),
        ending: query.ending.map(Ending::from),
        limit: limit(query.limit, 50, 1000)?,
    };
    Ok(asked.admin.store.list_calls(filter).await?.into_iter().map(CallView::from).collect())
}

async fn call(asked: Asked, _: Nothing) -> Result<CallView, Refused> {
    let id = asked.param("id");
    let call = CallId::parse(id).ok_or_else(|| Refused::invalid("a call's id is req_ and 32 hex digits"))?;
    up_to_date(&asked.admin).await?;
    let found = asked.admin.store.find_call(call).await?;
    found.map(CallView::from).ok_or_else(|| Refused::not_found(format!("there is no call {id} in the ledger")))
}

async fn usage(asked: Asked, query: UsageQuery) -> Result<Vec<UsageView>, Refused> {
    let by = query.by.as_deref().unwrap_or("tenant,vendor,model");
    let dimension = |name: &str| {
        let known = <Dimension as clap::ValueEnum>::from_str(name.trim(), false);
        known.map_err(|_| Refused::invalid(format!("`{name}` is no dimension; `backstop usage --help` lists them")))
    };
    let by: Vec<Dimension> = by.split(',').filter(|name| !name.is_empty()).map(dimension).collect::<Result<_, _>>()?;
    let tenant = query.tenant.map(|name| Only { dimension: Dimension::Tenant, values: vec![Some(name)] }).into_iter();
    let only = query.only.as_deref().unwrap_or_default().split(';').filter(|text| !text.is_empty());
    let only =
        only.map(|text| text.parse().map_err(|why: String| Refused::invalid(why))).collect::<Result<Vec<Only>, _>>()?;
    let filter = UsageFilter {
        since_unix_ms: query.since_unix_ms,
        until_unix_ms: query.until_unix_ms,
        only: tenant.chain(only).collect(),
    };
    Ok(view::usage(&sums(&asked.admin, &filter, &by).await?, &by))
}

/// Sums over every call that was answered so far.
pub(in super::super) async fn sums(
    admin: &Admin,
    filter: &UsageFilter,
    by: &[Dimension],
) -> Result<Vec<UsageRow>, Refused> {
    up_to_date(admin).await?;
    Ok(admin.store.usage(filter, by).await?)
}

pub(super) fn limit(asked: Option<u32>, usual: u32, most: u32) -> Result<u32, Refused> {
    match asked.unwrap_or(usual) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(Refused::invalid(format!("`limit` is from 1 to {most}"))),
    }
}
