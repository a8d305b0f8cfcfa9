//! What `drill status` and `drill report` print.

use std::process::ExitCode;

use serde_json::json;

use super::{Installation, print};
use crate::{
    cli::print::Align,
    clock,
    config::Criticality,
    release::drill::{DrillPlan, Last, Quality, Report, RouteReport, Served, Times, is_overdue, last_by_route},
    store::{DrillRow, Store},
};

/// Of so many drills it is looked which routes they showed.
const MOST: u32 = 1000;

pub(super) fn report(report: &Report, json: bool) -> anyhow::Result<()> {
    if json { print::json(report) } else { Ok(print::text(&text(report))?) }
}

fn text(report: &Report) -> String {
    let Report { drill, plan, outcome, why, began_unix_ms, ended_unix_ms, routes } = report;
    let vendors: Vec<&str> = plan.vendors.iter().map(|vendor| vendor.as_str()).collect();
    let how = match plan.live_pct {
        0 => format!("synthetic, {} questions a route", plan.questions),
        pct => format!("{pct} % of the calls"),
    };
    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let mut said = format!(
        "drill {drill}  {outcome}{why}\n  {} to {}  {how}\n  seen as down: {}\n",
        print::moment(*began_unix_ms),
        print::moment(*ended_unix_ms),
        vendors.join(", "),
    );
    for route in routes {
        said.push_str(&of_route(route));
    }
    said
}

fn of_route(route: &RouteReport) -> String {
    let verdict = if route.holds { "holds" } else { "DOES NOT HOLD" };
    let mut said = format!("\n{}  {verdict}: {} of {} calls answered\n", route.route, route.answered, route.calls);
    for Served { target, calls } in &route.served {
        said.push_str(&format!("  served by {target}: {calls}\n"));
    }
    for quality in &route.quality {
        said.push_str(&format!("  {}\n", of_quality(quality)));
    }
    let times = |times: &Times| match (times.p50_ms, times.p95_ms) {
        (Some(p50), Some(p95)) => format!("p50 {p50:.0} ms, p95 {p95:.0} ms of {} calls", times.calls),
        _ => "no calls".to_owned(),
    };
    said.push_str(&format!(
        "  first content: {}; usual calls meanwhile: {}\n",
        times(&route.first_content),
        times(&route.first_content_usual)
    ));
    for shed in &route.not_answered {
        said.push_str(&format!("  {} ({}): {} calls\n", shed.ending.as_str(), shed.status, shed.calls));
    }
    for (why, count) in &route.refused {
        said.push_str(&format!("  not asked, {count} questions: {why}\n"));
    }
    for trouble in &route.troubles {
        said.push_str(&format!("  {}: {}, {} attempts\n", trouble.target, trouble.fault, trouble.attempts));
    }
    let unpriced = match route.unpriced {
        0 => String::new(),
        count => format!(", and {count} attempts without a price"),
    };
    said.push_str(&format!("  cost {:.6} USD{unpriced}\n", route.cost_micros as f64 / 1e6));
    said
}

fn of_quality(quality: &Quality) -> String {
    let Quality { target, gate, k, n, certified, worse } = quality;
    let beside = match certified {
        Some(certified) => format!("certified with {} of {}", certified.k, certified.n),
        None => "it has no certificate".to_owned(),
    };
    let worse = if *worse { ", WORSE than certified" } else { "" };
    format!("{target} passes {k} of {n} of `{gate}`, {beside}{worse}")
}

/// A route's last drill.
struct Drilled<'a> {
    route: &'a crate::domain::RouteId,
    critical: bool,
    last: Option<&'a Last>,
    /// It is critical, and was never drilled or too long ago.
    overdue: bool,
}

pub(super) async fn status(
    installation: &Installation,
    store: &Store,
    limit: u32,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let settings = installation.settings_or_embedded()?;
    let (rows, now) = (store.drills(limit.max(MOST)).await?, clock::unix_ms());
    let last = last_by_route(&rows);
    let drilled: Vec<Drilled<'_>> = settings
        .routes
        .values()
        .map(|route| {
            let (last, critical) = (last.get(&route.id), route.criticality == Criticality::Critical);
            let overdue = match last {
                Some(last) => is_overdue(&settings, route, last.ended_unix_ms, now),
                None => critical,
            };
            Drilled { route: &route.id, critical, last, overdue }
        })
        .collect();
    let shown: Vec<&DrillRow> = rows.iter().take(limit as usize).collect();
    if json {
        let drills: Vec<_> = shown.iter().map(|row| described(row)).collect();
        let age = |last: &Last| now.saturating_sub(last.ended_unix_ms) / 1000;
        let routes: Vec<_> = drilled
            .iter()
            .map(|one| {
                json!({
                    "route": one.route, "critical": one.critical, "last_drill": one.last.map(|last| &last.drill),
                    "last_unix_ms": one.last.map(|last| last.ended_unix_ms), "age_seconds": one.last.map(age),
                    "overdue": one.overdue,
                })
            })
            .collect();
        let on = rows.iter().find(|row| row.ended_unix_ms.is_none()).map(described);
        print::json(&json!({ "on": on, "drills": drills, "routes": routes }))?;
    } else {
        print::text(&table(&shown))?;
    }
    for one in drilled.iter().filter(|one| one.overdue) {
        let when = one.last.map_or_else(
            || "was never drilled".to_owned(),
            |last| format!("was last drilled at {}", print::moment(last.ended_unix_ms)),
        );
        eprintln!("warning: the critical route `{}` {when}; `backstop drill outage --route {}`", one.route, one.route);
    }
    Ok(if drilled.iter().any(|one| one.overdue) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn described(row: &DrillRow) -> serde_json::Value {
    let report = read(row);
    let routes = report.iter().flat_map(|report| &report.routes);
    let routes: Vec<_> = routes
        .map(|one| json!({ "route": one.route, "calls": one.calls, "answered": one.answered, "holds": one.holds }))
        .collect();
    json!({
        "drill": row.id, "plan": DrillPlan::of(row), "asked_unix_ms": row.asked_unix_ms, "ends_unix_ms": row.ends_unix_ms,
        "taken_unix_ms": row.taken_unix_ms, "ended_unix_ms": row.ended_unix_ms, "outcome": row.outcome, "routes": routes,
    })
}

fn table(rows: &[&DrillRow]) -> String {
    if rows.is_empty() {
        return "there was no drill yet\n".to_owned();
    }
    let heads = ["asked", "drill", "how", "seen as down", "outcome", "answered"].map(|head| (head, Align::Left));
    let rows = rows.iter().map(|row| {
        let plan = DrillPlan::of(row);
        let how = plan.as_ref().map_or("?".to_owned(), |plan| match plan.live_pct {
            0 => "synthetic".to_owned(),
            pct => format!("{pct} % live"),
        });
        let vendors: Vec<String> = plan.iter().flat_map(|plan| &plan.vendors).map(ToString::to_string).collect();
        let report = read(row);
        let routes = report.iter().flat_map(|report| &report.routes);
        let answered: Vec<String> = routes
            .map(|one| {
                let holds = if one.holds { "" } else { " (does not hold)" };
                format!("{} {}/{}{holds}", one.route, one.answered, one.calls)
            })
            .collect();
        let outcome = match (&row.outcome, row.taken_unix_ms) {
            (Some(outcome), _) => outcome.clone(),
            (None, Some(_)) => "on".to_owned(),
            (None, None) => "asked for".to_owned(),
        };
        let (asked, id) = (print::moment(row.asked_unix_ms), row.id.clone());
        vec![asked, id, how, vendors.join(", "), outcome, answered.join(", ")]
    });
    print::table(&heads, &rows.collect::<Vec<_>>())
}

fn read(row: &DrillRow) -> Option<Report> {
    serde_json::from_str(row.report.as_deref()?).ok()
}
