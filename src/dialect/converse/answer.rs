//! A Converse answer → [`Answer`]. Lenient: unknown fields are no fault, and blocks of other kinds are passed over.

use backstop_models::chat::{Answer, Part, Reasoning, ToolCall};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{UsageIn, read_stop};
use crate::dialect::{ReadError, Wire, counts, ids, object::Text};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConverseIn<'a> {
    #[serde(borrow)]
    output: Option<Output<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
    /// What an error has instead.
    #[serde(borrow, alias = "Message")]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Option<MessageIn<'a>>,
}

#[derive(Deserialize)]
struct MessageIn<'a> {
    #[serde(borrow)]
    content: Option<Vec<BlockIn<'a>>>,
}

/// One of these is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<ReasoningContent<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// Absent where the reasoning is redacted: that only its own vendor can read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningContent<'a> {
    #[serde(borrow)]
    reasoning_text: Option<ReasoningText<'a>>,
}

#[derive(Deserialize)]
struct ReasoningText<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

pub(in crate::dialect) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let read: ConverseIn<'_> = serde_json::from_slice(body).map_err(|error| ReadError::syntax(&error))?;
    let content = read.output.and_then(|output| output.message).and_then(|message| message.content);
    let Some(blocks) = content else {
        return Err(match read.message {
            Some(_) => ReadError::error_object(Wire::BedrockConverse, body),
            None => ReadError::Empty,
        });
    };
    let Some(reason) = read.stop_reason else { return Err(ReadError::NoFinish) };
    Ok(Answer {
        id: None,
        model: None,
        fingerprint: None,
        content: blocks.into_iter().filter_map(read_block).collect(),
        finish: read_stop(&reason.0)?,
        usage: read.usage.map(UsageIn::read).unwrap_or_default(),
        logprobs: Vec::new(),
    })
}

fn read_block(block: BlockIn<'_>) -> Option<Part> {
    if let Some(call) = block.tool_use {
        return Some(Part::ToolCall(ToolCall {
            id: ids::decode(&call.tool_use_id.0).into_owned(),
            name: owned(call.name),
            arguments: call.input.map_or("{}", RawValue::get).to_owned(),
        }));
    }
    if let Some(ReasoningText { text, signature }) = block.reasoning_content.and_then(|said| said.reasoning_text) {
        let text = text.map(owned).unwrap_or_default();
        return Some(Part::Reasoning(Reasoning { text, signature: signature.map(owned) }));
    }
    block.text.map(owned).filter(|text| !text.is_empty()).map(Part::Text)
}

fn owned(text: Text<'_>) -> String {
    text.0.into_owned()
}
