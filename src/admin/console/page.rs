//! A page's text: the templates, what they are given by name, and the answer around them. Every value is escaped by the engine, whatever it
//! is and wherever it stands.

use std::sync::LazyLock;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use backstop_eval::jinja::seen;
use minijinja::{AutoEscape, Environment};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::admin::refused::Refused;

/// By name; a page extends `base.html`.
const TEMPLATES: [(&str, &str); 14] = [
    ("base.html", include_str!("templates/base.html")),
    ("login.html", include_str!("templates/login.html")),
    ("arrived.html", include_str!("templates/arrived.html")),
    ("refused.html", include_str!("templates/refused.html")),
    ("overview.html", include_str!("templates/overview.html")),
    ("route.html", include_str!("templates/route.html")),
    ("confirm.html", include_str!("templates/confirm.html")),
    ("audit.html", include_str!("templates/audit.html")),
    ("entry.html", include_str!("templates/entry.html")),
    ("usage.html", include_str!("templates/usage.html")),
    ("card.html", include_str!("templates/card.html")),
    ("lists.html", include_str!("templates/lists.html")),
    ("share.html", include_str!("templates/share.html")),
    ("share_table.html", include_str!("templates/share_table.html")),
];

/// The templates, read once. They never change.
static PAGES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    pages.set_auto_escape_callback(|_| AutoEscape::Html);
    for (name, text) in TEMPLATES {
        if let Err(error) = pages.add_template(name, text) {
            tracing::error!(error = &error as &dyn std::error::Error, name, "a page of the console cannot be read");
        }
    }
    pages.add_filter("moment", moment);
    pages.add_filter("segment", segment);
    pages.add_filter("percent", |share: f64| format!("{:.1} %", share * 100.0));
    pages
});

/// `2026-11-26 22:03:21.123 UTC`
pub(super) fn moment(unix_ms: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    at.map_or_else(
        |_| unix_ms.to_string(),
        |at| {
            let (hour, minute, second) = at.to_hms();
            format!("{} {hour:02}:{minute:02}:{second:02}.{:03} UTC", at.date(), at.millisecond())
        },
    )
}

/// A part of a path, or a value in a query, as its bytes may stand there (RFC 3986, section 2.3).
fn segment(text: String) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A page by its template's name.
pub(super) fn page(status: StatusCode, name: &str, values: &Value) -> Response {
    let made = PAGES.get_template(name).and_then(|template| template.render(seen(values)));
    match made {
        Ok(text) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, name, "a page of the console cannot be made");
            let what = "the gateway failed at this page; its log has the reason";
            (StatusCode::INTERNAL_SERVER_ERROR, what).into_response()
        }
    }
}

/// Sends the browser on, by `GET`.
pub(super) fn go_to(path: &str) -> Response {
    let place = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/console"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// `/console/routes/ROUTE`
pub(super) fn route_path(route: &str) -> String {
    format!("/console/routes/{}", segment(route.to_owned()))
}

/// Why there is no page, as a page.
pub(super) struct NoPage(Box<Response>);

impl From<Refused> for NoPage {
    fn from(refused: Refused) -> Self {
        let values = json!({ "status": refused.status.as_u16(), "message": refused.message });
        let mut response = page(refused.status, "refused.html", &values);
        if let Some(wait) = refused.retry_after {
            let wait = HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64);
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        Self(Box::new(response))
    }
}

impl From<Response> for NoPage {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for NoPage {
    fn into_response(self) -> Response {
        *self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_read() {
        for (name, _) in TEMPLATES {
            assert!(PAGES.get_template(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn moments_and_segments_are_written_whole() {
        assert_eq!(moment(1_795_731_801_007), "2026-11-26 22:23:21.007 UTC");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
        assert_eq!(segment("a/b c&\"<é".to_owned()), "a%2Fb%20c%26%22%3C%C3%A9");
        assert_eq!(route_path("../x"), "/console/routes/..%2Fx");
    }
}
