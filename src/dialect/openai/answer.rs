//! A chat completion ⇄ [`Answer`]. Lenient in: unknown fields are no fault. Only the first choice is an answer.

use std::borrow::Cow;

use backstop_models::chat::{Answer, Part, Reasoning, ToolCall, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    UsageIn, UsageOut,
    content::Content,
    finish_reason,
    logprobs::Logprobs,
    read_finish, read_service,
    wire::{CallOut, FunctionOut},
};
use crate::dialect::{ReadError, Reply, Wire, counts, object::Text};

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    system_fingerprint: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    /// Old vLLM answers `{"object":"error", …}`.
    #[serde(borrow)]
    object: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: Option<Message<'a>>,
    /// A completion's.
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    /// DeepSeek's and many others'.
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    /// OpenRouter's and newer vLLM's name for it.
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
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
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

pub(in crate::dialect) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let read: Completion<'_> = serde_json::from_slice(body).map_err(|error| ReadError::syntax(&error))?;
    let is_error = read.object.is_some_and(|object| object.0 == "error");
    if read.error.is_some_and(|error| error.get() != "null") || is_error {
        return Err(ReadError::error_object(Wire::OpenaiChat, body));
    }
    let Some(choice) = read.choices.and_then(|choices| choices.into_iter().next()) else {
        return Err(ReadError::Empty);
    };
    let Some(reason) = choice.finish_reason.filter(|reason| !reason.0.is_empty()) else {
        return Err(ReadError::NoFinish);
    };
    Ok(Answer {
        id: read.id.map(owned),
        model: read.model.map(owned),
        fingerprint: read.system_fingerprint.map(owned).filter(|fingerprint| !fingerprint.is_empty()),
        content: match (choice.message, choice.text) {
            (Some(message), _) => read_message(message)?,
            (None, Some(text)) => {
                Some(owned(text)).filter(|text| !text.is_empty()).map(Part::Text).into_iter().collect()
            }
            (None, None) => return Err(ReadError::Malformed { why: "its choice has neither message nor text".into() }),
        },
        finish: read_finish(&reason.0)?,
        usage: Usage { service: read_service(read.service_tier), ..read.usage.map(UsageIn::read).unwrap_or_default() },
        logprobs: Vec::new(),
    })
}

fn read_message(message: Message<'_>) -> Result<Vec<Part>, ReadError> {
    let mut parts = Vec::new();
    let Content { text, thinking } = message.content.unwrap_or_default();
    let reasoning = message.reasoning_content.or(message.reasoning).map_or(thinking, owned);
    parts.extend(
        Some(reasoning)
            .filter(|text| !text.is_empty())
            .map(|text| Part::Reasoning(Reasoning { text, signature: None })),
    );
    parts.extend(Some(text.into_owned()).filter(|text| !text.is_empty()).map(Part::Text));
    parts.extend(message.refusal.map(owned).filter(|text| !text.is_empty()).map(Part::Refusal));
    for call in message.tool_calls.into_iter().flatten() {
        let Some(function) = call.function else {
            return Err(ReadError::Malformed { why: "a tool call has no function".into() });
        };
        let arguments = function.arguments.map(read_arguments).unwrap_or_default();
        let id = call.id.map(owned).unwrap_or_default();
        parts.push(Part::ToolCall(ToolCall { id, name: owned(function.name), arguments }));
    }
    Ok(parts)
}

/// A string of JSON; some servers send the object itself.
fn read_arguments(raw: &RawValue) -> String {
    serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

fn owned(text: Text<'_>) -> String {
    text.0.into_owned()
}

#[derive(Serialize)]
struct CompletionOut<'a> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<ChoiceOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageOut>,
}

#[derive(Serialize)]
struct ChoiceOut<'a> {
    index: u32,
    message: MessageOut<'a>,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct MessageOut<'a> {
    role: &'static str,
    content: Option<Cow<'a, str>>,
    refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallOut<'a>>,
}

pub(in crate::dialect) fn write_answers(answers: &[Answer], usage: &Usage, as_: &Reply<'_>) -> Vec<u8> {
    let completion = CompletionOut {
        id: as_.id_after("chatcmpl-"),
        object: "chat.completion",
        created: as_.created_unix_s,
        model: as_.model,
        choices: (0u32..).zip(answers).map(|(index, answer)| choice(index, answer)).collect(),
        usage: UsageOut::of(usage),
    };
    serde_json::to_vec(&completion).expect("text and numbers are always JSON")
}

fn choice(index: u32, answer: &Answer) -> ChoiceOut<'_> {
    let mut message = MessageOut { role: "assistant", content: None, refusal: None, tool_calls: Vec::new() };
    for part in &answer.content {
        match part {
            Part::Text(text) => append(&mut message.content, text),
            Part::Refusal(text) => append(&mut message.refusal, text),
            Part::ToolCall(call) => message.tool_calls.push(CallOut {
                id: &call.id,
                kind: "function",
                function: FunctionOut { name: &call.name, arguments: &call.arguments },
            }),
            Part::Reasoning(_) | Part::Image(_) | Part::ToolResult(_) => {}
        }
    }
    if message.tool_calls.is_empty() && message.refusal.is_none() {
        message.content.get_or_insert_default();
    }
    ChoiceOut { index, message, logprobs: Logprobs::of(&answer.logprobs), finish_reason: finish_reason(&answer.finish) }
}

fn append<'a>(to: &mut Option<Cow<'a, str>>, text: &'a str) {
    match to {
        None => *to = Some(Cow::Borrowed(text)),
        Some(before) => before.to_mut().push_str(text),
    }
}
