//! From a request to an operation: address, operator, right, repetition, then the handler. The order is here, once.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{RawPathParams, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, MethodRouter, get},
};
use futures_util::FutureExt as _;
use serde_json::Value;

use super::{
    Admin,
    asked::Asked,
    door,
    endpoint::{Endpoint, Given},
    once::Turn,
    openapi,
    refused::Refused,
    resource, view,
};
use crate::{clock, store::Remembered};

/// Where all of it is.
pub(super) const BASE: &str = "/admin/v1";
/// The largest body.
const MOST_BODY: usize = 1 << 20;
/// How long a body may take to come, and an operation to be done.
const BODY_WITHIN: Duration = Duration::from_secs(10);
const DONE_WITHIN: Duration = Duration::from_secs(120);
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What every answer says to a browser: nothing of it is kept, framed, guessed at or run.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The operators' surface.
pub fn router(admin: &Arc<Admin>) -> Router {
    let endpoints = resource::endpoints();
    let document = Arc::new(openapi::document(&endpoints));
    let mut paths: HashMap<&'static str, MethodRouter<Arc<Admin>>> = HashMap::new();
    for endpoint in endpoints {
        let (path, filter) = (endpoint.path, filter(&endpoint.method));
        let endpoint = Arc::new(endpoint);
        let serve = move |State(admin): State<Arc<Admin>>, params: RawPathParams, request: Request| {
            let (endpoint, params) = (Arc::clone(&endpoint), owned(&params));
            async move { serve(admin, &endpoint, params, request).await }
        };
        let methods = paths.remove(path).unwrap_or_default();
        paths.insert(path, methods.on(filter, serve));
    }
    let mut router = Router::new();
    for (path, methods) in paths {
        router = router.route(&format!("{BASE}{path}"), methods);
    }
    let served = move |State(admin): State<Arc<Admin>>, request: Request| {
        let document = Arc::clone(&document);
        async move {
            let (parts, _) = request.into_parts();
            let _entered = door::address(&admin, &parts)?;
            Ok::<_, Refused>(json(StatusCode::OK, document.to_string()))
        }
    };
    router
        .route(&format!("{BASE}/openapi.json"), get(served))
        .route(&format!("{BASE}/login"), get(login))
        .merge(resource::webhooks())
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(guard))
        .with_state(Arc::clone(admin))
}

/// Where operators log in: for whoever has no token yet.
async fn login(State(admin): State<Arc<Admin>>, request: Request) -> Result<Response, Refused> {
    let (parts, _) = request.into_parts();
    let _entered = door::address(&admin, &parts)?;
    let settings = admin.settings();
    let Some(oidc) = &settings.oidc else {
        return Err(Refused::not_found("this gateway believes no identity provider: its config has no `admin.oidc`"));
    };
    let view = serde_json::to_string(&view::login(oidc)).map_err(|error| Refused::internal(error.to_string()))?;
    Ok(json(StatusCode::OK, view))
}

async fn serve(admin: Arc<Admin>, endpoint: &Endpoint, params: HashMap<String, String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match answer(admin, endpoint, params, (parts, body)).await {
        Ok(response) => response,
        Err(refused) => refused.into_response(),
    }
}

async fn answer(
    admin: Arc<Admin>,
    endpoint: &Endpoint,
    params: HashMap<String, String>,
    (parts, body): (Parts, Body),
) -> Result<Response, Refused> {
    let (from, _entered) = door::address(&admin, &parts)?;
    let operator = door::operator(&admin, &parts, from).await?;
    door::count(&admin, &operator)?;
    door::may(&operator, endpoint.right)?;
    let asked = Asked { admin: Arc::clone(&admin), operator, params };
    if endpoint.method == Method::GET {
        let given = Given::Query(parts.uri.query().unwrap_or_default().to_owned());
        let value = within((endpoint.handler)(asked, given)).await?;
        return Ok(json(StatusCode::OK, value.to_string()));
    }
    let body = read(&parts, body).await?;
    let status = StatusCode::from_u16(endpoint.status).unwrap_or(StatusCode::OK);
    let Some(key) = parts.headers.get("idempotency-key") else {
        let value = write(admin, endpoint, asked, body).await?;
        return Ok(json(status, value.to_string()));
    };
    let key = key.to_str().map_err(|_| Refused::invalid("an Idempotency-Key is text"))?;
    let request = [parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), &body];
    let operator = asked.operator.id.clone();
    match admin.once.begin(&operator, key, request).await? {
        Turn::Repeated(answer) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
            let mut response = json(status, answer.body);
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Turn::First(under_way) => {
            let done = write(Arc::clone(&admin), endpoint, asked, body).await;
            let remembered = match &done {
                Ok(value) => {
                    let mut kept = value.clone();
                    if let Some(member) = endpoint.shown_once {
                        kept[member] = Value::Null;
                    }
                    Some(Remembered { status: endpoint.status, body: kept.to_string() })
                }
                Err(refused) if refused.may_be_tried_again() => None,
                Err(refused) => Some(Remembered { status: refused.status.as_u16(), body: refused.body() }),
            };
            under_way.end(remembered).await;
            Ok(json(status, done?.to_string()))
        }
    }
}

/// Runs a write on a task of its own: whoever hangs up does not stop it half way.
async fn write(admin: Arc<Admin>, endpoint: &Endpoint, asked: Asked, body: Vec<u8>) -> Result<Value, Refused> {
    let handled = (endpoint.handler)(asked, Given::Body(body));
    let done = tokio::spawn(within(handled)).await;
    sign_soon(&admin);
    done.unwrap_or_else(|_| Err(Refused::internal("the gateway failed at this; its log has the reason")))
}

/// The log is signed soon after, as after a verb of the command line. A failure is told by the log's own upkeep.
fn sign_soon(admin: &Arc<Admin>) {
    let (audit, vault) = (admin.audit.clone(), admin.api.relay.vault.clone());
    tokio::spawn(async move {
        if let Err(error) = crate::audit::sign(&audit, &vault).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the audit log is not signed yet");
        }
    });
}

async fn within(handled: impl Future<Output = Result<Value, Refused>>) -> Result<Value, Refused> {
    let done = tokio::time::timeout(DONE_WITHIN, handled).await;
    done.unwrap_or_else(|_| Err(Refused::unavailable("it takes longer than two minutes")))
}

/// The body, whole; JSON where there is any.
pub(super) async fn read(parts: &Parts, body: Body) -> Result<Vec<u8>, Refused> {
    let read = tokio::time::timeout(BODY_WITHIN, to_bytes(body, MOST_BODY)).await;
    let body = read
        .map_err(|_| Refused::invalid("the body did not come within 10 s"))?
        .map_err(|_| Refused::too_large("a body has at most 1 MiB"))?;
    let is_json = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_json =
        is_json.is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json"));
    // Also what keeps another site's form in an operator's browser from asking for anything.
    if !body.is_empty() && !is_json {
        return Err(Refused::invalid("send the body as `content-type: application/json`"));
    }
    Ok(body.to_vec())
}

pub(super) fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A bug costs its own request a 500; every answer has the headers.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => Refused::internal("the gateway failed at this; its log has the reason").into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&clock::call_id().to_string()) {
        headers.insert("x-request-id", id);
    }
    response
}

async fn no_such_path(request: Request) -> Refused {
    let path = request.uri().path();
    Refused::not_found(format!("there is no {path}; {BASE}/openapi.json lists what there is"))
}

async fn wrong_method(request: Request) -> Refused {
    Refused::wrong_method(format!("{} does not take {}", request.uri().path(), request.method()))
}

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET)
}

fn owned(params: &RawPathParams) -> HashMap<String, String> {
    params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
