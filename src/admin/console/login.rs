//! Coming in and going out: by an operator's token, or by the company's identity provider. Each is an entry of the audit log before it
//! takes effect.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde_json::json;

use super::{
    Console,
    browser::{Cookie, Place, digest},
    page::{self, NoPage},
    sessions::{Session, Shown},
    visit::{Sent, form, pairs, place, value},
};
use crate::{
    admin::{asked::Operator, door, oidc::Attempt, perform::sign_soon, refused::Refused},
    clock,
    domain::{Act, Action},
    limit::Entered,
};

/// Where the identity provider sends the browser back to.
const BACK: &str = "/console/login/oidc/back";

/// Someone who may be anyone.
struct Stranger {
    from: IpAddr,
    place: Place,
    _entered: Entered,
}

pub(super) async fn page(State(console): State<Arc<Console>>, request: Request) -> Result<Response, NoPage> {
    let (parts, _) = request.into_parts();
    let _stranger = stranger(&console, &parts)?;
    let has_ended = value(&pairs(parts.uri.query().unwrap_or_default())?, "ended").is_some();
    let why = has_ended.then_some("Your session is over: what you logged in with opens nothing any more.");
    Ok(shown(&console, StatusCode::OK, why))
}

pub(super) async fn by_token(State(console): State<Arc<Console>>, request: Request) -> Result<Response, NoPage> {
    let (parts, body) = request.into_parts();
    let stranger = stranger(&console, &parts)?;
    let form = form(&stranger.place, &parts, body).await?;
    let token = value(&form, "token").unwrap_or_default();
    let Some(row) = console.admin.tokens.find(token).await else {
        door::turned_away(&console.admin, stranger.from);
        console.admin.oidc.refused_token(stranger.from).await;
        let why = "This token is not valid here (any more).";
        return Ok(shown(&console, StatusCode::UNAUTHORIZED, Some(why)));
    };
    let shown = Shown::Token { id: row.id.clone(), hash: row.hash };
    let cookie = open(&console, &door::holder(row, stranger.from), shown).await?;
    Ok(with_cookies(page::go_to("/console"), [Cookie::Session.set(&stranger.place, &cookie)]))
}

/// Sends the browser to the identity provider. A link leads here and no form: where a form leads on to is what a page's policy bounds.
pub(super) async fn begin_oidc(State(console): State<Arc<Console>>, request: Request) -> Result<Response, NoPage> {
    let (parts, _) = request.into_parts();
    let stranger = stranger(&console, &parts)?;
    let settings = console.admin.settings();
    let oidc = settings.oidc.as_ref().ok_or_else(no_provider)?;
    let attempt = Attempt::new();
    let to = console.admin.oidc.login_at(oidc, &attempt, &stranger.place.url(BACK)).await?;
    Ok(with_cookies(page::go_to(&to), [Cookie::Login.set(&stranger.place, attempt.cookie())]))
}

pub(super) async fn end_oidc(State(console): State<Arc<Console>>, request: Request) -> Result<Response, NoPage> {
    let (parts, _) = request.into_parts();
    let stranger = stranger(&console, &parts)?;
    let settings = console.admin.settings();
    let oidc = settings.oidc.as_ref().ok_or_else(no_provider)?;
    let said = pairs(parts.uri.query().unwrap_or_default())?;
    let turned_away = |refused: Refused| {
        if refused.status == StatusCode::UNAUTHORIZED {
            door::turned_away(&console.admin, stranger.from);
        }
        refused
    };
    let begun = Cookie::Login.read(&parts.headers).and_then(Attempt::of);
    let begun = begun.filter(|attempt| value(&said, "state").is_some_and(|state| attempt.began(state)));
    // RFC 9207: another issuer's answer is none to this login.
    let is_of_issuer = value(&said, "iss").is_none_or(|issuer| issuer == oidc.issuer);
    let attempt = begun.filter(|_| is_of_issuer).ok_or_else(|| {
        turned_away(Refused::unauthenticated("this browser has begun no such login; begin it anew at /console/login"))
    })?;
    let code = value(&said, "code").ok_or_else(|| {
        turned_away(Refused::unauthenticated("the identity provider did not let you in; begin anew at /console/login"))
    })?;
    let done = (code, stranger.place.url(BACK));
    let logged_in = console.admin.oidc.log_in(oidc, &attempt, (done.0, &done.1), stranger.from).await;
    let (operator, token) = logged_in.map_err(turned_away)?;
    let cookie = open(&console, &operator, Shown::Oidc(token)).await?;
    // The browser comes from another site, so it would not send a strict cookie on being redirected: a page of ours sends it on.
    let arrived = page::page(StatusCode::OK, "arrived.html", &json!({}));
    let place = &stranger.place;
    Ok(with_cookies(arrived, [Cookie::Session.set(place, &cookie), Cookie::Login.clear(place)]))
}

pub(super) async fn out(sent: Sent) -> Result<Response, NoPage> {
    let (console, visit) = (&sent.visit.console, &sent.visit);
    let closed = console.sessions().close(&visit.digest);
    if let Some(session) = closed {
        let act = Act::new(visit.operator.actor.clone(), Action::AdminLogout, ("console_session", session.name));
        if let Err(error) = console.admin.audit.record(&act).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a logout is not in the audit log");
        }
        sign_soon(&console.admin);
    }
    Ok(with_cookies(page::go_to("/console/login"), [Cookie::Session.clear(&visit.place)]))
}

/// Writes the login down, and opens a session; its cookie's value.
async fn open(console: &Console, operator: &Operator, shown: Shown) -> Result<String, Refused> {
    let random = |bytes: [u8; 32]| BASE64URL.encode(bytes);
    let (cookie, form_token) = (random(clock::random_bytes()), random(clock::random_bytes()));
    let name = hex::encode(clock::random_bytes::<8>());
    let by = if matches!(shown, Shown::Oidc(_)) { "oidc" } else { "token" };
    let act = Act::new(operator.actor.clone(), Action::AdminLogin, ("console_session", &name));
    let act = act.after(json!({ "role": operator.role, "by": by }));
    console.admin.audit.record(&act).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a login is not in the audit log");
        Refused::unavailable("this login cannot be written into the audit log, so it is not one")
    })?;
    sign_soon(&console.admin);
    let now = clock::now();
    let session = Session::new(shown, operator.id.clone(), (name, form_token), now);
    console.sessions().open(digest(&cookie), session, now);
    Ok(cookie)
}

fn stranger(console: &Console, parts: &Parts) -> Result<Stranger, Refused> {
    let found = Cookie::Session.read(&parts.headers).map(digest);
    let is_known = || found.is_some_and(|digest| console.sessions().knows(&digest, clock::now()));
    let (from, _entered) = door::enter(&console.admin, parts, is_known)?;
    Ok(Stranger { from, place: place(console, parts)?, _entered })
}

fn shown(console: &Console, status: StatusCode, why: Option<&str>) -> Response {
    let settings = console.admin.settings();
    let issuer = settings.oidc.as_ref().map(|oidc| oidc.issuer.as_str());
    page::page(status, "login.html", &json!({ "issuer": issuer, "why": why }))
}

fn no_provider() -> Refused {
    Refused::not_found("this gateway believes no identity provider: its config has no `admin.oidc`")
}

fn with_cookies<const N: usize>(mut response: Response, cookies: [String; N]) -> Response {
    for cookie in cookies {
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}
