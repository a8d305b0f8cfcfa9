//! One operation of the API: its path, the right that it needs, and a handler whose types are also what the document says.

use std::sync::Arc;

use axum::http::Method;
use futures_util::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{asked::Asked, refused::Refused};
use crate::domain::Right;

/// What came with a request: the query of a reading one, the body of a writing one.
pub(super) enum Given {
    Query(String),
    Body(Vec<u8>),
}

type Handler = Arc<dyn Fn(Asked, Given) -> BoxFuture<'static, Result<Value, Refused>> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) method: Method,
    /// Below `/admin/v1`.
    pub(super) path: &'static str,
    pub(super) right: Right,
    pub(super) summary: &'static str,
    /// 200, or 201 where something is made.
    pub(super) status: u16,
    /// A member of the answer that is shown once: what is remembered for a repeated request has `null` in its place.
    pub(super) shown_once: Option<&'static str>,
    pub(super) input: fn(&mut SchemaGenerator) -> Schema,
    pub(super) output: fn(&mut SchemaGenerator) -> Schema,
    pub(super) handler: Handler,
}

/// Nothing is asked, or nothing is to be said.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Nothing {}

impl Endpoint {
    /// An operation that changes nothing.
    pub(super) fn read<In, Out, Fut>(
        path: &'static str,
        right: Right,
        summary: &'static str,
        handler: impl Fn(Asked, In) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        In: DeserializeOwned + JsonSchema + Send + 'static,
        Out: Serialize + JsonSchema,
        Fut: Future<Output = Result<Out, Refused>> + Send + 'static,
    {
        Self::new::<In, Out, Fut>((Method::GET, path), right, summary, handler)
    }

    /// An operation that does something.
    pub(super) fn write<In, Out, Fut>(
        place: (Method, &'static str),
        right: Right,
        summary: &'static str,
        handler: impl Fn(Asked, In) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        In: DeserializeOwned + JsonSchema + Send + 'static,
        Out: Serialize + JsonSchema,
        Fut: Future<Output = Result<Out, Refused>> + Send + 'static,
    {
        Self::new::<In, Out, Fut>(place, right, summary, handler)
    }

    pub(super) fn makes(mut self) -> Self {
        self.status = 201;
        self
    }

    pub(super) fn shows_once(mut self, member: &'static str) -> Self {
        self.shown_once = Some(member);
        self
    }

    fn new<In, Out, Fut>(
        (method, path): (Method, &'static str),
        right: Right,
        summary: &'static str,
        handler: impl Fn(Asked, In) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        In: DeserializeOwned + JsonSchema + Send + 'static,
        Out: Serialize + JsonSchema,
        Fut: Future<Output = Result<Out, Refused>> + Send + 'static,
    {
        let handler = move |asked, given| -> BoxFuture<'static, Result<Value, Refused>> {
            let input = match given {
                Given::Query(query) => from_query::<In>(&query),
                Given::Body(body) => from_body::<In>(&body),
            };
            match input {
                Err(refused) => Box::pin(std::future::ready(Err(refused))),
                Ok(input) => {
                    let answering = handler(asked, input);
                    Box::pin(async move {
                        serde_json::to_value(answering.await?)
                            .map_err(|error| Refused::internal(format!("the answer cannot be written: {error}")))
                    })
                }
            }
        };
        Self {
            method,
            path,
            right,
            summary,
            status: 200,
            shown_once: None,
            input: |generator| generator.subschema_for::<In>(),
            output: |generator| generator.subschema_for::<Out>(),
            handler: Arc::new(handler),
        }
    }
}

fn from_query<In: DeserializeOwned>(query: &str) -> Result<In, Refused> {
    let uri = format!("/?{query}").parse().map_err(|_| Refused::invalid("the query cannot be read"))?;
    axum::extract::Query::try_from_uri(&uri)
        .map(|axum::extract::Query(input)| input)
        .map_err(|error| Refused::invalid(error.body_text()))
}

fn from_body<In: DeserializeOwned>(body: &[u8]) -> Result<In, Refused> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Refused::invalid(format!("the body is not what is taken here: {error}")))
}
