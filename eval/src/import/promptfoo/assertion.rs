//! One assertion of promptfoo's as checks of ours.

use serde_json::{Value, json};

use super::{super::ImportError, Scope};

/// What was carried of a test, and how.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) kinds: Vec<String>,
    pub(super) differs: Vec<String>,
    pub(super) needs_judge: bool,
}

/// Fields that say nothing about whether it holds.
const IGNORED: [&str; 2] = ["metric", "description"];

pub(super) fn carry(
    assertion: &Value,
    scope: &Scope<'_>,
    (checks, carried): (&mut Vec<Value>, &mut Carried),
) -> Result<(), ImportError> {
    if !assertion.is_object() {
        return Err(ImportError::refused(format!("the assertion {assertion}"), "it is no map with a `type`"));
    }
    let written = assertion["type"].as_str().unwrap_or_default();
    let refused = |why: &str| ImportError::refused(format!("the assertion `{written}`"), why);
    if let Some(other) = unknown(assertion) {
        return Err(refused(&format!("its `{other}` changes what is judged")));
    }
    if assertion["weight"].as_f64().is_some_and(|weight| weight == 0.0) {
        return Err(refused("with a weight of 0 it only measures; take it out"));
    }
    let (kind, is_denied) = match written.strip_prefix("not-") {
        Some(kind) => (kind, true),
        None => (written, false),
    };
    let value = rendered(&assertion["value"], scope)?;
    let threshold = assertion["threshold"].as_f64();
    check_threshold(kind, &assertion["threshold"]).map_err(refused)?;
    let found = match kind {
        "equals" => equals(&value).ok_or_else(|| refused("it needs a `value`"))?,
        "contains" => regex_of(&[&value], "").ok_or_else(|| refused("its `value` is a text that is not empty"))?,
        "icontains" => regex_of(&[&value], "i").ok_or_else(|| refused("its `value` is a text that is not empty"))?,
        "contains-any" | "icontains-any" | "contains-all" | "icontains-all" => {
            let (first, more) = several(kind, &value).map_err(refused)?;
            if is_denied && !more.is_empty() {
                return Err(refused("that some text of several is missing cannot be said here"));
            }
            checks.extend(more);
            first
        }
        "starts-with" => {
            let text =
                value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| refused("its `value` is a text"))?;
            json!({ "regex": format!(r"\A{}", regex::escape(text)) })
        }
        "regex" => {
            let pattern = value.as_str().ok_or_else(|| refused("its `value` is a pattern"))?;
            regex::Regex::new(pattern)
                .map_err(|error| refused(&format!("its pattern is not one that can be read here: {error}")))?;
            json!({ "regex": pattern })
        }
        "is-json" => is_json(&value).map_err(|why| refused(&why))?,
        "similar" | "similar:cosine" if !is_denied => {
            carried
                .differs
                .push("similar: by the local embedding model, whose cosines are others; look at the threshold".into());
            json!({ "similar": { "to": value, "at_least": threshold.unwrap_or(0.75) } })
        }
        "llm-rubric" if !is_denied && threshold.is_none() => {
            let criterion = value.as_str().ok_or_else(|| refused("its `value` is a text"))?;
            carried.needs_judge = true;
            carried.differs.push("llm-rubric: graded from 1 to 5 by the judge that the run names, 4 passes; add labels of people, or its gate stays inconclusive".into());
            json!({ "judge": { "grade": { "criterion": criterion } } })
        }
        "latency" if !is_denied => {
            let most = threshold.ok_or_else(|| refused("it needs a `threshold`"))?;
            json!({ "answers_within_ms": most.max(0.0) as u64 })
        }
        "cost" if !is_denied => {
            let most = threshold.ok_or_else(|| refused("it needs a `threshold`"))?;
            json!({ "costs_at_most_usd": most })
        }
        "javascript" | "python" | "ruby" => {
            return Err(refused("no code of the original is run; write it as an `external` scorer"));
        }
        _ => return Err(refused("there is no check that means the same")),
    };
    checks.push(if is_denied { json!({ "not": found }) } else { found });
    carried.kinds.push(written.to_owned());
    Ok(())
}

/// A field that is neither carried nor of no account.
fn unknown(assertion: &Value) -> Option<&String> {
    let known = ["type", "value", "threshold", "weight"];
    let fields = assertion.as_object().into_iter().flat_map(|fields| fields.keys());
    fields.into_iter().find(|key| !known.contains(&key.as_str()) && !IGNORED.contains(&key.as_str()))
}

/// That one that is written counts.
fn check_threshold(kind: &str, threshold: &Value) -> Result<(), &'static str> {
    let is_measured = ["similar", "similar:cosine", "llm-rubric", "latency", "cost"].contains(&kind);
    match threshold {
        Value::Null => Ok(()),
        Value::Number(_) if is_measured => Ok(()),
        Value::Number(_) => Err("it holds or does not, and its `threshold` would be dropped"),
        _ => Err("its `threshold` is no number"),
    }
}

/// Texts in the value, rendered as templates.
fn rendered(value: &Value, scope: &Scope<'_>) -> Result<Value, ImportError> {
    Ok(match value {
        Value::String(text) if text.starts_with("file://") => {
            let file = text.trim_start_matches("file://");
            if ![".json", ".yaml", ".yml", ".txt"].iter().any(|end| file.ends_with(end)) {
                return Err(ImportError::refused(
                    format!("the file `{file}` of an assertion"),
                    "no code of the original is run",
                ));
            }
            let source = scope.config.beside(file)?;
            if file.ends_with(".txt") { Value::String(source.text) } else { source.yaml()? }
        }
        Value::String(text) => Value::String(scope.render(text)?),
        Value::Array(items) => items.iter().map(|item| rendered(item, scope)).collect::<Result<_, _>>()?,
        other => other.clone(),
    })
}

fn equals(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Null => return None,
        Value::Object(_) | Value::Array(_) => json!({ "json": { "schema": { "const": value } } }),
        Value::String(text) => json!({ "regex": format!(r"\A{}\z", regex::escape(text)) }),
        other => json!({ "regex": format!(r"\A{}\z", regex::escape(&other.to_string())) }),
    })
}

/// One of the texts stands somewhere.
fn regex_of(texts: &[&Value], flags: &str) -> Option<Value> {
    let escaped = texts.iter().map(|text| match text {
        Value::String(text) if !text.is_empty() => Some(regex::escape(text)),
        Value::Number(number) => Some(regex::escape(&number.to_string())),
        _ => None,
    });
    let any = escaped.collect::<Option<Vec<_>>>()?.join("|");
    (!any.is_empty()).then(|| json!({ "regex": format!("(?{flags}:{any})") }))
}

/// One check of any of the texts, or one for each of all.
fn several(kind: &str, value: &Value) -> Result<(Value, Vec<Value>), &'static str> {
    let flags = if kind.starts_with('i') { "i" } else { "" };
    let texts = listed(value).ok_or("its `value` is a list of texts")?;
    let of = |texts: &[&Value]| regex_of(texts, flags).ok_or("one of its texts is empty");
    if kind.ends_with("any") {
        return Ok((of(&texts.iter().collect::<Vec<_>>())?, Vec::new()));
    }
    let mut all = texts.iter().map(|text| of(&[text])).collect::<Result<Vec<_>, _>>()?.into_iter();
    let first = all.next().ok_or("its list is empty")?;
    Ok((first, all.collect()))
}

/// A list, or one that is written with commas.
fn listed(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items.clone()),
        Value::String(text) if !text.contains('"') => Some(text.split(',').map(|part| part.trim().into()).collect()),
        _ => None,
    }
}

/// A schema may be written as text.
fn is_json(value: &Value) -> Result<Value, String> {
    let schema = match value {
        Value::Null => json!({}),
        Value::String(text) if text.trim().is_empty() => json!({}),
        Value::String(text) => serde_saphyr::from_str(text)
            .map_err(|error| format!("its schema cannot be read: {}", error.without_snippet()))?,
        other => other.clone(),
    };
    let check = json!({ "json": { "schema": schema } });
    match serde_json::from_value::<crate::score::Check>(check.clone()) {
        Ok(_) => Ok(check),
        Err(error) => Err(error.to_string()),
    }
}
