//! A fault as data: where it is, what the vendor says, and what may come of it. With the words of both dialects that
//! faults are made of.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::vendor::{End, Piece, Reply, anthropic_frames, openai_frames};

/// What the faulty primary says where it says something.
pub const PRIMARY: &str = "primary";
/// What the good fallback says.
pub const RESCUED: &str = "rescued";
/// What it thinks where it thinks; no caller ever sees that of an attempt that failed.
pub const THOUGHT: &str = "hm-let-me-see";

/// A dialect, of a caller or of a vendor. The vendors' kinds have the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Openai,
    Anthropic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Whole,
    Streamed,
}

/// What a caller may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// The fallback's answer, whole, and nothing else.
    Rescued,
    /// The primary's answer, whole.
    Answered,
    /// A part of the primary's answer, then an error event; no end of the answer.
    Interrupted,
    /// As [`Got::Interrupted`], after the finish reason.
    ErrorAfterFinish,
    /// An error of this status in the caller's dialect.
    Refused(u16),
}

/// Where the primary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Fake,
    Closed,
    Unresolvable,
    BlackHole,
    PlainTls,
    TlsCut,
    SelfSigned,
}

/// Whom a reply is made for.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub wire: Wire,
    pub mode: Mode,
    /// Another origin, where nothing may ever arrive.
    pub trap: &'a str,
}

type Script = dyn Fn(Scene<'_>) -> Reply + Send + Sync;

/// What is right.
#[derive(Debug, Clone, Copy)]
pub struct Expect {
    pub any: &'static [Got],
    /// What the ledger may call the fault, separated by `|`; `late` is the mode's own deadline for a first answer.
    pub kinds: &'static str,
}

#[derive(Clone)]
pub struct Fault {
    pub name: &'static str,
    pub place: Place,
    pub say: Arc<Script>,
    pub whole: Option<Expect>,
    pub streamed: Option<Expect>,
    pub deadlines: &'static str,
    /// The most that the whole call may take.
    pub within: Duration,
}

/// Short, so that all rows are soon through.
const DEADLINES: &str = "{ connect: 300ms, first_token: 1s, idle: 700ms, attempt: 1500ms, total: 6s }";
/// For what must not be waited for at all, and for what takes its time.
const PATIENT: &str = "{ connect: 300ms, first_token: 4s, idle: 5s, attempt: 5s, total: 6s }";

/// Nobody waits this long for a deadline of seconds.
const AT_ONCE: Duration = Duration::from_millis(2500);

/// A fault of a vendor that is there. Expects nothing yet.
pub fn fault(name: &'static str, say: impl Fn(Scene<'_>) -> Reply + Send + Sync + 'static) -> Fault {
    let within = Duration::from_secs(6);
    let say = Arc::new(say);
    Fault { name, place: Place::Fake, say, whole: None, streamed: None, deadlines: DEADLINES, within }
}

/// A fault of a vendor that is not there.
pub fn unreachable(name: &'static str, place: Place) -> Fault {
    Fault { place, ..fault(name, |_| Reply::Reset) }
}

impl Fault {
    /// The fallback answers, streamed or not.
    pub fn rescued(self, kinds: &'static str) -> Self {
        self.whole(&[Got::Rescued], kinds).streamed(&[Got::Rescued], kinds)
    }

    /// It is no fault at all: the primary's answer counts.
    pub fn answered(self) -> Self {
        self.whole(&[Got::Answered], "").streamed(&[Got::Answered], "")
    }

    pub fn refused(self, kinds: &'static str) -> Self {
        self.whole(&[Got::Refused(400)], kinds).streamed(&[Got::Refused(400)], kinds)
    }

    pub fn whole(mut self, any: &'static [Got], kinds: &'static str) -> Self {
        self.whole = Some(Expect { any, kinds });
        self
    }

    pub fn streamed(mut self, any: &'static [Got], kinds: &'static str) -> Self {
        self.streamed = Some(Expect { any, kinds });
        self
    }

    /// With deadlines of seconds, none of which may be waited for.
    pub fn at_once(self) -> Self {
        Self { deadlines: PATIENT, within: AT_ONCE, ..self }
    }

    /// With deadlines of seconds: a busy machine may need them for what is large.
    pub fn large(self) -> Self {
        Self { deadlines: PATIENT, ..self }
    }

    pub fn is_large(&self) -> bool {
        self.deadlines == PATIENT && self.within > AT_ONCE
    }

    pub fn expect(&self, mode: Mode) -> Option<Expect> {
        match mode {
            Mode::Whole => self.whole,
            Mode::Streamed => self.streamed,
        }
    }
}

impl Expect {
    pub fn allows(&self, kind: &str, mode: Mode) -> bool {
        let late = if mode == Mode::Whole { "attempt_timeout" } else { "first_token_timeout" };
        self.kinds.split('|').any(|allowed| if allowed == "late" { kind == late } else { kind == allowed })
    }
}

impl Wire {
    pub fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::Openai => Self::Anthropic,
            Self::Anthropic => Self::Openai,
        }
    }

    fn frames(self) -> (Vec<String>, usize) {
        match self {
            Self::Openai => (openai_frames(PRIMARY), 1),
            Self::Anthropic => (anthropic_frames(PRIMARY), 3),
        }
    }

    /// The frames before any content.
    pub fn opening(self) -> Vec<String> {
        let (frames, opening) = self.frames();
        frames[..opening].to_vec()
    }

    /// The same and all of the content.
    pub fn said(self) -> Vec<String> {
        let (frames, opening) = self.frames();
        frames[..opening + PRIMARY.len()].to_vec()
    }

    /// The same and the finish reason.
    pub fn finished(self) -> Vec<String> {
        let (frames, _) = self.frames();
        frames[..frames.len() - 1].to_vec()
    }

    /// The end mark.
    pub fn done(self) -> String {
        self.frames().0.pop().expect("the last frame is the end mark")
    }

    /// An error object as this vendor writes it.
    pub fn error(self, kind: &str, code: Value, message: &str) -> Value {
        match self {
            Self::Openai => json!({"error": {"message": message, "type": kind, "param": null, "code": code}}),
            Self::Anthropic => {
                let error = json!({"type": kind, "message": message});
                json!({"type": "error", "error": error, "request_id": "req_fake"})
            }
        }
    }

    /// Its usual word for "our own failure".
    pub fn server_error(self) -> Value {
        let kind = if self == Self::Openai { "server_error" } else { "api_error" };
        self.error(kind, Value::Null, "the fake says no")
    }

    pub fn error_event(self) -> String {
        match self {
            Self::Openai => format!("data: {}\n\n", self.server_error()),
            Self::Anthropic => format!("event: error\ndata: {}\n\n", self.server_error()),
        }
    }

    /// A good whole answer that says [`PRIMARY`].
    pub fn answer(self) -> Value {
        match self {
            Self::Openai => json!({
                "id": "chatcmpl-fake", "object": "chat.completion", "created": 1_700_000_000, "model": "fake-1",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": PRIMARY}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
            }),
            Self::Anthropic => json!({
                "id": "msg_fake", "type": "message", "role": "assistant", "model": "fake-2",
                "content": [{"type": "text", "text": PRIMARY}], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": 11, "output_tokens": 7}
            }),
        }
    }
}

impl Scene<'_> {
    /// The media type that this mode's answers have.
    pub fn media_type(&self) -> &'static str {
        if self.mode == Mode::Streamed { "text/event-stream" } else { "application/json" }
    }

    /// A good answer's bytes in this mode.
    pub fn good(&self) -> String {
        match self.mode {
            Mode::Whole => self.wire.answer().to_string(),
            Mode::Streamed => [self.wire.finished(), vec![self.wire.done()]].concat().concat(),
        }
    }
}

/// Frames, then more of them, then `end`.
pub fn frames(first: Vec<String>, more: &[&str], end: End) -> Reply {
    let pieces = first.into_iter().chain(more.iter().map(|&text| text.to_owned())).map(Piece::Text).collect();
    Reply::Stream { pieces, end }
}

/// Frames, then one of them for ever.
pub fn frames_and_ever(first: Vec<String>, ever: String) -> Reply {
    let ever = Piece::Repeat(ever, Duration::from_millis(20));
    Reply::Stream { pieces: first.into_iter().map(Piece::Text).chain([ever]).collect(), end: End::Silence }
}

/// A reply of exactly these bytes.
pub fn raw(text: impl Into<String>, end: End) -> Reply {
    Reply::Raw { pieces: vec![Piece::Text(text.into())], end }
}

/// A whole body of this media type with status 200.
pub fn body(media_type: &str, bytes: impl Into<Vec<u8>>) -> Reply {
    Reply::Whole { status: 200, headers: vec![("content-type", media_type.to_owned())], body: bytes.into() }
}
