//! A YAML file as a tree of values that know their place, so that every fault can be told with its line.
//!
//! Reading is bounded in bytes, depth, nodes and alias expansion; a hostile file ends in an error, not in a full memory.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::path::{Path, Step};

/// A config file larger than this is not read.
pub(super) const MAX_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Flag(bool),
    Whole(i128),
    Real(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Was a fault, and has been reported as one.
    Withheld,
}

/// One `key: value` of a map, in the order of the file; keys may repeat.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

/// Both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

#[derive(Debug)]
pub(super) struct ParseError {
    pub(super) place: Option<Place>,
    pub(super) message: String,
}

/// Reads `text` as one YAML document.
pub(super) fn parse(text: &str) -> Result<Node, ParseError> {
    if text.len() > MAX_BYTES {
        let message = format!("it is larger than {MAX_BYTES} bytes, the most that a config may have");
        return Err(ParseError { place: None, message });
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
        budget: serde_saphyr::budget! {
            max_depth: 32,
            flow_nesting_limit: 32,
            max_events: 200_000,
            max_nodes: 100_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
            max_documents: 2,
            max_recorded_anchor_events: 200_000,
            max_recorded_anchor_bytes: 4 * MAX_BYTES,
            max_total_scalar_bytes: 4 * MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000, max_replay_stack_depth: 8 },
    };
    match serde_saphyr::from_str_with_options::<Node>(text, options) {
        Ok(node) => Ok(node),
        Err(error) => {
            let message = match error.without_snippet() {
                serde_saphyr::Error::MultipleDocuments { .. } => "it has more than one document".to_owned(),
                other => other.to_string(),
            };
            // The place is told before the message.
            let message = message.split(" at line ").next().unwrap_or_default();
            let place = error.location().and_then(Place::of);
            Err(ParseError { place, message: super::words::cut_at(message, 300) })
        }
    }
}

impl Node {
    /// The value at `path`, or the nearest one above it that exists.
    pub(super) fn place_of(&self, path: &Path) -> Place {
        let mut node = self;
        let mut place = self.place;
        for step in path.steps() {
            match (step, &node.value) {
                (Step::Index(index), Value::List(items)) => match items.get(*index) {
                    Some(item) => (node, place) = (item, item.place),
                    None => return place,
                },
                (Step::Key(key), Value::Map(entries)) => match entries.iter().find(|entry| entry.key == *key) {
                    Some(entry) => (node, place) = (&entry.value, entry.place()),
                    None => return place,
                },
                _ => return place,
            }
        }
        place
    }

    /// Whether there is something at `path`, faulty or not.
    pub(super) fn has(&self, path: &Path) -> bool {
        let mut node = Some(self);
        for step in path.steps() {
            node = match (step, node.map(|node| &node.value)) {
                (Step::Index(index), Some(Value::List(items))) => items.get(*index),
                (Step::Key(key), Some(Value::Map(_))) => node.and_then(|node| node.get(key)),
                _ => None,
            };
        }
        node.is_some()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// As plain JSON, without the entries that were withheld; an item of a list that was is null.
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null | Value::Withheld => Json::Null,
            Value::Flag(flag) => Json::Bool(*flag),
            Value::Whole(number) => serde_json::Number::from_i128(*number).map_or(Json::Null, Json::Number),
            Value::Real(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => {
                let mut map = serde_json::Map::new();
                for entry in entries.iter().filter(|entry| entry.value.value != Value::Withheld) {
                    // The first of a repeated key counts; the others are reported.
                    map.entry(entry.key.clone()).or_insert_with(|| entry.value.to_json());
                }
                Json::Object(map)
            }
        }
    }
}

impl Entry {
    /// Where people look for this entry: a scalar's own place, the key's for anything that spans lines.
    pub(super) fn place(&self) -> Place {
        match self.value.value {
            Value::Null | Value::List(_) | Value::Map(_) => self.key_place,
            _ => self.value.place,
        }
    }
}

impl Value {
    /// What it is, for people: `a number`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Flag(_) => "true or false",
            Self::Whole(_) => "a whole number",
            Self::Real(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Withheld => "a secret",
        }
    }
}

impl Place {
    fn of(location: serde_saphyr::Location) -> Option<Self> {
        let line = u32::try_from(location.line()).ok().filter(|line| *line > 0)?;
        Some(Self { line, column: u32::try_from(location.column()).ok()? })
    }

    const START: Self = Self { line: 1, column: 1 };
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { place: Place::of(spanned.referenced).unwrap_or(Place::START), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Whole(i128::from(number)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Whole(i128::from(number)))
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Whole(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Real(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Node>()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value: Node = entries.next_value()?;
            let key_place = Place::of(key.referenced).unwrap_or(value.place);
            map.push(Entry { key: key.value, key_place, value });
        }
        Ok(Value::Map(map))
    }
}
