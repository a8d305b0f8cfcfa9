//! Reads JSON objects field by field and knows where it is, so that what is refused is refused by its path.
//!
//! Borrows: a field is the text of its value until someone asks for more. `null` counts as absent. Whatever is still there
//! at [`Object::finish`] is a field that nobody carries, and refused: nothing is dropped in silence.

use std::{borrow::Cow, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::BadRequest;

/// A JSON object of a request.
#[derive(Debug)]
pub(super) struct Object<'a> {
    path: String,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// One value of a request, and where it stands.
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) path: String,
    raw: &'a RawValue,
}

/// A string that is borrowed where it has no escapes.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'a> Object<'a> {
    /// The whole body.
    pub(super) fn root(body: &'a [u8]) -> Result<Self, BadRequest> {
        let raw: &RawValue = serde_json::from_slice(body).map_err(|error| BadRequest::syntax(&error))?;
        Field { path: String::new(), raw }.object()
    }

    /// One to which fields are [pushed](Self::push) as they are found.
    pub(super) fn empty() -> Self {
        Self { path: String::new(), fields: Vec::new() }
    }

    pub(super) fn push(&mut self, name: Cow<'a, str>, raw: &'a RawValue) {
        self.fields.push((name, raw));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// A field that stands twice.
    pub(super) fn repeated(&self) -> Option<String> {
        let twice = |at: usize| self.fields[..at].iter().any(|(name, _)| *name == self.fields[at].0);
        (1..self.fields.len()).find(|at| twice(*at)).map(|at| self.child(&self.fields[at].0))
    }

    /// A field as it stands, null or not.
    pub(super) fn entry(&self, name: &str) -> Option<Field<'a>> {
        let (_, raw) = self.fields.iter().find(|(field, _)| field == name)?;
        Some(Field { path: self.child(name), raw })
    }

    /// Takes a field out; `None` when it is absent or null.
    pub(super) fn take(&mut self, name: &str) -> Option<Field<'a>> {
        let at = self.fields.iter().position(|(field, _)| field == name)?;
        let (_, raw) = self.fields.swap_remove(at);
        (raw.get() != "null").then(|| Field { path: self.child(name), raw })
    }

    pub(super) fn require(&mut self, name: &str) -> Result<Field<'a>, BadRequest> {
        self.take(name).ok_or_else(|| BadRequest::missing(self.child(name)))
    }

    /// The required string `type`, by which a union tells its members apart.
    pub(super) fn tag(&mut self) -> Result<Cow<'a, str>, BadRequest> {
        self.require("type")?.text()
    }

    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, BadRequest> {
        self.take(name).map(Field::string).transpose()
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, BadRequest> {
        self.take(name).map(Field::boolean).transpose()
    }

    /// Leaves advisory fields behind, see [`super::advisory`].
    pub(super) fn leave(&mut self, names: &[&str]) {
        self.fields.retain(|(field, _)| !names.contains(&field.as_ref()));
    }

    /// Refuses what was not taken.
    pub(super) fn finish(self) -> Result<(), BadRequest> {
        match self.fields.iter().find(|(_, raw)| raw.get() != "null") {
            Some((name, _)) => Err(BadRequest::unsupported(self.child(name), "it cannot be carried there")),
            None => Ok(()),
        }
    }

    /// All fields that are not null.
    pub(super) fn into_fields(self) -> Vec<(Cow<'a, str>, Field<'a>)> {
        let Self { path, fields } = self;
        let field = |(name, raw): (Cow<'a, str>, &'a RawValue)| {
            let path = format!("{path}.{name}");
            (name, Field { path, raw })
        };
        fields.into_iter().filter(|(_, raw)| raw.get() != "null").map(field).collect()
    }

    /// The path of a field of this object.
    pub(super) fn child(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl<'a> Field<'a> {
    pub(super) fn is_string(&self) -> bool {
        self.raw.get().starts_with('"')
    }

    /// Where the value stands in `text`, which it must have been read from.
    pub(super) fn range_in(&self, text: &str) -> Range<usize> {
        range_in(self.raw, text)
    }

    /// The value as the caller wrote it.
    pub(super) fn json(&self) -> &'a str {
        self.raw.get()
    }

    pub(super) fn object(self) -> Result<Object<'a>, BadRequest> {
        let fields: Fields<'a> = self.parse("an object")?;
        Ok(Object { path: self.path, fields: fields.0 })
    }

    pub(super) fn list(self) -> Result<Vec<Field<'a>>, BadRequest> {
        let items: Vec<&'a RawValue> = self.parse("an array")?;
        let item = |(index, raw)| Field { path: format!("{}[{index}]", self.path), raw };
        Ok(items.into_iter().enumerate().map(item).collect())
    }

    pub(super) fn text(self) -> Result<Cow<'a, str>, BadRequest> {
        Ok(self.parse::<Text<'a>>("a string")?.0)
    }

    pub(super) fn string(self) -> Result<String, BadRequest> {
        self.text().map(Cow::into_owned)
    }

    pub(super) fn boolean(self) -> Result<bool, BadRequest> {
        self.parse("true or false")
    }

    /// A JSON object, as a schema is one; at most 128 levels deep.
    pub(super) fn object_value(self) -> Result<Value, BadRequest> {
        self.parse::<Map<String, Value>>("an object").map(Value::Object)
    }

    pub(super) fn integer(self) -> Result<i64, BadRequest> {
        self.parse("a whole number")
    }

    /// A whole number from 1.
    pub(super) fn positive(self) -> Result<u32, BadRequest> {
        match self.parse::<u32>("a whole number from 1")? {
            0 => Err(BadRequest::invalid(self.path, "must be at least 1")),
            number => Ok(number),
        }
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(self, low: f64, high: f64) -> Result<f64, BadRequest> {
        let number: f64 = self.parse("a number")?;
        if !(low..=high).contains(&number) {
            return Err(BadRequest::invalid(self.path, &format!("must be from {low} to {high}, not {number}")));
        }
        Ok(number)
    }

    /// A whole number from 0 to `high`.
    pub(super) fn up_to(self, high: u8) -> Result<u8, BadRequest> {
        match self.parse::<u64>("a whole number")? {
            number if number <= u64::from(high) => Ok(number as u8),
            number => Err(BadRequest::invalid(self.path, &format!("must be from 0 to {high}, not {number}"))),
        }
    }

    fn parse<T: Deserialize<'a>>(&self, expected: &str) -> Result<T, BadRequest> {
        serde_json::from_str(self.raw.get()).map_err(|_| {
            let found = match self.raw.get().as_bytes().first() {
                Some(b'"') => "a string",
                Some(b'{') => "an object",
                Some(b'[') => "an array",
                Some(b't' | b'f') => "a boolean",
                Some(b'n') => "null",
                // It says more than its type, which may well be the expected one.
                _ if self.raw.get().len() <= SHOWN => self.raw.get(),
                _ => "a number",
            };
            if found == expected {
                return BadRequest::invalid(self.path.clone(), "cannot be read: broken Unicode, or nested too deeply");
            }
            if self.path.is_empty() {
                return BadRequest::body(format!("the body must be {expected}, not {found}"));
            }
            BadRequest::wrong_type(self.path.clone(), expected, found)
        })
    }
}

/// The longest number that is said as it stands.
const SHOWN: usize = 24;

/// An object's fields in order, repeated ones included.
pub(super) struct Fields<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some((Text(name), raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    fields.push((name, raw));
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Collect).map(Fields)
    }
}

/// Where `raw` stands in `text`, which it must have been read from.
pub(super) fn range_in(raw: &RawValue, text: &str) -> Range<usize> {
    let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
    start..start + raw.get().len()
}
