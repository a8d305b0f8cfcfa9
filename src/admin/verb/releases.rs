//! Releases: shown, and the acts on them with what belongs to each (notes and cards, the gate, the ledger's volumes).

use std::{collections::BTreeSet, sync::Arc};

use backstop_models::catalog::Catalog;

use crate::{
    admin::{
        refused::{Refused, chain},
        site::Site,
        view::{
            CanaryEnded, CardView, DiffView, DoneView, DrillOn, PaperView, PricedTarget, Proposed, ReleasesView,
            RenewalView, RolledBack,
        },
    },
    clock,
    domain::{RouteId, TargetId},
    release::{
        book::{Deed, Line},
        change::dollars,
        desk::{CanaryOrder, DeskError, Moved, Promotion, Tried},
        paper, post,
        shadows::ShadowView,
    },
    store::RenewalRow,
};

/// `only`: one route; else all that the config names.
pub async fn status(site: &Site, only: Option<RouteId>) -> Result<Vec<ReleasesView>, Refused> {
    let routes: Vec<RouteId> = match only {
        Some(route) => vec![route],
        None => site.settings.routes.keys().cloned().collect(),
    };
    let mut all = Vec::new();
    for route in &routes {
        all.push(of_route(site, route).await?);
    }
    Ok(all)
}

pub async fn of_route(site: &Site, route: &RouteId) -> Result<ReleasesView, Refused> {
    let line = site.line(route).await?;
    let filed = site.settings.orders().remove(route);
    let own = |target: &TargetId| site.settings.is_own_hardware(target);
    // Without a database neither is known, and the rest is.
    let (mut drill, mut shadows, mut renewals) = (None, Vec::new(), Vec::new());
    if let Some(store) = &site.store {
        let row = store.drill_on().await.ok().flatten();
        drill = row.and_then(|row| DrillOn::of(&row, route, clock::unix_ms()));
        shadows = store.shadows(route.clone()).await.unwrap_or_default();
        renewals = renewed(site, route, &line, store.renewals().await.unwrap_or_default()).await;
    }
    Ok(ReleasesView {
        route: route.clone(),
        serving: line.primary,
        since_unix_ms: line.since_unix_ms,
        came_by: line.came_by,
        targets: line.serving().to_vec(),
        retained: line.leases.iter().rev().map(Into::into).collect(),
        governed: line.governed,
        left: line.left.clone(),
        leaving: line.leaving.clone(),
        canary: line.canary,
        file_differs: filed.as_ref().is_some_and(|filed| line.asks_for_import(filed)),
        releases: line.releases.values().map(Into::into).collect(),
        order: if line.governed { line.order(&own) } else { filed.unwrap_or_default() },
        waiting_for_database: site.shelf.waiting(),
        drill,
        renewals,
        shadows: shadows.into_iter().map(ShadowView::from).collect(),
    })
}

/// Of each retained target the last renewal by the route's suite. One that failed is left out once somebody has certified by hand.
async fn renewed(site: &Site, route: &RouteId, line: &Line, rows: Vec<RenewalRow>) -> Vec<RenewalView> {
    let suite = site.settings.routes.get(route).map(|route| &route.suite);
    let retained = line.leases.iter().filter_map(|lease| line.release(lease.number)).flat_map(|one| &one.targets);
    let retained: BTreeSet<&TargetId> = retained.collect();
    let mut seen = BTreeSet::new();
    let of_route = rows.into_iter().filter(|row| Some(&row.suite) == suite && retained.contains(&row.target));
    let last: Vec<RenewalRow> = of_route.filter(|row| seen.insert(row.target.clone())).collect();
    let (gate, settings, now) = (Arc::clone(&site.gate), Arc::clone(&site.settings), clock::unix_ms());
    let look = move || {
        let view = |row: RenewalRow| {
            let filed = gate.filed(&settings, &row.target, &row.suite);
            RenewalView::of(row, filed.as_ref(), now)
        };
        last.into_iter().filter_map(view).collect()
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

pub async fn history(site: &Site, route: &RouteId) -> Result<Vec<DoneView>, Refused> {
    let (line, shifts) = (site.line(route).await?, site.shelf.shifts());
    let view = |done: crate::release::book::Done| {
        let shifted = shifts.get(&done.id).copied();
        let took = shifted.map(|at| at - done.at_unix_ms);
        DoneView { done, traffic_shifted_unix_ms: shifted, decision_to_traffic_ms: took }
    };
    Ok(line.history.into_iter().map(view).collect())
}

/// `new`: what serves, unless said otherwise.
pub async fn diff(site: &Site, route: &RouteId, (old, new): (u32, Option<u32>)) -> Result<DiffView, Refused> {
    let line = site.line(route).await?;
    let new = new.unwrap_or(line.primary);
    let find = |number: u32| {
        let found = line.release(number).map(|release| &release.targets);
        found.ok_or_else(|| {
            Refused::not_found(format!(
                "route `{route}` has no release {number}; `backstop release history {route}` lists them"
            ))
        })
    };
    let (before, after) = (find(old)?, find(new)?);
    let without = |of: &[TargetId], those: &[TargetId]| -> Vec<TargetId> {
        of.iter().filter(|target| !those.contains(target)).cloned().collect()
    };
    let (removed, added) = (without(before, after), without(after, before));
    let priced = |targets: &[TargetId]| -> Vec<PricedTarget> {
        let of = |target: &TargetId| PricedTarget { target: target.clone(), prices: dollars(&site.settings, target) };
        targets.iter().map(of).collect()
    };
    Ok(DiffView {
        route: route.clone(),
        old,
        new,
        reordered: removed.is_empty() && added.is_empty() && before != after,
        removed,
        added,
        old_targets: priced(before),
        new_targets: priced(after),
    })
}

/// What a promotion told, or would tell of a release that is not promoted.
pub async fn notes(site: &Site, route: &RouteId, number: u32) -> Result<PaperView, Refused> {
    let line = site.line(route).await?;
    let from = line.history.iter().rev().find_map(|done| match &done.deed {
        Deed::Promoted { number: to, from, .. } if *to == number => Some(*from),
        _ => None,
    });
    let made = papers(site, route, &line, (from.unwrap_or(line.primary), number));
    let made = made.into_iter().find(|paper| paper.kind == paper::NOTES);
    let made = made.ok_or_else(|| Refused::not_found(format!("route `{route}` has no release {number}")))?;
    // What was told stands, whatever is known by now.
    let kept = post::kept(&site.state, &made.name).filter(|_| from.is_some());
    let told = kept.and_then(|(markdown, json)| Some((markdown, serde_json::from_str(&json).ok()?)));
    let (markdown, json) = told.unwrap_or((made.markdown, made.json));
    Ok(PaperView { markdown, json })
}

/// Blocks on files.
pub fn card(site: &Site, target: &TargetId, suite: Option<String>) -> Result<CardView, Refused> {
    let suite = suite.unwrap_or_else(|| paper::suite_of(&site.settings, target));
    let certificate = site.gate.certificate(&site.settings, target, &suite);
    let catalog = Catalog::load(&site.state.catalog()).map_err(|error| Refused::internal(chain(&error)))?;
    let card = paper::card(&site.settings, Some(&catalog), target, certificate.as_ref());
    Ok(CardView { target: target.clone(), markdown: card.markdown, card: card.json })
}

pub async fn propose(site: &Site, route: &RouteId, targets: Vec<TargetId>, reason: &str) -> Result<Proposed, Refused> {
    let release = site.desk().propose(route, targets.clone(), reason).await?;
    Ok(Proposed { route: route.clone(), release, targets })
}

pub async fn promote(site: &Site, route: &RouteId, promotion: Promotion) -> Result<Moved, Refused> {
    let moved = site.desk().promote((&site.gate, site.store()?), route, promotion).await?;
    tell(site, &moved).await;
    Ok(moved)
}

/// `None`: the route has the file's order already.
pub async fn import(site: &Site, route: &RouteId, promotion: Promotion) -> Result<Option<Moved>, Refused> {
    let moved = site.desk().import((&site.gate, site.store()?), route, promotion).await?;
    if let Some(moved) = &moved {
        tell(site, moved).await;
    }
    Ok(moved)
}

pub async fn roll_back(
    site: &Site,
    route: &RouteId,
    which: (Option<u32>, Option<u32>),
    reason: &str,
) -> Result<RolledBack, Refused> {
    let moved = site.desk().roll_back(route, which, reason).await;
    moved.map(RolledBack::from).map_err(|error| match error {
        DeskError::Shelf(_) | DeskError::Store(_) => Refused::unavailable(chain(&error)),
        refused => Refused::conflict("not_rolled_back", refused.to_string()),
    })
}

pub async fn canary(site: &Site, route: &RouteId, order: CanaryOrder) -> Result<Tried, Refused> {
    Ok(site.desk().canary((&site.gate, site.store()?), route, order).await?)
}

/// `number`: only if it is that one.
pub async fn end_canary(
    site: &Site,
    route: &RouteId,
    number: Option<u32>,
    reason: &str,
) -> Result<CanaryEnded, Refused> {
    let release = site.desk().end_canary(route, number, reason).await?;
    Ok(CanaryEnded { route: route.clone(), release, pct: 0 })
}

/// Writes notes and card; a running gateway brings them to where they go.
async fn tell(site: &Site, moved: &Moved) {
    let Ok(line) = site.line(&moved.route).await else { return };
    let papers = papers(site, &moved.route, &line, (moved.from, moved.to));
    if let Err(error) = post::keep(&site.state, &papers, &site.settings.release.publish) {
        let route = &moved.route;
        tracing::warn!(%error, %route, "notes and card are not written; `backstop release notes` makes them anew");
    }
}

fn papers(site: &Site, route: &RouteId, line: &Line, between: (u32, u32)) -> Vec<paper::Paper> {
    paper::of_promotion(&site.settings, (&site.state, &site.gate), (route, line), between)
}
