//! [`Message`]s → the system prompt and the alternating turns of a messages request.
//!
//! Adjacent messages of one side become one turn, tool results are the user's, system messages go to the system prompt
//! wherever they stood. Names in refusals are OpenAI's: that is who asks.

use std::borrow::Cow;

use backstop_models::chat::{Image, Message, Part, Role, ToolCall, ToolResult};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::dialect::{BadRequest, call_id, ids};

/// The images that Anthropic takes inline.
const MEDIA_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// A conversation as Anthropic wants it.
#[derive(Default)]
pub(in crate::dialect) struct Turns<'a> {
    pub(in crate::dialect) system: Vec<Block<'a>>,
    pub(in crate::dialect) turns: Vec<Turn<'a>>,
}

#[derive(Serialize)]
pub(in crate::dialect) struct Turn<'a> {
    pub(in crate::dialect) role: &'static str,
    #[serde(serialize_with = "write_content")]
    pub(in crate::dialect) content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::dialect) enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write_content")]
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::dialect) enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
}

/// One text is written as a string.
pub(super) fn write_content<S: serde::Serializer>(blocks: &[Block<'_>], to: S) -> Result<S::Ok, S::Error> {
    match blocks {
        [Block::Text { text }] => text.serialize(to),
        _ => blocks.serialize(to),
    }
}

impl<'a> Turns<'a> {
    pub(in crate::dialect) fn of(messages: &'a [Message]) -> Result<Self, BadRequest> {
        let mut turns = Self::default();
        for (index, message) in messages.iter().enumerate() {
            if message.name.is_some() {
                let path = format!("messages[{index}].name");
                return Err(BadRequest::unsupported(path, "its messages have no names"));
            }
            turns.add(index, message)?;
        }
        if turns.turns.is_empty() {
            let why = "must have at least one message that is not a system message";
            return Err(BadRequest::invalid("messages".into(), why));
        }
        Ok(turns)
    }

    fn add(&mut self, index: usize, message: &'a Message) -> Result<(), BadRequest> {
        let mut blocks = Vec::with_capacity(message.content.len());
        let mut calls = 0;
        for (at, part) in message.content.iter().enumerate() {
            let place = || format!("messages[{index}].content[{at}]");
            match (part, message.role) {
                // Anthropic refuses blocks of white space.
                (Part::Text(text) | Part::Refusal(text), Role::System | Role::User | Role::Assistant) => {
                    blocks.extend(text_block(text));
                }
                (Part::Image(image), Role::User) => blocks.push(Block::Image { source: source(image, &place)? }),
                (Part::ToolCall(call), Role::Assistant) => {
                    let path = || format!("messages[{index}].tool_calls[{calls}].function.arguments");
                    blocks.push(tool_use(call, path)?);
                    calls += 1;
                }
                (Part::ToolResult(result), Role::Tool | Role::User) => blocks.push(tool_result(result, &place)?),
                // Only what Anthropic signed comes back to it.
                (Part::Reasoning(reasoning), Role::Assistant) => {
                    let thinking = &reasoning.text;
                    blocks.extend(
                        reasoning.signature.as_deref().map(|signature| Block::Thinking { thinking, signature }),
                    );
                }
                _ => return Err(BadRequest::unsupported(place(), "a message of that role cannot have such a part")),
            }
        }
        let role = match message.role {
            Role::System => {
                self.system.append(&mut blocks);
                return Ok(());
            }
            Role::Assistant if blocks.is_empty() => return Ok(()),
            Role::Assistant => "assistant",
            Role::User | Role::Tool => "user",
        };
        if blocks.is_empty() {
            return Err(BadRequest::invalid(format!("messages[{index}].content"), "must not be empty"));
        }
        match self.turns.last_mut() {
            Some(last) if last.role == role => last.content.append(&mut blocks),
            _ => self.turns.push(Turn { role, content: blocks }),
        }
        Ok(())
    }
}

fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text { text })
}

fn tool_use(call: &ToolCall, path: impl FnOnce() -> String) -> Result<Block<'_>, BadRequest> {
    let arguments = match call.arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    match serde_json::from_str::<&RawValue>(arguments) {
        Ok(input) if arguments.starts_with('{') => {
            Ok(Block::ToolUse { id: ids::encode(call_id::short(&call.id)), name: &call.name, input })
        }
        _ => Err(BadRequest::unsupported(path(), "arguments can only be a JSON object there")),
    }
}

fn tool_result<'a>(result: &'a ToolResult, place: &dyn Fn() -> String) -> Result<Block<'a>, BadRequest> {
    let mut content = Vec::with_capacity(result.content.len());
    for part in &result.content {
        match part {
            Part::Text(text) => content.extend(text_block(text)),
            Part::Image(image) => content.push(Block::Image { source: source(image, place)? }),
            _ => return Err(BadRequest::unsupported(place(), "a tool's result can only be text and images there")),
        }
    }
    Ok(Block::ToolResult {
        tool_use_id: ids::encode(call_id::short(&result.call_id)),
        content,
        is_error: result.is_error,
    })
}

fn source<'a>(image: &'a Image, place: &dyn Fn() -> String) -> Result<Source<'a>, BadRequest> {
    match image {
        Image::Url { url, .. } => Ok(Source::Url { url }),
        Image::Inline { media_type, data, .. } if MEDIA_TYPES.contains(&media_type.as_str()) => {
            Ok(Source::Base64 { media_type, data })
        }
        Image::Inline { .. } => {
            let path = format!("{}.image_url.url", place());
            Err(BadRequest::unsupported(path, "it takes JPEG, PNG, GIF and WebP images"))
        }
    }
}
