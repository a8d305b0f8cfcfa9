//! Alerts: what is open, and whether every receiver takes one.

use crate::{
    admin::{refused::Refused, site::Site, view::AlertsView},
    alert::{self, Post, TestedSink},
};

/// Blocks on files.
pub fn open(site: &Site) -> Result<AlertsView, Refused> {
    let kept = alert::read(&site.state.alerts()).map_err(|error| Refused::internal(error.to_string()))?;
    Ok(AlertsView::from(&kept))
}

/// Sends every receiver, or those of one kind, a test alert and its end.
pub async fn test(site: &Site, post: &Post, kind: Option<&str>) -> Result<Vec<TestedSink>, Refused> {
    let mut sinks = site.settings.alerts.clone();
    sinks.retain(|sink| kind.is_none_or(|kind| sink.kind() == kind));
    if sinks.is_empty() {
        return Err(Refused::not_found("the config has no such receiver; name some under `alerts:`"));
    }
    Ok(alert::test_sinks(post, &sinks).await)
}
