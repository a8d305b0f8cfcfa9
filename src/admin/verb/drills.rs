//! Game days: asked for, ended, shown. A drill is put down in the database with its audit entry; the running gateway takes it up, ends it and
//! reports.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::json;

use crate::{
    admin::{
        refused::Refused,
        site::{Site, find_route},
        view::{DrillBegun, DrillStopped, DrillView, DrillsView, RouteDrilled},
    },
    clock,
    config::{Criticality, Settings},
    domain::{Act, Action, RouteId, VendorId},
    relay::health::read_views,
    release::drill::{
        DrillPlan, LONGEST_MS, Last, Mode, Prospect, Report, TAKEN_WITHIN_MS, all_vendors, is_overdue, last_by_route,
        prospect,
    },
    store::{DrillEnd, DrillRow, Record, Store},
};

/// A gateway's word that is older than this is of one that does not run, in ms.
const FRESH_MS: i64 = 10_000;
const LOOK: Duration = Duration::from_millis(50);
/// Of so many drills it is looked which routes they showed.
const MOST: u32 = 1000;

/// A drill that is asked for.
#[derive(Debug, Clone, Default)]
pub struct DrillOrder {
    pub routes: Vec<String>,
    /// Every route that has a target of those vendors.
    pub all: bool,
    /// Empty: every vendor but our own hardware.
    pub vendors: Vec<String>,
    pub duration_ms: i64,
    /// `None`: the gateway asks questions itself, and callers notice nothing.
    pub live_pct: Option<u8>,
    /// `None`: as many as the config says.
    pub questions: Option<u16>,
    pub reason: Option<String>,
}

/// Returns once a gateway has taken it up, or has refused it.
pub async fn begin(site: &Site, order: DrillOrder) -> Result<DrillBegun, Refused> {
    if order.duration_ms <= 0 || order.duration_ms > LONGEST_MS {
        return Err(Refused::invalid("a drill takes more than nothing and at most 24 h"));
    }
    let seen = read_views(&site.state.health()).ok().flatten();
    if seen.is_none_or(|seen| clock::unix_ms().saturating_sub(seen.at_unix_ms) > FRESH_MS) {
        return Err(Refused::unavailable(
            "no gateway serves on this state directory, and a drill is held by one; start `backstop serve` first",
        ));
    }
    let store = site.store()?;
    let (plan, cautions) = planned(site, &site.in_force().await, order).await?;
    let now = clock::unix_ms();
    let row = DrillRow {
        id: clock::entry_id(),
        plan: json!(plan).to_string(),
        asked_unix_ms: now,
        ends_unix_ms: now.saturating_add(plan.duration_ms),
        taken_unix_ms: None,
        ended_unix_ms: None,
        outcome: None,
        report: None,
    };
    let act = Act::new(site.actor.clone(), Action::DrillStart, ("drill", row.id.as_str())).after(json!(plan));
    let act = plan.reason.iter().cloned().fold(act, Act::reason);
    if !store.open_drill(row.clone(), Record::of(&act)).await? {
        let why = "a drill is on already; `backstop drill status` shows it and `backstop drill stop` ends it";
        return Err(Refused::conflict("not_done", why));
    }
    let Some(taken) = taken(store, &row).await? else {
        withdraw(site, store, &row, plan).await?;
        let seconds = TAKEN_WITHIN_MS / 1000;
        let why = format!("no gateway took the drill up within {seconds} s; see that `backstop serve` runs");
        return Err(Refused::unavailable(why));
    };
    Ok(DrillBegun { drill: DrillView::from(&taken), cautions })
}

/// Ends the drill that is on.
pub async fn stop(site: &Site, reason: &str) -> Result<DrillStopped, Refused> {
    let store = site.store()?;
    let Some(row) = store.drill_on().await? else { return Err(Refused::conflict("not_done", "no drill is on")) };
    let now = clock::unix_ms();
    let act = Act::new(site.actor.clone(), Action::DrillStop, ("drill", row.id.as_str()))
        .before(json!({ "ends_unix_ms": row.ends_unix_ms }))
        .after(json!({ "ends_unix_ms": now }))
        .reason(reason);
    if !store.stop_drill(row.id.clone(), now, Record::of(&act)).await? {
        return Err(Refused::conflict("not_done", "the drill is about to end by itself"));
    }
    Ok(DrillStopped { drill: row.id, ends_unix_ms: now })
}

pub async fn find(site: &Site, id: &str) -> Result<DrillView, Refused> {
    Ok(DrillView::from(&row(site, id).await?))
}

/// `id`: the last one that is over, where none is named.
pub async fn report(site: &Site, id: Option<&str>) -> Result<Report, Refused> {
    let row = match id {
        Some(id) => row(site, id).await?,
        None => {
            let ended = site.store()?.drills(MOST).await?.into_iter().find(|row| row.ended_unix_ms.is_some());
            ended
                .ok_or_else(|| Refused::not_found("there was no drill yet; `backstop drill outage --all` begins one"))?
        }
    };
    let Some(json) = row.report.as_deref() else {
        return Err(Refused::conflict("not_done", format!("drill {} has no report yet: it is on", row.id)));
    };
    serde_json::from_str(json)
        .map_err(|error| Refused::internal(format!("the report of drill {} cannot be read: {error}", row.id)))
}

pub async fn status(site: &Site, limit: u32) -> Result<DrillsView, Refused> {
    let (rows, now) = (site.store()?.drills(limit.max(MOST)).await?, clock::unix_ms());
    let (last, settings) = (last_by_route(&rows), &site.settings);
    let age = |last: &Last| now.saturating_sub(last.ended_unix_ms) / 1000;
    let routes = settings.routes.values().map(|route| {
        let (last, critical) = (last.get(&route.id), route.criticality == Criticality::Critical);
        RouteDrilled {
            route: route.id.clone(),
            critical,
            last_drill: last.map(|last| last.drill.clone()),
            last_unix_ms: last.map(|last| last.ended_unix_ms),
            age_seconds: last.map(age),
            overdue: last.map_or(critical, |last| is_overdue(settings, route, last.ended_unix_ms, now)),
        }
    });
    Ok(DrillsView {
        on: rows.iter().find(|row| row.ended_unix_ms.is_none()).map(DrillView::from),
        routes: routes.collect(),
        drills: rows.iter().take(limit as usize).map(DrillView::from).collect(),
    })
}

async fn row(site: &Site, id: &str) -> Result<DrillRow, Refused> {
    let found = site.store()?.find_drill(id.to_owned()).await?;
    found.ok_or_else(|| Refused::not_found(format!("there is no drill {id}")))
}

/// What is asked for, if it can be held; and what is to be said of it.
async fn planned(site: &Site, settings: &Settings, order: DrillOrder) -> Result<(DrillPlan, Vec<String>), Refused> {
    let standings = site.standings(settings).await?;
    let vendors = vendors(settings, &order.vendors)?;
    let down: BTreeSet<VendorId> = vendors.iter().cloned().collect();
    let mut routes: Vec<RouteId> = order.routes.iter().map(RouteId::new).collect();
    if order.all {
        routes = settings.routes.keys().cloned().collect();
    }
    routes.sort();
    routes.dedup();
    let mut prospects = BTreeMap::new();
    for name in &routes {
        let route = find_route(settings, name.as_str())?;
        prospects.insert(name.clone(), prospect(settings, &standings, route, &down));
    }
    let names: Vec<&str> = vendors.iter().map(VendorId::as_str).collect();
    let names = names.join(", ");
    let mut cautions = Vec::new();
    for (name, prospect) in &prospects {
        let critical = settings.routes.get(name).is_some_and(|route| route.criticality == Criticality::Critical);
        match prospect {
            Prospect::Nobody if critical => {
                return Err(Refused::conflict(
                    "not_done",
                    format!(
                        "on the critical route `{name}` nobody would be left to serve without {names}; give it a certified target of another vendor first"
                    ),
                ));
            }
            Prospect::Nobody => {
                cautions.push(format!("on route `{name}` nobody is left to serve: its calls will fail"))
            }
            Prospect::Untouched if !order.all => {
                let why = format!("route `{name}` has no target of {names}: nothing of it would be down");
                return Err(Refused::conflict("not_done", why));
            }
            Prospect::Untouched | Prospect::Serves(_) => {}
        }
    }
    routes.retain(|name| prospects.get(name).is_some_and(|found| *found != Prospect::Untouched));
    if routes.is_empty() {
        let of = if names.is_empty() { "any vendor".to_owned() } else { names };
        return Err(Refused::conflict("not_done", format!("no route has a target of {of}")));
    }
    let (mode, questions) = match order.live_pct {
        Some(_) => (Mode::Live, 0),
        None => (Mode::Synthetic, order.questions.map_or(settings.drill.questions, usize::from)),
    };
    let (live_pct, duration_ms) = (order.live_pct.unwrap_or(0), order.duration_ms);
    Ok((DrillPlan { mode, live_pct, routes, vendors, duration_ms, questions, reason: order.reason }, cautions))
}

fn vendors(settings: &Settings, named: &[String]) -> Result<Vec<VendorId>, Refused> {
    if named.is_empty() {
        return Ok(all_vendors(settings));
    }
    let mut vendors: Vec<VendorId> = named.iter().map(|name| VendorId::new(name.trim())).collect();
    vendors.sort();
    vendors.dedup();
    match vendors.iter().find(|id| !id.is_local() && !settings.vendors.contains_key(*id)) {
        Some(unknown) => Err(super::no_vendor(settings, unknown.as_str())),
        None => Ok(vendors),
    }
}

/// The drill once a gateway has it, or has refused it; `None`: none has.
async fn taken(store: &Store, row: &DrillRow) -> Result<Option<DrillRow>, Refused> {
    while clock::unix_ms() < row.asked_unix_ms + TAKEN_WITHIN_MS {
        let found = store.find_drill(row.id.clone()).await?;
        if let Some(found) = found.filter(|found| found.taken_unix_ms.is_some() || found.ended_unix_ms.is_some()) {
            return Ok(Some(found));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(None)
}

async fn withdraw(site: &Site, store: &Store, row: &DrillRow, plan: DrillPlan) -> Result<(), Refused> {
    let (now, why) = (clock::unix_ms(), "no gateway took it up".to_owned());
    let outcome = "withdrawn";
    let act = Act::new(site.actor.clone(), Action::DrillEnd, ("drill", row.id.as_str()));
    let act = act.after(json!({ "outcome": outcome })).reason(why.clone());
    let report = Report {
        drill: row.id.clone(),
        plan,
        outcome: outcome.to_owned(),
        why: Some(why),
        began_unix_ms: row.asked_unix_ms,
        ended_unix_ms: now,
        routes: Vec::new(),
    };
    let end = DrillEnd { id: row.id.clone(), at_unix_ms: now, outcome, report: Some(json!(report).to_string()) };
    store.close_drill(end, Record::of(&act)).await?;
    Ok(())
}
