//! Calls and usage, out of the ledger: every call that was answered so far.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::{
    Admin,
    asked::Asked,
    endpoint::{Endpoint, Nothing},
    refused::Refused,
    verb::{
        doubts::{self, Search},
        rerated,
    },
    view::{self, CallView, DoubtsView, EndingView, RerateView, UsageView},
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
        Endpoint::read(
            "/usage/rerated",
            Right::Read,
            "The same by the prices as they are configured now",
            usage_rerated,
        ),
        Endpoint::read(
            "/prices/check",
            Right::Read,
            "What was priced by nothing, or by something doubtful",
            check_prices,
        ),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CallQuery {
    tenant: Option<String>,
    route: Option<String>,
    ending: Option<EndingView>,
    /// At most so many, up to 10000 [default: 50].
    #[schemars(range(min = 1, max = 10000))]
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

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CheckQuery {
    /// Only calls that began since then.
    since_unix_ms: Option<i64>,
    /// Only calls that began before.
    until_unix_ms: Option<i64>,
    /// A built-in price counts as stale when nobody had looked at it for so many days before the call [default: 365].
    max_age_days: Option<u32>,
    /// Each attempt, instead of one line a target.
    calls: bool,
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
        limit: limit(query.limit, 50, 10_000)?,
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
    let (filter, by) = query.read()?;
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

async fn usage_rerated(asked: Asked, query: UsageQuery) -> Result<Vec<RerateView>, Refused> {
    let (filter, by) = query.read()?;
    rerated::rows(&asked.site(), &filter, &by).await
}

async fn check_prices(asked: Asked, query: CheckQuery) -> Result<DoubtsView, Refused> {
    let CheckQuery { since_unix_ms, until_unix_ms, max_age_days, calls } = query;
    let max_age_days = max_age_days.unwrap_or(365);
    doubts::check(&asked.site(), Search { since_unix_ms, until_unix_ms, max_age_days, calls }).await
}

impl UsageQuery {
    fn read(self) -> Result<(UsageFilter, Vec<Dimension>), Refused> {
        let by = self.by.as_deref().unwrap_or("tenant,vendor,model");
        let dimension = |name: &str| {
            let known = <Dimension as clap::ValueEnum>::from_str(name.trim(), false);
            known.map_err(|_| Refused::invalid(format!("`{name}` is no dimension; `backstop usage --help` lists them")))
        };
        let by: Vec<Dimension> =
            by.split(',').filter(|name| !name.is_empty()).map(dimension).collect::<Result<_, _>>()?;
        let tenant = self.tenant.map(|name| Only { dimension: Dimension::Tenant, values: vec![Some(name)] });
        let only = self.only.as_deref().unwrap_or_default().split(';').filter(|text| !text.is_empty());
        let only = only
            .map(|text| text.parse().map_err(|why: String| Refused::invalid(why)))
            .collect::<Result<Vec<Only>, _>>()?;
        let only = tenant.into_iter().chain(only).collect();
        Ok((UsageFilter { since_unix_ms: self.since_unix_ms, until_unix_ms: self.until_unix_ms, only }, by))
    }
}

pub(super) fn limit(asked: Option<u32>, usual: u32, most: u32) -> Result<u32, Refused> {
    match asked.unwrap_or(usual) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(Refused::invalid(format!("`limit` is from 1 to {most}"))),
    }
}
