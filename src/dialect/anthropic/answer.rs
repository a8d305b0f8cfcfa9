//! A message ⇄ [`Answer`]. Lenient in: unknown fields are no fault, and blocks of the vendor's own tools are passed over.

use std::borrow::Cow;

use backstop_models::chat::{Answer, Part, Reasoning, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{Held, UsageIn, UsageOut, read_stop, stop_sequence};
use crate::dialect::{ReadError, Reply, Wire, counts, ids, object::Text};

#[derive(Deserialize)]
struct MessageIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Vec<BlockIn<'a>>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    stop_sequence: Option<Text<'a>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BlockIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

pub(in crate::dialect) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let read: MessageIn<'_> = serde_json::from_slice(body).map_err(|error| ReadError::syntax(&error))?;
    if read.error.is_some() || read.kind.is_some_and(|kind| kind.0 == "error") {
        return Err(ReadError::error_object(Wire::AnthropicMessages, body));
    }
    let Some(blocks) = read.content else { return Err(ReadError::Empty) };
    let Some(reason) = read.stop_reason else { return Err(ReadError::NoFinish) };
    let content = blocks.into_iter().filter_map(|block| read_block(block).transpose()).collect::<Result<_, _>>()?;
    Ok(Answer {
        id: read.id.map(owned),
        model: read.model.map(owned),
        fingerprint: None,
        content,
        finish: read_stop(&reason.0, read.stop_sequence.map(owned)),
        usage: read.usage.map(UsageIn::read).unwrap_or_default(),
        logprobs: Vec::new(),
    })
}

fn read_block(block: BlockIn<'_>) -> Result<Option<Part>, ReadError> {
    Ok(match block.kind.0.as_ref() {
        "text" => block.text.map(owned).filter(|text| !text.is_empty()).map(Part::Text),
        "thinking" => Some(Part::Reasoning(Reasoning {
            text: block.thinking.map(owned).unwrap_or_default(),
            signature: block.signature.map(owned),
        })),
        "tool_use" => {
            let (Some(id), Some(name)) = (block.id, block.name) else {
                return Err(ReadError::Malformed { why: "a tool call has no id or no name".into() });
            };
            let arguments = block.input.map_or("{}", RawValue::get).to_owned();
            Some(Part::ToolCall(ToolCall { id: ids::decode(&id.0).into_owned(), name: owned(name), arguments }))
        }
        _ => None,
    })
}

fn owned(text: Text<'_>) -> String {
    text.0.into_owned()
}

#[derive(Serialize)]
struct MessageOut<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<BlockOut<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
    usage: UsageOut,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BlockOut<'a> {
    Text { text: &'a str },
    Thinking { thinking: &'a str, signature: &'a str },
    ToolUse { id: Cow<'a, str>, name: &'a str, input: Box<RawValue> },
}

pub(in crate::dialect) fn write_answer(answer: &Answer, as_: &Reply<'_>) -> Vec<u8> {
    let mut content = Vec::with_capacity(answer.content.len());
    let mut held = Held::default();
    for part in &answer.content {
        match part {
            Part::Text(text) => content.push(BlockOut::Text { text }),
            Part::Refusal(text) => {
                held.refusal = true;
                content.push(BlockOut::Text { text });
            }
            Part::Reasoning(Reasoning { text: thinking, signature: Some(signature) }) => {
                content.push(BlockOut::Thinking { thinking, signature });
            }
            Part::ToolCall(call) => {
                held.calls = true;
                let input = input(&call.arguments);
                content.push(BlockOut::ToolUse { id: ids::encode(&call.id), name: &call.name, input });
            }
            // Unsigned: see `LEFT_BEHIND`.
            Part::Reasoning(_) | Part::Image(_) | Part::ToolResult(_) => {}
        }
    }
    let stop_reason = held.stop_reason(&answer.finish);
    let message = MessageOut {
        id: as_.id_after("msg_"),
        kind: "message",
        role: "assistant",
        model: as_.model,
        content,
        stop_reason,
        stop_sequence: stop_sequence(&answer.finish).filter(|_| stop_reason == "stop_sequence"),
        usage: UsageOut::of(&answer.usage),
    };
    serde_json::to_vec(&message).expect("text, numbers and JSON values are always JSON")
}

/// Anthropic's `input` is an object. What a model wrote that is none is kept as `{"_arguments": "…"}`.
fn input(arguments: &str) -> Box<RawValue> {
    let text = match arguments.trim() {
        "" => "{}",
        text => text,
    };
    match serde_json::from_str::<Box<RawValue>>(text) {
        Ok(input) if text.starts_with('{') => input,
        _ => to_raw_value(&serde_json::json!({ "_arguments": arguments })).expect("text is always JSON"),
    }
}
