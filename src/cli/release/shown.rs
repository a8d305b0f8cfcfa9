//! What `release history`, `diff` and `status` print.

use anyhow::Context as _;
use backstop_models::catalog::Catalog;
use serde_json::{Value, json};

use super::{Bench, canary, described_line, filed, line, print};
use crate::{
    cli::{
        drill::{described, drill_on, said_of},
        print::Align,
    },
    domain::{RouteId, TargetId},
    release::{
        Gate,
        book::{CameBy, Deed, Done},
        change::dollars,
        desk, paper, post,
    },
};

pub(super) async fn history(bench: &Bench, route: &RouteId, json: bool) -> anyhow::Result<()> {
    let (line, shifts) = (line(bench, route).await?, bench.shelf.shifts());
    let shifted = |done: &Done| shifts.get(&done.id).copied();
    if json {
        let said = line.history.iter().map(|done| {
            let mut value = serde_json::to_value(done)?;
            if let Some(at) = shifted(done) {
                value["traffic_shifted_unix_ms"] = json!(at);
                value["decision_to_traffic_ms"] = json!(at - done.at_unix_ms);
            }
            Ok(value)
        });
        return print::json(&said.collect::<anyhow::Result<Vec<Value>>>()?);
    }
    let heads = [("when", Align::Left), ("what", Align::Left), ("shifted in", Align::Right), ("reason", Align::Left)];
    let rows = line.history.iter().map(|done| {
        let (what, reason) = told(&done.deed);
        let took = shifted(done).map(|at| format!("{} ms", at - done.at_unix_ms)).unwrap_or_default();
        vec![print::moment(done.at_unix_ms), what, took, reason.unwrap_or_default()]
    });
    Ok(print::text(&print::table(&heads, &rows.collect::<Vec<_>>()))?)
}

fn told(deed: &Deed) -> (String, Option<String>) {
    match deed {
        Deed::Recorded { number, targets, origin, reason } => {
            let from = match origin {
                crate::release::book::Origin::Config => "from the config file",
                crate::release::book::Origin::Import => "imported from the config file",
                crate::release::book::Origin::Proposal => "proposed",
            };
            (format!("{number} {from}: {}", list(targets)), reason.clone())
        }
        Deed::Approved { number } => (format!("{number} approved"), None),
        Deed::Promoted { number, from, reason, .. } => (format!("{number} promoted, {from} retained"), reason.clone()),
        Deed::RolledBack { from, to, reason } => (format!("rolled back from {from} to {to}"), reason.clone()),
        Deed::Retired { number } => (format!("{number} let go"), None),
        Deed::Left { vendor, pct, reason } => (format!("{pct} % of the calls leave `{vendor}`"), reason.clone()),
        Deed::LeftInSteps { vendor, steps, reason, .. } => {
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            (format!("the calls leave `{vendor}` in steps of {} %", steps.join(", ")), reason.clone())
        }
        Deed::LeftFurther { vendor, pct } => (format!("{pct} % of the calls leave `{vendor}`"), None),
        Deed::LeavingHalted { vendor, reason } => {
            (format!("no further step away from `{vendor}`"), Some(reason.clone()))
        }
        Deed::Canary { share, reason } => (canary::told(share), reason.clone()),
        Deed::CanaryEnded { release, reason } => (format!("{release} is not tried any more"), reason.clone()),
        Deed::Returned { vendor, reason } => (format!("back to `{vendor}`"), reason.clone()),
    }
}

pub(super) async fn diff(bench: &Bench, route: &RouteId, (old, new): (u32, u32), json: bool) -> anyhow::Result<()> {
    let line = line(bench, route).await?;
    let find = |number: u32| {
        let found = line.release(number).map(|release| &release.targets);
        found.with_context(|| {
            format!("route `{route}` has no release {number}; `backstop release history {route}` lists them")
        })
    };
    let (before, after) = (find(old)?, find(new)?);
    let gone: Vec<&TargetId> = before.iter().filter(|target| !after.contains(target)).collect();
    let come: Vec<&TargetId> = after.iter().filter(|target| !before.contains(target)).collect();
    let moved = gone.is_empty() && come.is_empty() && before != after;
    let prices = |target: &TargetId| dollars(&bench.settings, target);
    if json {
        let priced = |targets: &[TargetId]| -> Value {
            targets.iter().map(|target| json!({ "target": target, "prices": prices(target) })).collect()
        };
        return print::json(&json!({
            "route": route, "old": old, "new": new, "removed": gone, "added": come, "reordered": moved,
            "old_targets": priced(before), "new_targets": priced(after),
        }));
    }
    let mut said = format!("{route}: release {old} → {new}\n");
    for (at, target) in before.iter().enumerate().filter(|(_, target)| gone.contains(target)) {
        said.push_str(&format!("- {at} {target}{}\n", price_words(&prices(target))));
    }
    for (at, target) in after.iter().enumerate() {
        let sign = if come.contains(&target) { '+' } else { ' ' };
        let was = before.iter().position(|other| other == target);
        let was = was.filter(|was| *was != at).map(|was| format!(", was {was}")).unwrap_or_default();
        said.push_str(&format!("{sign} {at} {target}{was}{}\n", price_words(&prices(target))));
    }
    Ok(print::text(&said)?)
}

fn price_words(prices: &Option<(f64, f64)>) -> String {
    prices.map(|(input, output)| format!("  ${input} in, ${output} out per million tokens")).unwrap_or_default()
}

pub(super) async fn status(bench: &Bench, route: Option<RouteId>, json: bool) -> anyhow::Result<()> {
    let routes: Vec<RouteId> = match route {
        Some(route) => vec![route],
        None => bench.settings.routes.keys().cloned().collect(),
    };
    if json {
        let mut said = Vec::new();
        for route in &routes {
            let mut one = described_line(bench, route, &line(bench, route).await?);
            one["drill"] = json!(drill_on(&bench.installation, route).await.map(|drill| described(&drill)));
            one["shadows"] = json!(canary::shadows(bench, route).await);
            said.push(one);
        }
        return print::json(&said);
    }
    let heads = ["route", "serves", "since", "by", "targets", "retained", ""].map(|head| (head, Align::Left));
    let mut rows = Vec::new();
    for route in &routes {
        let line = line(bench, route).await?;
        let by = match line.came_by {
            CameBy::Config => "config",
            CameBy::Promotion => "promotion",
            CameBy::Rollback => "rollback",
        };
        let leases: Vec<String> = line
            .leases
            .iter()
            .rev()
            .map(|lease| format!("{} until {}", lease.number, desk::moment(lease.until_unix_ms)))
            .collect();
        let differs = filed(bench, route).is_some_and(|filed| line.asks_for_import(&filed));
        let drill = drill_on(&bench.installation, route).await.map(|drill| said_of(&drill));
        let tried = line.canary.map(|running| canary::told(&running.share));
        let differs = differs.then(|| format!("the file differs: `backstop release import {route}`"));
        let note = differs.into_iter().chain(tried).chain(drill).collect::<Vec<_>>().join("; ");
        let (serves, since) = (line.primary.to_string(), print::moment(line.since_unix_ms));
        let targets = list(line.serving());
        rows.push(vec![route.to_string(), serves, since, by.to_owned(), targets, leases.join(", "), note]);
    }
    Ok(print::text(&print::table(&heads, &rows))?)
}

pub(super) async fn notes(bench: &Bench, route: &RouteId, number: u32, json: bool) -> anyhow::Result<()> {
    let line = line(bench, route).await?;
    let state = &bench.installation.state;
    let from = line.history.iter().rev().find_map(|done| match &done.deed {
        Deed::Promoted { number: to, from, .. } if *to == number => Some(*from),
        _ => None,
    });
    // What would be told of one that is not promoted: against what serves now.
    let old = from.unwrap_or(line.primary);
    let gate = Gate::open(state)?;
    let made = paper::of_promotion(&bench.settings, (state, &gate), (route, &line), (old, number));
    let made = made.into_iter().find(|paper| paper.kind == paper::NOTES);
    let made = made.with_context(|| format!("route `{route}` has no release {number}"))?;
    // What was told stands, whatever is known by now.
    let kept = post::kept(state, &made.name).filter(|_| from.is_some());
    let (markdown, said) = match kept {
        Some((markdown, json)) => (markdown, serde_json::from_str(&json)?),
        None => (made.markdown, made.json),
    };
    if json { print::json(&said) } else { Ok(print::text(&markdown)?) }
}

pub(super) fn card(bench: &Bench, target: &TargetId, suite: Option<String>, json: bool) -> anyhow::Result<()> {
    let state = &bench.installation.state;
    let suite = suite.unwrap_or_else(|| paper::suite_of(&bench.settings, target));
    let gate = Gate::open(state)?;
    let certificate = gate.certificate(&bench.settings, target, &suite);
    let catalog = Catalog::load(&state.catalog())?;
    let card = paper::card(&bench.settings, Some(&catalog), target, certificate.as_ref());
    if json { print::json(&card.json) } else { Ok(print::text(&card.markdown)?) }
}

pub(super) fn pending(bench: &Bench, json: bool) -> anyhow::Result<()> {
    let todos = post::pending(&bench.installation.state);
    if json {
        return print::json(&todos);
    }
    let heads = [("paper", Align::Left), ("places", Align::Left), ("tries", Align::Right), ("last error", Align::Left)];
    let rows = todos.iter().map(|todo| {
        let places: Vec<String> = todo.places.iter().map(ToString::to_string).collect();
        let error = todo.last_error.clone().unwrap_or_default();
        vec![todo.name.clone(), places.join(", "), todo.failures.to_string(), error]
    });
    Ok(print::text(&print::table(&heads, &rows.collect::<Vec<_>>()))?)
}

fn list(targets: &[TargetId]) -> String {
    targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
