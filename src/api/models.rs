//! `GET /v1/models`: the routes, in the shape that the caller's SDK expects.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, request::Parts},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{Api, auth, respond};
use crate::{
    clock,
    dialect::{Problem, ProblemKind},
    domain::{Dialect, RouteId},
};

/// When a route came to be is not known; clients want a number all the same.
const CREATED: i64 = 0;

/// Those that the caller's key may ask for.
pub(super) async fn list(State(api): State<Api>, parts: Parts) -> Response {
    let (dialect, snapshot) = (dialect(&parts.headers), api.snapshot.load_full());
    let caller = match auth::enter(&api, &snapshot.settings, &parts).await {
        Ok(caller) => caller,
        Err(refused) => return respond::refused(dialect, &refused, clock::call_id()),
    };
    let names = snapshot.route_names().filter(|name| caller.may_ask(name));
    let models: Vec<Value> = names.map(|name| model(dialect, name)).collect();
    Json(match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::OpenaiCompletions => {
            json!({"object": "list", "data": models})
        }
        Dialect::AnthropicMessages => {
            let end = |model: Option<&Value>| model.and_then(|model| model.get("id")).cloned();
            json!({"first_id": end(models.first()), "last_id": end(models.last()), "data": models, "has_more": false})
        }
    })
    .into_response()
}

pub(super) async fn show(State(api): State<Api>, Path(id): Path<String>, parts: Parts) -> Response {
    let (dialect, snapshot) = (dialect(&parts.headers), api.snapshot.load_full());
    let caller = match auth::enter(&api, &snapshot.settings, &parts).await {
        Ok(caller) => caller,
        Err(refused) => return respond::refused(dialect, &refused, clock::call_id()),
    };
    let mut names = snapshot.route_names().filter(|name| caller.may_ask(name));
    let found = names.find(|name| name.as_str() == id).map(|name| model(dialect, name));
    match found {
        Some(model) => Json(model).into_response(),
        None => {
            let message = format!("there is no model `{id}` here; GET /v1/models lists them");
            let code = Some("model_not_found".to_owned());
            respond::problem(dialect, &Problem { code, ..Problem::new(ProblemKind::NotFound, message) })
        }
    }
}

/// Anthropic's SDK always says which version of its API it speaks.
fn dialect(headers: &HeaderMap) -> Dialect {
    if headers.contains_key("anthropic-version") { Dialect::AnthropicMessages } else { Dialect::OpenaiChat }
}

fn model(dialect: Dialect, name: &RouteId) -> Value {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::OpenaiCompletions => {
            json!({"id": name, "object": "model", "created": CREATED, "owned_by": "backstop"})
        }
        Dialect::AnthropicMessages => {
            json!({"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"})
        }
    }
}
