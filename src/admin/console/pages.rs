//! The pages that show one or several lists of the API's, each as it is answered there.

use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::{page::NoPage, visit::Visit};
use crate::{
    admin::{
        door,
        refused::{Refused, chain},
    },
    domain::Right,
};

/// A part of a page that stands beside others: what it shows, or why it does not.
#[derive(Serialize)]
pub(super) struct Block {
    value: Value,
    why_not: Option<String>,
}

pub(super) fn block(read: Result<Value, Refused>) -> Block {
    match read {
        Ok(value) => Block { value, why_not: None },
        Err(refused) => Block { value: Value::Null, why_not: Some(refused.message) },
    }
}

/// How all of it is, at a glance. What one part needs and does not get takes no other part away.
pub(super) async fn overview(visit: Visit) -> Result<Response, NoPage> {
    let values = json!({
        "status": block(visit.read("/status", &[]).await),
        "routes": block(visit.read("/routes", &[]).await),
        "alerts": block(visit.read("/alerts", &[]).await),
        "certificates": block(ends(&visit).await),
        "share": visit.console.admin.api.relay.share.view(),
    });
    Ok(visit.page("overview.html", values))
}

/// Certificates and when they end. Whether each holds for what is on disk takes longer: another page says it.
async fn ends(visit: &Visit) -> Result<Value, Refused> {
    door::may(&visit.operator, Right::Read)?;
    let admin = std::sync::Arc::clone(&visit.console.admin);
    let listed = tokio::task::spawn_blocking(move || {
        let settings = admin.settings();
        admin.gate.certificates().list(&settings.gate.trust).map_err(|error| Refused::internal(chain(&error)))
    });
    let listed = listed.await.map_err(|error| Refused::internal(error.to_string()))??;
    let end = |listed: backstop_eval::certificate::Listed| match listed.certificate {
        Ok(certificate) => {
            let (certified, now) = (certificate.predicate(), time::OffsetDateTime::now_utc());
            let left = certified.expires_at - now;
            json!({
                "target": certified.target, "suite": certified.suite.name, "is_over": left.is_negative(),
                "expires_unix_ms": certified.expires_at.unix_timestamp() * 1000, "days_left": left.whole_days(),
            })
        }
        Err(reason) => json!({ "file": listed.path.display().to_string(), "fault": reason.to_string() }),
    };
    Ok(listed.into_iter().map(end).collect())
}

pub(super) async fn certificates(visit: Visit) -> Result<Response, NoPage> {
    let certificates = visit.read("/certificates", &[]).await?;
    Ok(visit.page("lists.html", json!({ "title": "Certificates", "certificates": certificates })))
}

pub(super) async fn incidents(visit: Visit) -> Result<Response, NoPage> {
    let route = visit.asked("route").map(|route| ("route", route));
    let incidents = visit.read("/incidents", route.as_slice()).await?;
    Ok(visit.page("lists.html", json!({ "title": "Incidents", "incidents": incidents })))
}

pub(super) async fn share(visit: Visit) -> Result<Response, NoPage> {
    door::may(&visit.operator, Right::Read)?;
    Ok(visit.page("share.html", json!({ "share": visit.console.admin.api.relay.share.view() })))
}

pub(super) async fn card(visit: Visit) -> Result<Response, NoPage> {
    let target = visit.asked("target").ok_or_else(|| Refused::invalid("say of which target: ?target=vendor/model"))?;
    let suite = visit.asked("suite").map(|suite| ("suite", suite));
    let card = visit.read_of("/models/{id}/card", ("id", target), suite.as_slice()).await?;
    Ok(visit.page("card.html", json!({ "card": card })))
}
