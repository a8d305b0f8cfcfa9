//! One pass over a body: the values that the envelope needs are kept as they lie, all others only looked through.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{MAX_FIELDS, Scan};
use crate::dialect::{
    look::{Level, Look},
    object::{Object, Text},
};

/// The top-level fields whose values the envelope needs.
const WANTED: [&str; 20] = [
    "model",
    "n",
    "best_of",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "user",
    "metadata",
    "response_format",
    "output_config",
    "web_search_options",
    // Of responses:
    "background",
    "conversation",
    "max_output_tokens",
    "max_tool_calls",
    "previous_response_id",
    "prompt",
    "safety_identifier",
    "text",
];

/// Sees a body once, value by value.
pub(super) struct Scanner;

impl<'de> Visitor<'de> for Scanner {
    type Value = Scan<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut scan = Scan { wanted: Object::empty(), messages: None, input: None, tools: None, repeated: None };
        let mut names: Vec<Cow<'de, str>> = Vec::with_capacity(16);
        while let Some(Text(name)) = map.next_key()? {
            if scan.repeated.is_none() && names.contains(&name) {
                scan.repeated = Some(name.clone().into_owned());
            }
            match name.as_ref() {
                "messages" => scan.messages = Some(map.next_value_seed(Look(Level::Messages))?),
                "input" => scan.input = Some(map.next_value_seed(Look(Level::Messages))?),
                "tools" => {
                    let raw: &'de RawValue = map.next_value()?;
                    scan.tools = Some((Look(Level::Any).deserialize(raw).map_err(M::Error::custom)?, raw));
                }
                wanted if WANTED.contains(&wanted) => {
                    let raw: &'de RawValue = map.next_value()?;
                    Look(Level::Any).deserialize(raw).map_err(M::Error::custom)?;
                    scan.wanted.push(name.clone(), raw);
                }
                _ => _ = map.next_value_seed(Look(Level::Any))?,
            }
            if names.len() == MAX_FIELDS {
                return Err(M::Error::custom(format_args!("more than {MAX_FIELDS} fields")));
            }
            names.push(name);
        }
        Ok(scan)
    }
}
