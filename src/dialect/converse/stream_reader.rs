//! The events of a ConverseStream → [`Event`]s. The hot path: borrows, and looks at every event once.
//!
//! The finish reason comes with `messageStop`, the usage after it, with `metadata`: that is the last event. An exception is an
//! event of its own name.

use backstop_models::chat::{Delta, Event};
use serde::Deserialize;

use super::{UsageIn, read_stop};
use crate::dialect::{ReadError, Wire, counts, ids, object::Text, sse};

/// Follows one stream.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Reader {
    done: bool,
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    /// The content block's index.
    block: u32,
    /// Whether any of its input has come.
    has_input: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    #[serde(default)]
    content_block_index: u32,
    #[serde(borrow)]
    start: Option<Start<'a>>,
    #[serde(borrow)]
    delta: Option<DeltaIn<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

/// One of these is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeltaIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<Input<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<ReasoningDelta<'a>>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    input: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ReasoningDelta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

impl Reader {
    pub(in crate::dialect) fn done(&self) -> bool {
        self.done
    }

    pub(in crate::dialect) fn read(&mut self, frame: &sse::Event<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        let name = frame.event.unwrap_or_default();
        if name == "error" || name.ends_with("Exception") {
            let name = Some(name).filter(|name| *name != "error");
            return Err(ReadError::named_error(Wire::BedrockConverse, name, frame.data.as_bytes()));
        }
        if frame.keep_alive || frame.data.trim().is_empty() {
            return Ok(());
        }
        let read: Frame<'_> = serde_json::from_str(&frame.data).map_err(|error| ReadError::syntax(&error))?;
        match name {
            "messageStart" => out.push(Event::Start { id: None, model: None }),
            "contentBlockStart" => {
                if let Some(ToolUse { tool_use_id, name }) = read.start.and_then(|start| start.tool_use) {
                    let index = self.calls.len() as u32;
                    self.calls.push(Call { block: read.content_block_index, has_input: false });
                    let id = ids::decode(&tool_use_id.0).into_owned();
                    out.push(Event::Delta(Delta::ToolCall { index, id, name: name.0.into_owned() }));
                }
            }
            "contentBlockDelta" => {
                if let Some(delta) = read.delta {
                    self.delta(read.content_block_index, delta, out);
                }
            }
            "contentBlockStop" => self.close(read.content_block_index, out),
            "messageStop" => {
                if let Some(reason) = read.stop_reason {
                    out.push(Event::Finish(read_stop(&reason.0)?));
                }
            }
            "metadata" => {
                out.extend(read.usage.map(|usage| Event::Usage(usage.read())));
                self.done = true;
            }
            // What comes later.
            _ => {}
        }
        Ok(())
    }

    fn delta(&mut self, block: u32, delta: DeltaIn<'_>, out: &mut Vec<Event>) {
        push(delta.text, Delta::Text, out);
        if let Some(ReasoningDelta { text, signature }) = delta.reasoning_content {
            push(text, Delta::Reasoning, out);
            push(signature, Delta::ReasoningSignature, out);
        }
        let input = delta.tool_use.and_then(|call| call.input).filter(|input| !input.0.is_empty());
        let Some(Text(fragment)) = input else { return };
        // Not ours: a tool that the vendor itself runs.
        let Some(call) = self.calls.iter().position(|call| call.block == block) else { return };
        self.calls[call].has_input = true;
        out.push(Event::Delta(Delta::Arguments { index: call as u32, fragment: fragment.into_owned() }));
    }

    /// Nothing is sent for an empty input; elsewhere arguments are JSON or they are broken.
    fn close(&mut self, block: u32, out: &mut Vec<Event>) {
        let Some(call) = self.calls.iter().position(|call| call.block == block && !call.has_input) else { return };
        self.calls[call].has_input = true;
        out.push(Event::Delta(Delta::Arguments { index: call as u32, fragment: "{}".into() }));
    }
}

fn push(text: Option<Text<'_>>, make: fn(String) -> Delta, out: &mut Vec<Event>) {
    if let Some(Text(text)) = text
        && !text.is_empty()
    {
        out.push(Event::Delta(make(text.into_owned())));
    }
}
