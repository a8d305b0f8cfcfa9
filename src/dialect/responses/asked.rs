//! The fields of a request that its response repeats. They are the caller's own words, or what their absence means.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

/// The fields that a response repeats as they were sent.
const REPEATED: [&str; 14] = [
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
    "user",
];

/// What was asked, as a response says it again. Its JSON is on one line, as a frame of a stream needs it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Asked(Map<String, Value>);

impl Asked {
    /// `request` has been read already; an empty one leaves only what absent fields mean.
    pub(super) fn of(request: &[u8]) -> Self {
        let absent = json!({
            "instructions": null, "max_output_tokens": null, "metadata": {}, "parallel_tool_calls": true,
            "reasoning": { "effort": null, "summary": null }, "temperature": null,
            "text": { "format": { "type": "text" } }, "tool_choice": "auto", "tools": [], "top_p": null,
            "truncation": "disabled",
        });
        let Value::Object(mut asked) = absent else { return Self(Map::new()) };
        let said: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(request).unwrap_or_default();
        for name in REPEATED {
            let value = said.get(name).and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
            if let Some(value) = value.filter(|value| !value.is_null()) {
                asked.insert(name.to_owned(), value);
            }
        }
        Self(asked)
    }
}
