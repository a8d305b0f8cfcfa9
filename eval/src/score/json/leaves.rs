//! Compares two JSON values leaf by leaf.
//!
//! A leaf is a value without values in it: a text, a number, `true`, `false`, `null`, `{}` or `[]`. It agrees with the leaf at
//! the same path if it is the same; numbers may differ by 0.005, texts by white space around them. The elements of an array
//! have no order: they are paired so that most leaves agree.

use serde_json::Value;

use crate::score::assignment::best_pairs;

/// Half a cent: what rounding to two decimals leaves open.
const NUMBERS_WITHIN: f64 = 0.005;

/// Characters of a value in a message.
const LONGEST: usize = 60;

/// 2 · agreeing leaves / (leaves of both): the harmonic mean of precision and recall. From 0 to 1.
pub(super) fn f1(expected: &Value, found: &Value) -> f64 {
    2.0 * agreeing(expected, found) as f64 / (count(expected) + count(found)) as f64
}

/// What keeps the F1 below 1, for people.
pub(super) fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut out = Vec::new();
    compare(expected, found, "", &mut out);
    out
}

/// A value as JSON, its start only if it is long.
pub(in crate::score) fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.values().map(count).sum(),
        Value::Array(items) if !items.is_empty() => items.iter().map(count).sum(),
        _ => 1,
    }
}

fn agreeing(expected: &Value, found: &Value) -> usize {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) if !expected.is_empty() => {
            expected.iter().filter_map(|(name, value)| Some(agreeing(value, found.get(name)?))).sum()
        }
        (Value::Array(expected), Value::Array(found)) if !expected.is_empty() => {
            let weights = weights(expected, found);
            let pairs = best_pairs(&weights);
            pairs.iter().enumerate().filter_map(|(row, column)| Some(weights[row][(*column)?])).sum()
        }
        _ => usize::from(is_same_leaf(expected, found)),
    }
}

fn weights(expected: &[Value], found: &[Value]) -> Vec<Vec<usize>> {
    expected.iter().map(|one| found.iter().map(|other| agreeing(one, other)).collect()).collect()
}

fn is_same_leaf(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(expected), Value::Number(found)) => {
            expected == found
                || expected.as_f64().zip(found.as_f64()).is_some_and(|(expected, found)| {
                    // What binary fractions add to a difference that is half a cent exactly.
                    (expected - found).abs() <= NUMBERS_WITHIN + expected.abs().max(1.0) * 1e-12
                })
        }
        (Value::String(expected), Value::String(found)) => expected.trim() == found.trim(),
        _ => expected == found,
    }
}

fn compare(expected: &Value, found: &Value, path: &str, out: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(wanted), Value::Object(fields)) if !wanted.is_empty() && !fields.is_empty() => {
            for (name, value) in wanted {
                match fields.get(name) {
                    Some(field) => compare(value, field, &below(path, name), out),
                    None => out.push(missing(&below(path, name), value)),
                }
            }
            for (name, value) in fields.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                out.push(unexpected(&below(path, name), value));
            }
        }
        (Value::Array(wanted), Value::Array(items)) if !wanted.is_empty() && !items.is_empty() => {
            compare_items(wanted, items, path, out);
        }
        _ if is_same_leaf(expected, found) => {}
        _ => out.push(format!("expected {} {}, found {}", field(path), brief(expected), brief(found))),
    }
}

fn compare_items(wanted: &[Value], items: &[Value], path: &str, out: &mut Vec<String>) {
    let pairs = best_pairs(&weights(wanted, items));
    let mut left: Vec<usize> = (0..items.len()).filter(|item| !pairs.contains(&Some(*item))).collect();
    left.reverse();
    for (row, pair) in pairs.iter().enumerate() {
        let here = format!("{path}[{row}]");
        // What agrees in nothing is set against whatever is left, in order: most often that is the same element, wrong.
        match pair.or_else(|| left.pop()) {
            Some(item) => compare(&wanted[row], &items[item], &here, out),
            None => out.push(missing(&here, &wanted[row])),
        }
    }
    for item in left.into_iter().rev() {
        out.push(unexpected(&format!("{path}[{item}]"), &items[item]));
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn field(path: &str) -> String {
    if path.is_empty() { "the document".into() } else { format!("field `{path}`") }
}

fn missing(path: &str, value: &Value) -> String {
    format!("expected {} {}, found none", field(path), brief(value))
}

fn unexpected(path: &str, value: &Value) -> String {
    format!("expected no {}, found {}", field(path), brief(value))
}
