//! What the prompt of a body consists of, for whoever counts its tokens: texts, messages around them, images.
//!
//! One pass that borrows, for every dialect alike; made for bodies that were [opened](super::open). What it does not know (ids,
//! signatures, files, sound) is nobody's text; what is wrong with a body is for others to say.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::object::Text;

/// The parts of a prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt<'b> {
    /// Tools and schemas are texts, as they are written.
    pub texts: Vec<Cow<'b, str>>,
    pub messages: u64,
    pub images: u64,
    /// Those of them that are asked to be looked at in low detail.
    pub small_images: u64,
    /// What the caller has given as tokens.
    pub tokens: u64,
}

/// The prompt in `body`: as far as it is JSON.
pub fn prompt(body: &[u8]) -> Prompt<'_> {
    let mut prompt = Prompt::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    // What does not parse was refused when the body was opened.
    let _ = Gather { prompt: &mut prompt, level: Level::Body }.deserialize(&mut deserializer);
    prompt
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Body,
    /// Messages, items, or what is to be embedded.
    Messages,
    Message,
    /// Text, or parts of it.
    Content,
    Part,
    /// The `type` of a part.
    Kind,
    /// An image, a document.
    Media,
    /// How closely an image is looked at.
    Detail,
    /// JSON that the model reads as it is written.
    Json,
    Nothing,
}

impl Level {
    /// Where the value of `name` stands in an object at this level.
    fn field(self, name: &str) -> Self {
        match (self, name) {
            (Self::Body, "messages" | "input") => Self::Messages,
            (Self::Body, "system" | "instructions" | "prompt" | "suffix") => Self::Content,
            (Self::Body, "tools" | "functions" | "response_format" | "output_config" | "text") => Self::Json,
            (Self::Body, _) => Self::Nothing,
            (Self::Media, "detail") => Self::Detail,
            (Self::Media, _) => Self::Nothing,
            (_, "type") => Self::Kind,
            (_, "detail") => Self::Detail,
            (_, "image_url" | "source") => Self::Media,
            (_, "input") => Self::Json,
            (_, "role" | "name" | "content" | "output" | "summary" | "text" | "refusal" | "thinking" | "arguments") => {
                Self::Content
            }
            (_, "tool_calls" | "function" | "function_call" | "title" | "context") => Self::Content,
            _ => Self::Nothing,
        }
    }

    /// Where the items of a list stand.
    fn item(self) -> Self {
        match self {
            Self::Messages | Self::Message => Self::Message,
            Self::Content | Self::Part => Self::Part,
            _ => Self::Nothing,
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Messages | Self::Message | Self::Content | Self::Part)
    }
}

/// Takes what is in the next value.
struct Gather<'p, 'b> {
    prompt: &'p mut Prompt<'b>,
    level: Level,
}

impl<'b> Gather<'_, 'b> {
    fn take(self, text: Cow<'b, str>) {
        match self.level {
            Level::Kind => self.prompt.images += u64::from(matches!(&*text, "image" | "image_url" | "input_image")),
            Level::Detail => self.prompt.small_images += u64::from(text == "low"),
            level if level.is_text() && !text.is_empty() => {
                // A bare input is one message.
                self.prompt.messages += u64::from(level == Level::Messages);
                self.prompt.texts.push(text);
            }
            _ => {}
        }
    }

    /// The number of a token of the vendor's own vocabulary.
    fn take_token(self) {
        self.prompt.tokens += u64::from(self.level.is_text());
    }
}

impl<'b> DeserializeSeed<'b> for Gather<'_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.level {
            Level::Nothing => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ()),
            Level::Json => {
                let raw: &'b RawValue = serde::Deserialize::deserialize(deserializer)?;
                if raw.get() != "null" {
                    self.prompt.texts.push(Cow::Borrowed(raw.get()));
                }
                Ok(())
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'b> Visitor<'b> for Gather<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.take_token();
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'b str) -> Result<(), E> {
        self.take(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.take(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'b>>(self, mut list: S) -> Result<(), S::Error> {
        let level = self.level.item();
        while list.next_element_seed(Gather { prompt: &mut *self.prompt, level })?.is_some() {}
        Ok(())
    }

    fn visit_map<M: MapAccess<'b>>(self, mut map: M) -> Result<(), M::Error> {
        self.prompt.messages += u64::from(matches!(self.level, Level::Messages | Level::Message));
        while let Some(Text(name)) = map.next_key()? {
            map.next_value_seed(Gather { prompt: &mut *self.prompt, level: self.level.field(&name) })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Vec<String> {
        prompt(body.as_bytes()).texts.into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn a_chat_is_its_texts_tools_and_images() {
        let body = r#"{"model":"m","messages":[{"role":"system","content":"Be \"brief\"."},{"role":"user","name":"Ann","content":[
            {"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},
            {"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"look","arguments":"{\"x\":1}"}}]},
            {"role":"tool","tool_call_id":"call_1","content":"a cat"}],"tools":[{"type":"function"}],"user":"u1","max_tokens":5}"#;
        let seen = prompt(body.as_bytes());
        assert_eq!((seen.messages, seen.images, seen.small_images, seen.tokens), (4, 1, 1, 0));
        let expected = [
            "system",
            "Be \"brief\".",
            "user",
            "Ann",
            "What is this?",
            "assistant",
            "look",
            "{\"x\":1}",
            "tool",
            "a cat",
            "[{\"type\":\"function\"}]",
        ];
        assert_eq!(texts(body), expected);
    }

    #[test]
    fn other_dialects_have_the_same_parts_under_other_names() {
        let body = r#"{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
            {"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"r"}]}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"AAAA"},{"type":"tool_use","id":"i","name":"n","input":{"a":[1]}}]}]}"#;
        assert_eq!(texts(body), ["s", "user", "r", "assistant", "t", "n", "{\"a\":[1]}"]);
        assert_eq!(prompt(body.as_bytes()).images, 1);
        let body = r#"{"instructions":"be","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"},
            {"type":"input_image","image_url":"https://x/y.png","detail":"low"}]},{"type":"reasoning","encrypted_content":"AAAA","summary":[]},
            {"type":"function_call_output","call_id":"c","output":"42"}]}"#;
        let seen = prompt(body.as_bytes());
        assert_eq!(texts(body), ["be", "user", "hi", "42"]);
        assert_eq!((seen.messages, seen.images, seen.small_images), (3, 1, 1));
        assert_eq!(prompt(br#"{"input":"hello"}"#).messages, 1);
    }

    #[test]
    fn tokens_that_are_given_as_such_are_counted_and_not_read() {
        for (body, tokens) in [
            (r#"{"input":[1,2,3]}"#, 3),
            (r#"{"input":[[1,2],[3]]}"#, 3),
            (r#"{"prompt":[[1,2],[3,4]],"max_tokens":9}"#, 4),
            (r#"{"messages":[{"role":"user","content":"1"}],"seed":7}"#, 0),
        ] {
            assert_eq!(prompt(body.as_bytes()).tokens, tokens, "{body}");
        }
        assert_eq!(texts(r#"{"input":["a","b"]}"#), ["a", "b"]);
        assert_eq!(prompt(br#"{"messages":[{"content":"cut"#), Prompt { messages: 1, ..Prompt::default() });
    }
}
