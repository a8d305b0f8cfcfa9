//! What readers of YAML and JSON say of a fault, in words of somebody who writes a suite.

use super::{SuiteError, nearest};

/// What is said to programmers, and what helps people instead.
const PLAINLY: [(&str, &str); 6] = [
    (", set DuplicateKeyPolicy in Options if acceptable", ""),
    ("cannot deserialize null into string; use Option<String>", "a text is wanted, and there is nothing"),
    ("invalid floating point", "a number is wanted, such as 0.95,"),
    ("invalid u64", "a whole number is wanted, such as 59,"),
    ("invalid u32", "a whole number is wanted, such as 59,"),
    ("invalid u8", "a whole number is wanted, such as 4,"),
];

pub(super) fn yaml_error(file: &str, error: &serde_saphyr::Error) -> SuiteError {
    let line = error.location().map_or(1, |location| location.line());
    let what = match error.without_snippet() {
        serde_saphyr::Error::SerdeUnknownField { field: found, expected, .. }
        | serde_saphyr::Error::SerdeUnknownVariant { variant: found, expected, .. } => {
            format!("`{found}` is not known here{}", nearest(found, expected.iter().copied()))
        }
        other => PLAINLY.iter().fold(other.to_string(), |said, (theirs, ours)| said.replace(theirs, ours)),
    };
    SuiteError::Invalid { file: file.to_owned(), line, what }
}

/// Of one line that is to be one JSON object.
pub(super) fn json_fault(line: &str, error: &serde_json::Error) -> String {
    let said = error.to_string().replace(" at line 1 column", " at column");
    let hint = match () {
        () if !line.trim_start().starts_with('{') => "; each line is one JSON object: `{\"id\": …}`",
        () if error.is_eof() => "; it must end on the line that it begins on",
        () if said.contains("unit variant, expected newtype variant") => {
            "; a check that needs a value is an object: `{\"exact\": \"paid\"}`"
        }
        () if said.contains("newtype variant, expected unit variant") || said.contains("expected unit") => {
            "; a check that needs none is a text: `\"not_empty\"`"
        }
        () if said.starts_with("expected value") => "; a check is an object of one name: write two as two",
        () => "",
    };
    format!("{}{hint}", with_nearest(&said))
}

/// Adds the nearest name to serde's "unknown field `x`, expected one of `y`, `z`".
fn with_nearest(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    match quoted.next().filter(|_| message.starts_with("unknown ")) {
        Some(found) => format!("{message}{}", nearest(found, quoted)),
        None => message.to_owned(),
    }
}
