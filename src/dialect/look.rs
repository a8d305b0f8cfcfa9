//! Looks through a JSON value without keeping any of it: its shape, how many items it has, whether a message shows an image.
//!
//! Goes through values of any kind; what is wrong in them is for others to say. Depth is bounded by the parser (128).

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use super::object::Text;

/// Where in a body the value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The list of messages.
    Messages,
    Message,
    /// A message's or a tool result's `content`.
    Content,
    /// One part of a content.
    Part,
    /// The `type` of a part.
    PartType,
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Null,
    List,
    Map,
    Text,
    /// A number or a boolean.
    Scalar,
}

/// What was seen of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) shape: Shape,
    /// Of a list.
    pub(super) items: usize,
    pub(super) images: bool,
}

/// Looks at the next value, which stands at this level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look(pub(super) Level);

impl Seen {
    const SCALAR: Self = Self { shape: Shape::Scalar, items: 0, images: false };
}

impl<'de> DeserializeSeed<'de> for Look {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Seen, E> {
        Ok(Seen::SCALAR)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::SCALAR)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Seen, E> {
        Ok(Seen::SCALAR)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::SCALAR)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Seen, E> {
        let images = self.0 == Level::PartType && matches!(text, "image" | "image_url" | "input_image");
        Ok(Seen { shape: Shape::Text, images, ..Seen::SCALAR })
    }

    fn visit_unit<E: Error>(self) -> Result<Seen, E> {
        Ok(Seen { shape: Shape::Null, ..Seen::SCALAR })
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Seen, S::Error> {
        let each = match self.0 {
            Level::Messages => Level::Message,
            Level::Content => Level::Part,
            _ => Level::Any,
        };
        let mut seen = Seen { shape: Shape::List, items: 0, images: false };
        while let Some(item) = list.next_element_seed(Look(each))? {
            seen.items += 1;
            seen.images |= item.images;
        }
        Ok(seen)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Seen, M::Error> {
        let mut seen = Seen { shape: Shape::Map, items: 0, images: false };
        while let Some(Text(name)) = map.next_key()? {
            let level = match (self.0, name.as_ref()) {
                (Level::Message | Level::Part, "content") | (Level::Message, "output") => Level::Content,
                (Level::Part, "type") => Level::PartType,
                _ => Level::Any,
            };
            seen.images |= map.next_value_seed(Look(level))?.images;
        }
        Ok(seen)
    }
}
