//! What `release history`, `diff`, `status`, `notes`, `card` and `pending` print.

use super::{Place, canary, part, releases};
use crate::{
    admin::{
        verb::releases as verb,
        view::{CardView, DiffView, DoneView, PaperView, PricedTarget, ReleasesView, RenewalView},
    },
    cli::{
        drill::said_of,
        print::{self, Align},
    },
    domain::{RouteId, TargetId},
    release::{
        book::{CameBy, Deed},
        desk,
        post::{self, Todo},
    },
};

pub(super) async fn history(place: &Place, route: &RouteId, json: bool) -> anyhow::Result<()> {
    let history: Vec<DoneView> = match place {
        Place::Server(remote) => remote.get(&format!("{}/history", releases(route)), &[]).await?,
        Place::Here(here) => verb::history(&here.site, route).await?,
    };
    if json {
        return print::json(&history);
    }
    let heads = [("when", Align::Left), ("what", Align::Left), ("shifted in", Align::Right), ("reason", Align::Left)];
    let rows = history.iter().map(|one| {
        let (what, reason) = told(&one.done.deed);
        let took = one.decision_to_traffic_ms.map(|ms| format!("{ms} ms")).unwrap_or_default();
        vec![print::moment(one.done.at_unix_ms), what, took, reason.unwrap_or_default()]
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

pub(super) async fn diff(place: &Place, route: &RouteId, (old, new): (u32, u32), json: bool) -> anyhow::Result<()> {
    let diff: DiffView = match place {
        Place::Server(remote) => {
            let path = format!("{}/{old}/diff", releases(route));
            remote.get(&path, &[("to", Some(new.to_string()))]).await?
        }
        Place::Here(here) => verb::diff(&here.site, route, (old, Some(new))).await?,
    };
    if json {
        return print::json(&diff);
    }
    let mut said = format!("{route}: release {old} → {new}\n");
    let place_of = |list: &[PricedTarget], target: &TargetId| list.iter().position(|one| one.target == *target);
    for (at, one) in diff.old_targets.iter().enumerate().filter(|(_, one)| diff.removed.contains(&one.target)) {
        said.push_str(&format!("- {at} {}{}\n", one.target, price_words(&one.prices)));
    }
    for (at, one) in diff.new_targets.iter().enumerate() {
        let sign = if diff.added.contains(&one.target) { '+' } else { ' ' };
        let was = place_of(&diff.old_targets, &one.target).filter(|was| *was != at);
        let was = was.map(|was| format!(", was {was}")).unwrap_or_default();
        said.push_str(&format!("{sign} {at} {}{was}{}\n", one.target, price_words(&one.prices)));
    }
    Ok(print::text(&said)?)
}

fn price_words(prices: &Option<(f64, f64)>) -> String {
    prices.map(|(input, output)| format!("  ${input} in, ${output} out per million tokens")).unwrap_or_default()
}

pub(super) async fn of_route(place: &Place, route: &RouteId) -> anyhow::Result<ReleasesView> {
    match place {
        Place::Server(remote) => remote.get(&releases(route), &[]).await,
        Place::Here(here) => Ok(verb::of_route(&here.site, route).await?),
    }
}

pub(super) async fn status(place: &Place, route: Option<RouteId>, json: bool) -> anyhow::Result<()> {
    let shown: Vec<ReleasesView> = match (place, route) {
        (_, Some(route)) => vec![of_route(place, &route).await?],
        (Place::Server(remote), None) => remote.get("/releases", &[]).await?,
        (Place::Here(here), None) => verb::status(&here.site, None).await?,
    };
    if json {
        return print::json(&shown);
    }
    let heads = ["route", "serves", "since", "by", "targets", "retained", ""].map(|head| (head, Align::Left));
    let cells = |one: &ReleasesView| {
        let by = match one.came_by {
            CameBy::Config => "config",
            CameBy::Promotion => "promotion",
            CameBy::Rollback => "rollback",
        };
        let leases: Vec<String> = one
            .retained
            .iter()
            .map(|one| format!("{} until {}", one.release, desk::moment(one.lease.until_unix_ms)))
            .collect();
        let differs = one.file_differs.then(|| format!("the file differs: `backstop release import {}`", one.route));
        let tried = one.canary.map(|running| canary::told(&running.share));
        let drill = one.drill.as_ref().map(said_of);
        let renewals = one.renewals.iter().map(renewal);
        let note = differs.into_iter().chain(tried).chain(drill).chain(renewals).collect::<Vec<_>>().join("; ");
        let (serves, since) = (one.serving.to_string(), print::moment(one.since_unix_ms));
        vec![one.route.to_string(), serves, since, by.to_owned(), list(&one.targets), leases.join(", "), note]
    };
    Ok(print::text(&print::table(&heads, &shown.iter().map(cells).collect::<Vec<_>>()))?)
}

/// What became of a retained target's certificate.
fn renewal(one: &RenewalView) -> String {
    let RenewalView { target, outcome, why, at_unix_ms, next_unix_ms, .. } = one;
    if one.running {
        return format!("the certificate of {target} is being renewed");
    }
    let at = print::moment(*at_unix_ms);
    match outcome.as_str() {
        "renewed" => format!("the certificate of {target} was renewed at {at}"),
        "unsigned" => {
            format!("the renewed certificate of {target} waits for signatures since {at}: `alerts list` says how")
        }
        _ => {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let next = next_unix_ms.map(|next| format!(", next try {}", print::moment(next))).unwrap_or_default();
            format!("the certificate of {target} was not renewed at {at}{next}{why}")
        }
    }
}

pub(super) async fn notes(place: &Place, route: &RouteId, number: u32, json: bool) -> anyhow::Result<()> {
    let notes: PaperView = match place {
        Place::Server(remote) => remote.get(&format!("{}/{number}/notes", releases(route)), &[]).await?,
        Place::Here(here) => verb::notes(&here.site, route, number).await?,
    };
    if json { print::json(&notes.json) } else { Ok(print::text(&notes.markdown)?) }
}

pub(super) async fn card(place: &Place, target: &TargetId, suite: Option<String>, json: bool) -> anyhow::Result<()> {
    let card: CardView = match place {
        Place::Server(remote) => {
            remote.get(&format!("/models/{}/card", part(&target.to_string())), &[("suite", suite)]).await?
        }
        Place::Here(here) => verb::card(&here.site, target, suite)?,
    };
    if json { print::json(&card.card) } else { Ok(print::text(&card.markdown)?) }
}

pub(super) async fn pending(place: &Place, json: bool) -> anyhow::Result<()> {
    let todos: Vec<Todo> = match place {
        Place::Server(remote) => remote.get("/releases/pending", &[]).await?,
        Place::Here(here) => post::pending(&here.site.state),
    };
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
