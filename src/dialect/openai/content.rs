//! An answer's `content`: a string, or the list of parts that Mistral's reasoning models send.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use crate::dialect::object::Text;

/// The text of it, borrowed where it stands as it is.
#[derive(Debug)]
pub(super) struct Content<'a>(pub(super) Cow<'a, str>);

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of parts")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut parts: S) -> Result<Self::Value, S::Error> {
                let mut joined = String::new();
                while let Some(part) = parts.next_element::<Part<'de>>()? {
                    if let Some(text) = part.text {
                        joined.push_str(&text.0);
                    }
                }
                Ok(Cow::Owned(joined))
            }
        }

        deserializer.deserialize_any(Read).map(Content)
    }
}
