//! An answer's `content`: a string, or the list of parts that Mistral's reasoning models send, thinking among them.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use crate::dialect::object::Text;

#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    /// Borrowed where it stands as it is.
    pub(super) text: Cow<'a, str>,
    pub(super) thinking: String,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Vec<Thought<'a>>>,
}

#[derive(Deserialize)]
struct Thought<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of parts")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content { text: Cow::Borrowed(text), ..Content::default() })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content { text: Cow::Owned(text.to_owned()), ..Content::default() })
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut parts: S) -> Result<Self::Value, S::Error> {
                let (mut joined, mut thinking) = (String::new(), String::new());
                while let Some(part) = parts.next_element::<Part<'de>>()? {
                    joined.push_str(part.text.as_ref().map_or("", |text| &text.0));
                    let thoughts = part.thinking.into_iter().flatten().filter_map(|thought| thought.text);
                    thoughts.for_each(|text| thinking.push_str(&text.0));
                }
                Ok(Content { text: Cow::Owned(joined), thinking })
            }
        }

        deserializer.deserialize_any(Read)
    }
}
