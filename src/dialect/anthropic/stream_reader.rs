//! The events of a streamed message → [`Event`]s. The hot path: borrows, and looks at every frame once.

use backstop_models::chat::{Delta, Event};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{UsageIn, read_stop};
use crate::dialect::{ReadError, Wire, counts, ids, object::Text, sse};

/// Follows one stream.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Reader {
    done: bool,
    calls: Vec<Call>,
    /// What the stream has said so far: the last word on tokens comes in pieces.
    usage: UsageIn,
}

#[derive(Debug)]
struct Call {
    /// The content block's index.
    block: u32,
    /// Whether any of its input has come.
    has_input: bool,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    message: Option<Start<'a>>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    #[serde(borrow)]
    delta: Option<DeltaIn<'a>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// A content block's delta by its `type`, or the message's.
#[derive(Deserialize)]
struct DeltaIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    partial_json: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    stop_sequence: Option<Text<'a>>,
}

impl Reader {
    pub(in crate::dialect) fn done(&self) -> bool {
        self.done
    }

    pub(in crate::dialect) fn read(&mut self, frame: &sse::Event<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        if frame.keep_alive || frame.data.trim().is_empty() {
            return Ok(());
        }
        if frame.event == Some("error") {
            return Err(ReadError::error_object(Wire::AnthropicMessages, frame.data.as_bytes()));
        }
        let read: Frame<'_> = serde_json::from_str(&frame.data).map_err(|error| ReadError::syntax(&error))?;
        let kind = read.kind.as_ref().map(|kind| kind.0.as_ref()).or(frame.event).unwrap_or_default();
        match kind {
            "message_start" => self.start(read.message, out),
            "content_block_start" => {
                if let Some(block) = read.content_block {
                    self.open(read.index, block, out)?;
                }
            }
            "content_block_delta" => {
                if let Some(delta) = read.delta {
                    self.delta(read.index, delta, out);
                }
            }
            "content_block_stop" => self.close(read.index, out),
            "message_delta" => self.message_delta(read.delta, read.usage, out),
            "message_stop" => self.done = true,
            "error" => return Err(ReadError::error_object(Wire::AnthropicMessages, frame.data.as_bytes())),
            // `ping`, and what comes later.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, message: Option<Start<'_>>, out: &mut Vec<Event>) {
        let Some(Start { id, model, usage }) = message else { return };
        let owned = |text: Text<'_>| text.0.into_owned();
        out.push(Event::Start { id: id.map(owned), model: model.map(owned) });
        self.usage(usage, out);
    }

    fn open(&mut self, index: u32, block: Block<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        match block.kind.0.as_ref() {
            "text" => push(block.text, Delta::Text, out),
            "thinking" => push(block.thinking, Delta::Reasoning, out),
            "tool_use" => {
                let (Some(id), Some(name)) = (block.id, block.name) else {
                    return Err(ReadError::Malformed { why: "a tool call begins without an id or a name".into() });
                };
                let call = self.calls.len() as u32;
                let id = ids::decode(&id.0).into_owned();
                out.push(Event::Delta(Delta::ToolCall { index: call, id, name: name.0.into_owned() }));
                let input = block.input.map(RawValue::get).filter(|input| !matches!(*input, "{}" | "null"));
                self.calls.push(Call { block: index, has_input: input.is_some() });
                if let Some(input) = input {
                    out.push(Event::Delta(Delta::Arguments { index: call, fragment: input.to_owned() }));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn delta(&mut self, index: u32, delta: DeltaIn<'_>, out: &mut Vec<Event>) {
        push(delta.text, Delta::Text, out);
        push(delta.thinking, Delta::Reasoning, out);
        push(delta.signature, Delta::ReasoningSignature, out);
        let Some(Text(fragment)) = delta.partial_json.filter(|json| !json.0.is_empty()) else { return };
        // Not ours: a tool that the vendor itself runs.
        let Some(call) = self.calls.iter().position(|call| call.block == index) else { return };
        self.calls[call].has_input = true;
        out.push(Event::Delta(Delta::Arguments { index: call as u32, fragment: fragment.into_owned() }));
    }

    /// Anthropic sends nothing for an empty input; elsewhere arguments are JSON or they are broken.
    fn close(&mut self, index: u32, out: &mut Vec<Event>) {
        let Some(call) = self.calls.iter().position(|call| call.block == index && !call.has_input) else { return };
        self.calls[call].has_input = true;
        out.push(Event::Delta(Delta::Arguments { index: call as u32, fragment: "{}".into() }));
    }

    fn message_delta(&mut self, delta: Option<DeltaIn<'_>>, usage: Option<UsageIn>, out: &mut Vec<Event>) {
        self.usage(usage, out);
        let Some(delta) = delta else { return };
        if let Some(reason) = delta.stop_reason {
            let sequence = delta.stop_sequence.map(|text| text.0.into_owned());
            out.push(Event::Finish(read_stop(&reason.0, sequence)));
        }
    }

    fn usage(&mut self, usage: Option<UsageIn>, out: &mut Vec<Event>) {
        if let Some(usage) = usage {
            self.usage.merge(usage);
            out.push(Event::Usage(self.usage.read()));
        }
    }
}

fn push(text: Option<Text<'_>>, make: fn(String) -> Delta, out: &mut Vec<Event>) {
    if let Some(Text(text)) = text
        && !text.is_empty()
    {
        out.push(Event::Delta(make(text.into_owned())));
    }
}
