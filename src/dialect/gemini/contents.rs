//! [`Message`]s → the system instruction and the contents of a `generateContent` request.
//!
//! Adjacent messages of one side become one content; the results of a model's calls are a content of their own, in the order
//! of the calls, because Gemini pairs them by place where it gave no ids. System messages go to the system instruction
//! wherever they stood. Names in refusals are those that both callers' dialects have, and OpenAI's where they differ.

use std::{borrow::Cow, collections::HashMap};

use backstop_models::chat::{Image, Message, Part, Role, ToolCall, ToolResult};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::dialect::{BadRequest, call_id};

/// The images that Gemini takes, by the ends of their names. <https://ai.google.dev/gemini-api/docs/image-understanding>
const MEDIA_TYPES: [(&str, &str); 6] = [
    (".png", "image/png"),
    (".jpg", "image/jpeg"),
    (".jpeg", "image/jpeg"),
    (".webp", "image/webp"),
    (".heic", "image/heic"),
    (".heif", "image/heif"),
];

/// What Google documents for calls of another model in the history, which have no signature to bring.
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>
const UNSIGNED: &str = "skip_thought_signature_validator";

/// A conversation as Gemini wants it.
#[derive(Default)]
pub(super) struct Contents<'a> {
    pub(super) system: Vec<PartOut<'a>>,
    pub(super) contents: Vec<Content<'a>>,
    /// The calls so far, by their ids: the function's name, and the place among all calls.
    calls: HashMap<&'a str, (&'a str, usize)>,
}

#[derive(Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip)]
    side: Side,
    role: &'static str,
    parts: Vec<PartOut<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    User,
    Model,
    /// Results of functions, which are the user's too.
    Function,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<File<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<CallOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<ResponseOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<Cow<'a, str>>,
    /// The place of the call that a function's response answers.
    #[serde(skip)]
    answers: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    mime_type: &'static str,
    file_uri: &'a str,
}

#[derive(Serialize)]
struct CallOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Serialize)]
struct ResponseOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    name: &'a str,
    response: Response,
}

/// Gemini wants an object, and documents these two fields.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Response {
    Output(String),
    Error(String),
}

impl<'a> Contents<'a> {
    pub(super) fn of(messages: &'a [Message]) -> Result<Self, BadRequest> {
        let mut contents = Self::default();
        for (index, message) in messages.iter().enumerate() {
            if message.name.is_some() {
                let path = format!("messages[{index}].name");
                return Err(BadRequest::unsupported(path, "its messages have no names"));
            }
            contents.add(index, message)?;
        }
        if contents.contents.is_empty() {
            let why = "must have at least one message that is not a system message";
            return Err(BadRequest::invalid("messages".into(), why));
        }
        for content in &mut contents.contents {
            content.parts.sort_by_key(|part| part.answers);
        }
        Ok(contents)
    }

    /// Marks the first call of each of the model's contents that has no signature as one of another model.
    pub(super) fn excuse_unsigned_calls(&mut self) {
        for content in &mut self.contents {
            let first = content.parts.iter_mut().find(|part| part.function_call.is_some());
            if let Some(part) = first
                && part.thought_signature.is_none()
            {
                part.thought_signature = Some(Cow::Borrowed(UNSIGNED));
            }
        }
    }

    fn add(&mut self, index: usize, message: &'a Message) -> Result<(), BadRequest> {
        let before = self.contents.len();
        let mut calls = 0;
        for (at, part) in message.content.iter().enumerate() {
            let place = || format!("messages[{index}].content[{at}]");
            match (part, message.role) {
                (Part::Text(text), Role::System) => self.system.extend(text_part(text)),
                (Part::Text(text) | Part::Refusal(text), Role::User | Role::Assistant) => {
                    let side = if message.role == Role::User { Side::User } else { Side::Model };
                    if let Some(part) = text_part(text) {
                        self.push(side, part);
                    }
                }
                (Part::Image(image), Role::User) => self.push(Side::User, image_part(image, place)?),
                (Part::ToolCall(call), Role::Assistant) => {
                    let path = || format!("messages[{index}].tool_calls[{calls}].function.arguments");
                    let part = call_part(call, path)?;
                    let place = self.calls.len();
                    self.calls.insert(&call.id, (&call.name, place));
                    self.push(Side::Model, part);
                    calls += 1;
                }
                (Part::ToolResult(result), Role::Tool | Role::User) => {
                    let part = self.result_part(index, result, place)?;
                    self.push(Side::Function, part);
                }
                // Its signature, where it matters, is in the calls' ids.
                (Part::Reasoning(_), Role::Assistant) => {}
                _ => return Err(BadRequest::unsupported(place(), "a message of that role cannot have such a part")),
            }
        }
        let silent = message.role == Role::User && message.content.iter().all(is_blank);
        if silent && self.contents.len() == before {
            return Err(BadRequest::invalid(format!("messages[{index}].content"), "must not be empty"));
        }
        Ok(())
    }

    fn push(&mut self, side: Side, part: PartOut<'a>) {
        match self.contents.last_mut() {
            Some(last) if last.side == side => last.parts.push(part),
            _ => {
                let role = if side == Side::Model { "model" } else { "user" };
                self.contents.push(Content { side, role, parts: vec![part] });
            }
        }
    }

    fn result_part(
        &self,
        index: usize,
        result: &'a ToolResult,
        place: impl FnOnce() -> String,
    ) -> Result<PartOut<'a>, BadRequest> {
        let Some((name, answers)) = self.calls.get(result.call_id.as_str()) else {
            let path = format!("messages[{index}].tool_call_id");
            return Err(BadRequest::invalid(path, "answers no tool call that came before it"));
        };
        let mut text = String::new();
        for part in &result.content {
            let Part::Text(more) = part else {
                return Err(BadRequest::unsupported(place(), "a tool's result can only be text there"));
            };
            text.push_str(more);
        }
        let response = if result.is_error { Response::Error(text) } else { Response::Output(text) };
        let id = call_id::read(&result.call_id).id;
        let function_response = Some(ResponseOut { id, name, response });
        Ok(PartOut { function_response, answers: *answers, ..PartOut::default() })
    }
}

/// Gemini refuses parts without a text in them.
fn text_part(text: &str) -> Option<PartOut<'_>> {
    (!text.is_empty()).then(|| PartOut { text: Some(text), ..PartOut::default() })
}

fn is_blank(part: &Part) -> bool {
    matches!(part, Part::Text(text) if text.is_empty())
}

fn call_part(call: &ToolCall, path: impl FnOnce() -> String) -> Result<PartOut<'_>, BadRequest> {
    let arguments = match call.arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    let args = serde_json::from_str::<&RawValue>(arguments).ok().filter(|_| arguments.starts_with('{'));
    let Some(args) = args else {
        return Err(BadRequest::unsupported(path(), "arguments can only be a JSON object there"));
    };
    let carried = call_id::read(&call.id);
    Ok(PartOut {
        function_call: Some(CallOut { id: carried.id, name: &call.name, args }),
        thought_signature: carried.signature.map(Cow::Owned),
        ..PartOut::default()
    })
}

fn image_part(image: &Image, place: impl FnOnce() -> String) -> Result<PartOut<'_>, BadRequest> {
    let refuse = |why: &str| Err(BadRequest::unsupported(format!("{}.image_url.url", place()), why));
    match image {
        Image::Inline { media_type, data, .. } => {
            if !MEDIA_TYPES.iter().any(|(_, known)| known == media_type) {
                return refuse("it takes PNG, JPEG, WebP, HEIC and HEIF images");
            }
            Ok(PartOut { inline_data: Some(Blob { mime_type: media_type, data }), ..PartOut::default() })
        }
        Image::Url { url, .. } => {
            let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
            let Some((_, mime_type)) = MEDIA_TYPES.iter().find(|(end, _)| path.ends_with(end)) else {
                return refuse("it must be told an image's type, and the URL does not end in one; send a `data:` URL");
            };
            Ok(PartOut { file_data: Some(File { mime_type, file_uri: url }), ..PartOut::default() })
        }
    }
}
