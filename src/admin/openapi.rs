//! The API's own document (OpenAPI 3.1, whose schemas are JSON Schema 2020-12): made of the table of operations and the types of their
//! handlers, so it cannot say anything else than what is served.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{endpoint::Endpoint, resource, router::BASE, view::LoginView};

pub(super) fn document<'t>(endpoints: impl Iterator<Item = &'t Endpoint>) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &mut generator);
        let path = paths.entry(format!("{BASE}{}", endpoint.path)).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation;
    }
    for (path, what) in resource::WEBHOOKS {
        paths.insert(format!("{BASE}{path}"), webhook(what));
    }
    let open = json!({ "get": {
        "operationId": "get_openapi",
        "summary": "This document",
        "security": [],
        "responses": { "200": { "description": "OpenAPI 3.1", "content": { "application/json": { "schema": { "type": "object" } } } }, "default": error() },
    } });
    paths.insert(format!("{BASE}/openapi.json"), open);
    let login = json!({ "get": {
        "operationId": "get_login",
        "summary": "The identity provider that operators log in at; 404 where there is none",
        "security": [],
        "responses": { "200": { "description": "Where to log in", "content": { "application/json": {
            "schema": generator.subschema_for::<LoginView>(),
        } } }, "default": error() },
    } });
    paths.insert(format!("{BASE}/login"), login);
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Backstop admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What operators read and do. See docs/admin-api.md.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "`bs-adm-…`, from `backstop admin token issue`, or a token of the company's identity provider.",
            } },
            "schemas": schemas,
        },
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let (input, output) = ((endpoint.input)(generator).to_value(), (endpoint.output)(generator).to_value());
    let mut parameters: Vec<Value> = names_in(endpoint.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": part(name) }))
        .collect();
    let reads = endpoint.method == axum::http::Method::GET;
    if reads {
        parameters.extend(query(&input, generator));
    } else {
        let what =
            "Any text of your own: a write that is repeated with it is done once, and answered as the first time.";
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false, "description": what,
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        }));
    }
    let done = json!({ "description": "Done", "content": { "application/json": { "schema": output } } });
    let mut operation = json!({
        "operationId": id(endpoint),
        "summary": endpoint.summary,
        "description": format!("Least role: `{}`.", endpoint.right.least()),
        "x-least-role": endpoint.right.least(),
        "parameters": parameters,
        "responses": { endpoint.status.to_string(): done, "default": error() },
    });
    if !reads {
        let required = is_required(&input, generator);
        operation["requestBody"] =
            json!({ "required": required, "content": { "application/json": { "schema": input } } });
    }
    operation
}

/// What is not done, as every operation says it.
fn error() -> Value {
    json!({
        "description": "Not done: `error.code` for programs, `error.message` for people",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    })
}

/// A part of a path.
fn part(name: &str) -> Value {
    match name {
        "number" | "seq" => json!({ "type": "integer", "minimum": 0 }),
        _ => json!({ "type": "string" }),
    }
}

/// Whether `{}` is not enough.
fn is_required(input: &Value, generator: &SchemaGenerator) -> bool {
    let schema = resolved(input, generator);
    let members = schema.get("required").and_then(Value::as_array);
    members.is_some_and(|members| !members.is_empty()) || schema.get("anyOf").is_some()
}

fn resolved<'s>(schema: &'s Value, generator: &'s SchemaGenerator) -> &'s Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    name.and_then(|name| generator.definitions().get(name)).unwrap_or(schema)
}

/// The members of a query's type, each a parameter of its own.
fn query(input: &Value, generator: &SchemaGenerator) -> Vec<Value> {
    let members = resolved(input, generator).get("properties").and_then(Value::as_object);
    members
        .into_iter()
        .flatten()
        .map(|(name, schema)| json!({ "name": name, "in": "query", "required": false, "schema": schema }))
        .collect()
}

fn webhook(what: &str) -> Value {
    let taken = json!({ "description": "Taken: what became of it, by route" });
    json!({ "post": {
        "operationId": format!("receive_{}", what.split(' ').next().unwrap_or_default().to_lowercase()),
        "summary": format!("Takes {what}"),
        "requestBody": { "required": true, "content": { "application/json": { "schema": { "type": "object" } } } },
        "responses": { "200": taken, "default": { "description": "Not taken" } },
    } })
}

/// `get_tenants_by_tenant`
fn id(endpoint: &Endpoint) -> String {
    let path = endpoint.path.replace("/{", "_by_").replace(['}'], "").replace(['/', '-'], "_");
    format!("{}{path}", endpoint.method.as_str().to_lowercase())
}

fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*'))
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": { "type": "string", "description": "For programs; does not change" },
                "message": { "type": "string", "description": "For people" },
            },
        } },
    })
}
