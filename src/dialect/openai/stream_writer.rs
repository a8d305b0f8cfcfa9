//! [`Event`]s → the chunks of a streamed chat completion.
//!
//! What all chunks have in common is written once, at the start; a text chunk is then two copies and one escaped string.

use std::io::Write as _;

use backstop_models::chat::{Delta, Event, Finish, Usage};
use serde::Serialize;

use super::{UsageOut, finish_reason};
use crate::dialect::Reply;

/// Writes one stream.
#[derive(Debug)]
pub(in crate::dialect) struct Writer {
    /// Up to and with `"choices":`.
    head: Vec<u8>,
    include_usage: bool,
    begun: bool,
    finish: Option<Finish>,
    usage: Usage,
}

#[derive(Serialize)]
struct Opening<'a> {
    index: u32,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: OpeningFunction<'a>,
}

#[derive(Serialize)]
struct OpeningFunction<'a> {
    name: &'a str,
    arguments: &'static str,
}

impl Writer {
    pub(in crate::dialect) fn new(reply: &Reply<'_>, include_usage: bool) -> Self {
        let mut head = b"data: {\"id\":".to_vec();
        write_json(&mut head, &reply.id_after("chatcmpl-"));
        head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        write_json(&mut head, &reply.created_unix_s);
        head.extend_from_slice(b",\"model\":");
        write_json(&mut head, &reply.model);
        head.extend_from_slice(b",\"choices\":");
        Self { head, include_usage, begun: false, finish: None, usage: Usage::default() }
    }

    pub(in crate::dialect) fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { .. } => {}
            Event::Delta(delta) => self.write_delta(delta, out),
            Event::Usage(usage) => self.usage.merge(*usage),
            Event::Finish(finish) => self.finish = Some(finish.clone()),
        }
    }

    /// The last chunks. `false` when the answer has no end: then nothing was written.
    pub(in crate::dialect) fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(finish) = self.finish.take() else { return false };
        self.begin(out);
        self.chunk(out, |out| {
            out.extend_from_slice(b"[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":");
            write_json(out, &finish_reason(&finish));
            out.extend_from_slice(b"}]");
        });
        if let (true, Some(usage)) = (self.include_usage, UsageOut::of(&self.usage)) {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b"[],\"usage\":");
            write_json(out, &usage);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        true
    }

    fn write_delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            // See `LEFT_BEHIND`.
            Delta::Reasoning(_) | Delta::ReasoningSignature(_) => {}
            Delta::Text(text) => self.field(out, "content", text),
            Delta::Refusal(text) => self.field(out, "refusal", text),
            Delta::ToolCall { index, id, name } => {
                let function = OpeningFunction { name, arguments: "" };
                self.field(out, "tool_calls", &[Opening { index: *index, id, kind: "function", function }]);
            }
            Delta::Arguments { index, fragment } => {
                self.begin(out);
                self.delta(out, |out| {
                    write!(out, "{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":")
                        .expect("a vector takes all that fits into memory");
                    write_json(out, fragment);
                    out.extend_from_slice(b"}}]}");
                });
            }
        }
    }

    /// A chunk whose delta has this one field.
    fn field<T: Serialize + ?Sized>(&mut self, out: &mut Vec<u8>, name: &str, value: &T) {
        self.begin(out);
        self.delta(out, |out| {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            write_json(out, value);
            out.push(b'}');
        });
    }

    /// The role, as a chunk of its own before the first other.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            self.delta(out, |out| out.extend_from_slice(b"{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"));
        }
    }

    fn delta(&self, out: &mut Vec<u8>, delta: impl FnOnce(&mut Vec<u8>)) {
        self.chunk(out, |out| {
            out.extend_from_slice(b"[{\"index\":0,\"delta\":");
            delta(out);
            out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":null}]");
        });
    }

    fn chunk(&self, out: &mut Vec<u8>, choices: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.head);
        choices(out);
        if self.include_usage {
            out.extend_from_slice(b",\"usage\":null");
        }
        out.extend_from_slice(b"}\n\n");
    }
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("text and numbers are always JSON, and a vector takes them");
}
