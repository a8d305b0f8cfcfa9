//! The operators' pages for browsers, under `/console`: made here, without scripts, of what the API's operations answer. A page decides
//! nothing and does nothing by itself; a button asks the same operation as the API's caller ([`super::perform`]).

mod acts;
mod browser;
mod log;
mod login;
mod page;
mod pages;
mod route;
mod sessions;
mod spending;
mod visit;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Router,
    http::{HeaderValue, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};

use self::sessions::Sessions;
use super::{Admin, perform::Operations};

/// What a browser may do with a page: show it, with our style, and send its forms back here.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const STYLE: &str = include_str!("console/style.css");

/// What all pages share.
pub(super) struct Console {
    admin: Arc<Admin>,
    operations: Operations,
    sessions: Mutex<Sessions>,
}

impl Console {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn pages(admin: &Arc<Admin>, operations: Operations) -> Router<Arc<Admin>> {
    let console = Console { admin: Arc::clone(admin), operations, sessions: Mutex::default() };
    Router::new()
        .route("/console", get(pages::overview))
        .route("/console/login", get(login::page).post(login::by_token))
        .route("/console/login/oidc", get(login::begin_oidc))
        .route("/console/login/oidc/back", get(login::end_oidc))
        .route("/console/logout", post(login::out))
        .route("/console/routes/{route}", get(route::page))
        .route("/console/routes/{route}/rollback", get(acts::confirm_rollback).post(acts::roll_back))
        .route("/console/routes/{route}/canary/end", get(acts::confirm_canary_end).post(acts::end_canary))
        .route("/console/audit", get(log::list))
        .route("/console/audit/{seq}", get(log::entry))
        .route("/console/usage", get(spending::page))
        .route("/console/card", get(pages::card))
        .route("/console/certificates", get(pages::certificates))
        .route("/console/incidents", get(pages::incidents))
        .route("/console/share", get(pages::share))
        .route("/console/style.css", get(style))
        .layer(middleware::map_response(with_headers))
        .with_state(Arc::new(console))
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// Where the router's own headers are too strict for a page: it has a style and forms, and its browser must say where a form comes from.
async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
