//! Getting away from a vendor: what would serve instead, the act itself, and how far it is.

use crate::{
    admin::{
        refused::{Refused, chain},
        site::Site,
        view::{EvacuationView, LeavingView, RouteLeaving},
    },
    config::Settings,
    domain::VendorId,
    relay::health::read_views,
    release::{
        desk::DeskError,
        evacuation::{Instead, Move, date_certificates, instead, move_calls, volumes},
    },
};

/// What would serve without the vendor; nothing is moved.
pub async fn preview(site: &Site, vendor: &str) -> Result<EvacuationView, Refused> {
    let settings = site.in_force().await;
    let vendor = find_vendor(&settings, vendor)?;
    let (routes, cautions) = then(site, &settings, &vendor).await?;
    Ok(EvacuationView { vendor, pct: None, moved: Vec::new(), routes, cautions })
}

/// Needs no database: it is put down in the state directory, and carried over.
pub async fn evacuate(site: &Site, vendor: &str, (how, reason): (&Move, &str)) -> Result<EvacuationView, Refused> {
    let settings = site.in_force().await;
    let vendor = find_vendor(&settings, vendor)?;
    let (routes, mut cautions) = then(site, &settings, &vendor).await?;
    let pct = match how {
        Move::Back => 0,
        Move::Off(pct) => *pct,
        Move::InSteps { steps, .. } => steps.first().copied().unwrap_or(0),
    };
    if *how != Move::Back
        && let Some(nobody) = routes.iter().find(|one| one.serves.is_none())
    {
        let why = format!("on route `{}` nobody may serve instead; give it a certified target first", nobody.route);
        return Err(Refused::conflict("not_done", why));
    }
    let moved = move_calls((&site.shelf, &settings), &vendor, (how, reason), site.actor.clone()).await?;
    if let Err(error) = site.shelf.reconcile().await {
        cautions.push(format!("the act waits in the state directory for the database: {}", chain(&error)));
    }
    Ok(EvacuationView { vendor, pct: Some(pct), moved, routes, cautions })
}

/// How far each route has left the vendor.
pub async fn status(site: &Site, vendor: &str) -> Result<LeavingView, Refused> {
    let known = site.shelf.read().await.map_err(DeskError::from)?;
    let vendor = find_vendor(&site.settings, vendor)?;
    let mut routes = Vec::new();
    for (route, line) in known.book.lines() {
        let Some(pct) = line.left.get(&vendor).copied() else { continue };
        let leaving = line.leaving.get(&vendor);
        let next = leaving.and_then(|leaving| Some((leaving.next(pct)?, leaving.next_unix_ms())));
        routes.push(RouteLeaving {
            route: route.clone(),
            pct,
            steps: leaving.map(|leaving| leaving.steps.clone()),
            every_ms: leaving.map(|leaving| leaving.every_ms),
            next_pct: next.map(|(pct, _)| pct),
            next_unix_ms: next.map(|(_, at)| at),
            halted: leaving.and_then(|leaving| leaving.halted.clone()),
        });
    }
    Ok(LeavingView { vendor, routes })
}

/// The way that is asked for. `every_ms`: between steps.
pub fn way(pct: u8, steps: Vec<u8>, every_ms: i64) -> Result<Move, String> {
    if steps.iter().chain([&pct]).any(|pct| !(1..=100).contains(pct)) {
        return Err("a part is 1 to 100 of a hundred calls".to_owned());
    }
    if steps.is_empty() {
        return Ok(Move::Off(pct));
    }
    if !steps.is_sorted_by(|one, next| one < next) {
        return Err("--steps takes parts of a hundred that grow, say 10,25,50,100".to_owned());
    }
    match every_ms {
        1.. => Ok(Move::InSteps { steps, every_ms }),
        _ => Err("--every takes more than nothing".to_owned()),
    }
}

async fn then(site: &Site, settings: &Settings, vendor: &VendorId) -> Result<(Vec<Instead>, Vec<String>), Refused> {
    let standings = site.standings(settings).await?;
    let health = read_views(&site.state.health()).ok().flatten().unwrap_or_default();
    let mut cautions = Vec::new();
    let volumes = match &site.store {
        Some(store) => volumes(store, settings).await.unwrap_or_else(|error| {
            cautions.push(format!("the database does not tell of volumes, so shares are unknown: {error}"));
            Default::default()
        }),
        None => Default::default(),
    };
    let mut then = instead(settings, &standings, (&health, &volumes), vendor);
    date_certificates(&mut then, settings, &site.gate);
    Ok((then, cautions))
}

fn find_vendor(settings: &Settings, name: &str) -> Result<VendorId, Refused> {
    let found = settings.vendors.keys().find(|id| id.as_str() == name).cloned();
    found.ok_or_else(|| super::no_vendor(settings, name))
}
