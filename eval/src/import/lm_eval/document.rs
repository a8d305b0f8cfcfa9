//! One document of a dataset, and what a task's fields make of it: a column's value, or a template over the columns.

use serde_json::{Map, Value};

use super::super::ImportError;
use crate::jinja::{json_of, like_python, rendered, seen};

pub(super) struct Document<'a> {
    columns: &'a Map<String, Value>,
    place: &'a str,
}

/// What is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Texts(Vec<String>),
    /// The place of a choice.
    Place(usize),
}

impl<'a> Document<'a> {
    pub(super) fn new(document: &'a Value, place: &'a str) -> Result<Self, ImportError> {
        match document {
            Value::Object(columns) => Ok(Self { columns, place }),
            _ => Err(ImportError::invalid(place, "a document is a JSON object")),
        }
    }

    /// A column's value, or what a template makes.
    pub(super) fn field(&self, field: &str) -> Result<Value, ImportError> {
        match self.columns.get(field) {
            Some(value) => Ok(value.clone()),
            None => self.render(field).map(Value::String),
        }
    }

    pub(super) fn render(&self, template: &str) -> Result<String, ImportError> {
        let text = rendered(template, self.context());
        text.map_err(|error| self.faulty(template, &error))
    }

    /// A list of texts: written out, a column, or an expression.
    pub(super) fn list(&self, field: &Value) -> Result<Vec<String>, ImportError> {
        let value = match field {
            Value::String(field) if self.columns.contains_key(field) => self.columns[field].clone(),
            Value::String(template) => self.evaluate(template)?,
            Value::Object(by_name) => by_name.values().cloned().collect(),
            other => other.clone(),
        };
        let Value::Array(items) = value else {
            return Err(ImportError::refused("`doc_to_choice`", format!("it makes no list, but {value}")));
        };
        let text = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(ImportError::refused("`doc_to_choice`", format!("{other} is no text"))),
        };
        items.iter().map(text).collect()
    }

    pub(super) fn target(&self, field: &Value) -> Result<Target, ImportError> {
        let value = match field {
            Value::String(field) if self.columns.contains_key(field) => self.columns[field].clone(),
            Value::String(template) => self.evaluate(template)?,
            other => other.clone(),
        };
        match &value {
            Value::Bool(yes) => Ok(Target::Place(usize::from(*yes))),
            Value::Number(number) => match number.as_u64().and_then(|place| usize::try_from(place).ok()) {
                Some(place) => Ok(Target::Place(place)),
                None => Ok(Target::Texts(vec![number.to_string()])),
            },
            Value::String(text) => Ok(Target::Texts(vec![text.clone()])),
            Value::Array(all) => {
                let text =
                    |item: &Value| item.as_str().map(str::to_owned).or_else(|| item.as_u64().map(|n| n.to_string()));
                let texts = all.iter().map(text).collect::<Option<Vec<String>>>().filter(|texts| !texts.is_empty());
                texts
                    .map(Target::Texts)
                    .ok_or_else(|| ImportError::invalid(self.place, "doc_to_target is no text, number or list of them"))
            }
            _ => Err(ImportError::invalid(self.place, "doc_to_target is no text, number or list of them")),
        }
    }

    /// The places of the right choices.
    pub(super) fn right(&self, field: &Value, choices: &[String]) -> Result<Vec<usize>, ImportError> {
        let places: Vec<usize> = match self.target(field)? {
            Target::Place(place) => vec![place],
            Target::Texts(texts) => texts
                .iter()
                .map(|text| {
                    let place = choices.iter().position(|choice| choice == text);
                    // A number that a template wrote is a place.
                    place.or_else(|| text.trim().parse().ok()).unwrap_or(usize::MAX)
                })
                .collect(),
        };
        if places.iter().any(|place| *place >= choices.len()) {
            return Err(ImportError::refused(
                "a document whose target is not among its choices",
                "nothing would be right",
            ));
        }
        Ok(places)
    }

    /// `{{ expression }}` as what it is; another template as the text that it makes.
    fn evaluate(&self, template: &str) -> Result<Value, ImportError> {
        let expression = template.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let Some(expression) = expression.filter(|inner| !inner.contains("{{") && !inner.contains("}}")) else {
            let text = self.render(template)?;
            return Ok(literal(&text).unwrap_or(Value::String(text)));
        };
        let environment = like_python();
        let value = environment.compile_expression(expression).and_then(|expression| expression.eval(self.context()));
        let value = value.map_err(|error| self.faulty(template, &error))?;
        if value.is_undefined() {
            return Err(ImportError::refused(
                format!("the template {template:?}"),
                "it makes nothing of this document",
            ));
        }
        json_of(&value).ok_or_else(|| {
            ImportError::invalid(self.place, format!("the template {template:?} makes {}", value.kind()))
        })
    }

    fn context(&self) -> minijinja::Value {
        seen(&Value::Object(self.columns.clone()))
    }

    fn faulty(&self, template: &str, error: &minijinja::Error) -> ImportError {
        let short: String = template.chars().take(60).collect();
        ImportError::refused(format!("the template {short:?}"), format!("{error} ({})", self.place))
    }
}

/// A list that a template wrote, as JSON or with Python's quotes.
fn literal(text: &str) -> Option<Value> {
    let text = text.trim();
    if !text.starts_with('[') {
        return None;
    }
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&text.replace('\'', "\"")).ok())
}
