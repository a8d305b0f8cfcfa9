//! A chat answer → [`Answer`]. Lenient: unknown fields are no fault, and content of other kinds is passed over.

use backstop_models::chat::{Answer, Part, Reasoning, ToolCall};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{UsageIn, read_finish};
use crate::dialect::{ReadError, Wire, counts, object::Text};

#[derive(Deserialize)]
struct ChatIn<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    /// An object in an answer, a string in an error.
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
}

#[derive(Deserialize)]
struct MessageIn<'a> {
    #[serde(borrow)]
    content: Option<Vec<ContentIn<'a>>>,
    #[serde(borrow)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct ContentIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

pub(in crate::dialect) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let read: ChatIn<'_> = serde_json::from_slice(body).map_err(|error| ReadError::syntax(&error))?;
    let message = match read.message.map(RawValue::get) {
        Some(message) if message.starts_with('{') => message,
        Some(message) if message.starts_with('"') => return Err(ReadError::error_object(Wire::CohereChat, body)),
        _ => return Err(ReadError::Empty),
    };
    let message: MessageIn<'_> = serde_json::from_str(message).map_err(|error| ReadError::syntax(&error))?;
    let Some(reason) = read.finish_reason else { return Err(ReadError::NoFinish) };
    Ok(Answer {
        id: read.id.map(owned),
        model: None,
        fingerprint: None,
        content: read_message(message)?,
        finish: read_finish(&reason.0)?,
        usage: read.usage.map(UsageIn::read).unwrap_or_default(),
        logprobs: Vec::new(),
    })
}

fn read_message(message: MessageIn<'_>) -> Result<Vec<Part>, ReadError> {
    let filled = |text: Option<Text<'_>>| text.map(owned).filter(|text| !text.is_empty());
    let mut parts = Vec::new();
    for ContentIn { text, thinking } in message.content.into_iter().flatten() {
        parts.extend(filled(thinking).map(|text| Part::Reasoning(Reasoning { text, signature: None })));
        parts.extend(filled(text).map(Part::Text));
    }
    parts.extend(filled(message.tool_plan).map(Part::Text));
    for call in message.tool_calls.into_iter().flatten() {
        let Some(Function { name: Some(name), arguments }) = call.function else {
            return Err(ReadError::Malformed { why: "a tool call has no function or no name".into() });
        };
        let arguments = filled(arguments).unwrap_or_else(|| "{}".into());
        let id = call.id.map(owned).unwrap_or_default();
        parts.push(Part::ToolCall(ToolCall { id, name: owned(name), arguments }));
    }
    Ok(parts)
}

fn owned(text: Text<'_>) -> String {
    text.0.into_owned()
}
