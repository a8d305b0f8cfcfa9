//! From a request to an operation: address, operator, then [`perform`].

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{RawPathParams, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, MethodRouter, get},
};
use futures_util::{FutureExt as _, StreamExt as _};

use super::{
    Admin, console, door,
    endpoint::Endpoint,
    openapi,
    perform::{self, Operations},
    refused::Refused,
    resource, view,
};
use crate::{api, clock};

/// Where all of it is.
pub(super) const BASE: &str = "/admin/v1";
/// The largest body.
const MOST_BODY: usize = 1 << 20;
/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);
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
    let operations = Operations::all();
    let document = Arc::new(openapi::document(operations.iter().map(Arc::as_ref)));
    let mut paths: HashMap<&'static str, MethodRouter<Arc<Admin>>> = HashMap::new();
    for endpoint in operations.iter().cloned() {
        let (path, filter) = (endpoint.path, filter(&endpoint.method));
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
        .merge(console::pages(admin, operations))
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
    match answer(&admin, endpoint, params, request).await {
        Ok(response) => response,
        Err(refused) => refused.into_response(),
    }
}

async fn answer(
    admin: &Arc<Admin>,
    endpoint: &Endpoint,
    params: HashMap<String, String>,
    request: Request,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let (from, _entered) = door::address(admin, &parts)?;
    let operator = door::operator(admin, &parts, from).await?;
    let admitted = perform::admit(admin, endpoint, operator, params)?;
    if endpoint.method == Method::GET {
        let value = admitted.read(parts.uri.query().unwrap_or_default().to_owned()).await?;
        return Ok(json(StatusCode::OK, value.to_string()));
    }
    let body = read(&parts, body).await?;
    let key = parts.headers.get("idempotency-key").map(|key| key.to_str());
    let key = key.transpose().map_err(|_| Refused::invalid("an Idempotency-Key is text"))?;
    let done = admitted.write(parts.uri.path(), body, key).await?;
    let mut response = json(done.status, done.body);
    if done.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The body, whole; JSON where there is any.
pub(super) async fn read(parts: &Parts, body: Body) -> Result<Vec<u8>, Refused> {
    let body = whole(body).await?;
    let is_json = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_json =
        is_json.is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json"));
    // Also what keeps another site's form in an operator's browser from asking for anything.
    if !body.is_empty() && !is_json {
        return Err(Refused::invalid("send the body as `content-type: application/json`"));
    }
    Ok(body)
}

/// The body, whatever it is.
pub(super) async fn whole(body: Body) -> Result<Vec<u8>, Refused> {
    let mut stream = body.into_data_stream();
    let read = async {
        let mut all = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Refused::invalid("the body ended early"))?;
            if all.len() + chunk.len() > MOST_BODY {
                api::discard(&mut stream, MOST_BODY).await;
                return Err(Refused::too_large("a body has at most 1 MiB"));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    };
    let read = tokio::time::timeout(BODY_WITHIN, read).await;
    read.unwrap_or_else(|_| Err(Refused::invalid("the body did not come within 10 s")))
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
