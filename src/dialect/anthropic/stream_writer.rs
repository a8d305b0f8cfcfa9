//! [`Event`]s → the events of a streamed message.
//!
//! Blocks come one after another, each stopped before the next starts; but a tool call whose arguments are not whole yet
//! stays open while another begins, since OpenAI's dialect lets parallel calls interleave. Reasoning is held back until its
//! signature: without one it cannot be a `thinking` block, see `LEFT_BEHIND`.

use backstop_models::chat::{Delta, Event, Finish, Usage};
use serde::Serialize;

use super::{Held, UsageOut, stop_sequence};
use crate::dialect::{Reply, ids};

/// The most reasoning that is held back, in bytes; more is left behind.
const MAX_HELD: usize = 1 << 20;

/// Writes one stream.
#[derive(Debug)]
pub(in crate::dialect) struct Writer {
    id: String,
    model: String,
    begun: bool,
    /// The index of the next content block.
    next: u32,
    /// The text block that is open.
    text: Option<u32>,
    calls: Vec<Call>,
    reasoning: Reasoning,
    held: Held,
    finish: Option<Finish>,
    usage: Usage,
}

#[derive(Debug)]
struct Call {
    /// The index in [`Delta`]s.
    call: u32,
    block: u32,
    open: bool,
    balance: Balance,
}

/// Reasoning that waits for its signature.
#[derive(Debug, Default)]
struct Reasoning {
    text: String,
    /// More came than is held: a part of it would not fit the signature.
    lost: bool,
}

impl Reasoning {
    fn push(&mut self, more: &str) {
        self.lost |= self.text.len() + more.len() > MAX_HELD;
        if self.lost {
            self.text = String::new();
        } else {
            self.text.push_str(more);
        }
    }
}

/// Tells when a JSON object, read in pieces, is whole.
#[derive(Debug, Default)]
struct Balance {
    depth: usize,
    begun: bool,
    in_string: bool,
    escaped: bool,
}

impl Balance {
    fn push(&mut self, fragment: &str) {
        for byte in fragment.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.depth += 1;
                    self.begun = true;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.begun && self.depth == 0
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame<'a> {
    MessageStart { message: Start<'a> },
    ContentBlockStart { index: u32, content_block: Block<'a> },
    ContentBlockDelta { index: u32, delta: DeltaOut<'a> },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: End<'a>, usage: UsageOut },
    MessageStop,
}

#[derive(Serialize)]
struct Start<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: [(); 0],
    stop_reason: Option<()>,
    stop_sequence: Option<()>,
    usage: UsageOut,
}

#[derive(Serialize)]
struct End<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: &'static str },
    Thinking { thinking: &'static str, signature: &'static str },
    ToolUse { id: &'a str, name: &'a str, input: Empty },
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(tag = "type")]
enum DeltaOut<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

impl Frame<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(self.name().as_bytes());
        out.extend_from_slice(b"\ndata: ");
        serde_json::to_writer(&mut *out, self).expect("text and numbers are always JSON, and a vector takes them");
        out.extend_from_slice(b"\n\n");
    }
}

impl Writer {
    pub(in crate::dialect) fn new(reply: &Reply<'_>) -> Self {
        Self {
            id: reply.id_after("msg_"),
            model: reply.model.to_owned(),
            begun: false,
            next: 0,
            text: None,
            calls: Vec::new(),
            reasoning: Reasoning::default(),
            held: Held::default(),
            finish: None,
            usage: Usage::default(),
        }
    }

    pub(in crate::dialect) fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { .. } => {}
            Event::Delta(delta) => self.write_delta(delta, out),
            Event::Usage(usage) => self.usage.merge(*usage),
            Event::Finish(finish) => self.finish = Some(finish.clone()),
        }
    }

    /// The last frames. `false` when the answer has no end: then nothing was written.
    pub(in crate::dialect) fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(finish) = self.finish.take() else { return false };
        self.begin(out);
        self.close_text(out);
        for call in self.calls.iter_mut().filter(|call| call.open) {
            call.open = false;
            Frame::ContentBlockStop { index: call.block }.write(out);
        }
        let stop_reason = self.held.stop_reason(&finish);
        let stop_sequence = stop_sequence(&finish).filter(|_| stop_reason == "stop_sequence");
        let usage = UsageOut::of(&self.usage);
        Frame::MessageDelta { delta: End { stop_reason, stop_sequence }, usage }.write(out);
        Frame::MessageStop.write(out);
        true
    }

    fn write_delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) => self.write_text(text, out),
            // Nobody can ask for them in this dialect.
            Delta::Logprobs(_) => {}
            Delta::Refusal(text) => {
                self.held.refusal = true;
                self.write_text(text, out);
            }
            Delta::Reasoning(text) => self.reasoning.push(text),
            Delta::ReasoningSignature(signature) => self.write_reasoning(signature, out),
            Delta::ToolCall { index, id, name } => self.open_call(*index, id, name, out),
            Delta::Arguments { index, fragment } => {
                let Some(call) = self.calls.iter_mut().rfind(|call| call.call == *index) else { return };
                call.balance.push(fragment);
                let delta = DeltaOut::InputJson { partial_json: fragment };
                Frame::ContentBlockDelta { index: call.block, delta }.write(out);
            }
        }
    }

    fn write_text(&mut self, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        self.reasoning = Reasoning::default();
        let index = match self.text {
            Some(index) => index,
            None => {
                self.close_whole_calls(out);
                let index = self.open_block(Block::Text { text: "" }, out);
                self.text = Some(index);
                index
            }
        };
        Frame::ContentBlockDelta { index, delta: DeltaOut::Text { text } }.write(out);
    }

    fn write_reasoning(&mut self, signature: &str, out: &mut Vec<u8>) {
        let Reasoning { text: thinking, lost: false } = std::mem::take(&mut self.reasoning) else { return };
        self.close_text(out);
        self.close_whole_calls(out);
        let index = self.open_block(Block::Thinking { thinking: "", signature: "" }, out);
        let delta = DeltaOut::Thinking { thinking: &thinking };
        Frame::ContentBlockDelta { index, delta }.write(out);
        Frame::ContentBlockDelta { index, delta: DeltaOut::Signature { signature } }.write(out);
        Frame::ContentBlockStop { index }.write(out);
    }

    fn open_call(&mut self, call: u32, id: &str, name: &str, out: &mut Vec<u8>) {
        self.held.calls = true;
        self.reasoning = Reasoning::default();
        self.close_text(out);
        self.close_whole_calls(out);
        let block = self.open_block(Block::ToolUse { id: &ids::encode(id), name, input: Empty {} }, out);
        self.calls.push(Call { call, block, open: true, balance: Balance::default() });
    }

    fn open_block(&mut self, content_block: Block<'_>, out: &mut Vec<u8>) -> u32 {
        self.begin(out);
        let index = self.next;
        self.next += 1;
        Frame::ContentBlockStart { index, content_block }.write(out);
        index
    }

    fn close_text(&mut self, out: &mut Vec<u8>) {
        if let Some(index) = self.text.take() {
            Frame::ContentBlockStop { index }.write(out);
        }
    }

    fn close_whole_calls(&mut self, out: &mut Vec<u8>) {
        for call in self.calls.iter_mut().filter(|call| call.open && call.balance.is_whole()) {
            call.open = false;
            Frame::ContentBlockStop { index: call.block }.write(out);
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let message = Start {
            id: &self.id,
            kind: "message",
            role: "assistant",
            model: &self.model,
            content: [],
            stop_reason: None,
            stop_sequence: None,
            usage: UsageOut::of(&self.usage),
        };
        Frame::MessageStart { message }.write(out);
    }
}
