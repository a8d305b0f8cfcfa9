//! Walks a config against its JSON Schema and reports everything that has the wrong shape, with its line.
//!
//! Understands the part of JSON Schema that our own structs give: objects, maps, lists, scalars, enums, `$ref`, nullable.
//! What is faulty is withheld from the tree, so that reading the rest into the structs cannot fail on it.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::{
    Severity,
    finding::Findings,
    path::Path,
    tree::{Entry, Node, Value},
    words,
};

/// Reports and withholds every fault of shape in `node`.
pub(super) fn check(node: &mut Node, schema: &Json, findings: &mut Findings<'_>) {
    let mut walk = Walk { definitions: &schema["$defs"], findings };
    if node.value == Value::Null {
        node.value = Value::Map(Vec::new());
    }
    walk.node(node, schema, &Path::root());
}

struct Walk<'w, 'f> {
    definitions: &'w Json,
    findings: &'w mut Findings<'f>,
}

impl<'w> Walk<'w, '_> {
    fn node(&mut self, node: &mut Node, schema: &'w Json, path: &Path) {
        let schema = self.resolve(schema);
        let choices = choices(schema);
        if !choices.is_empty() {
            return self.choice(node, &choices, path);
        }
        match (expected(schema), &mut node.value) {
            // A list keeps the places of its items: what stood here is read as an entry that says nothing.
            ("object", Value::Withheld) => node.value = Value::Map(Vec::new()),
            (_, Value::Withheld) => {}
            ("object", Value::Map(entries)) => {
                let missing = self.object(entries, schema, path);
                for key in missing {
                    self.findings.add(Severity::Error, Some(node.place), path, (&format!("`{key}` is missing"), ""));
                }
            }
            ("array", Value::List(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, &schema["items"], &path.index(index));
                }
            }
            ("string", Value::Text(_)) | ("boolean", Value::Flag(_)) | ("number", Value::Real(_)) => {}
            ("integer" | "number", Value::Whole(number)) => {
                if let Some(bounds) = out_of_bounds(*number, schema) {
                    self.refuse(node, path, (&format!("expected a whole number {bounds}"), ""));
                }
            }
            (wanted, found) => {
                let message = format!("expected {}, found {}", described(wanted, schema), shown(found));
                let hint = if schema["examples"].is_array() { "" } else { hint(wanted, found) };
                self.refuse(node, path, (&message, hint));
                if wanted == "object" {
                    node.value = Value::Map(Vec::new());
                }
            }
        }
    }

    /// The required keys that are missing.
    fn object(&mut self, entries: &mut [Entry], schema: &'w Json, path: &Path) -> Vec<&'w str> {
        let properties = schema["properties"].as_object();
        let others = &schema["additionalProperties"];
        let mut first_lines: HashMap<String, u32> = HashMap::new();
        for entry in entries.iter_mut() {
            let here = path.key(entry.key.as_str());
            if let Some(line) = first_lines.get(&entry.key) {
                let message = format!("this key is given twice, first on line {line}");
                self.findings.add(Severity::Error, Some(entry.key_place), &here, (&message, "keep one of them"));
                entry.value.value = Value::Withheld;
                continue;
            }
            first_lines.insert(entry.key.clone(), entry.key_place.line);
            let schema = match properties.and_then(|known| known.get(&entry.key)) {
                Some(schema) => schema,
                None if others.is_object() => others,
                None => {
                    let known = properties.into_iter().flat_map(|known| known.keys().map(String::as_str));
                    let help = unknown_key_help(&entry.key, known);
                    self.findings.add(Severity::Error, Some(entry.key_place), &here, ("unknown key", &help));
                    entry.value.value = Value::Withheld;
                    continue;
                }
            };
            if entry.value.value == Value::Null {
                self.nothing(entry, schema, &here);
                continue;
            }
            self.node(&mut entry.value, schema, &here);
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
        required.filter(|key| !first_lines.contains_key(*key)).collect()
    }

    /// `key:` with nothing after it: an empty section where one may be empty, as if it were left out where it may be.
    fn nothing(&mut self, entry: &mut Entry, schema: &'w Json, path: &Path) {
        let optional = schema["anyOf"].is_array() || schema["type"].is_array();
        let inner = self.resolve(schema);
        if expected(inner) == "object" && inner["required"].as_array().is_none_or(Vec::is_empty) {
            entry.value.value = Value::Map(Vec::new());
        } else if !optional {
            self.findings.add(Severity::Error, Some(entry.key_place), path, ("there is nothing here", ""));
            entry.value.value = Value::Withheld;
        }
    }

    fn choice(&mut self, node: &mut Node, choices: &[&str], path: &Path) {
        let message = match &node.value {
            Value::Withheld => return,
            Value::Text(text) if choices.contains(&text.as_str()) => return,
            Value::Text(text) => format!("unknown value `{}`", words::cut(text)),
            found => format!("expected a text, found {}", shown(found)),
        };
        let help = match &node.value {
            Value::Text(text) => words::meant_or_known(text, choices.iter().copied()),
            _ => format!("expected {}", words::one_of(choices.iter().copied())),
        };
        self.refuse(node, path, (&message, &help));
    }

    fn refuse(&mut self, node: &mut Node, path: &Path, words: (&str, &str)) {
        self.findings.add(Severity::Error, Some(node.place), path, words);
        node.value = Value::Withheld;
    }

    /// Follows `$ref`, and takes the alternative that is not null.
    fn resolve(&self, schema: &'w Json) -> &'w Json {
        let mut schema = schema;
        loop {
            if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
                schema = &self.definitions[name];
            } else if let Some(inner) =
                schema["anyOf"].as_array().and_then(|any| any.iter().find(|inner| inner["type"] != "null"))
            {
                schema = inner;
            } else {
                return schema;
            }
        }
    }
}

fn expected(schema: &Json) -> &str {
    let name = match &schema["type"] {
        Json::Array(names) => names.iter().find(|name| *name != "null").and_then(Json::as_str),
        name => name.as_str(),
    };
    name.unwrap_or_default()
}

/// The values of an enum; empty when it is none.
fn choices(schema: &Json) -> Vec<&str> {
    let alternatives = schema["oneOf"].as_array().into_iter().flatten();
    alternatives.flat_map(|one| one["const"].as_str().into_iter().chain(listed(one))).chain(listed(schema)).collect()
}

fn listed(schema: &Json) -> impl Iterator<Item = &str> {
    schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str)
}

fn out_of_bounds(number: i128, schema: &Json) -> Option<String> {
    let (least, most) = match schema["format"].as_str() {
        Some("uint16") => (0, i128::from(u16::MAX)),
        Some("uint32") => (0, i128::from(u32::MAX)),
        Some("uint64" | "uint") => (0, i128::from(i64::MAX)),
        _ => return None,
    };
    (number < least || number > most).then(|| format!("from {least} to {most}"))
}

fn described(wanted: &str, schema: &Json) -> String {
    let name = match wanted {
        "object" => "a map",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a number",
    };
    match schema["examples"][0].as_str() {
        Some(example) => format!("{name} such as `{example}`"),
        None => name.to_owned(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Flag(flag) => format!("`{flag}`"),
        Value::Whole(number) => format!("the number {number}"),
        Value::Real(number) => format!("the number {number}"),
        Value::Text(text) => format!("`{}`", words::cut(text)),
        other => other.kind().to_owned(),
    }
}

fn hint(wanted: &str, found: &Value) -> &'static str {
    match (wanted, found) {
        ("string", Value::Flag(_) | Value::Whole(_) | Value::Real(_)) => "put it in quotes if it is meant as a text",
        ("array", Value::Text(_)) => "write it as `[a, b]`",
        ("integer" | "number", Value::Text(_)) => "write it without quotes or a unit",
        _ => "",
    }
}

fn unknown_key_help<'a>(key: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let plain = key.to_lowercase();
    if ["api_key", "apikey", "key", "token", "password", "auth"].iter().any(|name| plain.ends_with(name)) {
        return "secrets live in the vault, never in this file: `backstop vault set NAME` reads one from standard input"
            .to_owned();
    }
    words::meant_or_known(key, known)
}
