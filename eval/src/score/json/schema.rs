//! Compiles a JSON Schema (2020-12) strictly, and validates with it.
//!
//! Never reads a network or a file: a `$ref` stays within the schema. Formats are asserted, patterns are those of the `regex`
//! crate (linear time). A keyword or format that is not known is an error, since a typo would otherwise check nothing.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use super::leaves::brief;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords whose value is a schema.
const ONE: [&str; 11] = [
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is an object of schemas.
const NAMED: [&str; 5] = ["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];
/// All others.
const PLAIN: [&str; 38] = [
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$ref",
    "$schema",
    "$vocabulary",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

pub(super) fn compile(schema: &Value) -> Result<Validator, String> {
    if let Some(dialect) = schema.get("$schema")
        && dialect.as_str().map(|dialect| dialect.trim_end_matches('#')) != Some(DIALECT)
    {
        return Err(format!("the schema's `$schema` is {dialect}; only JSON Schema 2020-12 is read ({DIALECT})"));
    }
    check_keywords(schema, "")?;
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| format!("the schema is not valid at {}: {error}", place(error.instance_path().as_str())))
}

/// The first thing that does not fit, with its place.
pub(super) fn validate(schema: &Validator, value: &Value) -> Result<(), String> {
    schema.validate(value).map_err(|error| {
        let at = place(error.instance_path().as_str());
        format!("{at}: {}", error.masked_with(brief(error.instance())))
    })
}

fn place(pointer: &str) -> String {
    if pointer.is_empty() { "the top".into() } else { format!("`{pointer}`") }
}

fn check_keywords(schema: &Value, path: &str) -> Result<(), String> {
    let Value::Object(keywords) = schema else {
        return Ok(());
    };
    for (keyword, value) in keywords {
        let here = format!("{path}/{keyword}");
        match (keyword.as_str(), value) {
            (one, _) if ONE.contains(&one) => check_keywords(value, &here)?,
            (list, Value::Array(schemas)) if LIST.contains(&list) => {
                for (index, schema) in schemas.iter().enumerate() {
                    check_keywords(schema, &format!("{here}/{index}"))?;
                }
            }
            (named, Value::Object(schemas)) if NAMED.contains(&named) => {
                for (name, schema) in schemas {
                    check_keywords(schema, &format!("{here}/{name}"))?;
                }
            }
            (known, _) if LIST.contains(&known) || NAMED.contains(&known) || PLAIN.contains(&known) => {}
            (unknown, _) => {
                let hint = nearest(unknown);
                return Err(format!(
                    "the schema has the keyword `{unknown}` at {}, which JSON Schema 2020-12 has not{hint}",
                    place(path)
                ));
            }
        }
    }
    Ok(())
}

fn nearest(unknown: &str) -> String {
    let known = ONE.iter().chain(&LIST).chain(&NAMED).chain(&PLAIN);
    known
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, known)| format!(", did you mean `{known}`?"))
        .unwrap_or_default()
}
