//! Streams of either dialect, in and out.

use backstop_models::chat::Event;

use super::{
    Dialect, Problem, ProblemKind, ReadError, Reply, Wire, anthropic, cohere, converse, gemini, openai,
    problem::write_problem, sse,
};

/// Reads a vendor's stream, frame by frame.
///
/// An OpenAI stream that was asked for usage although its caller did not ask ([`super::Envelope::rewrite`]) has one frame
/// too many for that caller: the one that [`Self::read`] turns into a single [`Event::Usage`] and nothing else.
#[derive(Debug)]
pub struct StreamReader(Reader);

#[derive(Debug)]
enum Reader {
    Openai(openai::Reader),
    Anthropic(anthropic::Reader),
    Gemini(gemini::Reader),
    Converse(converse::Reader),
    Cohere(cohere::Reader),
}

/// Writes a stream for a caller.
///
/// Writes nothing before the first content. What is in `out` after a call is whole frames.
#[derive(Debug)]
pub struct StreamWriter {
    writer: Writer,
    request_id: String,
}

#[derive(Debug)]
enum Writer {
    Openai(openai::Writer),
    Anthropic(anthropic::Writer),
}

impl StreamReader {
    pub fn new(wire: Wire) -> Self {
        Self(match wire {
            Wire::OpenaiChat => Reader::Openai(openai::Reader::default()),
            Wire::AnthropicMessages => Reader::Anthropic(anthropic::Reader::default()),
            Wire::Gemini => Reader::Gemini(gemini::Reader::default()),
            Wire::BedrockConverse => Reader::Converse(converse::Reader::default()),
            Wire::CohereChat => Reader::Cohere(cohere::Reader::default()),
        })
    }

    /// Appends what the frame says to `out`: nothing, for a keep-alive. A stream whose frames ended without an
    /// [`Event::Finish`] is cut off. An error frame is [`ReadError::ErrorObject`].
    pub fn read(&mut self, event: &sse::Event<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        match &mut self.0 {
            Reader::Openai(reader) => reader.read(event, out),
            Reader::Anthropic(reader) => reader.read(event, out),
            Reader::Gemini(reader) => reader.read(event, out),
            Reader::Converse(reader) => reader.read(event, out),
            Reader::Cohere(reader) => reader.read(event, out),
        }
    }

    /// Whether the dialect's own last frame was seen (`[DONE]`, `message_stop`, `metadata`, Gemini's finish reason).
    pub fn done(&self) -> bool {
        match &self.0 {
            Reader::Openai(reader) => reader.done(),
            Reader::Anthropic(reader) => reader.done(),
            Reader::Gemini(reader) => reader.done(),
            Reader::Converse(reader) => reader.done(),
            Reader::Cohere(reader) => reader.done(),
        }
    }
}

impl StreamWriter {
    /// `include_usage` is the caller's wish ([`super::Envelope::include_usage`]); Anthropic's streams always have usage.
    pub fn new(dialect: Dialect, reply: &Reply<'_>, include_usage: bool) -> Self {
        let writer = match dialect {
            Dialect::OpenaiChat => Writer::Openai(openai::Writer::new(reply, include_usage)),
            Dialect::AnthropicMessages => Writer::Anthropic(anthropic::Writer::new(reply)),
        };
        Self { writer, request_id: reply.id.to_owned() }
    }

    pub fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match &mut self.writer {
            Writer::Openai(writer) => writer.write(event, out),
            Writer::Anthropic(writer) => writer.write(event, out),
        }
    }

    /// The stream's end. Without an [`Event::Finish`] before it this is an in-band error: half an answer never ends clean.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let finished = match &mut self.writer {
            Writer::Openai(writer) => writer.finish(out),
            Writer::Anthropic(writer) => writer.finish(out),
        };
        if !finished {
            let message = "the answer was cut off before its end".to_owned();
            self.error(&Problem { kind: ProblemKind::BadGateway, message, param: None, code: None }, out);
        }
    }

    /// An in-band error, which ends the stream: OpenAI's `data: {"error":…}` without `[DONE]`, Anthropic's `event: error`.
    /// The official SDKs raise on both.
    pub fn error(&mut self, problem: &Problem, out: &mut Vec<u8>) {
        let (dialect, head): (_, &[u8]) = match &self.writer {
            Writer::Openai(_) => (Dialect::OpenaiChat, b"data: "),
            Writer::Anthropic(_) => (Dialect::AnthropicMessages, b"event: error\ndata: "),
        };
        out.extend_from_slice(head);
        out.extend_from_slice(&write_problem(dialect, problem, &self.request_id));
        out.extend_from_slice(b"\n\n");
    }
}
