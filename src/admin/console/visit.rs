//! Someone who is logged in asks for a page, or sends a form: who that is, checked anew each time.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::{Method, StatusCode, header, request::Parts},
    response::Response,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use super::{
    Console,
    browser::{Cookie, Place, digest},
    page::{self, NoPage},
    sessions::{self, Digest, Session},
};
use crate::{
    admin::{
        asked::Operator,
        door,
        perform::{self, Done},
        refused::Refused,
        router::whole,
    },
    clock,
    domain::Right,
    limit::Entered,
};

/// Someone who is logged in.
pub(super) struct Visit {
    pub(super) console: Arc<Console>,
    pub(super) operator: Operator,
    pub(super) place: Place,
    pub(super) digest: Digest,
    session: Session,
    params: HashMap<String, String>,
    query: Vec<(String, String)>,
    _entered: Entered,
}

/// A form of ours, sent by whoever is logged in.
pub(super) struct Sent {
    pub(super) visit: Visit,
    form: Vec<(String, String)>,
}

impl FromRequestParts<Arc<Console>> for Visit {
    type Rejection = NoPage;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, NoPage> {
        let found = Cookie::Session.read(&parts.headers).map(digest);
        let now = clock::now();
        let is_known = || found.is_some_and(|digest| console.sessions().knows(&digest, now));
        let (from, _entered) = door::enter(&console.admin, parts, is_known)?;
        let place = place(console, parts)?;
        let session = found.and_then(|digest| {
            let mut sessions = console.sessions();
            sessions.using(&digest, now).map(|session| (digest, session.clone()))
        });
        let Some((digest, mut session)) = session else { return Err(page::go_to("/console/login").into()) };
        let operator = match operator(console, &session, from).await {
            Ok(operator) => operator,
            Err(refused) if matches!(refused.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                console.sessions().close(&digest);
                return Err(ended(&place).into());
            }
            Err(refused) => return Err(refused.into()),
        };
        // What is said is said on one page; a form has no page of its own.
        session.said = None;
        if parts.method == Method::GET {
            session.said = console.sessions().using(&digest, now).and_then(|session| session.said.take());
        }
        let params = RawPathParams::from_request_parts(parts, console).await;
        let params = params.map_err(|_| Refused::invalid("the path cannot be read"))?;
        let params = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let query = pairs(parts.uri.query().unwrap_or_default())?;
        let console = Arc::clone(console);
        Ok(Self { console, operator, place, digest, session, params, query, _entered })
    }
}

impl FromRequest<Arc<Console>> for Sent {
    type Rejection = NoPage;

    async fn from_request(request: Request, console: &Arc<Console>) -> Result<Self, NoPage> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, console).await?;
        let form = form(&visit.place, &parts, body).await?;
        let token = value(&form, "form_token").unwrap_or_default();
        if !bool::from(token.as_bytes().ct_eq(visit.session.form_token.as_bytes())) {
            return Err(Refused::forbidden(
                "this form is not of your session; go back, load the page anew, and send it again",
            )
            .into());
        }
        Ok(Self { visit, form })
    }
}

impl Visit {
    /// A part of the path.
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// A value of the query, where it is not empty.
    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        value(&self.query, name)
    }

    pub(super) fn all_asked<'v>(&'v self, name: &'v str) -> impl Iterator<Item = &'v str> {
        self.query.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What an operation of the API answers this operator.
    pub(super) async fn read(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Refused> {
        self.read_with(path, HashMap::new(), query).await
    }

    /// The same of one thing, which is a part of the path. `path` as the table has it.
    pub(super) async fn read_of(
        &self,
        path: &str,
        (name, value): (&str, &str),
        query: &[(&str, &str)],
    ) -> Result<Value, Refused> {
        self.read_with(path, HashMap::from([(name.to_owned(), value.to_owned())]), query).await
    }

    async fn read_with(
        &self,
        path: &str,
        params: HashMap<String, String>,
        query: &[(&str, &str)],
    ) -> Result<Value, Refused> {
        let mut form = reqwest::Url::parse("form:").map_err(|error| Refused::internal(error.to_string()))?;
        form.query_pairs_mut().extend_pairs(query);
        let query = form.query().unwrap_or_default().to_owned();
        let operation = self.console.operations.find(&Method::GET, path)?;
        let admitted = perform::admit(&self.console.admin, operation, self.operator.clone(), params)?;
        admitted.read(query).await
    }

    /// Asks an operation of the API to be done, once for one `key`.
    pub(super) async fn act(&self, (method, path): (Method, &str), body: &Value, key: &str) -> Result<Done, Refused> {
        let operation = self.console.operations.find(&method, path)?;
        let admitted = perform::admit(&self.console.admin, operation, self.operator.clone(), self.params.clone())?;
        let mut whole = format!("{}{path}", crate::admin::router::BASE);
        for (name, value) in &self.params {
            whole = whole.replace(&format!("{{{name}}}"), value);
        }
        admitted.write(&whole, body.to_string().into_bytes(), Some(key)).await
    }

    /// What this page says first.
    pub(super) fn said(&self) -> Option<&str> {
        self.session.said.as_deref()
    }

    /// Says `what` at the top of this session's next page.
    pub(super) fn say(&self, what: String) {
        if let Some(session) = self.console.sessions().using(&self.digest, clock::now()) {
            session.said = Some(what);
        }
    }

    /// A page, with what all of them have beside its own `values`.
    pub(super) fn page(&self, name: &str, mut values: Value) -> Response {
        let role = self.operator.role;
        let mut personal = self.operator.actor.personal.iter();
        let named = personal.find(|(field, _)| *field == "name").map(|(_, value)| value.as_str());
        let shared = [
            ("who", json!(named.unwrap_or(&self.operator.id))),
            ("role", json!(role)),
            ("may_act", json!(role.may(Right::RollBack))),
            ("form_token", json!(self.session.form_token)),
            ("said", json!(self.session.said)),
            ("now", json!(page::moment(clock::unix_ms()))),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
        ];
        if let Some(values) = values.as_object_mut() {
            values.extend(shared.map(|(name, value)| (name.to_owned(), value)));
        }
        page::page(StatusCode::OK, name, &values)
    }
}

impl Sent {
    /// A field of the form, where it is not empty.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        value(&self.form, name)
    }
}

/// The form that a page of ours at `place` sent.
pub(super) async fn form(place: &Place, parts: &Parts, body: Body) -> Result<Vec<(String, String)>, Refused> {
    if !place.is_sender(&parts.headers) {
        return Err(Refused::forbidden(
            "this form was not sent by a page of this console; a proxy before it must pass on `Host` and `Origin`",
        ));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/x-www-form-urlencoded") {
        return Err(Refused::invalid("send the form as `content-type: application/x-www-form-urlencoded`"));
    }
    let body = String::from_utf8(whole(body).await?);
    pairs(&body.map_err(|_| Refused::invalid("the form is not text"))?)
}

pub(super) fn place(console: &Console, parts: &Parts) -> Result<Place, Refused> {
    let place = Place::of(parts, &console.admin.settings().trusted_proxies);
    place.ok_or_else(|| Refused::invalid("the request says of no host that it is for"))
}

pub(super) fn value<'f>(form: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let found = form.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>, Refused> {
    let read = reqwest::Url::parse(&format!("form:?{query}"));
    let read = read.map_err(|_| Refused::invalid("what was sent cannot be read"))?;
    Ok(read.query_pairs().into_owned().collect())
}

/// Who that is and what they may now: a token that was revoked, or a mapping that was taken out, ends the session.
async fn operator(console: &Console, session: &Session, from: IpAddr) -> Result<Operator, Refused> {
    match &session.shown {
        sessions::Shown::Token { id, hash } => {
            let row = console.admin.tokens.find_shown(id, hash).await;
            row.map(|row| door::holder(row, from)).ok_or_else(|| Refused::unauthenticated("this token is over"))
        }
        sessions::Shown::Oidc(token) => {
            let settings = console.admin.settings();
            let Some(oidc) = &settings.oidc else {
                return Err(Refused::unauthenticated("the config has no `admin.oidc` any more"));
            };
            console.admin.oidc.operator(oidc, token.expose_secret(), from).await
        }
    }
}

/// What was shown at the login opens nothing any more.
fn ended(place: &Place) -> Response {
    let mut response = page::go_to("/console/login?ended=1");
    if let Ok(cookie) = Cookie::Session.clear(place).parse() {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
