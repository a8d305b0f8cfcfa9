//! The `json` check: the answer is one JSON document, fits a schema, and holds the right values.
//!
//! The values are compared leaf by leaf, and the F1 of precision and recall over them must be reached: a field that is missing, wrong or
//! made up counts against it. The schema is compiled when the suite is read, so a bad one never reaches a run.

use std::sync::Arc;

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value;

use super::{Miss, excerpt};

mod leaves;
mod parse;
mod schema;

pub(super) use leaves::brief;
pub(crate) use parse::parse;

/// What a document must be.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawDocument")]
pub struct Document {
    schema: Option<Arc<Validator>>,
    /// An object or array with at least one leaf.
    fields: Option<Value>,
    /// The least F1 over the leaves of `fields`.
    f1: f64,
    fence: Fence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fence {
    Refused,
    /// One ```` ```json ```` fence may stand around the document.
    Allowed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocument {
    schema: Option<Value>,
    fields: Option<Value>,
    f1: Option<f64>,
    #[serde(default)]
    fence: bool,
}

impl TryFrom<RawDocument> for Document {
    type Error = String;

    fn try_from(raw: RawDocument) -> Result<Self, String> {
        if raw.schema.is_none() && raw.fields.is_none() {
            return Err("json needs a `schema`, `fields`, or both".into());
        }
        if raw.f1.is_some() && raw.fields.is_none() {
            return Err("json's `f1` is over `fields`, and there are none".into());
        }
        let f1 = raw.f1.unwrap_or(1.0);
        if !(f1 > 0.0 && f1 <= 1.0) {
            return Err(format!("json's `f1` lies above 0 and is at most 1, not {f1}"));
        }
        let is_empty = |fields: &Value| match fields {
            Value::Object(fields) => fields.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => true,
        };
        if raw.fields.as_ref().is_some_and(is_empty) {
            return Err("json's `fields` must be an object or an array with something in it".into());
        }
        let schema = raw.schema.as_ref().map(schema::compile).transpose()?;
        if let (Some(schema), Some(fields), true) = (&schema, &raw.fields, f1 == 1.0)
            && let Err(error) = schema::validate(schema, fields)
        {
            return Err(format!("json's `fields` do not fit its own `schema`, so no answer could: {error}"));
        }
        let fence = if raw.fence { Fence::Allowed } else { Fence::Refused };
        Ok(Self { schema: schema.map(Arc::new), fields: raw.fields, f1, fence })
    }
}

pub(super) fn is(text: &str, wanted: &Document) -> Result<(), Miss> {
    let body = body(text, wanted.fence)?;
    let found = parse(body).map_err(|error| Miss(format!("{} is not one JSON document: {error}", excerpt(text))))?;
    if let Some(schema) = &wanted.schema {
        schema::validate(schema, &found).map_err(|error| Miss(format!("it does not fit the schema: {error}")))?;
    }
    let Some(fields) = &wanted.fields else {
        return Ok(());
    };
    let f1 = leaves::f1(fields, &found);
    if f1 >= wanted.f1 - 1e-9 {
        return Ok(());
    }
    let differences = leaves::differences(fields, &found);
    let more = match differences.len() {
        0 | 1 => String::new(),
        many => format!(" and {} more", many - 1),
    };
    let first = differences.first().map_or("the values differ", String::as_str);
    Err(Miss(format!("{first}{more} (F1 {f1:.3}, at least {} is wanted)", wanted.f1)))
}

/// The text without white space and, where allowed, without its fence.
fn body(text: &str, fence: Fence) -> Result<&str, Miss> {
    let text = text.trim();
    let inner = text
        .strip_prefix("```json")
        .filter(|rest| rest.starts_with(['\n', '\r']))
        .and_then(|rest| rest.strip_suffix("```"))
        .map(str::trim);
    match (inner, fence) {
        (Some(inner), Fence::Allowed) => Ok(inner),
        (Some(_), Fence::Refused) => Err(Miss("a code fence stands around the JSON, and none is allowed here".into())),
        (None, _) => Ok(text),
    }
}
