//! Dialects: bytes ⇄ the chat types. Pure: no I/O, no clock, no knowledge of vendors or routes.
use std::ops::Range;

pub use crate::domain::Dialect;
use crate::domain::FaultKind;
use backstop_models::chat::{self, Answer, Chat};

pub mod sse;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub model: String,
    pub stream: bool,
    pub include_usage: bool,
    pub max_tokens: Option<u32>,
    pub has_tools: bool,
    pub has_images: bool,
    pub wants_json_schema: bool,
    pub metadata_user: Option<String>,
    places: Vec<Range<usize>>,
}
impl Envelope {
    /// Same as [`rewrite_request`] without a second look at the body.
    pub fn rewrite(&self, body: &[u8], to: &Outgoing<'_>) -> Vec<u8> {
        unimplemented!()
    }
}
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    pub message: String,
    pub param: Option<String>,
    pub code: Option<&'static str>,
}
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub model: &'a str,
    pub stream: bool,
    pub max_tokens_field: &'static str,
    pub include_usage: bool,
    pub default_max_tokens: u32,
}
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    pub id: &'a str,
    pub model: &'a str,
    pub created_unix_s: i64,
}
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the vendor sent an error inside its answer ({kind})")]
    ErrorObject {
        kind: FaultKind,
        /** Caller-safe. */
        message: Option<String>,
    },
    #[error("the answer is not what its dialect says: {why}")]
    Malformed { why: String },
    #[error("the answer is empty")]
    Empty,
    #[error("the answer has no finish reason")]
    NoFinish,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorError {
    pub kind: FaultKind,
    pub code: Option<String>,
    pub message: Option<String>,
    pub param: Option<String>,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    InvalidRequest,
    Authentication,
    Permission,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
    RateLimited,
    Unavailable,
    BadGateway,
    Timeout,
    Overloaded,
    Internal,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub kind: ProblemKind,
    pub message: String,
    pub param: Option<String>,
    pub code: Option<String>,
}

pub fn open(dialect: Dialect, body: &[u8]) -> Result<Envelope, BadRequest> {
    unimplemented!()
}
pub fn read_request(dialect: Dialect, body: &[u8]) -> Result<Chat, BadRequest> {
    unimplemented!()
}
pub fn write_request(dialect: Dialect, chat: &Chat, to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    unimplemented!()
}
pub fn rewrite_request(dialect: Dialect, body: &[u8], to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    unimplemented!()
}
// No rewrite_answer: same-dialect answers are forwarded as they came; the vendor's `model` stays.
pub fn read_answer(dialect: Dialect, body: &[u8]) -> Result<Answer, ReadError> {
    unimplemented!()
}
pub fn write_answer(dialect: Dialect, answer: &Answer, as_: &Reply<'_>) -> Vec<u8> {
    unimplemented!()
}
pub fn read_error(dialect: Dialect, status: u16, body: &[u8]) -> VendorError {
    unimplemented!()
}
pub fn status(dialect: Dialect, kind: ProblemKind) -> u16 {
    unimplemented!()
}
pub fn write_problem(dialect: Dialect, problem: &Problem, request_id: &str) -> Vec<u8> {
    unimplemented!()
}

#[derive(Debug)]
pub struct StreamReader {
    dialect: Dialect,
}
impl StreamReader {
    pub fn new(dialect: Dialect) -> Self {
        unimplemented!()
    }
    /// Appends what the frame says. A frame that yields nothing but one `Usage` may be withheld from a caller who did not ask.
    pub fn read(&mut self, event: &sse::Event<'_>, out: &mut Vec<chat::Event>) -> Result<(), ReadError> {
        unimplemented!()
    }
    pub fn done(&self) -> bool {
        unimplemented!()
    }
}
#[derive(Debug)]
pub struct StreamWriter {
    dialect: Dialect,
}
impl StreamWriter {
    pub fn new(dialect: Dialect, reply: &Reply<'_>, include_usage: bool) -> Self {
        unimplemented!()
    }
    pub fn write(&mut self, event: &chat::Event, out: &mut Vec<u8>) {
        unimplemented!()
    }
    /// Without a `Finish` before it, it writes an in-band error: never a clean end to half an answer.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        unimplemented!()
    }
    pub fn error(&mut self, problem: &Problem, out: &mut Vec<u8>) {
        unimplemented!()
    }
}

impl Problem {
    /// A problem without a field or a code.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None, code: None }
    }
}

/// What ends a whole stream, for a vendor that left it out.
pub fn end_mark(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::OpenaiChat => b"data: [DONE]\n\n",
        Dialect::AnthropicMessages => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    }
}
