//! [`Event`]s → the chunks of a streamed chat completion.
//!
//! What all chunks have in common is written once, at the start; a text chunk is then two copies and one escaped string.

use std::io::Write as _;

use backstop_models::chat::{Delta, Event, Finish, TokenLogprob, Usage};
use serde::Serialize;

use super::{UsageOut, finish_reason, logprobs::Logprobs};
use crate::dialect::Reply;

const TAKES_ALL: &str = "a vector takes all that fits into memory";

/// Writes one stream.
#[derive(Debug)]
pub(in crate::dialect) struct Writer {
    /// Up to and with `"choices":`.
    head: Vec<u8>,
    include_usage: bool,
    /// By choice.
    choices: Vec<Choice>,
    usage: Usage,
}

#[derive(Debug, Default)]
struct Choice {
    begun: bool,
    finish: Option<Finish>,
    /// Of the tokens of the next text.
    logprobs: Vec<TokenLogprob>,
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
        Self { head, include_usage, choices: Vec::new(), usage: Usage::default() }
    }

    pub(in crate::dialect) fn write(&mut self, choice: u32, event: &Event, out: &mut Vec<u8>) {
        if self.choices.len() <= choice as usize {
            self.choices.resize_with(choice as usize + 1, Choice::default);
        }
        match event {
            Event::Start { .. } => {}
            Event::Delta(delta) => self.write_delta(choice, delta, out),
            Event::Usage(usage) => self.usage.merge(*usage),
            Event::Finish(finish) => self.choices[choice as usize].finish = Some(finish.clone()),
        }
    }

    /// The last chunks. `false` when the answer has no end: then nothing was written.
    pub(in crate::dialect) fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        if self.choices.is_empty() || self.choices.iter().any(|choice| choice.finish.is_none()) {
            return false;
        }
        for index in 0..self.choices.len() as u32 {
            self.begin(index, out);
            let Choice { finish, logprobs, .. } = std::mem::take(&mut self.choices[index as usize]);
            self.chunk(out, |out| {
                write!(out, "[{{\"index\":{index},\"delta\":{{}},\"logprobs\":").expect(TAKES_ALL);
                write_json(out, &Logprobs::of(&logprobs));
                out.extend_from_slice(b",\"finish_reason\":");
                write_json(out, &finish.as_ref().map(finish_reason));
                out.extend_from_slice(b"}]");
            });
        }
        if let (true, Some(usage)) = (self.include_usage, UsageOut::of(&self.usage)) {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b"[],\"usage\":");
            write_json(out, &usage);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        true
    }

    fn write_delta(&mut self, choice: u32, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            // See `LEFT_BEHIND`.
            Delta::Reasoning(_) | Delta::ReasoningSignature(_) => {}
            Delta::Logprobs(tokens) => self.choices[choice as usize].logprobs.extend_from_slice(tokens),
            Delta::Text(text) => self.field(choice, out, "content", text),
            Delta::Refusal(text) => self.field(choice, out, "refusal", text),
            Delta::ToolCall { index, id, name } => {
                let function = OpeningFunction { name, arguments: "" };
                self.field(choice, out, "tool_calls", &[Opening { index: *index, id, kind: "function", function }]);
            }
            Delta::Arguments { index, fragment } => {
                self.begin(choice, out);
                self.delta(choice, &[], out, |out| {
                    write!(out, "{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":")
                        .expect(TAKES_ALL);
                    write_json(out, fragment);
                    out.extend_from_slice(b"}}]}");
                });
            }
        }
    }

    /// A chunk whose delta has this one field.
    fn field<T: Serialize + ?Sized>(&mut self, choice: u32, out: &mut Vec<u8>, name: &str, value: &T) {
        self.begin(choice, out);
        let logprobs = std::mem::take(&mut self.choices[choice as usize].logprobs);
        self.delta(choice, &logprobs, out, |out| {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            write_json(out, value);
            out.push(b'}');
        });
    }

    /// The role, as a chunk of its own before the first other.
    fn begin(&mut self, choice: u32, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.choices[choice as usize].begun, true) {
            self.delta(choice, &[], out, |out| {
                out.extend_from_slice(b"{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}")
            });
        }
    }

    fn delta(&self, choice: u32, logprobs: &[TokenLogprob], out: &mut Vec<u8>, delta: impl FnOnce(&mut Vec<u8>)) {
        self.chunk(out, |out| {
            write!(out, "[{{\"index\":{choice},\"delta\":").expect(TAKES_ALL);
            delta(out);
            out.extend_from_slice(b",\"logprobs\":");
            write_json(out, &Logprobs::of(logprobs));
            out.extend_from_slice(b",\"finish_reason\":null}]");
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
