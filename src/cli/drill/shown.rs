//! What `drill status` and `drill report` print.

use std::process::ExitCode;

use super::print;
use crate::{
    admin::view::{DrillView, DrillsView},
    cli::print::Align,
    release::drill::{Quality, Report, RouteReport, Served, Times},
};

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

/// Exit code 1 where a critical route was not drilled for too long.
pub(super) fn status(view: &DrillsView, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        print::json(view)?;
    } else {
        print::text(&table(&view.drills))?;
    }
    for one in view.routes.iter().filter(|one| one.overdue) {
        let when = one.last_unix_ms.map_or_else(
            || "was never drilled".to_owned(),
            |last| format!("was last drilled at {}", print::moment(last)),
        );
        eprintln!("warning: the critical route `{}` {when}; `backstop drill outage --route {}`", one.route, one.route);
    }
    Ok(if view.routes.iter().any(|one| one.overdue) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn table(drills: &[DrillView]) -> String {
    if drills.is_empty() {
        return "there was no drill yet\n".to_owned();
    }
    let heads = ["asked", "drill", "how", "seen as down", "outcome", "answered"].map(|head| (head, Align::Left));
    let rows = drills.iter().map(|one| {
        let how = one.plan.as_ref().map_or("?".to_owned(), |plan| match plan.live_pct {
            0 => "synthetic".to_owned(),
            pct => format!("{pct} % live"),
        });
        let vendors: Vec<String> = one.plan.iter().flat_map(|plan| &plan.vendors).map(ToString::to_string).collect();
        let answered = one.routes.iter().map(|route| {
            let holds = if route.holds { "" } else { " (does not hold)" };
            format!("{} {}/{}{holds}", route.route, route.answered, route.calls)
        });
        let answered = answered.collect::<Vec<_>>().join(", ");
        let outcome = match (&one.outcome, one.taken_unix_ms) {
            (Some(outcome), _) => outcome.clone(),
            (None, Some(_)) => "on".to_owned(),
            (None, None) => "asked for".to_owned(),
        };
        vec![print::moment(one.asked_unix_ms), one.drill.clone(), how, vendors.join(", "), outcome, answered]
    });
    print::table(&heads, &rows.collect::<Vec<_>>())
}
