//! Looks through a JSON value without keeping any of it: its shape, how many items it has, what messages show beside texts.
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
    /// Where a part's bytes are.
    Source,
    /// Those bytes, or their address.
    Bytes,
    /// The `type` of that.
    SourceType,
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
    pub(super) images: u64,
    /// Bytes of the body in which images are written.
    pub(super) image_bytes: usize,
    /// Files, documents, films: what is in them is not in the body, or not as text.
    pub(super) files: bool,
    /// A document, which is a file unless its text is in the body.
    document: bool,
    /// Something whose bytes are no text.
    bytes: bool,
}

/// Looks at the next value, which stands at this level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look(pub(super) Level);

impl Seen {
    pub(super) const SCALAR: Self =
        Self { shape: Shape::Scalar, items: 0, images: 0, image_bytes: 0, files: false, document: false, bytes: false };

    fn of(shape: Shape) -> Self {
        Self { shape, ..Self::SCALAR }
    }

    /// Takes over what was seen inside.
    fn see(&mut self, inside: Self) {
        self.images = self.images.saturating_add(inside.images);
        self.image_bytes += inside.image_bytes;
        self.files |= inside.files;
        self.document |= inside.document;
        self.bytes |= inside.bytes;
    }
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
        let mut seen = Seen::of(Shape::Text);
        match (self.0, text) {
            (Level::PartType, "image" | "image_url" | "input_image") => seen.images = 1,
            (Level::PartType, "file" | "input_file" | "video_url" | "input_video") => seen.files = true,
            (Level::PartType, "document") => seen.document = true,
            (Level::SourceType, "base64" | "url" | "file") => seen.bytes = true,
            (Level::Source | Level::Bytes, bytes) => seen.image_bytes = bytes.len(),
            _ => {}
        }
        Ok(seen)
    }

    fn visit_unit<E: Error>(self) -> Result<Seen, E> {
        Ok(Seen::of(Shape::Null))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Seen, S::Error> {
        let each = match self.0 {
            Level::Messages => Level::Message,
            Level::Content => Level::Part,
            _ => Level::Any,
        };
        let mut seen = Seen::of(Shape::List);
        while let Some(item) = list.next_element_seed(Look(each))? {
            seen.items += 1;
            seen.see(item);
        }
        Ok(seen)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Seen, M::Error> {
        let mut seen = Seen::of(Shape::Map);
        while let Some(Text(name)) = map.next_key()? {
            let level = match (self.0, name.as_ref()) {
                (Level::Message | Level::Part, "content") | (Level::Message, "output") => Level::Content,
                (Level::Part, "type") => Level::PartType,
                (Level::Part, "source" | "image_url") => Level::Source,
                (Level::Source, "type") => Level::SourceType,
                (Level::Source, "data" | "url") => Level::Bytes,
                _ => Level::Any,
            };
            seen.see(map.next_value_seed(Look(level))?);
        }
        if self.0 == Level::Part {
            seen.files |= seen.document && seen.bytes;
            (seen.document, seen.bytes) = (false, false);
            if seen.images == 0 {
                seen.image_bytes = 0;
            }
        }
        Ok(seen)
    }
}
