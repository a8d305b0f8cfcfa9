//! What a text looks like as a whole: its case, its title, its quotes, its JSON.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::score::{Miss, excerpt, json};

static TITLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"<<[^<>\n]*[\p{Alphabetic}\d][^<>\n]*>>").expect("the pattern is constant and compiles")
});

pub(super) fn lowercase(text: &str) -> Result<(), Miss> {
    one_case(text, char::is_lowercase, char::is_uppercase, "lower")
}

pub(super) fn uppercase(text: &str) -> Result<(), Miss> {
    one_case(text, char::is_uppercase, char::is_lowercase, "upper")
}

fn one_case(text: &str, right: fn(char) -> bool, wrong: fn(char) -> bool, name: &str) -> Result<(), Miss> {
    if let Some(found) = text.chars().find(|c| wrong(*c)) {
        return Err(Miss(format!("expected {name} case only, found {found:?} in {}", excerpt(text))));
    }
    if !text.contains(right) {
        return Err(Miss(format!("expected letters in {name} case, found none in {}", excerpt(text))));
    }
    Ok(())
}

pub(super) fn has_title(text: &str) -> bool {
    TITLE.is_match(text)
}

/// `text` is trimmed.
pub(super) fn is_quoted(text: &str) -> bool {
    [('"', '"'), ('“', '”'), ('„', '“'), ('«', '»')].into_iter().any(|(open, close)| {
        text.strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close))
            .is_some_and(|inner| inner.contains(char::is_alphanumeric))
    })
}

pub(super) fn has_postscript(text: &str, mark: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim().is_empty()).skip(1);
    lines
        .filter_map(|line| line.trim_start_matches(|c: char| c.is_whitespace() || "*_".contains(c)).strip_prefix(mark))
        .any(|rest| rest.contains(char::is_alphanumeric))
}

pub(super) fn json_keys(text: &str, names: &[String]) -> Result<(), Miss> {
    let found = json::parse(text.trim())
        .map_err(|error| Miss(format!("{} is not one JSON document: {error}", excerpt(text))))?;
    let Value::Object(fields) = found else {
        return Err(Miss(format!("expected a JSON object, found {}", json::brief(&found))));
    };
    if let Some(missing) = names.iter().find(|name| !fields.contains_key(*name)) {
        return Err(Miss(format!("the JSON object lacks `{missing}`")));
    }
    match fields.keys().find(|name| !names.contains(name)) {
        Some(extra) => Err(Miss(format!("the JSON object has `{extra}`, which was not asked for"))),
        None => Ok(()),
    }
}
