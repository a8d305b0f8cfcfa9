//! JSON inside templates, written as Python's `json.dumps(ensure_ascii=False)` writes it, since that is what models were
//! trained on. Jinja's own filter escapes for HTML.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// The filter `tojson(indent=None)`.
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Others, such as `ensure_ascii`, change nothing here.
    let mut out = String::new();
    write(value, indent, 0, &mut out)?;
    Ok(out)
}

/// `value` as a template's value, every text in it through `text`.
pub(super) fn to_value(value: &serde_json::Value, text: &dyn Fn(&str) -> String) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), _, _) => Value::from(n),
            (_, Some(n), _) => Value::from(n),
            (_, _, n) => Value::from(n.unwrap_or(f64::NAN)),
        },
        Json::String(string) => Value::from(text(string)),
        Json::Array(items) => items.iter().map(|item| to_value(item, text)).collect(),
        Json::Object(entries) => {
            Value::from_pairs(entries.iter().map(|(key, value)| (text(key), to_value(value, text))))
        }
    }
}

fn write(value: &Value, indent: Option<usize>, depth: usize, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&value.to_string()),
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Map => {
            out.push('{');
            let mut first = true;
            for key in value.try_iter()? {
                separate(&mut first, indent, depth + 1, out);
                quote(&key.to_string(), out);
                out.push_str(": ");
                write(&value.get_item(&key)?, indent, depth + 1, out)?;
            }
            close('}', first, indent, depth, out);
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            let mut first = true;
            for item in value.try_iter()? {
                separate(&mut first, indent, depth + 1, out);
                write(&item, indent, depth + 1, out)?;
            }
            close(']', first, indent, depth, out);
        }
        other => {
            return Err(Error::new(ErrorKind::InvalidOperation, format!("{other} cannot be written as JSON")));
        }
    }
    Ok(())
}

fn separate(first: &mut bool, indent: Option<usize>, depth: usize, out: &mut String) {
    if !std::mem::take(first) {
        out.push_str(if indent.is_some() { "," } else { ", " });
    }
    new_line(indent, depth, out);
}

fn close(bracket: char, is_empty: bool, indent: Option<usize>, depth: usize, out: &mut String) {
    if !is_empty {
        new_line(indent, depth, out);
    }
    out.push(bracket);
}

fn new_line(indent: Option<usize>, depth: usize, out: &mut String) {
    if let Some(width) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', width * depth));
    }
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}
