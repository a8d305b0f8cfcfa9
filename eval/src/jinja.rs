//! Values as the template engine sees them, and templates that were written for Python's Jinja.

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, value::ValueKind};
use regex::Regex;

/// What the template engine makes of JSON.
pub fn seen(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(yes) => Value::from(*yes),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(whole)) => Value::from(whole),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(seen).collect(),
        Json::Object(entries) => Value::from_pairs(entries.iter().map(|(name, value)| (name.as_str(), seen(value)))),
    }
}

/// What `value` is as JSON; `None` where it is nothing that JSON has.
pub(crate) fn json_of(value: &Value) -> Option<serde_json::Value> {
    use serde_json::Value as Json;
    Some(match value.kind() {
        ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(whole) => Json::from(whole),
            Err(_) => Json::from(f64::try_from(value.clone()).ok()?),
        },
        ValueKind::String => Json::String(value.as_str()?.to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            Json::Array(value.try_iter().ok()?.map(|item| json_of(&item)).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// A template as Python's Jinja renders it; its last line's end stays.
pub(crate) fn rendered(template: &str, context: Value) -> Result<String, Error> {
    let mut text = like_python().render_str(template, context)?;
    if template.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// An environment that renders as Python's Jinja does where the two differ: methods of texts and lists, `True` and
/// `None`. What is not defined is an error.
pub(crate) fn like_python() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(|state, value, method, args| match (value.kind(), method, args) {
        (ValueKind::Seq, "index", [wanted]) => {
            let place = value.try_iter()?.position(|item| item == *wanted);
            place
                .map(Value::from)
                .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("{wanted} is not in the list")))
        }
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
    });
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Bool => {
            minijinja::escape_formatter(out, state, &Value::from(if value.is_true() { "True" } else { "False" }))
        }
        ValueKind::None => minijinja::escape_formatter(out, state, &Value::from("None")),
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_filter("regex_replace", regex_replace);
    environment
}

/// Python's `re.sub`, for patterns that this crate's syntax has too.
fn regex_replace(text: String, pattern: String, replacement: String) -> Result<String, Error> {
    let invalid = |error: regex::Error| Error::new(ErrorKind::InvalidOperation, error.to_string());
    let pattern = Regex::new(&pattern).map_err(invalid)?;
    let groups = Regex::new(r"\\(\d)").map_err(invalid)?;
    let replacement = replacement.replace('$', "$$");
    let replacement = groups.replace_all(&replacement, "$${$1}");
    Ok(pattern.replace_all(&text, replacement.as_ref()).into_owned())
}
