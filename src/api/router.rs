//! Every path of the public surface, and the middleware, in order.

use std::panic::AssertUnwindSafe;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use futures_util::FutureExt as _;

use super::{Api, calls, models, ops, respond};
use crate::{
    dialect::{Problem, ProblemKind},
    domain::Dialect,
};

/// The public surface.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(calls::chat_completions))
        .route("/v1/completions", post(calls::completions))
        .route("/v1/messages", post(calls::messages))
        .route("/v1/messages/count_tokens", post(calls::count_tokens))
        .route("/v1/embeddings", post(calls::embeddings))
        .route("/v1/responses", post(calls::responses))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::show))
        .route("/livez", get(ops::livez))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), survive_panic))
        .with_state(api)
}

/// Which dialect an error on `path` is written in.
pub(super) fn dialect_of(path: &str) -> Dialect {
    if path.starts_with("/v1/messages") {
        Dialect::AnthropicMessages
    } else if path.starts_with("/v1/responses") {
        Dialect::OpenaiResponses
    } else if path.starts_with("/v1/completions") {
        Dialect::OpenaiCompletions
    } else {
        Dialect::OpenaiChat
    }
}

/// A bug in a handler costs its own call a 500, and no other call anything.
async fn survive_panic(State(_): State<Api>, request: Request, next: Next) -> Response {
    let dialect = dialect_of(request.uri().path());
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            let problem =
                Problem::new(ProblemKind::Internal, "the gateway failed at this call; its log has the reason");
            respond::problem(dialect, &problem)
        }
    }
}

async fn no_such_path(request: Request) -> Response {
    let path = request.uri().path();
    let message = format!(
        "there is no {} {path}; this gateway has POST /v1/chat/completions, POST /v1/responses, POST /v1/messages, \
         POST /v1/messages/count_tokens, POST /v1/completions, POST /v1/embeddings and GET /v1/models",
        request.method()
    );
    respond::problem(dialect_of(path), &Problem::new(ProblemKind::NotFound, message))
}

async fn wrong_method(request: Request) -> Response {
    let path = request.uri().path();
    let message = format!("{path} does not take {}", request.method());
    let mut response = respond::problem(dialect_of(path), &Problem::new(ProblemKind::InvalidRequest, message));
    *response.status_mut() = axum::http::StatusCode::METHOD_NOT_ALLOWED;
    response
}
