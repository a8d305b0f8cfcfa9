//! Streams of every dialect, in and out.

use backstop_models::chat::Event;

use super::{
    Dialect, Problem, ProblemKind, ReadError, Reply, Wire, anthropic, cohere, converse, gemini, openai,
    problem::write_problem, responses, sse,
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
    Responses(responses::Reader),
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
    Responses(Box<responses::Writer>),
    Completions(openai::completions::Writer),
}

impl StreamReader {
    pub fn new(wire: Wire) -> Self {
        Self(match wire {
            Wire::OpenaiChat | Wire::OpenaiCompletions => Reader::Openai(openai::Reader::default()),
            Wire::AnthropicMessages => Reader::Anthropic(anthropic::Reader::default()),
            Wire::Gemini => Reader::Gemini(gemini::Reader::default()),
            Wire::BedrockConverse => Reader::Converse(converse::Reader::default()),
            Wire::CohereChat => Reader::Cohere(cohere::Reader::default()),
            Wire::OpenaiResponses => Reader::Responses(responses::Reader::default()),
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
            Reader::Responses(reader) => reader.read(event, out),
        }
    }

    /// Whether the dialect's own last frame was seen (`[DONE]`, `message_stop`, `response.completed`, `metadata`, Gemini's
    /// finish reason).
    pub fn done(&self) -> bool {
        match &self.0 {
            Reader::Openai(reader) => reader.done(),
            Reader::Anthropic(reader) => reader.done(),
            Reader::Gemini(reader) => reader.done(),
            Reader::Converse(reader) => reader.done(),
            Reader::Cohere(reader) => reader.done(),
            Reader::Responses(reader) => reader.done(),
        }
    }
}

impl StreamWriter {
    /// `include_usage` is the caller's wish ([`super::Envelope::include_usage`]); Anthropic's streams always have usage.
    pub fn new(dialect: Dialect, reply: &Reply<'_>, include_usage: bool) -> Self {
        let writer = match dialect {
            Dialect::OpenaiChat => Writer::Openai(openai::Writer::new(reply, include_usage)),
            Dialect::AnthropicMessages => Writer::Anthropic(anthropic::Writer::new(reply)),
            Dialect::OpenaiResponses => Writer::Responses(Box::new(responses::Writer::new(reply))),
            Dialect::OpenaiCompletions => Writer::Completions(openai::completions::Writer::new(reply, include_usage)),
        };
        Self { writer, request_id: reply.id.to_owned() }
    }

    /// For the error that ends a stream which was forwarded until now: `frames` of it have left, and nothing else of it is
    /// known here.
    pub fn after(dialect: Dialect, frames: u64) -> Self {
        let nameless = Reply { id: "", model: "", created_unix_s: 0, request: b"" };
        let mut nameless = Self::new(dialect, &nameless, false);
        if let Writer::Responses(writer) = &mut nameless.writer {
            writer.go_on_after(frames);
        }
        nameless
    }

    pub fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.write_choice(0, event, out);
    }

    /// As [`Self::write`], of one of several answers. In a dialect that knows one answer only there must be no other.
    pub fn write_choice(&mut self, choice: u32, event: &Event, out: &mut Vec<u8>) {
        match &mut self.writer {
            Writer::Openai(writer) => writer.write(choice, event, out),
            Writer::Completions(writer) => writer.write(choice, event, out),
            Writer::Anthropic(writer) => writer.write(event, out),
            Writer::Responses(writer) => writer.write(event, out),
        }
    }

    /// The stream's end. Without an [`Event::Finish`] before it this is an in-band error: half an answer never ends clean.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let finished = match &mut self.writer {
            Writer::Openai(writer) => writer.finish(out),
            Writer::Completions(writer) => writer.finish(out),
            Writer::Anthropic(writer) => writer.finish(out),
            Writer::Responses(writer) => writer.finish(out),
        };
        if !finished {
            let message = "the answer was cut off before its end".to_owned();
            self.error(&Problem { kind: ProblemKind::BadGateway, message, param: None, code: None }, out);
        }
    }

    /// An in-band error, which ends the stream: OpenAI's `data: {"error":…}` without `[DONE]`, Anthropic's `event: error`,
    /// a failed response and then an `error` event. The official SDKs raise on all of them.
    pub fn error(&mut self, problem: &Problem, out: &mut Vec<u8>) {
        let (dialect, head): (_, &[u8]) = match &mut self.writer {
            Writer::Openai(_) | Writer::Completions(_) => (Dialect::OpenaiChat, b"data: "),
            Writer::Anthropic(_) => (Dialect::AnthropicMessages, b"event: error\ndata: "),
            Writer::Responses(writer) => return writer.error(problem, out),
        };
        out.extend_from_slice(head);
        out.extend_from_slice(&write_problem(dialect, problem, &self.request_id));
        out.extend_from_slice(b"\n\n");
    }
}
